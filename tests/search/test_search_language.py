"""Filter texts to filters, any text at all, and the rule for prompts."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.errors import InvalidArgumentError
from registry_core.search import (
    AttributeRef,
    Comparison,
    Entity,
    Op,
    TagRef,
    parse_filter,
    parse_order_by,
    split_prompts,
)
from registry_core.search.language import FILTER_MAX_LENGTH
from search.texts import FRAGMENTS
from services.examples import examples

RM = Entity.REGISTERED_MODEL
MV = Entity.MODEL_VERSION


@pytest.mark.parametrize("text", [None, ""])
@pytest.mark.parametrize("entity", Entity)
def test_no_filter_matches_everything(text, entity):
    """No text and the empty text are the empty filter."""
    assert parse_filter(text, entity) == ()


def test_filters_keep_the_order_of_their_clauses():
    """A filter is its clauses, in order, on one key or several."""
    assert parse_filter("tags.a != 'x' AND name LIKE 'm%' AND tags.a != 'y'", RM) == (
        Comparison(TagRef("a"), Op.NE, "x"),
        Comparison(AttributeRef("name"), Op.LIKE, "m%"),
        Comparison(TagRef("a"), Op.NE, "y"),
    )


@pytest.mark.parametrize("character", ["\x00", "\ud800"])
def test_filters_refuse_characters_that_no_store_holds(character):
    """NUL and lone surrogates are refused wherever they stand."""
    for text in (f"name = 'a{character}'", f"tags.`a{character}` = 'b'", character):
        with pytest.raises(InvalidArgumentError, match="cannot be stored"):
            parse_filter(text, MV)


def test_filters_are_bounded_in_length():
    """A text of more than `FILTER_MAX_LENGTH` characters is refused unread."""
    with pytest.raises(InvalidArgumentError, match="exceeds the maximum length"):
        parse_filter(" " * (FILTER_MAX_LENGTH + 1), MV)


@given(
    st.lists(FRAGMENTS, max_size=12).map("".join) | st.text(max_size=40), st.sampled_from(Entity)
)
@settings(max_examples=examples(500))
def test_any_text_is_a_filter_or_an_invalid_argument(text, entity):
    """No text gets any other answer out of either parser."""
    for parse in (lambda: parse_filter(text, entity), lambda: parse_order_by([text], entity)):
        with contextlib.suppress(InvalidArgumentError):
            parse()


SIZE = 64 * 1024


def hostile(start, repeated, end=""):
    return start + (repeated * SIZE)[:SIZE] + end


HOSTILE = {
    "parentheses": hostile("", "("),
    "nested list": hostile("name IN ", "("),
    "unclosed list": hostile("name IN (", "'a',"),
    "constants in a list": hostile("name IN (", "1,", ")"),
    "escapes in a list": hostile("name IN ('", r"\N{", "')"),
    "no commas in a list": hostile("name IN (", "'a' ", ")"),
    "ands": hostile("", "AND "),
    "clauses": hostile("", "name='a'"),
    "quotes": hostile("", "'"),
    "quotes of both kinds": hostile("name = ", "'\""),
    "open quote": hostile("name = '", "''"),
    "open double quote": hostile('name = "', "''"),
    "escaped quotes": hostile("name = '", r"\'"),
    "backslashes": hostile("name = '", "\\"),
    "backticks": hostile("tags.", "`"),
    "dots": hostile("", "a."),
    "digits": hostile("", "1", "a"),
    "decimals": hostile("name = ", "1."),
    "long number": hostile("version_number = ", "9"),
    "long quoted number": hostile("version_number = '", "0", "x'"),
    "spaces": hostile("", " ", "'"),
    "spaces in a number": hostile("version_number = '1", " ", "x'"),
    "operators": hostile("name ", "<"),
    "semicolons": hostile("", ";"),
    "words": hostile("", "x "),
    "wildcards": hostile("name LIKE '", "%_", "'"),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_filters_are_read_in_linear_time(text):
    """64 KiB of anything is answered in linear time; quadratic would be many seconds."""
    started = time.process_time()
    with contextlib.suppress(InvalidArgumentError):
        parse_filter(text, MV)
    assert time.process_time() - started < 2


def test_long_lists_are_filters_too():
    """The run ids of 10,000 runs fit into one list."""
    runs = [f"{number:032x}" for number in range(10_000)]
    (comparison,) = parse_filter(f"run_id IN {tuple(runs)}", MV)
    assert comparison.value == tuple(runs)


MARKER = "tags.`mlflow.prompt.is_prompt`"


@pytest.mark.parametrize(
    ("text", "kept", "exclude"),
    [
        ("", "", True),
        ("name = 'a'", "name = 'a'", True),
        (f"{MARKER} = 'true'", f"{MARKER} = 'true'", False),
        (f"{MARKER} = 'TRUE'", f"{MARKER} = 'TRUE'", False),
        (f"{MARKER} != 'False'", f"{MARKER} != 'False'", False),
        (f"{MARKER} != 'true'", "", True),
        (f"{MARKER} = 'false'", "", True),
        (f"{MARKER} = ''", "", True),
        (f"{MARKER} LIKE 'true'", "", True),
        (f"{MARKER} ILIKE 'true'", "", True),
        (f"name = 'a' AND {MARKER} = 'x' AND tags.b = 'c'", "name = 'a' AND tags.b = 'c'", True),
        (f"{MARKER} != 'true' AND {MARKER} = 'true'", "", True),
        (
            f"{MARKER} = 'true' AND {MARKER} != 'true'",
            f"{MARKER} = 'true' AND {MARKER} != 'true'",
            False,
        ),
    ],
)
@pytest.mark.parametrize("entity", Entity)
def test_split_prompts_follows_the_first_marker_clause(entity, text, kept, exclude):
    """The first clause on the prompt tag decides; without a wish for prompts all are dropped."""
    expected = (parse_filter(kept, entity), exclude)
    assert split_prompts(parse_filter(text, entity)) == expected


def test_short_filters_are_remembered_for_what_they_are_about() -> None:
    """And not for anything else: the same text means other fields of another entity."""
    text = "name = 'remembered'"
    first = parse_filter(text, Entity.MODEL_VERSION)
    assert parse_filter(text, Entity.MODEL_VERSION) is first
    with pytest.raises(InvalidArgumentError):
        parse_filter("run_id = 'a'", Entity.REGISTERED_MODEL)
    assert parse_filter("run_id = 'a'", Entity.MODEL_VERSION)
    long = f"name = '{'x' * 256}'"
    found = parse_filter(long, Entity.MODEL_VERSION)
    again = parse_filter(long, Entity.MODEL_VERSION)
    assert found == again
    assert found is not again
