"""A bound filter as conditions of SQL.

All comparisons on one tag key hold for the tag's only row; where that is absent, none does. What
is here compares rows; `searches` decides where to start from.

A filter is taken apart into its shape (`Term`s: fields and operators), which decides the text of
the statement and is compiled once, and its values, which are passed to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs
from sqlalchemy import exists, literal_column, select
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from registry_core import validation
from registry_core.search.like import like_prefix
from registry_core.search.nodes import AttributeRef, Comparison, Entity, Filter, Op, TagRef
from registry_core.stores.sql.compiling import folded, is_in, is_like, is_not_in, param
from registry_core.stores.sql.database import Driver
from registry_core.stores.sql.tables import (
    SOURCE_HEAD,
    VALUE_HEAD,
    registered_model_tags,
    registered_models,
    source_head,
)

_HEADS = {"source": SOURCE_HEAD, "tag": VALUE_HEAD}

_LAST_CHARACTER = chr(sys.maxunicode)
_SURROGATES = range(0xD800, 0xE000)
_INT64_MAX = 2**63 - 1

Condition: TypeAlias = ColumnElement[bool]


@attrs.frozen
class Term:
    """The shape of one comparison."""

    field: str
    """An attribute, or `tag`."""
    op: Op
    key: int | None
    """Which of the filter's distinct tag keys."""
    by_head: bool
    """The value is a text so long that its index holds only the head of it."""
    by_prefix: bool
    """The pattern starts with a literal, so that an index narrows it down."""


Shape: TypeAlias = tuple[Term, ...]


def shape(filter: Filter) -> Shape:  # noqa: A002 the word of the language
    """What of a filter decides the text of its statement."""
    keys = _keys(filter)
    return tuple(_term(comparison, keys) for comparison in filter)


def values(filter: Filter, driver: Driver) -> dict[str, Any]:  # noqa: A002 as above
    """The values that a statement of this filter's shape takes."""
    found: dict[str, Any] = {f"key{index}": key for key, index in _keys(filter).items()}
    for index, comparison in enumerate(filter):
        found |= _values(index, comparison, driver)
    return found


def _keys(filter: Filter) -> dict[str, int]:  # noqa: A002 as above
    keys: dict[str, int] = {}
    for comparison in filter:
        if isinstance(comparison.operand, TagRef):
            keys.setdefault(comparison.operand.key, len(keys))
    return keys


def _field(comparison: Comparison) -> str:
    operand = comparison.operand
    return operand.field if isinstance(operand, AttributeRef) else "tag"


def _term(comparison: Comparison, keys: Mapping[str, int]) -> Term:
    field, value = _field(comparison), comparison.value
    operand = comparison.operand
    return Term(
        field=field,
        op=comparison.op,
        key=keys[operand.key] if isinstance(operand, TagRef) else None,
        by_head=isinstance(value, str) and len(value) >= _HEADS.get(field, sys.maxsize),
        by_prefix=comparison.op is Op.LIKE and _range(field, str(value)) is not None,
    )


def _values(index: int, comparison: Comparison, driver: Driver) -> dict[str, Any]:
    field, value = _field(comparison), comparison.value
    if isinstance(value, int):
        # No version is beyond 64 bits, and no driver sends more.
        return {f"value{index}": min(max(value, -_INT64_MAX), _INT64_MAX)}
    if isinstance(value, tuple):
        return {f"value{index}": driver.listed(value)}
    if comparison.op is Op.ILIKE:
        return {f"value{index}": driver.pattern(value.lower())}
    if comparison.op is Op.LIKE:
        first, end = _range(field, value) or (None, None)
        return {
            f"value{index}": driver.pattern(value),
            f"first{index}": first,
            f"end{index}": end,
        }
    return {f"value{index}": value, f"head{index}": value[: _HEADS.get(field)]}


def _range(field: str, like: str) -> tuple[str, str] | None:
    """The half-open range of texts, or heads of texts, that a pattern's prefix leaves."""
    prefix = like_prefix(like)[: _HEADS.get(field)].rstrip(_LAST_CHARACTER)
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    if following in _SURROGATES:
        following = _SURROGATES.stop
    return prefix, prefix[:-1] + chr(following)


# Conditions


def on_entity(terms: Shape, entity: FromClause, kind: Entity) -> list[Condition]:
    """What holds of the attributes of a row."""
    return [
        condition
        for index, term in enumerate(terms)
        if term.key is None
        for condition in _on_attribute(index, term, entity, kind)
    ]


def on_tag(terms: Shape, key: int, tag: FromClause) -> list[Condition]:
    """What holds of the row of one tag key."""
    conditions = [tag.c.key == param(f"key{key}")]
    for index, term in _of_key(terms, key):
        lowered = folded(tag.c.value_folded, tag.c.value)
        conditions += _conditions(index, term, tag.c.value, tag.c.value_head, lowered)
    return conditions


def on_tag_index(terms: Shape, key: int, tag: FromClause) -> list[Condition]:
    """What of `on_tag` the index on key and head of the value answers."""
    conditions = [tag.c.key == param(f"key{key}")]
    for index, term in _of_key(terms, key):
        if term.op is Op.EQ or term.by_prefix:
            made = _conditions(index, term, tag.c.value, tag.c.value_head, tag.c.value)
            conditions += made[: 2 if term.by_prefix else 1]
    return conditions


def narrowest_keys(terms: Shape) -> list[int]:
    """The tag keys of a filter, those first of which the index leaves fewest rows."""

    def narrowness(key: int) -> int:
        of_key = [term for _, term in _of_key(terms, key)]
        return min(0 if term.op is Op.EQ else 1 if term.by_prefix else 2 for term in of_key)

    return sorted({term.key for term in terms if term.key is not None}, key=narrowness)


def has_one_value(terms: Shape, key: int) -> bool:
    """Whether a filter is on tags alone, and leaves one entry of the index for that key."""
    by_value = any(term.op is Op.EQ and not term.by_head for _, term in _of_key(terms, key))
    return by_value and all(term.key is not None for term in terms)


def not_a_prompt(entity: FromClause) -> Condition:
    """The model of this row does not carry the prompt tag with the value `true`."""
    marker = registered_model_tags.alias("marker")
    return ~exists(
        select(marker.c.key)
        .where(
            marker.c.name == entity.c.name,
            marker.c.key == literal_column(f"'{validation.PROMPT_TAG}'"),
            marker.c.value == literal_column("'true'"),
        )
        .correlate(entity)
    )


def _of_key(terms: Shape, key: int) -> list[tuple[int, Term]]:
    return [(index, term) for index, term in enumerate(terms) if term.key == key]


def _on_attribute(index: int, term: Term, entity: FromClause, kind: Entity) -> list[Condition]:
    column = entity.c[term.field]
    match term.field:
        case "name" if kind is Entity.MODEL_VERSION and term.op is Op.ILIKE:
            # The folded name is kept once, on the model.
            model = registered_models.alias(f"m{index}")
            matching = _on_attribute(index, term, model, Entity.REGISTERED_MODEL)
            return [column.in_(select(model.c.name).where(*matching))]
        case "source":
            indexed: ColumnElement[Any] = source_head(column)
        case _:
            indexed = column
    lowered = folded(entity.c[f"{term.field}_folded"], column) if term.op is Op.ILIKE else column
    return _conditions(index, term, column, indexed, lowered)


def _conditions(
    index: int,
    term: Term,
    column: ColumnElement[Any],
    indexed: ColumnElement[Any],
    lowered: ColumnElement[Any],
) -> list[Condition]:
    """A comparison of a column; `indexed` is what its index holds of it."""
    value = param(f"value{index}")
    match term.op:
        case Op.EQ if term.by_head:
            return [indexed == param(f"head{index}"), column == value]
        case Op.EQ:
            # A value shorter than the heads equals a text exactly when it equals its head.
            return [indexed == value]
        case Op.LIKE if term.by_prefix:
            first, end = param(f"first{index}"), param(f"end{index}")
            return [indexed >= first, indexed < end, is_like(column, value)]
        case Op.ILIKE:
            return [is_like(lowered, value)]
    return [_PLAIN[term.op](column, value)]


_PLAIN: Mapping[Op, Callable[[ColumnElement[Any], ColumnElement[Any]], Any]] = {
    Op.NE: lambda column, value: column != value,
    Op.LT: lambda column, value: column < value,
    Op.LE: lambda column, value: column <= value,
    Op.GT: lambda column, value: column > value,
    Op.GE: lambda column, value: column >= value,
    Op.LIKE: is_like,
    Op.IN: is_in,
    Op.NOT_IN: is_not_in,
}
