"""A bound filter as conditions of SQL.

All comparisons on one tag key hold for the tag's only row; where that is absent, none does. What
is here compares rows; `searches` decides where to start from.

A filter is taken apart into its shape (`Term`s: fields and operators), which decides the text of
the statement and is compiled once, and its values, which are passed to it.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import attrs
from sqlalchemy import exists, literal_column, select
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from registry_core import validation
from registry_core.search.like import like_prefix, sql_like_pattern
from registry_core.search.nodes import AttributeRef, Comparison, Entity, Filter, Op, TagRef
from registry_core.stores.sql.compiling import (
    aside,
    folded,
    is_in,
    is_like,
    is_not_in,
    may_match_folded,
    name_may_match_folded,
    only,
    unseen,
)
from registry_core.stores.sql.driver import Driver
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

_INDEXED = frozenset({"name", "run_id", "source"})
"""The attributes that an index begins with."""

_LOOKED_UP = _INDEXED | {"tag"}


class Use(enum.Enum):
    """Whether a comparison with an attribute may be answered by an index."""

    FREE = enum.auto()
    """The database decides."""
    ONLY = enum.auto()
    """By that alone: the query is ordered by the attribute first; see `compiling.only`."""
    ASIDE = enum.auto()
    """Never: other things decide which rows are looked at."""


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
    """Return what of a filter decides the text of its statement."""
    keys = _keys(filter)
    return tuple(_term(comparison, keys) for comparison in filter)


def values(filter: Filter, driver: Driver) -> dict[str, Any]:  # noqa: A002 as above
    """Return the values that a statement of this filter's shape takes."""
    parameters: dict[str, Any] = {f"key{index}": key for key, index in _keys(filter).items()}
    for index, comparison in enumerate(filter):
        parameters |= _values(index, comparison, driver)
    return parameters


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
        by_prefix=comparison.op is Op.LIKE and like_range(field, str(value)) is not None,
    )


def _values(index: int, comparison: Comparison, driver: Driver) -> dict[str, Any]:
    field, value = _field(comparison), comparison.value
    if isinstance(value, int):
        # No version is beyond 64 bits, and no driver sends more.
        return {f"value{index}": min(max(value, -_INT64_MAX), _INT64_MAX)}
    if isinstance(value, tuple):
        return {f"value{index}": driver.listed(value)}
    if comparison.op is Op.ILIKE:
        lowered = value.lower()
        return {
            f"value{index}": driver.pattern(lowered),
            f"loose{index}": sql_like_pattern(lowered),
        }
    if comparison.op is Op.LIKE:
        first, end = like_range(field, value) or (None, None)
        return {
            f"value{index}": driver.pattern(value),
            f"first{index}": first,
            f"end{index}": end,
        }
    return {f"value{index}": value, f"head{index}": value[: _HEADS.get(field)]}


def like_range(field: str, like: str) -> tuple[str, str] | None:
    """Return the half-open range of texts, or heads of texts, that a pattern's prefix leaves."""
    prefix = like_prefix(like)[: _HEADS.get(field)].rstrip(_LAST_CHARACTER)
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    if following in _SURROGATES:
        following = _SURROGATES.stop
    return prefix, prefix[:-1] + chr(following)


# Conditions


def on_entity(
    terms: Shape,
    entity: FromClause,
    kind: Entity,
    *,
    without: int | None = None,
    put_aside: Collection[int] = (),
) -> list[Condition]:
    """Return what holds of the attributes of a row.

    `without` and `put_aside` are places of terms.
    """
    return [
        condition
        for index, term in enumerate(terms)
        if term.key is None and index != without
        for condition in _on_attribute(
            index, term, entity, kind, Use.ASIDE if index in put_aside else Use.FREE
        )
    ]


def on_names(terms: Shape, entity: FromClause) -> list[Condition]:
    """Return what of the comparisons with the name an index that has the names can answer."""
    conditions: list[Condition] = []
    for index, term in enumerate(terms):
        if term.field == "name" and term.op is Op.ILIKE:
            conditions.append(name_may_match_folded(entity.c.name, unseen(f"loose{index}")))
        elif term.field == "name":
            name = entity.c.name
            made = _conditions(index, term, name, name, name)
            is_range = term.op is not Op.LIKE or term.by_prefix
            conditions += made if is_range else map(aside, made)
    return conditions


def on_index(terms: Shape, place: int, entity: FromClause) -> list[Condition]:
    """Return what of the comparison at a place the index on its attribute answers."""
    term = terms[place]
    column = index_column(term, entity)
    made = _conditions(place, term, column, column, column, use=Use.ONLY)
    return made[: 2 if term.by_prefix else 1]


def index_column(term: Term, entity: FromClause) -> ColumnElement[Any]:
    """Return what the index on the attribute of a comparison begins with."""
    column: ColumnElement[Any] = entity.c[term.field]
    return source_head(column) if term.field == "source" else column


def indexed(terms: Shape) -> list[int]:
    """Return the places of what an index narrows down, those first that leave fewest rows."""
    narrowness = {Op.EQ: 0, Op.IN: 1, Op.LIKE: 2}
    places = [
        place
        for place, term in enumerate(terms)
        if term.field in _INDEXED and (term.op in (Op.EQ, Op.IN) or term.by_prefix)
    ]
    # Most models have few versions.
    return sorted(places, key=lambda place: (narrowness[terms[place].op], terms[place].field))


def leaves_one_row(terms: Shape, kind: Entity) -> bool:
    """Return whether a filter names a primary key."""
    equal = {term.field for term in terms if term.op is Op.EQ}
    return equal >= ({"name"} if kind is Entity.REGISTERED_MODEL else {"name", "version"})


def is_lookup(terms: Shape) -> bool:
    """Return whether a filter is one value to which an index leads."""
    return len(terms) == 1 and terms[0].op is Op.EQ and terms[0].field in _LOOKED_UP


def on_tag(terms: Shape, key: int, tag: FromClause) -> list[Condition]:
    """Return what holds of the row of one tag key.

    Such rows are looked for in the order of keys.
    """
    return _is_key(key, tag) + _on_value(terms, key, tag)


def on_tag_of(terms: Shape, key: int, tag: FromClause) -> list[Condition]:
    """Return the same, of a row that is looked for by what it belongs to."""
    return [tag.c.key == unseen(f"key{key}"), *_on_value(terms, key, tag)]


def _is_key(key: int, tag: FromClause) -> list[Condition]:
    return [only(tag.c.key, unseen(f"key{key}"))]


def _on_value(
    terms: Shape, key: int, tag: FromClause, *, without: int | None = None
) -> list[Condition]:
    conditions: list[Condition] = []
    for index, term in _of_key(terms, key):
        if index == without:
            continue
        lowered = folded(tag.c.value_folded, tag.c.value)
        conditions += _conditions(index, term, tag.c.value, tag.c.value_head, lowered)
    return conditions


def on_tag_index(terms: Shape, key: int, tag: FromClause) -> list[Condition]:
    """Return what of `on_tag` the index on key and head of the value answers."""
    conditions = _is_key(key, tag)
    for index, term in _of_key(terms, key):
        if term.op is Op.EQ or term.by_prefix:
            made = _conditions(index, term, tag.c.value, tag.c.value_head, tag.c.value)
            conditions += made[: 2 if term.by_prefix else 1]
    return conditions


def narrowest_keys(terms: Shape) -> list[int]:
    """Return the tag keys of a filter, those first of which the index leaves fewest rows."""

    def narrowness(key: int) -> int:
        of_key = [term for _, term in _of_key(terms, key)]
        return min(0 if term.op is Op.EQ else 1 if term.by_prefix else 2 for term in of_key)

    return sorted({term.key for term in terms if term.key is not None}, key=narrowness)


def the_value(terms: Shape, key: int) -> int | None:
    """Return the place of a comparison that leaves one entry of the index for that key, if any."""
    for place, term in _of_key(terms, key):
        if term.op is Op.EQ and not term.by_head:
            return place
    return None


def on_tag_beside(terms: Shape, key: int, tag: FromClause, place: int) -> list[Condition]:
    """Return what is left of `on_tag` where key and value are those of one comparison."""
    return _on_value(terms, key, tag, without=place)


def not_a_prompt(entity: FromClause) -> Condition:
    """Return the model of this row does not carry the prompt tag with the value `true`."""
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


def _on_attribute(
    index: int, term: Term, entity: FromClause, kind: Entity, use: Use
) -> list[Condition]:
    column: ColumnElement[Any] = entity.c[term.field]
    if term.field == "name" and kind is Entity.MODEL_VERSION and term.op is Op.ILIKE:
        # The folded name is kept once, on the model.
        model = registered_models.alias(f"m{index}")
        matching = _on_attribute(index, term, model, Entity.REGISTERED_MODEL, Use.FREE)
        return [column.in_(select(model.c.name).where(*matching))]
    lowered = folded(entity.c[f"{term.field}_folded"], column) if term.op is Op.ILIKE else column
    head = index_column(term, entity)
    made = _conditions(index, term, column, head, lowered, use=use)
    return [aside(condition) for condition in made] if use is Use.ASIDE else made


def _conditions(
    index: int,
    term: Term,
    column: ColumnElement[Any],
    indexed: ColumnElement[Any],
    lowered: ColumnElement[Any],
    *,
    use: Use = Use.FREE,
) -> list[Condition]:
    """A comparison of a column; `indexed` is what its index holds of it."""
    value = unseen(f"value{index}")
    equals = only if use is Use.ONLY else _PLAIN[Op.EQ]
    match term.op:
        case Op.EQ if term.by_head:
            return [equals(indexed, unseen(f"head{index}")), column == value]
        case Op.EQ:
            # A value shorter than the heads equals a text exactly when it equals its head.
            return [equals(indexed, value)]
        case Op.LIKE if term.by_prefix:
            first, end = unseen(f"first{index}"), unseen(f"end{index}")
            return [indexed >= first, indexed < end, is_like(column, value)]
        case Op.ILIKE if term.field == "name":
            # The names are in the indexes, and the folded ones are not.
            loose = unseen(f"loose{index}")
            return [may_match_folded(column, loose), is_like(lowered, value)]
        case Op.ILIKE:
            return [is_like(lowered, value)]
    return [_PLAIN[term.op](column, value)]


_PLAIN: Mapping[Op, Callable[[ColumnElement[Any], ColumnElement[Any]], Any]] = {
    Op.EQ: lambda column, value: column == value,
    Op.NE: lambda column, value: column != value,
    Op.LT: lambda column, value: column < value,
    Op.LE: lambda column, value: column <= value,
    Op.GT: lambda column, value: column > value,
    Op.GE: lambda column, value: column >= value,
    Op.LIKE: is_like,
    Op.IN: is_in,
    Op.NOT_IN: is_not_in,
}
