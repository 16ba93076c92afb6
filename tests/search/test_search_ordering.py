"""order_by texts to a total order (contract 4.6)."""

from __future__ import annotations

import pytest

from registry_core.errors import FilterSyntaxError, InvalidArgumentError
from registry_core.search import Entity, OrderBy, parse_order_by

RM = Entity.REGISTERED_MODEL
MV = Entity.MODEL_VERSION

NAME = OrderBy("name")
NEWEST = OrderBy("version", ascending=False)
UPDATED = OrderBy("last_updated_timestamp")


@pytest.mark.parametrize(
    ("entity", "texts", "order"),
    [
        (RM, [], (NAME,)),
        (RM, ["name"], (NAME,)),
        (RM, ["name DESC"], (OrderBy("name", ascending=False),)),
        (RM, ["timestamp"], (UPDATED, NAME)),
        (RM, ["last_updated_timestamp ASC"], (UPDATED, NAME)),
        (RM, ["name", "timestamp"], (NAME, UPDATED)),
        (MV, [], (OrderBy("last_updated_timestamp", ascending=False), NAME, NEWEST)),
        (MV, ["name"], (NAME, NEWEST)),
        (MV, ["version_number"], (OrderBy("version"), NAME)),
        (
            MV,
            ["creation_timestamp DESC"],
            (OrderBy("creation_timestamp", ascending=False), NAME, NEWEST),
        ),
        (MV, ["last_updated_timestamp", "version_number"], (UPDATED, OrderBy("version"), NAME)),
        (MV, ["attribute.name", "version_number asc"], (NAME, OrderBy("version"))),
    ],
)
def test_order_is_completed_with_defaults_and_tie_breakers(entity, texts, order):
    """No order means the entity's own, and every order is made total."""
    assert parse_order_by(texts, entity) == order


@pytest.mark.parametrize(
    "text", ["name desc", "name  DESC", "name\nDesc", "`name` DESC", '"name" desc']
)
@pytest.mark.parametrize("entity", Entity)
def test_order_takes_spaces_cases_and_quotes(entity, text):
    """The direction is in any case, the key in backticks or double quotes."""
    assert parse_order_by([text], entity)[0] == OrderBy("name", ascending=False)


@pytest.mark.parametrize(
    "text", ["attribute.name", "attribute.`name`", 'attribute."name"', "attribute.'name'"]
)
def test_order_of_versions_takes_the_attribute_prefix(text):
    """Only keys of model versions may have a prefix."""
    assert parse_order_by([text], MV)[0] == NAME
    with pytest.raises(FilterSyntaxError, match="Invalid order by key 'attribute"):
        parse_order_by([text], RM)


UNPARSED = "Invalid order_by clause '{}'. Could not be parsed."
RM_KEY = "Invalid order by key '{}' specified. Valid keys are '{{'last_updated_timestamp', 'name', 'timestamp'}}'"
MV_KEYS = (
    "Valid keys are '{'creation_timestamp', 'last_updated_timestamp', 'name', 'version_number'}'"
)


@pytest.mark.parametrize(
    ("entity", "text", "message"),
    [
        *[
            (entity, text, UNPARSED.format(text))
            for entity in Entity
            for text in [
                "",
                " ",
                " name",
                "name ",
                "name,run_id",
                "name asc desc",
                "name;",
                "'name'",
                "1",
                "name -- c",
                "(name)",
                "name 'desc'",
                "=",
                "name DESC,",
            ]
        ],
        (RM, "name foo", "Invalid ordering key in order_by clause 'name foo'."),
        (MV, "`name` foo", "Invalid ordering key in order_by clause '`name` foo'."),
        (RM, "version_number", RM_KEY.format("version_number")),
        (RM, "creation_timestamp", RM_KEY.format("creation_timestamp")),
        (RM, "TIMESTAMP", RM_KEY.format("TIMESTAMP")),
        (RM, "tags.a", RM_KEY.format("tags.a")),
        (MV, "timestamp", f"Invalid attribute key 'timestamp' specified. {MV_KEYS}"),
        (MV, "run_id DESC", f"Invalid attribute key 'run_id' specified. {MV_KEYS}"),
        (MV, "tags.a", f"Invalid order by key 'a' specified. {MV_KEYS}"),
        (
            MV,
            "run.name",
            "Invalid entity type 'run'. Valid entity types are ('attribute', 'tag', 'tags')",
        ),
    ],
)
def test_order_refuses_with_mlflows_words(entity, text, message):
    """Each case of contract 4.8 has its text and points into the clause."""
    with pytest.raises(FilterSyntaxError) as caught:
        parse_order_by(["last_updated_timestamp", text], entity)
    assert str(caught.value) == message
    assert caught.value.source == text


@pytest.mark.parametrize(
    ("entity", "texts"),
    [
        (RM, ["name", "name DESC"]),
        (RM, ["timestamp", "last_updated_timestamp"]),
        (MV, ["version_number", "name", "attribute.version_number DESC"]),
    ],
)
def test_order_refuses_duplicate_fields(entity, texts):
    """A field may be named once, under whatever name."""
    with pytest.raises(InvalidArgumentError) as caught:
        parse_order_by(texts, entity)
    assert str(caught.value) == f"`order_by` contains duplicate fields: {texts}"
