"""What each entity can be asked, and the words of every refusal (contract 4.2, 4.3, 4.8)."""

from __future__ import annotations

import attrs
import pytest

from registry_core import validation
from registry_core.errors import FilterSyntaxError
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search import AttributeRef, Comparison, Entity, Op, TagRef, parse_filter
from registry_core.search.like import PATTERN_MAX_LENGTH

RM = Entity.REGISTERED_MODEL
MV = Entity.MODEL_VERSION
TEXT = {"=", "!=", "LIKE", "ILIKE"}
LISTS = {"IN", "NOT IN"}
NUMBER = {"=", "!=", "<", "<=", ">", ">="}
UNKNOWN = {"==", "<>", "NOT LIKE", "RLIKE", "NOT ILIKE", "IS NULL", "IS NOT NULL"}
NULLS = "IS NULL / IS NOT NULL is not supported for {} search."
"""MLflow 3.18.0's sentence; 3.17.2 fails with 500."""
OPS = TEXT | LISTS | NUMBER | UNKNOWN

ALLOWED = {
    (RM, "name"): TEXT | LISTS,
    (RM, "tag.k"): TEXT,
    (MV, "name"): TEXT | LISTS,
    (MV, "run_id"): TEXT | LISTS,
    (MV, "source_path"): TEXT,
    (MV, "version_number"): NUMBER,
    (MV, "tag.k"): TEXT,
}
"""Contract 4.2."""


def value_for(op):
    if op.startswith("IS "):
        return ""
    return "('1')" if op in LISTS else "'1'"


def one(text, entity=MV):
    (comparison,) = parse_filter(text, entity)
    return comparison


@pytest.mark.parametrize(
    ("entity", "identifier", "op"),
    [(entity, identifier, op) for entity, identifier in ALLOWED for op in sorted(OPS)],
)
def test_filters_allow_exactly_the_operators_of_the_table(entity, identifier, op):
    """Every identifier takes its operators and refuses every other."""
    text = f"{identifier} {op} {value_for(op)}"
    if op in ALLOWED[entity, identifier]:
        assert one(text, entity).op is Op(op)
    else:
        with pytest.raises(FilterSyntaxError):
            parse_filter(text, entity)


FIELDS = {
    RM: tuple(attrs.fields_dict(RegisteredModel)),
    MV: (*attrs.fields_dict(ModelVersion), "stage"),
}


@pytest.mark.parametrize(
    ("entity", "field"),
    [(e, field) for e in Entity for field in FIELDS[e] if (e, field) not in ALLOWED],
)
def test_filters_know_no_other_attribute(entity, field):
    """Whatever else an entity has cannot be filtered by, as with MLflow."""
    for text in (f"{field} = 'a'", f"attribute.{field} = 'a'", f"{field} > 1"):
        with pytest.raises(FilterSyntaxError, match=f"^Invalid attribute key '{field}' specified"):
            parse_filter(text, entity)


@pytest.mark.parametrize(
    ("identifier", "operand"),
    [
        ("name", AttributeRef("name")),
        ("attribute.name", AttributeRef("name")),
        ("run_id", AttributeRef("run_id")),
        ("attribute.run_id", AttributeRef("run_id")),
        ("source_path", AttributeRef("source")),
        ("tag.a", TagRef("a")),
        ("tags.a", TagRef("a")),
        ("tags.a.b", TagRef("a.b")),
        ("tags.1", TagRef("1")),
        ("tags.name", TagRef("name")),
        ("tags.and", TagRef("and")),
        ("tags.`a b`", TagRef("a b")),
        ('tags."a-b"', TagRef("a-b")),
        ("tags.'a:b/c'", TagRef("a:b/c")),
        ("tags.`a.b`", TagRef("a.b")),
        ("tags.`it's`", TagRef("it's")),
        ('tags.`"a"`', TagRef('"a"')),
        ("tags.", TagRef("")),
        ("tags.``", TagRef("")),
    ],
)
def test_filters_name_attributes_and_tags(identifier, operand):
    """The identifiers of contract 4.1, and the fields they stand for."""
    assert one(f"{identifier} = 'x'") == Comparison(operand, Op.EQ, "x")


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("'a'", "a"),
        ('"a"', "a"),
        ("''", ""),
        ("'it''s'", "it''s"),
        (r"'it\'s'", r"it\'s"),
        ('"it\'s"', "it's"),
        ("'say \"hi\"'", 'say "hi"'),
        ("'C:\\'", "C:\\"),
        ("'a\nb; -- AND OR ('", "a\nb; -- AND OR ("),
        ("'日本'", "日本"),
    ],
)
def test_quoted_values_are_taken_as_written(value, meant):
    """Either quotes, and nothing between them is an escape (contract 4.3)."""
    assert one(f"tags.k = {value}").value == meant


def test_lists_are_python_literals():
    """Escapes and strings side by side work in lists only."""
    assert one(r"run_id IN ('it\'s', 'k\x77' 'x',)").value == ("it's", "kwx")
    assert one("name NOT IN (('a', 'b'))").value == ("a", "b")


MAX = validation.VERSION_MAX


@pytest.mark.parametrize(
    ("text", "op", "value"),
    [
        ("= 3", Op.EQ, 3),
        ("= '3'", Op.EQ, 3),
        ('= " +3 "', Op.EQ, 3),
        ("= 007", Op.EQ, 7),
        ("> -3", Op.GT, 0),
        ("!= '-3'", Op.NE, 0),
        ("= 0", Op.EQ, 0),
        (f"= {MAX}", Op.EQ, MAX),
        (f"<= {MAX}", Op.LE, MAX),
        (f"= {MAX + 1}", Op.EQ, 0),
        (f"!= {MAX + 1}", Op.NE, 0),
        (f"< {MAX + 1}", Op.LE, MAX),
        (f"<= {MAX + 1}", Op.LE, MAX),
        (f"> {MAX + 1}", Op.GT, MAX),
        (f">= {MAX + 1}", Op.GT, MAX),
        (f"< {'9' * 5000}", Op.LE, MAX),
        (f"< -{'9' * 5000}", Op.LT, 0),
        (f"= {'0' * 5000}1", Op.EQ, 1),
    ],
)
def test_version_numbers_fit_a_column_and_mean_the_same(text, op, value):
    """Numbers beyond every version become an equal question about a 32-bit number."""
    assert one(f"version_number {text}") == Comparison(AttributeRef("version"), op, value)


RM_KEYS = "Valid keys are '{'name'}'"
MV_KEYS = "Valid keys are '{'name', 'run_id', 'source_path', 'version_number'}'"
UNQUOTED = (
    "Parameter value is either not quoted or unidentified quote types used for string value {}. "
    "Use either single or double quotes."
)
NUMBERS_ONLY = (
    "Only the '{'creation_timestamp', 'last_updated_timestamp', 'version_number'}' attributes "
    "support comparison with numeric values."
)
TEXT_OR_LIST = (
    "Expected a quoted string value or a list of quoted string values for attributes. Got value {}"
)
TAG_TEXT = "Expected a quoted string value for tag (e.g. 'my-value'). Got value {}"
PREFIXES = "Invalid entity type '{}'. Valid entity types are ('attribute', 'tag', 'tags')"
BAD_VERSION = "Invalid value for numeric attribute 'version_number': {}"
LISTS_ONLY = "Only {} attributes support comparison with a list of quoted string values."
WHILE_PARSING = "While parsing a list in the query, expected "


@pytest.mark.parametrize(
    ("entity", "text", "message", "at"),
    [
        (RM, "run_id = 'a'", f"Invalid attribute key 'run_id' specified. {RM_KEYS}", "run_id"),
        (MV, "stage = 'a'", f"Invalid attribute key 'stage' specified. {MV_KEYS}", "stage"),
        (MV, "NAME = 'a'", f"Invalid attribute key 'NAME' specified. {MV_KEYS}", "NAME"),
        (MV, "`name` = 'a'", f"Invalid attribute key '`name`' specified. {MV_KEYS}", "`name`"),
        (MV, "tags = 'a'", f"Invalid attribute key 'tags' specified. {MV_KEYS}", "tags"),
        (
            MV,
            "attribute.`name` = 'a'",
            f"Invalid attribute key '`name`' specified. {MV_KEYS}",
            "attribute.`name`",
        ),
        (MV, "TAGS.a = 'b'", PREFIXES.format("TAGS"), "TAGS.a"),
        (MV, "run.name = 'b'", PREFIXES.format("run"), "run.name"),
        (MV, "attributes.name = 'b'", PREFIXES.format("attributes"), "attributes.name"),
        (MV, "name > 'a'", "Invalid comparator for attribute: >", ">"),
        (RM, "name == 'a'", "Invalid comparator for attribute: ==", "=="),
        (MV, "name not like 'a'", "Invalid comparator for attribute: NOT LIKE", "not like"),
        (MV, "run_id IS NULL", NULLS.format("model version"), "IS NULL"),
        (RM, "nope is not null", NULLS.format("registered model"), "is not null"),
        (MV, "name = ('a')", "Invalid comparator for attribute: =", "="),
        (MV, "tags.a >= 'a'", "Invalid comparator for tag: >=", ">="),
        (MV, "tags.a IS NOT NULL", NULLS.format("model version"), "IS NOT NULL"),
        (
            MV,
            "version_number LIKE '1'",
            "Invalid comparator for attribute version_number: LIKE",
            "LIKE",
        ),
        (MV, "version_number IS NULL", NULLS.format("model version"), "IS NULL"),
        (MV, "name = a", UNQUOTED.format("a"), "a"),
        (MV, "tags.k = `a`", UNQUOTED.format("`a`"), "`a`"),
        (MV, "version_number = 0x1", UNQUOTED.format("0x1"), "0x1"),
        (MV, "version_number = 1AND name = 'a'", UNQUOTED.format("1AND"), "1AND"),
        (RM, "name = 1", TEXT_OR_LIST.format("1"), "1"),
        (RM, "name = NULL", TEXT_OR_LIST.format("NULL"), "NULL"),
        (MV, "name = null", TEXT_OR_LIST.format("null"), "null"),
        (MV, "run_id = 1", NUMBERS_ONLY, "1"),
        (MV, "source_path = 1.5", NUMBERS_ONLY, "1.5"),
        (MV, "tags.k = -1", TAG_TEXT.format("-1"), "-1"),
        (MV, "tags.k IN ('a')", TAG_TEXT.format("('a')"), "('a')"),
        (RM, "tags.k = NULL", TAG_TEXT.format("NULL"), "NULL"),
        (MV, "version_number = 3.0", BAD_VERSION.format("3.0"), "3.0"),
        (MV, "version_number = 1e1", BAD_VERSION.format("1e1"), "1e1"),
        (MV, "version_number = 'x'", BAD_VERSION.format("'x'"), "'x'"),
        (MV, "version_number = ''", BAD_VERSION.format("''"), "''"),
        (MV, "version_number = '1_0'", BAD_VERSION.format("'1_0'"), "'1_0'"),
        (MV, "version_number = '٣'", BAD_VERSION.format("'٣'"), "'٣'"),
        (MV, "source_path IN ('a')", LISTS_ONLY.format("['name', 'run_id']"), "('a')"),
        (MV, "version_number IN (1)", LISTS_ONLY.format("['name', 'run_id']"), "(1)"),
        (
            MV,
            "name IN ()",
            f"{WHILE_PARSING}a non-empty list of string values, but got empty list",
            "()",
        ),
        (
            MV,
            "name IN (1)",
            f"{WHILE_PARSING}string value, punctuation, or whitespace, but got different type in list: (1)",
            "(1)",
        ),
        (
            MV,
            "name IN (,)",
            f"{WHILE_PARSING}a non-empty list of string values, but got ill-formed list.",
            "(,)",
        ),
    ],
)
def test_filters_refuse_with_mlflows_words(entity, text, message, at):
    """Each case of contract 4.8 has its text, and the error points at the fault."""
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text, entity)
    assert str(caught.value) == message
    assert caught.value.source == text
    assert text[slice(*caught.value.span)] == at


@pytest.mark.parametrize("escape", [r"\x00", r"\0", r"\ud800"])
def test_lists_refuse_characters_that_no_store_holds(escape):
    """An escape cannot smuggle in what a text may not hold."""
    with pytest.raises(FilterSyntaxError, match="cannot be stored"):
        parse_filter(f"name IN ('a{escape}')", MV)


@pytest.mark.parametrize("op", ["LIKE", "ILIKE"])
def test_patterns_are_bounded_in_length(op):
    """A pattern is as long as every store can match, and not one character longer."""
    longest = "%" * PATTERN_MAX_LENGTH
    assert one(f"name {op} '{longest}'").value == longest
    with pytest.raises(FilterSyntaxError, match=f"may have {PATTERN_MAX_LENGTH} characters"):
        parse_filter(f"name {op} '{longest}%'", MV)
    assert one(f"name = '{longest}%'").value == longest + "%"
