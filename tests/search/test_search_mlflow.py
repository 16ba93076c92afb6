"""The language held against MLflow's own parser."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from registry_core.errors import InvalidArgumentError
from registry_core.search import Entity, TagRef, parse_filter, render_filter
from search.texts import comparisons
from services.examples import examples

MV = Entity.MODEL_VERSION
TEXT = {"=", "!=", "LIKE", "ILIKE"}
NAMES = {"version": "version_number", "source": "source_path"}

SPACES = st.sampled_from([" ", "  ", "\n", "\t"])
IDENTIFIERS = st.sampled_from(
    [
        *("name", "run_id", "source_path", "version_number", "attribute.name", "`name`", "NAME"),
        *("tags.a", "tag.`a b`", 'tags."x.y"', "tags.'q'", "tags.a.b", "tags.é1", "tags.``"),
        *("description", "x.y", "attribute.`name`"),
    ]
)
OPERATORS = st.sampled_from(
    [*("=", "!=", "LIKE", "like", "ILIKE", ">", "<="), *("IN", "NOT IN", "not in", "==", "<>")]
)
VALUES = st.sampled_from(
    [
        *("'a'", '"a"', "'it''s'", r"'b\'s'", r"'c\'", r"'d\\'", '"d\'"', "''", "'%x_y'"),
        *("3", "-3", "'3'", "3.0", "'x'", "a", "`a`", "NULL", "'a\nb'", "'AND name = 1'"),
        *("('a')", "('a','b')", "('a',)", "(('a'),'b')", "('a' \"b\")", "()", "(1)", "('a', 1)"),
        *(r"('it\'s', \"q\")", r"(r'\d')", r"('\d\x41')", "(a)", "('a',,'b')"),
    ]
)
CLAUSES = st.tuples(IDENTIFIERS, SPACES, OPERATORS, SPACES, VALUES).map("".join)
JOINS = st.sampled_from([" AND ", " and ", "\nAND\n", " AND AND "])
ENDS = st.sampled_from(["", "", " ", "AND "])


@st.composite
def filters(draw):
    """A text that is a filter, or has one thing wrong with it."""
    clauses = draw(st.lists(CLAUSES, min_size=1, max_size=3))
    text = clauses[0] + "".join(draw(JOINS) + clause for clause in clauses[1:])
    return draw(ENDS) + text + draw(st.sampled_from(["", " ", " AND"]))


@pytest.fixture(scope="module")
def parsers():
    """MLflow's parser for each entity; slow to import, so only here."""
    from mlflow.utils.search_utils import SearchModelUtils, SearchModelVersionUtils

    return {Entity.REGISTERED_MODEL: SearchModelUtils, MV: SearchModelVersionUtils}


def mlflows(parser, text):
    """What MLflow's parser and store make of a filter; None if they refuse it."""
    try:
        # Python warns about the escapes in some lists, and here a warning would be a refusal.
        with warnings.catch_warnings(action="ignore"):
            clauses = parser.parse_search_filter(text)
        return [mlflows_clause(clause) for clause in clauses]
    except Exception:  # noqa: BLE001 some of MLflow's refusals are any exception at all
        return None


def mlflows_clause(clause):
    # The SQL store checks operators and version numbers while it builds its statement.
    key, op, value = clause["key"], clause["comparator"], clause["value"]
    if clause["type"] == "tag":
        allowed = TEXT
    elif key == "version_number":
        allowed = {"=", "!=", "<", "<=", ">", ">="}
        value = max(0, int(str(value)))
    else:
        allowed = TEXT | ({"IN", "NOT IN"} if key in ("name", "run_id") else set())
    if op not in allowed or (op in ("IN", "NOT IN")) != isinstance(value, tuple):
        raise ValueError(op)
    return clause["type"], key, op, value


def ours(text, entity):
    try:
        return [our_clause(comparison) for comparison in parse_filter(text, entity)]
    except InvalidArgumentError:
        return None


def our_clause(comparison):
    operand = comparison.operand
    if isinstance(operand, TagRef):
        return "tag", operand.key, comparison.op.value, comparison.value
    key = NAMES.get(operand.field, operand.field)
    return "attribute", key, comparison.op.value, comparison.value


@example(text=r"name IN ('\d\x41')", entity=Entity.REGISTERED_MODEL)
@given(text=filters(), entity=st.sampled_from(Entity))
@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_filters_mean_what_they_mean_to_mlflow(parsers, text, entity):
    """MLflow accepts a text if and only if we do, and reads the same out of it."""
    assert ours(text, entity) == mlflows(parsers[entity], text)


@pytest.mark.parametrize("entity", Entity)
@pytest.mark.parametrize(
    "text",
    [
        *("evilhax = true", "evilhax=FALSE", "true = 'x'", "False != true", "5 = true", "true"),
        *("name LIKE true", "name ILIKE false", "name NOT IN true", "true IS NULL", "x.y = true"),
        *("tags.k = false", "version_number > true", "name == true", "true AND name = 'a'"),
        *("evilhax = 'x' AND name = true", "name = 'a' AND evilhax = true AND", "name = 'a' true"),
    ],
)
def test_bare_true_and_false_are_refused_in_mlflows_words(parsers, text, entity):
    """A bare word of SQL is no operand, which is found out before any key is looked at."""
    with pytest.raises(Exception, match=r"^Invalid clause\(s\) in filter string: ") as theirs:
        parsers[entity].parse_search_filter(text)
    with pytest.raises(InvalidArgumentError) as ours:
        parse_filter(text, entity)
    assert str(ours.value) == str(theirs.value)


@given(st.data(), st.sampled_from(Entity))
@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_rendered_filters_mean_the_same_to_mlflow(parsers, data, entity):
    """What we print for another server is read there as it was meant."""
    filter_ = tuple(data.draw(st.lists(comparisons(entity), min_size=1, max_size=3)))
    text = render_filter(filter_)
    assert mlflows(parsers[entity], text) == [our_clause(item) for item in filter_]
