"""Searches as statements: filter, order and place of the page, in one round trip.

Strategy for pages: only the rows of the page are completed with tags, aliases and latest versions,
so the page is an inner query of its own. A page starts after the sort key of the last row of the
page before, which an index finds at once however far along it is.

Strategy for filters: what a name, a run, a source or a tag leaves may be one row or most of the
table. Few rows are best found from the index on it, and sorted; of many, the page is best found by
walking rows in its order and looking at each. Either is slow by orders of magnitude in the other's
place; statistics are missing on SQLite, and PostgreSQL's are averages. So the statement holds a
way from each such *start*, and the walk, of which exactly one runs: it looks into the indexes first
whether there are more than `RARE` entries.

None of that is needed where an index has the rows of one value in the order of the page: those of a
model's versions, of a run's and of a tag value's, in the default order. The page is then a range of
it, of which only as many are read. With other starts beside such a *lead*, these are considered
only where the lead has more than `RARE` rows. The index on tags leads in filters on tags alone.

Statements are compiled once per shape (fields, operators, order, size of the page) and the latest
used are kept. How PostgreSQL is kept from other plans is in `shapes` and `compiling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import attrs
from sqlalchemy import (
    Select,
    and_,
    exists,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from registry_core.search import paging
from registry_core.search.nodes import Entity, Op, Query
from registry_core.stores.sql import filters, scopes
from registry_core.stores.sql.compiling import Statement, compiled, limit_if, unseen
from registry_core.stores.sql.driver import Driver
from registry_core.stores.sql.shapes import (
    Shape,
    comes_after,
    fetched,
    keys_of,
    lead_is_forwards,
    lead_of,
    literal,
    ordered,
    range_of,
    tagged,
)
from registry_core.stores.sql.statements import (
    LONG_MODEL_COLUMNS,
    LONG_VERSION_COLUMNS,
    URI_COLUMNS,
    model_columns,
    version_columns,
)

KEPT_STATEMENTS = 256
"""Shapes of searches that a process keeps compiled; compiling one takes about 2 ms."""

RARE = 5_000
"""Rows of a start up to which they are all looked at, at about 3 µs each. One row in so many of a
million is met soon enough on a walk."""

MAX_STARTS = 3
"""How many are considered; each makes the statement longer."""


def statement(query: Query, dialect: Dialect, *, is_of_ranges: bool = False) -> Statement:
    """Return the statement that finds the page of a query, and one row more if there is one.

    It may be of the names in some ranges alone; see `scopes.range_values`.
    """
    return _compiled(_shape(query, dialect, is_of_ranges=is_of_ranges), dialect)


def names_statement(query: Query, dialect: Dialect, *, is_of_ranges: bool = False) -> Statement:
    """Return the statement that finds the names alone of those rows, for the same values."""
    return _compiled_names(_shape(query, dialect, is_of_ranges=is_of_ranges), dialect)


def _shape(query: Query, dialect: Dialect, *, is_of_ranges: bool) -> Shape:
    return Shape(
        entity=query.entity,
        terms=filters.shape(query.filter),
        order_by=query.order_by,
        rows=paging.most_entities(query) + 1,
        is_first_page=not query.page_token,
        exclude_prompts=query.exclude_prompts,
        scope_slots=scopes.slots(query.scope, dialect) if scopes.is_needed(query) else None,
        is_of_ranges=is_of_ranges,
        goes_by_cost=dialect.name == "postgresql",
    )


def values(query: Query, driver: Driver) -> dict[str, Any]:
    """Return the values for it.

    Raises:
        InvalidArgumentError: the page token is malformed or belongs to another search.
    """
    start = paging.position(query) or ()
    after = {f"after{index}": value for index, value in enumerate(start)}
    scoped = scopes.values(query.scope, driver) if scopes.is_needed(query) else {}
    return filters.values(query.filter, driver) | after | scoped


@lru_cache(maxsize=KEPT_STATEMENTS)
def _compiled(shape: Shape, dialect: Dialect) -> Statement:
    page = _page(shape)
    is_models = shape.entity is Entity.REGISTERED_MODEL
    columns = model_columns(page, dialect, of_page=True) if is_models else version_columns(page)
    is_in_order = "value_head" in page.c
    order = _by_value(shape, page) if is_in_order else ordered(page, shape.order_by)
    completed = select(*columns).order_by(*order)
    if shape.goes_by_cost and not is_in_order:
        # It then completes a row when it is asked for, and not all of them to sort them. SQLite
        # completes all either way, and sorts them faster if it does not have to cut them.
        completed = completed.limit(literal(shape.rows)).offset(literal(0))
    return compiled(
        completed,
        dialect,
        is_search=True,
        is_lookup=shape.scope_slots is None and filters.is_lookup(shape.terms),
        long_columns=LONG_MODEL_COLUMNS if is_models else LONG_VERSION_COLUMNS,
        uri_columns=() if is_models else URI_COLUMNS,
    )


@lru_cache(maxsize=KEPT_STATEMENTS)
def _compiled_names(shape: Shape, dialect: Dialect) -> Statement:
    return compiled(select(_page(shape).c.name), dialect, is_search=True)


def _page(shape: Shape) -> FromClause:
    """The rows of the page, in any order."""
    if filters.leaves_one_row(shape.terms, shape.entity):
        row = shape.kind.table.alias("e")
        has_tags = tagged(shape, row, filters.narrowest_keys(shape.terms))
        return _selected(shape, row, has_tags).subquery("page")
    if shape.is_of_ranges:
        return _of_ranges(shape).subquery("page")
    lead = lead_of(shape)
    starts = _starts(shape, lead)
    if lead is not None:
        return _led(shape, lead, starts)
    if not starts:
        is_by_names = shape.goes_by_cost and _is_found_by_names(shape)
        walk = _walk_names(shape) if is_by_names else _selected(shape, shape.kind.table.alias("e"))
        return walk.subquery("page")
    in_order = _is_in_tag_order(shape, starts)
    if in_order and len(starts) == 1:
        return _walk_tag(shape, []).subquery("page")
    common = [_is_common(shape, start) for start in starts[:MAX_STARTS]]
    ways = _from_starts(shape, starts, common)
    ways.append(_walk_tag(shape, common) if in_order else _walk(shape, common))
    return _either(ways)


def _either(ways: list[Select[Any]]) -> FromClause:
    parts = (select(way.subquery(f"way{at}")) for at, way in enumerate(ways))
    return union_all(*parts).subquery("page")


@attrs.frozen
class _Start:
    """Something whose rows an index finds: a comparison with an attribute, or those of a tag key.

    `place` is that of the comparison in the filter, or the number of the key.
    """

    place: int
    is_tag: bool = False


def _starts(shape: Shape, lead: int | None) -> list[_Start]:
    """Where a search may start from, the narrowest first."""
    terms, by_name = shape.terms, shape.order_by[0].field == "name"
    attributes = [
        place
        for place in filters.indexed(terms)
        if place != lead
        # The rows of a range of names come in the order of a page by name.
        and not (by_name and terms[place].field == "name" and terms[place].by_prefix)
        # No list is so long that its models were many.
        and not (shape.entity is Entity.REGISTERED_MODEL and terms[place].op is Op.IN)
    ]
    tags = filters.narrowest_keys(terms)
    return [_Start(place) for place in attributes] + [_Start(key, is_tag=True) for key in tags]


def _is_in_tag_order(shape: Shape, starts: list[_Start]) -> bool:
    """Whether the index on tags has the page in its order, and the filter is on tags alone."""
    return (
        shape.order_by == shape.kind.tag_order
        and all(term.key is not None for term in shape.terms)
        and filters.the_value(shape.terms, starts[0].place) is not None
    )


def _is_common(shape: Shape, start: _Start) -> ColumnElement[bool]:
    """Whether more than `RARE` rows have what the index knows of a start.

    Each is a common table expression of its own: it is counted when it is first asked for.
    """
    counted = (shape.kind.tags if start.is_tag else shape.kind.table).alias("counted")
    one: Select[Any] = select(literal_column("1").label("one"))
    rows = _rows_of(shape, start, counted, one, by_index_alone=True)
    beyond = exists(rows.limit(literal(1)).offset(literal(RARE)))
    name = f"common_{'tag' if start.is_tag else 'attribute'}{start.place}"
    common = select(beyond.label("is_common")).cte(name)
    return select(common.c.is_common).scalar_subquery()


def _rows_of(
    shape: Shape,
    start: _Start,
    source: FromClause,
    what: Select[Any],
    *,
    by_index_alone: bool = False,
) -> Select[Any]:
    """What is wanted of the rows that a start finds, in the order of its index and no other's."""
    column: ColumnElement[Any]
    if start.is_tag:
        on_tag = filters.on_tag_index if by_index_alone else filters.on_tag
        where, column = on_tag(shape.terms, start.place, source), source.c.key
    else:
        where = filters.on_index(shape.terms, start.place, source)
        column = filters.index_column(shape.terms[start.place], source)
    return what.select_from(source).where(*where).order_by(column)


def _from_starts(
    shape: Shape,
    starts: list[_Start],
    common: list[ColumnElement[bool]],
    *before: ColumnElement[bool],
) -> list[Select[Any]]:
    """For each start the page from it; that of the first rare one has rows, if `before` holds."""
    return [
        _from_start(shape, starts[at], [*before, *common[:at], ~rare_or_not])
        for at, rare_or_not in enumerate(common)
    ]


def _from_start(shape: Shape, start: _Start, conditions: list[ColumnElement[bool]]) -> Select[Any]:
    """The page from all that a start finds, of which the last condition says that it is little."""
    kind = shape.kind
    source: FromClause = (kind.tags if start.is_tag else kind.table).alias("f")
    columns = keys_of(shape, source) if start.is_tag else list(source.c)
    rows = (
        _rows_of(shape, start, source, select(*columns))
        # No row is lost when it is rare, and the database learns how few there are.
        .limit(limit_if(*conditions, literal(RARE)))
        .offset(literal(0))
        .subquery("found")
    )
    keys = filters.narrowest_keys(shape.terms)
    if not start.is_tag:
        return _selected(shape, rows, [*conditions, *tagged(shape, rows, keys)])
    keys.remove(start.place)
    entity, joined = fetched(shape, rows)
    has_tags = tagged(shape, entity, keys)
    return _selected(shape, entity, [*conditions, *has_tags], source=joined)


def _led(shape: Shape, lead: int, starts: list[_Start]) -> FromClause:
    """The page by walking what has one value, unless that is much and something else is rare."""
    if not starts:
        return _walk_lead(shape, lead, []).subquery("page")
    lead_is_common = _is_common(shape, _Start(lead))
    common = [_is_common(shape, start) for start in starts[:MAX_STARTS]]
    ways = _from_starts(shape, starts, common, lead_is_common)
    ways.append(_walk_lead(shape, lead, [or_(~lead_is_common, and_(*common)).self_group()]))
    return _either(ways)


def _walk_lead(shape: Shape, lead: int, conditions: list[ColumnElement[bool]]) -> Select[Any]:
    """The page by walking the index on the attribute of a comparison, which has its order."""
    entity = shape.kind.table.alias("e")
    field = shape.terms[lead].field
    column = entity.c[field]
    rest = tuple(order for order in shape.order_by if order.field != field)
    others = [place for place in filters.indexed(shape.terms) if place != lead]
    where = range_of(shape, entity, column, unseen(f"value{lead}"), rest)
    where += filters.on_entity(shape.terms, entity, shape.entity, without=lead, put_aside=others)
    where += tagged(shape, entity, filters.narrowest_keys(shape.terms))
    first = column if lead_is_forwards(shape, field) else column.desc()
    walk = (
        select(*(entity.c[field] for field in shape.kind.fields))
        .where(*conditions, *where, *_visible(shape, entity))
        .order_by(first, *ordered(entity, rest))
        .offset(literal(0))
    )
    return _limited(shape, walk, conditions)


def _walk(shape: Shape, common: list[ColumnElement[bool]]) -> Select[Any]:
    """The page by walking in its order, if all of the starts are common."""
    entity = shape.kind.table.alias("e")
    others = filters.indexed(shape.terms)
    where = filters.on_entity(shape.terms, entity, shape.entity, put_aside=others)
    where += tagged(shape, entity, filters.narrowest_keys(shape.terms))
    walk = (
        select(*(entity.c[field] for field in shape.kind.fields))
        .where(*common, *where, *_everywhere(shape, entity))
        .order_by(*ordered(entity, shape.order_by))
        .offset(literal(0))
    )
    return _limited(shape, walk, common)


def _of_ranges(shape: Shape) -> Select[Any]:
    """The page of models by walking ranges of names."""
    fields = shape.kind.fields

    def walked(columns: Sequence[str], within: scopes.Within) -> Select[Any]:
        source = shape.kind.table.alias("n")
        walk = select(*(source.c[column] for column in columns))
        in_order = walk.where(*within(source), *_everywhere(shape, source)).order_by(
            *ordered(source, shape.order_by)
        )
        return _limited(shape, in_order.offset(literal(0)), [])

    rows = scopes.in_ranges(walked, fields, is_lateral=shape.goes_by_cost)
    found = _limited(shape, rows, []).offset(literal(0))
    if shape.goes_by_cost:
        return found
    entity, source = fetched(shape, found.subquery("found"))
    return select(*(entity.c[field] for field in fields)).select_from(source)


def _is_found_by_names(shape: Shape) -> bool:
    """Whether a filter on names leaves few models, and an index has the names in the order."""
    return (
        shape.entity is Entity.REGISTERED_MODEL
        and {order.field for order in shape.order_by} <= {"name", "last_updated_timestamp"}
        and any(term.op in (Op.LIKE, Op.ILIKE) and not term.by_prefix for term in shape.terms)
    )


def _walk_names(shape: Shape) -> Select[Any]:
    """The page by walking the names in its order, and reading the rows of those that may match.

    PostgreSQL would read the row of each name to look at it. It has to believe that many names
    match: else it reads and sorts all of them, where it does not know that the index is enough.
    """
    names = shape.kind.table.alias("n")
    entity, source = fetched(shape, names)
    of_row = filters.on_entity(shape.terms, entity, shape.entity, put_aside=range(len(shape.terms)))
    walk = (
        select(*(entity.c[field] for field in shape.kind.fields))
        .select_from(source)
        .where(*filters.on_names(shape.terms, names), *of_row, *_everywhere(shape, names))
        .order_by(*ordered(names, shape.order_by))
        .offset(literal(0))
    )
    return _limited(shape, walk, [])


def _limited(shape: Shape, walk: Select[Any], conditions: list[ColumnElement[bool]]) -> Select[Any]:
    # A literal, because a plan for an unknown limit is a plan for a tenth of the table.
    size = literal(shape.rows)
    return walk.limit(limit_if(*conditions, size) if conditions else size)


def _walk_tag(shape: Shape, common: list[ColumnElement[bool]]) -> Select[Any]:
    """The page by walking what has the first tag, in its order, if all of the tags are common.

    It tells PostgreSQL its order, by a column more, if it is the only way to the page.
    """
    kind, tag = shape.kind, shape.kind.tags.alias("f")
    key, *others = filters.narrowest_keys(shape.terms)
    value = filters.the_value(shape.terms, key)
    assert value is not None
    head = tag.c.value_head
    where = [tag.c.key == unseen(f"key{key}")]
    where += range_of(shape, tag, head, unseen(f"value{value}"), shape.order_by)
    where += filters.on_tag_beside(shape.terms, key, tag, value)
    walk = (
        select(head, *keys_of(shape, tag, kind.repeated))
        .where(*common, *where, *tagged(shape, tag, others), *_visible(shape, tag))
        .order_by(*_by_value(shape, tag))
        .offset(literal(0))
    )
    found = _limited(shape, walk, common).subquery("found")
    entity, source = fetched(shape, found)
    if not shape.goes_by_cost:
        return select(*(entity.c[field] for field in kind.fields)).select_from(source)
    fields = [(found if field in kind.repeated else entity).c[field] for field in kind.fields]
    # PostgreSQL then knows that the page is in its order, and does not sort it.
    return select(*fields, *([] if common else [found.c.value_head])).select_from(source)


def _by_value(shape: Shape, source: FromClause) -> list[ColumnElement[Any]]:
    """The order of the index on tags, for ORDER BY: in it the page of one value is in its own."""
    head = source.c.value_head
    first = head if shape.order_by[0].ascending else head.desc()
    return [first, *ordered(source, shape.order_by)]


def _selected(
    shape: Shape,
    entity: FromClause,
    conditions: Sequence[ColumnElement[bool]] = (),
    *,
    source: FromClause | None = None,
) -> Select[Any]:
    """A page of the rows of which the conditions and everything but the tags hold."""
    where = [*filters.on_entity(shape.terms, entity, shape.entity), *conditions]
    selected = (
        select(*(entity.c[field] for field in shape.kind.fields))
        .select_from(entity if source is None else source)
        .where(*where, *_everywhere(shape, entity))
        .order_by(*ordered(entity, shape.order_by))
        # Else SQLAlchemy adds it for SQLite, as a parameter.
        .offset(literal(0))
    )
    return _limited(shape, selected, [])


def _everywhere(shape: Shape, source: FromClause) -> list[ColumnElement[bool]]:
    """What holds of every row of the page, whatever the filter."""
    where = _visible(shape, source)
    if not shape.is_first_page:
        where.append(comes_after(shape, source, shape.order_by))
    return where


def _visible(shape: Shape, source: FromClause) -> list[ColumnElement[bool]]:
    slots = shape.scope_slots
    scope = [] if slots is None else [scopes.in_scope(source.c.name, slots)]
    return scope + ([filters.not_a_prompt(source)] if shape.exclude_prompts else [])
