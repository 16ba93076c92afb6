"""Searches as statements: filter, order and place of the page, in one round trip.

Strategy for pages: only the rows of the page are completed with tags, aliases and latest versions,
so the page is an inner query of its own. A page starts after the sort key of the last row of the
page before, which an index finds at once however far along it is.

Strategy for tags: a rare tag is found from the index on key and value, and what it finds is sorted;
for a common one the rows are walked in the order of the page and probed for it, until the page is
full. Either is slow by orders of magnitude in the other's place, statistics are missing on SQLite
and average over values on PostgreSQL. So the statement holds both ways, of which exactly one runs:
it looks into the index first whether there are more than `RARE` entries.

In the default order neither is needed for a tag with one value: the index has its rows in that
order already, and the page is the first of them, of which only as many are read. This is the way
of a filter on tags alone; an attribute may leave fewer rows than any tag does.

Statements are compiled once per shape (fields, operators, order, size of the page) and the latest
used are kept.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import attrs
from sqlalchemy import (
    Boolean,
    Select,
    Table,
    and_,
    exists,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from registry_core.search import paging
from registry_core.search.nodes import Entity, OrderBy, Query
from registry_core.stores.sql import filters
from registry_core.stores.sql.compiling import Statement, compiled, limit_if, param
from registry_core.stores.sql.database import Driver
from registry_core.stores.sql.statements import (
    LONG_MODEL_COLUMNS,
    LONG_VERSION_COLUMNS,
    MODEL_FIELDS,
    VERSION_FIELDS,
    model_columns,
    version_columns,
)
from registry_core.stores.sql.tables import (
    model_version_tags,
    model_versions,
    registered_model_tags,
    registered_models,
)

KEPT_STATEMENTS = 256
"""Shapes of searches that a process keeps compiled; compiling one takes about 2 ms."""

RARE = 5_000
"""Rows with a tag up to which they are all looked at, at about 3 µs each. One row in so many of a
million is met soon enough on a walk."""

MAX_STARTS = 3
"""Tags of a filter that are considered as the start; each makes the statement longer."""

_COLUMNS = {
    "name": "name",
    "version": "version",
    "creation_timestamp": "creation_time",
    "last_updated_timestamp": "last_updated_time",
}
"""The columns of the fields that a search may be ordered by."""


@attrs.frozen
class _Kind:
    """The tables and columns of one kind of search."""

    table: Table
    tags: Table
    keys: tuple[str, ...]
    """What identifies a row, in both tables."""
    fields: tuple[str, ...]
    tag_order: tuple[OrderBy, ...]
    """The order in which the index on tags has the rows of each value."""


_KINDS = {
    Entity.REGISTERED_MODEL: _Kind(
        registered_models, registered_model_tags, ("name",), MODEL_FIELDS, (OrderBy("name"),)
    ),
    Entity.MODEL_VERSION: _Kind(
        model_versions,
        model_version_tags,
        ("name", "version"),
        VERSION_FIELDS,
        (
            OrderBy("last_updated_timestamp", ascending=False),
            OrderBy("name"),
            OrderBy("version", ascending=False),
        ),
    ),
}


@attrs.frozen
class _Shape:
    entity: Entity
    terms: filters.Shape
    order_by: tuple[OrderBy, ...]
    rows: int
    """One more than a page has."""
    is_first_page: bool
    exclude_prompts: bool


def statement(query: Query, dialect: Dialect) -> Statement:
    """The statement that finds the page of a query, and one row more if there is one."""
    shape = _Shape(
        entity=query.entity,
        terms=filters.shape(query.filter),
        order_by=query.order_by,
        rows=paging.most_entities(query) + 1,
        is_first_page=not query.page_token,
        exclude_prompts=query.exclude_prompts,
    )
    return _compiled(shape, dialect)


def values(query: Query, driver: Driver) -> dict[str, Any]:
    """The values for it.

    Raises:
        InvalidArgumentError: the page token is malformed or belongs to another search.
    """
    start = paging.position(query) or ()
    after = {f"after{index}": value for index, value in enumerate(start)}
    return filters.values(query.filter, driver) | after


@functools.lru_cache(maxsize=KEPT_STATEMENTS)
def _compiled(shape: _Shape, dialect: Dialect) -> Statement:
    page = _page(shape)
    is_models = shape.entity is Entity.REGISTERED_MODEL
    columns = model_columns(page) if is_models else version_columns(page)
    completed = (
        select(*columns)
        .order_by(*_order(page, shape.order_by))
        # PostgreSQL then completes a row when it is asked for, and not all of them to sort them.
        .limit(_literal(shape.rows))
        .offset(_literal(0))
    )
    long = LONG_MODEL_COLUMNS if is_models else LONG_VERSION_COLUMNS
    return compiled(completed, dialect, is_search=True, long_columns=long)


def _page(shape: _Shape) -> FromClause:
    """The rows of the page, in any order."""
    kind = _KINDS[shape.entity]
    keys = filters.narrowest_keys(shape.terms)
    if not keys:
        return _selected(shape, kind, kind.table.alias("e"), []).subquery("page")
    in_order = shape.order_by == kind.tag_order and filters.has_one_value(shape.terms, keys[0])
    if in_order and len(keys) == 1:
        return _walk_tag(shape, kind, keys, []).subquery("page")
    common = _commonness(shape, kind, keys[:MAX_STARTS])
    ways = [_from_tag(shape, kind, keys, common[: at + 1]) for at in range(len(common))]
    ways.append((_walk_tag if in_order else _walk)(shape, kind, keys, common))
    parts = (select(way.subquery(f"way{at}")) for at, way in enumerate(ways))
    return union_all(*parts).subquery("page")


def _commonness(shape: _Shape, kind: _Kind, keys: list[int]) -> list[ColumnElement[bool]]:
    """For each of the tags, whether more than `RARE` rows carry what the index can tell of it."""
    tag = kind.tags.alias("counted")
    counts = [
        exists(
            select(tag.c.key)
            .where(*filters.on_tag_index(shape.terms, key, tag))
            .limit(_literal(1))
            .offset(_literal(RARE))
        ).label(f"is_common{key}")
        for key in keys
    ]
    counted = select(*counts).cte("commonness")
    return [select(column).scalar_subquery() for column in counted.c]


def _from_tag(
    shape: _Shape, kind: _Kind, keys: list[int], common: list[ColumnElement[bool]]
) -> Select[Any]:
    """The page starting from the last of the tags `common`, if only it is rare."""
    entity = kind.table.alias("e")
    key = keys[len(common) - 1]
    tag = kind.tags.alias("found")
    found = (
        select(*(tag.c[name] for name in kind.keys))
        .where(*filters.on_tag(shape.terms, key, tag))
        # No row is lost when it is rare, and the database learns how few there are.
        .limit(limit_if(~common[-1], _literal(RARE)))
        .offset(_literal(0))
        .subquery("found")
    )
    same = and_(*(found.c[name] == entity.c[name] for name in kind.keys))
    others = [_has_tag(shape, kind, entity, other) for other in keys if other != key]
    conditions = [*common[:-1], ~common[-1], *others]
    return _selected(shape, kind, entity, conditions, source=entity.join(found, same))


def _walk(
    shape: _Shape, kind: _Kind, keys: list[int], common: list[ColumnElement[bool]]
) -> Select[Any]:
    """The page by walking in its order, if all of the tags are common."""
    entity = kind.table.alias("e")
    tagged = [_has_tag(shape, kind, entity, key) for key in keys]
    walk = _selected(shape, kind, entity, [*common, *tagged])
    return walk.limit(limit_if(*common, _literal(shape.rows)))


def _walk_tag(
    shape: _Shape, kind: _Kind, keys: list[int], common: list[ColumnElement[bool]]
) -> Select[Any]:
    """The page by walking what has the first tag, in its order, if all of the tags are common."""
    tag = kind.tags.alias("found")
    where = [*common, *filters.on_tag(shape.terms, keys[0], tag)]
    where += [_has_tag(shape, kind, tag, key) for key in keys[1:]]
    size = _literal(shape.rows)
    found = (
        select(*(tag.c[name] for name in kind.keys))
        .where(*where, *_everywhere(shape, tag))
        .order_by(*_order(tag, shape.order_by))
        .limit(limit_if(*common, size) if common else size)
        .offset(_literal(0))
        .subquery("found")
    )
    entity = kind.table.alias("e")
    same = and_(*(found.c[name] == entity.c[name] for name in kind.keys))
    return (
        select(*(entity.c[field] for field in kind.fields))
        .select_from(found.join(entity, same))
        # No row is lost, and the database does not look for another way to begin with some.
        .limit(size)
        .offset(_literal(0))
    )


def _selected(
    shape: _Shape,
    kind: _Kind,
    entity: FromClause,
    conditions: list[ColumnElement[bool]],
    *,
    source: FromClause | None = None,
) -> Select[Any]:
    """A page of the rows of which the conditions and everything but the tags hold."""
    where = filters.on_entity(shape.terms, entity, shape.entity) + conditions
    return (
        select(*(entity.c[field] for field in kind.fields))
        .select_from(entity if source is None else source)
        .where(*where, *_everywhere(shape, entity))
        .order_by(*_order(entity, shape.order_by))
        # A literal, because a plan for an unknown limit is a plan for a tenth of the table.
        .limit(_literal(shape.rows))
        # Else SQLAlchemy adds it for SQLite, as a parameter.
        .offset(_literal(0))
    )


def _everywhere(shape: _Shape, source: FromClause) -> list[ColumnElement[bool]]:
    """What holds of every row of the page, whatever the filter."""
    where = []
    if shape.exclude_prompts:
        where.append(filters.not_a_prompt(source))
    if not shape.is_first_page:
        where.append(_after(source, shape.order_by))
    return where


def _has_tag(shape: _Shape, kind: _Kind, entity: FromClause, key: int) -> ColumnElement[bool]:
    """The row has the tag, and it is as the filter wants it."""
    # Not EXISTS: PostgreSQL would turn that into a join, and start from the wrong side again.
    tag = kind.tags.alias(f"t{key}")
    return (
        select(literal_column("true", Boolean))
        .where(
            *(tag.c[name] == entity.c[name] for name in kind.keys),
            *filters.on_tag(shape.terms, key, tag),
        )
        .correlate(entity)
        .scalar_subquery()
    )


def _literal(number: int) -> ColumnElement[int]:
    return literal_column(str(number))


def _order(source: FromClause, order_by: tuple[OrderBy, ...]) -> list[ColumnElement[Any]]:
    columns = [source.c[_COLUMNS[order.field]] for order in order_by]
    return [
        column if order.ascending else column.desc()
        for column, order in zip(columns, order_by, strict=True)
    ]


def _after(source: FromClause, order_by: tuple[OrderBy, ...]) -> ColumnElement[bool]:
    """The row comes after the sort key `after0, after1, ...`."""
    columns = [source.c[_COLUMNS[order.field]] for order in order_by]
    starts = [param(f"after{index}") for index in range(len(columns))]
    directions = {order.ascending for order in order_by}
    if len(columns) > 1 and len(directions) == 1:
        key, start = tuple_(*columns), tuple_(*starts)
        return key > start if directions == {True} else key < start
    return _after_mixed(columns, starts, [order.ascending for order in order_by])


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
