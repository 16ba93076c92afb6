"""Filters and orders back to texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core.errors import InvalidArgumentError
from registry_core.search import (
    Comparison,
    Entity,
    Op,
    TagRef,
    parse_filter,
    parse_order_by,
    render_filter,
    render_order_by,
)
from search.texts import FRAGMENTS, comparisons

MV = Entity.MODEL_VERSION


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("attribute.name='a'", "name = 'a'"),
        ('source_path like "it\'s"', 'source_path LIKE "it\'s"'),
        ("version_number>=3", "version_number >= 3"),
        ("tag.a != 'b' and tags.\"c`d\" = ''", "tags.`a` != 'b' AND tags.\"c`d\" = ''"),
        (r"run_id NOT IN ('it\'s', 'a\\', 'é')", r"run_id NOT IN ('it\x27s', 'a\x5c', 'é')"),
        ("""name = "a\\" AND name = 'b'""", """name = "a\\" AND name = 'b'"""),
        ("name = 'it''s \"x\"'", "name = 'it''s \"x\"'"),
    ],
)
def test_render_filter_prints_one_spelling(text, rendered):
    """What is printed is readable, and quotes fit what they hold."""
    filter_ = parse_filter(text, MV)
    assert render_filter(filter_) == rendered
    assert parse_filter(rendered, MV) == filter_


@given(st.data(), st.sampled_from(Entity))
def test_render_filter_parses_to_the_same_filter(data, entity):
    """Printing and parsing is the identity."""
    filter_ = tuple(data.draw(st.lists(comparisons(entity), max_size=4)))
    assert parse_filter(render_filter(filter_), entity) == filter_


@given(st.lists(FRAGMENTS, max_size=10).map("".join), st.sampled_from(Entity))
def test_render_filter_never_prints_another_filter(text, entity):
    """Whatever was parsed is printed to the same meaning, or refused."""
    try:
        filter_ = parse_filter(text, entity)
        rendered = render_filter(filter_)
    except InvalidArgumentError:
        return
    assert parse_filter(rendered, entity) == filter_


@pytest.mark.parametrize(
    "filter_",
    [
        (Comparison(TagRef("k"), Op.EQ, 'it\'s "x"'),),
        (Comparison(TagRef("a'`\"b"), Op.EQ, "x"),),
        (Comparison(TagRef("`a`"), Op.EQ, "x"),),
    ],
)
def test_render_filter_refuses_what_has_no_spelling(filter_):
    """A value with both quotes in it cannot be written, and is not silently changed."""
    with pytest.raises(InvalidArgumentError, match="No filter can"):
        render_filter(filter_)


@pytest.mark.parametrize(
    ("entity", "texts"),
    [
        (Entity.REGISTERED_MODEL, []),
        (Entity.REGISTERED_MODEL, ["timestamp DESC"]),
        (MV, []),
        (MV, ["creation_timestamp", "attribute.version_number DESC"]),
    ],
)
def test_render_order_by_parses_to_the_same_order(entity, texts):
    """A printed order needs no further tie-breakers and means the same."""
    order = parse_order_by(texts, entity)
    assert parse_order_by(render_order_by(order), entity) == order


def test_render_order_by_uses_the_names_of_the_language():
    """Fields are printed as MLflow knows them."""
    assert render_order_by(parse_order_by([], MV)) == [
        "last_updated_timestamp DESC",
        "name ASC",
        "version_number DESC",
    ]
