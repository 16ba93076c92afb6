"""Tokens to clauses: the grammar."""

from __future__ import annotations

import pytest

from registry_core.errors import FilterSyntaxError, InvalidArgumentError
from registry_core.search.parser import FILTER_MAX_CLAUSES, clauses


def read(text):
    return [(c.identifier.text, c.comparator, c.value.text) for c in clauses(text)]


NAME = ("name", "=", "'a'")
TAG = ("tags.b", "LIKE", "'c'")


@pytest.mark.parametrize(
    "text",
    [
        "name = 'a' AND tags.b LIKE 'c'",
        "name='a' and tags.b like 'c'",
        "name\n=\t'a'\nAND\n tags.b  LIKE'c'",
        "name='a'AND tags.b LIKE 'c'",
        "AND name = 'a' AND tags.b LIKE 'c'",
        "name = 'a' AND tags.b LIKE 'c' AND ",
        "name = 'a' AND AND and tags.b LIKE 'c'",
        "name = 'a' tags.b LIKE 'c'",
        "name='a'tags.b LIKE 'c'",
        " name\u00a0= 'a' AND tags.b LIKE 'c' ",
    ],
)
def test_clauses_are_joined_by_any_number_of_ands(text):
    """AND in any case, leading, trailing, doubled or missing, as MLflow takes it (contract 4.1)."""
    assert read(text) == [NAME, TAG]


@pytest.mark.parametrize(
    ("text", "comparator", "value"),
    [
        ("name in('a')", "IN", "('a')"),
        ("name NOT\n in ('a', 'b')", "NOT IN", "('a', 'b')"),
        ("name not like 'a'", "NOT LIKE", "'a'"),
        ("name == 'a'", "==", "'a'"),
        ("name is null", "IS NULL", ""),
        ("name IS  NOT NULL", "IS NOT NULL", ""),
        ("name = `a`", "=", "`a`"),
        ("name = a.b", "=", "a.b"),
        ("name >= -3", ">=", "-3"),
        ('name ILIKE "%a"', "ILIKE", '"%a"'),
    ],
)
def test_clauses_hold_the_comparator_and_value(text, comparator, value):
    """Operators are normalised; whether they make sense is not the grammar's question."""
    assert read(text) == [("name", comparator, value)]


def test_clauses_may_be_none_at_all():
    """Only ANDs is no clause, as on MLflow."""
    assert read("AND and") == []


LEFTOVER = "Invalid clause(s) in filter string: "


@pytest.mark.parametrize(
    ("text", "leftover", "at"),
    [
        ("name", "name", ""),
        ("name =", "name, =", ""),
        ("= 'a'", "=", "="),
        ("'a'", "'a'", ""),
        ("*", "*", "*"),
        ("name = 'a' OR name = 'b'", "OR, name", "name"),
        ("NOT name = 'a'", "NOT, name", "name"),
        ("(name = 'a')", "(name = 'a')", ""),
        ("name BETWEEN 'a' AND 'b'", "name, BETWEEN", "BETWEEN"),
        ("name = 'a' -- comment", "-", "-"),
        ("name = 'a' /* comment */", "/", "/"),
        ("name = 'a';", ";", ";"),
        ("name = 'a', name = 'b'", ",", ","),
        ("name = 'a' 'b'", "'b'", ""),
        ("name = 'a", "name, =, '", "'"),
        ("name IN 'a'", "name, IN, 'a'", "'a'"),
        ("name IN ('a'", "name, IN, (", "("),
        ("name IN ['a']", "name, IN, [", "["),
        ("name IS 'a'", "name, IS, 'a'", "'a'"),
        ("tags.a-b = 'c'", "tags.a, -", "-"),
        ("tags.a:b = 'c'", "tags.a, :", ":"),
        ("tags.a/b = 'c'", "tags.a, /", "/"),
        ("tags.a b = 'c'", "tags.a, b", "b"),
        ("tags.`a = 'b'", "tags., `", "`"),
        ("version_number = - 3", "version_number, =, -", "-"),
        ("evilhax = true", "evilhax, =, true", "true"),
        ("TRUE = 'a'", "TRUE, =, 'a'", "TRUE"),
        ("5 = False", "5, =, False", "False"),
        ("true IS NULL", "true, IS, NULL", "true"),
        ("tags.a != false", "tags.a, !=, false", "false"),
        ("name LIKE true", "name, LIKE, true", "true"),
        ("name = 'a' AND name = true AND name = 'b'", "name, =, true", "true"),
        ("true AND name = 'a'", "true", "AND"),
    ],
)
def test_clauses_refuse_leftover_tokens(text, leftover, at):
    """What does not belong is named with MLflow's words and pointed at (contract 4.8)."""
    with pytest.raises(FilterSyntaxError) as caught:
        read(text)
    assert str(caught.value) == LEFTOVER + leftover
    assert text[slice(*caught.value.span)] == at


@pytest.mark.parametrize("left", ["'a'", '"a"', "1", "('a')"])
def test_clauses_start_with_an_identifier(left):
    """A text, number or list on the left side has a sentence of its own."""
    with pytest.raises(FilterSyntaxError) as caught:
        read(f"{left} = 'b'")
    expected = f"Invalid comparison clause. Expected 'Identifier' found '{left}'"
    assert str(caught.value) == expected
    assert caught.value.span == (0, len(left))


@pytest.mark.parametrize("text", [" ", "\n\t"])
def test_clauses_refuse_a_blank_text(text):
    """White space only is an error, where the empty text is no filter."""
    with pytest.raises(FilterSyntaxError) as caught:
        clauses(text)
    assert str(caught.value) == f"Invalid filter '{text}'. Could not be parsed."


def test_clauses_refuse_several_statements():
    """A semicolon with something after it is a second statement."""
    text = "name = 'a'; name = 'b'"
    with pytest.raises(FilterSyntaxError) as caught:
        read(text)
    expected = (
        f'Search filter contained multiple expression "{text}". Provide AND-ed expression list.'
    )
    assert str(caught.value) == expected


@pytest.mark.parametrize("repeated", ["tags.a = '' ", "AND "])
def test_clauses_are_bounded_in_number(repeated):
    """A filter has as many clauses as every store can plan, and not one more."""
    assert len(read(f"{repeated * FILTER_MAX_CLAUSES}")) in (FILTER_MAX_CLAUSES, 0)
    with pytest.raises(InvalidArgumentError, match=f"may have {FILTER_MAX_CLAUSES} clauses"):
        read(repeated * (FILTER_MAX_CLAUSES + 1))


def test_errors_do_not_repeat_a_whole_hostile_text():
    """An error is short, however long the text at fault is."""
    with pytest.raises(FilterSyntaxError) as caught:
        read("x" * 100_000)
    assert len(str(caught.value)) < 300
