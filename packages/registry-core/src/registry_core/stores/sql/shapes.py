"""The shape of a search, and the order of its pages: what comes after a place, and by which index.

Strategy for PostgreSQL: it chooses between ways by estimates, and those are averages over values.
Where one value is on most of the rows they are far off, for that value or for all others, and a
plan has to serve every value: see `compiling.unseen`. So an index is read as a range, of which the
estimate does not depend on what the statistics say of the values; see `range_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from sqlalchemy import Boolean, Table, and_, literal_column, or_, select, true, tuple_
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from registry_core.fields import scalars_of
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search.nodes import Entity, Op, OrderBy
from registry_core.stores.sql import filters
from registry_core.stores.sql.compiling import aside, unseen
from registry_core.stores.sql.statements import MODEL_FIELDS, VERSION_FIELDS
from registry_core.stores.sql.tables import (
    model_version_tags,
    model_versions,
    registered_model_tags,
    registered_models,
)

_COLUMNS = {
    field.name: field.column
    for entity in (RegisteredModel, ModelVersion)
    for field in scalars_of(entity)
    if field.about.sort_keys
}
"""The columns of the fields that a search may be ordered by."""

_LOWEST, _HIGHEST = -(2**63) + 1, 2**63 - 1
"""Of the numbers that a column holds; one less than the lowest is not a literal of its type."""

_IN_ORDER = {
    "name": ((("last_updated_time", True), ("version", True)), (("version", True),)),
    "run_id": ((("last_updated_time", True), ("name", False), ("version", True)),),
}
"""What the indexes on versions have after the field that they begin with, and whether ascending."""


@attrs.frozen
class Kind:
    """The tables and columns of one kind of search."""

    table: Table
    tags: Table
    keys: tuple[str, ...]
    """What identifies a row, in both tables."""
    repeated: tuple[str, ...]
    """What a tag repeats of its row. With all of it, either index on tags finds one entry."""
    fields: tuple[str, ...]
    tag_order: tuple[OrderBy, ...]
    """The order in which the index on tags has the rows of each value."""


KINDS = {
    Entity.REGISTERED_MODEL: Kind(
        registered_models,
        registered_model_tags,
        ("name",),
        ("name",),
        MODEL_FIELDS,
        (OrderBy("name"),),
    ),
    Entity.MODEL_VERSION: Kind(
        model_versions,
        model_version_tags,
        ("name", "version"),
        ("name", "version", "last_updated_time"),
        VERSION_FIELDS,
        (
            OrderBy("last_updated_timestamp", ascending=False),
            OrderBy("name"),
            OrderBy("version", ascending=False),
        ),
    ),
}


@attrs.frozen
class Shape:
    """What of a search decides the text of its statement."""

    entity: Entity
    terms: filters.Shape
    order_by: tuple[OrderBy, ...]
    rows: int
    """One more than a page has."""
    is_first_page: bool
    exclude_prompts: bool
    scope_slots: int | None
    """Where only some names may be seen, as how many values their patterns are given; see
    `scopes`."""
    is_of_ranges: bool
    """Whether the page is of some ranges of names."""
    goes_by_cost: bool
    """The database chooses ways by what it believes they cost, and has to be kept from some."""

    @property
    def kind(self) -> Kind:
        """The tables and columns."""
        return KINDS[self.entity]


def lead_of(shape: Shape) -> int | None:
    """Return the place of a comparison whose index has the order of the page, if any."""
    for place in filters.indexed(shape.terms):
        term = shape.terms[place]
        if term.op is Op.EQ and lead_is_forwards(shape, term.field) is not None:
            return place
    return None


def lead_is_forwards(shape: Shape, field: str) -> bool | None:
    """Return whether the index on a field is read forwards for the page.

    None if it does not help.
    """
    if shape.entity is not Entity.MODEL_VERSION:
        return None
    lead = [
        (_COLUMNS[order.field], order.ascending) for order in shape.order_by if order.field != field
    ]
    for columns in _IN_ORDER.get(field, ()):
        backwards = [(name, not ascending) for name, ascending in columns]
        for is_forwards, index in ((True, list(columns)), (False, backwards)):
            if index[: len(lead)] == lead:
                return is_forwards
    return None


def range_of(
    shape: Shape,
    source: FromClause,
    column: ColumnElement[Any],
    value: ColumnElement[Any],
    rest: tuple[OrderBy, ...],
) -> list[ColumnElement[bool]]:
    """Return the column has the value, and a row comes after the start of the page.

    As a range of the index from where the page starts, `rest` being how that goes on after the
    column. An equality would have PostgreSQL estimate by statistics how many rows have the value,
    believe that they are few as on the average, and read and sort all of them where they are many.
    It takes a range between values that it does not know for a large part of the table, and reads
    it in order.
    """
    if not shape.goes_by_cost:
        return [column == value] + (
            [] if shape.is_first_page else [comes_after(shape, source, rest)]
        )
    following, ascending = source.c[_COLUMNS[rest[0].field]], rest[0].ascending
    place = tuple_(column, following)
    low, high = column >= value, column <= value
    if column.name == "run_id":
        # No other index begins with it: let the range seem as large as it can.
        low = place >= tuple_(value, literal(_LOWEST))
        high = place <= tuple_(value, literal(_HIGHEST))
    if shape.is_first_page:
        return [low, high]
    start = tuple_(value, unseen(start_name(shape, rest[0])))
    if column.name == "name":
        begun = [low, high, place >= start if ascending else place <= start]
    else:
        # One bound on each side: of several, the index may be read from the widest.
        begun = [place >= start, high] if ascending else [low, place <= start]
    return [*begun, aside(comes_after(shape, source, rest))]


def literal(number: int) -> ColumnElement[int]:
    """Return a number that is part of the statement."""
    return literal_column(str(number))


def ordered(source: FromClause, order_by: tuple[OrderBy, ...]) -> list[ColumnElement[Any]]:
    """Return the columns for ORDER BY."""
    columns = [source.c[_COLUMNS[order.field]] for order in order_by]
    return [
        column if order.ascending else column.desc()
        for column, order in zip(columns, order_by, strict=True)
    ]


def comes_after(
    shape: Shape, source: FromClause, order_by: tuple[OrderBy, ...]
) -> ColumnElement[bool]:
    """Return the row comes after the sort key `after0, after1, ...` of the page's order."""
    columns = [source.c[_COLUMNS[order.field]] for order in order_by]
    starts = [unseen(start_name(shape, order)) for order in order_by]
    directions = {order.ascending for order in order_by}
    if len(columns) > 1 and len(directions) == 1:
        key, start = tuple_(*columns), tuple_(*starts)
        return key > start if directions == {True} else key < start
    return _after_mixed(columns, starts, [order.ascending for order in order_by])


def start_name(shape: Shape, order: OrderBy) -> str:
    """Return the name of the value of the page's start in a field of its order."""
    return f"after{shape.order_by.index(order)}"


def _after_mixed(
    columns: Sequence[ColumnElement[Any]],
    starts: Sequence[ColumnElement[Any]],
    ascending: Sequence[bool],
) -> ColumnElement[bool]:
    # a >= 1 AND (a > 1 OR (b <= 2 AND (b < 2 OR ...))): the bound outside is what an index uses.
    column, start = columns[0], starts[0]
    beyond = column > start if ascending[0] else column < start
    if len(columns) == 1:
        return beyond
    bound = column >= start if ascending[0] else column <= start
    return and_(bound, or_(beyond, _after_mixed(columns[1:], starts[1:], ascending[1:])))


def tagged(shape: Shape, entity: FromClause, keys: Sequence[int]) -> list[ColumnElement[bool]]:
    """Return that a row has the tags of some keys, each as the filter wants it."""
    return [_has_tag(shape, entity, key) for key in keys]


def _has_tag(shape: Shape, entity: FromClause, key: int) -> ColumnElement[bool]:
    """The row has the tag, and it is as the filter wants it."""
    # Not EXISTS: PostgreSQL would turn that into a join, and start from the wrong side again.
    tag = shape.kind.tags.alias(f"t{key}")
    return (
        select(literal_column("true", Boolean))
        .where(
            *(tag.c[name] == entity.c[name] for name in shape.kind.repeated),
            *filters.on_tag_of(shape.terms, key, tag),
        )
        .correlate(entity)
        .scalar_subquery()
    )


def keys_of(
    shape: Shape, source: FromClause, columns: Sequence[str] = ()
) -> list[ColumnElement[Any]]:
    """Return the columns that identify a row, or more of them, for `fetched`; each row comes once.

    PostgreSQL has no statistics of an expression. By those of a column it takes the names to be
    repeated, and keeps what it reads for each: a fifth of the time in which a page is found.
    """
    keys: list[ColumnElement[Any]] = [source.c[name] for name in columns or shape.kind.keys]
    if shape.goes_by_cost:
        keys.append((keys[0] + literal_column("''")).label("unrepeated"))
    return keys


def fetched(shape: Shape, rows: FromClause) -> tuple[FromClause, FromClause]:
    """Return the rows of which the keys were found, and what to select them from.

    Each is read by its key.
    """
    kind, table = shape.kind, shape.kind.table.alias("e")
    first, *others = kind.keys
    name = rows.c.get("unrepeated", rows.c[first])
    same = and_(name == table.c[first], *(rows.c[key] == table.c[key] for key in others))
    if not shape.goes_by_cost:
        return table, rows.join(table, same)
    # Else it may read the whole table beside what was found. OFFSET is what keeps it from that.
    entity = select(table).where(same).offset(literal(0)).correlate(rows).lateral("e")
    return entity, rows.join(entity, true())
