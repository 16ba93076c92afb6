"""What may be searched and sorted, per entity, and `bind` that holds clauses against it.

The table of fields says that `source_path` is the field `source`, that `version_number` is an
integer, and which attributes take IN (contract 4.2). Compilers have nothing left to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from registry_core import validation
from registry_core.errors import InvalidArgumentError
from registry_core.fields import fields_of
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search import like
from registry_core.search.literals import text_list
from registry_core.search.nodes import AttributeRef, Comparison, Entity, Op, OrderBy, TagRef
from registry_core.search.parser import Clause, shown
from registry_core.search.tokens import Kind

_TEXT = frozenset({Op.EQ, Op.NE, Op.LIKE, Op.ILIKE})
_LISTS = frozenset({Op.IN, Op.NOT_IN})
_NUMBER = frozenset({Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE})


@attrs.frozen
class Attribute:
    """An attribute that a filter may name: the model's field, and what may be asked of it."""

    field: str
    ops: frozenset[Op]

    @property
    def takes_lists(self) -> bool:
        """Whether IN and NOT IN work on it."""
        return Op.IN in self.ops

    @property
    def is_number(self) -> bool:
        """Whether it is an integer, where all other attributes are texts."""
        return Op.LT in self.ops


@attrs.frozen(kw_only=True)
class Fields:
    """The attributes and sort keys of an entity, by their names in the language."""

    attributes: Mapping[str, Attribute]
    sort_keys: Mapping[str, str]
    """To the model's field."""
    sort_keys_take_prefix: bool
    """Whether `attribute.` may precede a sort key."""
    default_order: tuple[OrderBy, ...]
    tie_breakers: tuple[OrderBy, ...]
    """Appended unless the order names their field; they make it total."""
    numbers: tuple[str, ...] = ()
    """The attributes that an error lists as numeric, searchable or not."""

    @property
    def list_attributes(self) -> list[str]:
        """The attributes that take IN and NOT IN."""
        return sorted(name for name, attribute in self.attributes.items() if attribute.takes_lists)


def _attributes(entity: type[attrs.AttrsInstance]) -> Mapping[str, Attribute]:
    """The attributes of the table of fields that a filter may name."""
    return {
        field.about.filter_key: Attribute(
            field.name,
            _NUMBER
            if field.type is int
            else _TEXT | (_LISTS if field.about.takes_lists else set()),
        )
        for field in fields_of(entity)
        if field.about.filter_key
    }


def _sort_keys(entity: type[attrs.AttrsInstance]) -> Mapping[str, str]:
    return {key: field.name for field in fields_of(entity) for key in field.about.sort_keys}


FIELDS: Mapping[Entity, Fields] = {
    Entity.REGISTERED_MODEL: Fields(
        attributes=_attributes(RegisteredModel),
        sort_keys=_sort_keys(RegisteredModel),
        sort_keys_take_prefix=False,
        default_order=(OrderBy("name"),),
        tie_breakers=(OrderBy("name"),),
    ),
    Entity.MODEL_VERSION: Fields(
        attributes=_attributes(ModelVersion),
        sort_keys=_sort_keys(ModelVersion),
        sort_keys_take_prefix=True,
        default_order=(
            OrderBy("last_updated_timestamp", ascending=False),
            OrderBy("name"),
            OrderBy("version", ascending=False),
        ),
        tie_breakers=(OrderBy("name"), OrderBy("version", ascending=False)),
        numbers=("creation_timestamp", "last_updated_timestamp", "version_number"),
    ),
}

TAG_OPS = _TEXT
"""The operators that work on tags, of either entity."""

_TAG_PREFIXES = ("tag", "tags")
PREFIXES = ("attribute", *_TAG_PREFIXES)
"""What may precede the dot in an identifier."""

_OPS = {op.value: op for op in Op}
_INTEGER = re.compile(r"\s*([-+]?)([0-9]+)\s*\Z")
_VERSION_DIGITS = len(str(validation.VERSION_MAX))

_TAG_VALUE = "Expected a quoted string value for tag (e.g. 'my-value')."
_ATTRIBUTE_VALUE = (
    "Expected a quoted string value or a list of quoted string values for attributes."
)


def bind(clause: Clause, entity: Entity) -> Comparison:
    """Return the comparison that a clause means.

    Raises:
        FilterSyntaxError: the entity has no such attribute, or its value or operator does not fit.
    """
    if clause.value.kind is Kind.END:
        # What is compared with nothing is looked at first.
        kind = entity.value.replace("_", " ")
        raise clause.fault(f"IS NULL / IS NOT NULL is not supported for {kind} search.")
    prefix, key = reference(clause.identifier.text)
    if prefix not in PREFIXES:
        raise clause.fault(unknown_prefix(prefix), clause.identifier)
    if prefix in _TAG_PREFIXES:
        return _tag(clause, unquoted(key))
    fields = FIELDS[entity]
    attribute = fields.attributes.get(key)
    if attribute is None:
        raise clause.fault(unknown_attribute(key, fields.attributes), clause.identifier)
    if clause.value.kind is Kind.LIST and not attribute.takes_lists:
        raise clause.fault(
            f"Only {fields.list_attributes} attributes support comparison with a list of quoted "
            "string values.",
            clause.value,
        )
    if attribute.is_number:
        return _number(clause, key, attribute)
    return _text(clause, attribute, fields)


def reference(identifier: str) -> tuple[str, str]:
    """Split `attribute.key` or `tags.key` into prefix and rest; no prefix means an attribute."""
    prefix, dot, key = identifier.partition(".")
    return (prefix, key) if dot else ("attribute", identifier)


def unknown_prefix(prefix: str) -> str:
    """Return the message for what precedes the dot in `prefix.key`."""
    return f"Invalid entity type '{shown(prefix)}'. Valid entity types are {PREFIXES}"


def unknown_attribute(key: str, known: Mapping[str, object]) -> str:
    """Return the message for an attribute that is none of those known."""
    return f"Invalid attribute key '{shown(key)}' specified. Valid keys are '{_set(known)}'"


def invalid_sort_key(key: str, known: Mapping[str, object]) -> str:
    """Return the message for an identifier that nothing can be sorted by."""
    return f"Invalid order by key '{shown(key)}' specified. Valid keys are '{_set(known)}'"


def _tag(clause: Clause, key: str) -> Comparison:
    value = _quoted(clause, _TAG_VALUE)
    op = _OPS.get(clause.comparator)
    if op not in TAG_OPS:
        raise clause.fault(f"Invalid comparator for tag: {clause.comparator}")
    return Comparison(TagRef(key), op, _pattern(clause, op, value))


def _text(clause: Clause, attribute: Attribute, fields: Fields) -> Comparison:
    if clause.value.kind is Kind.NUMBER and fields.numbers:
        raise clause.fault(
            f"Only the '{_set(fields.numbers)}' attributes support comparison with numeric values.",
            clause.value,
        )
    is_list = clause.value.kind is Kind.LIST
    value = _list(clause) if is_list else _quoted(clause, _ATTRIBUTE_VALUE)
    op = _OPS.get(clause.comparator)
    if op not in attribute.ops or (op in _LISTS) != is_list:
        raise clause.fault(f"Invalid comparator for attribute: {clause.comparator}")
    if isinstance(value, str):
        value = _pattern(clause, op, value)
    return Comparison(AttributeRef(attribute.field), op, value)


def _number(clause: Clause, key: str, attribute: Attribute) -> Comparison:
    is_quoted = clause.value.kind is not Kind.NUMBER
    text = _quoted(clause, _ATTRIBUTE_VALUE) if is_quoted else clause.value.text
    op = _OPS.get(clause.comparator)
    if op not in attribute.ops:
        raise clause.fault(f"Invalid comparator for attribute {key}: {clause.comparator}")
    match = _INTEGER.match(text)
    if match is None:
        written = shown(repr(text) if is_quoted else text)
        raise clause.fault(f"Invalid value for numeric attribute '{key}': {written}", clause.value)
    op, value = _in_range(op, match[1], match[2])
    return Comparison(AttributeRef(attribute.field), op, value)


def _in_range(op: Op, sign: str, digits: str) -> tuple[Op, int]:
    """The same question about a version with a number that a 32-bit column can be compared to.

    Versions are 1 to `VERSION_MAX`: every lower number is as good as 0, and of a higher one it
    only matters that it is higher.
    """
    digits = digits.lstrip("0") or "0"
    if sign == "-":
        return op, 0
    if len(digits) <= _VERSION_DIGITS and int(digits) <= validation.VERSION_MAX:
        return op, int(digits)
    match op:
        case Op.LT | Op.LE:
            return Op.LE, validation.VERSION_MAX
        case Op.GT | Op.GE:
            return Op.GT, validation.VERSION_MAX
    return op, 0


def _list(clause: Clause) -> tuple[str, ...]:
    """The texts of the clause's list."""
    source = clause.value.text
    try:
        values = text_list(source)
        for value in values:
            validation.text(value, parameter="filter", max_length=len(source))
    except InvalidArgumentError as error:
        raise clause.fault(str(error), clause.value) from None
    return values


def _quoted(clause: Clause, expected: str) -> str:
    """The text between the quotes of the clause's value."""
    token = clause.value
    if token.kind is Kind.STRING:
        return token.text[1:-1]
    if token.kind is Kind.BACKTICKED or (token.kind is Kind.NAME and token.word != "NULL"):
        raise clause.fault(
            "Parameter value is either not quoted or unidentified quote types used for string "
            f"value {shown(token.text)}. Use either single or double quotes.",
            token,
        )
    raise clause.fault(f"{expected} Got value {shown(token.text)}", token)


def _pattern(clause: Clause, op: Op, value: str) -> str:
    if op in (Op.LIKE, Op.ILIKE) and len(value) > like.PATTERN_MAX_LENGTH:
        raise clause.fault(
            f"A pattern may have {like.PATTERN_MAX_LENGTH} characters, but got {len(value)}.",
            clause.value,
        )
    return value


def unquoted(key: str) -> str:
    """Return a key without its quotes, and without the backticks inside or instead of them."""
    for quotes in ("'\"", "`"):
        if len(key) > 1 and key[0] == key[-1] and key[0] in quotes:
            key = key[1:-1]
    return key


def _set(names: Mapping[str, object] | tuple[str, ...]) -> str:
    """Names as MLflow prints a set, but always in one order."""
    return "{" + ", ".join(repr(name) for name in sorted(names)) + "}"
