"""The names that somebody may see, as a condition of SQL.

Names are one list and patterns another, whatever their number, so that all scopes share statements.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    Select,
    Text,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import FromClause

from registry_core.history import NAMING_ACTIONS
from registry_core.name_scope import NameScope
from registry_core.search.evaluate import names
from registry_core.search.nodes import Query
from registry_core.stores.sql.compiling import is_in, is_like, operands, param
from registry_core.stores.sql.driver import Driver
from registry_core.stores.sql.json_functions import array_of, element, rows_of


class is_in_scope(FunctionElement[bool]):  # noqa: N801 SQL functions are lower-case in SQLAlchemy
    """Whether a column is one of the texts, or matches one of the patterns.

    It takes the column, the texts and the patterns: two lists as `Driver.listed` translates them,
    of patterns that `Driver.pattern` has translated.
    """

    name = "is_in_scope"
    inherit_cache = True


class text_in_json(FunctionElement[str]):  # noqa: N801 as above
    """The text that a column has as JSON."""

    name = "text_in_json"
    inherit_cache = True
    type = Text()


Range: TypeAlias = tuple[str, str]
"""Names from the first text on, and before the second one."""

Within: TypeAlias = Callable[[FromClause], list[ColumnElement[bool]]]
"""Conditions on the rows of a table."""

_SLOTS = (1, 4, 16, 64, 256)
"""How many patterns a statement of SQLite takes one by one: it goes through a list of JSON anew for
each row. With more there is a list."""


def is_needed(query: Query) -> bool:
    """Return whether to compare rows with the scope: not if the filter lists names of it."""
    if query.scope is None:
        return False
    listed = names(query.filter)
    return listed is None or not all(name in query.scope for name in listed)


def slots(scope: NameScope | None, dialect: Dialect) -> int:
    """As how many values the patterns of a scope are given; 0 for one list."""
    if scope is None or dialect.name != "sqlite":
        return 0
    count = rounded(len(scope.likes))
    return 0 if count > _SLOTS[-1] else count


def rounded(patterns: int) -> int:
    """Return the number of patterns that has the statement of so many.

    Few numbers, for all of them.
    """
    return next((count for count in _SLOTS if count >= patterns), _SLOTS[-1] + 1)


def in_ranges(
    walked: Callable[[Sequence[str], Within], Select[Any]],
    fields: Sequence[str],
    *,
    is_lateral: bool,
) -> Select[Any]:
    """Return what has a name in the ranges of `range_values`: its fields, or its name alone.

    `walked` gives the walk of the rows of which conditions hold, which is as long as the page at
    most. The ranges are an outer loop, because each walk is made of its range: so the rows come in
    the order of the ranges, and no more is read than is asked for. Nothing is sorted, for which all
    ranges would have to be read.

    SQLite has no LATERAL, but functions that give tables may depend on other tables: there the
    names of a walk are taken through an array.
    """
    ranges = rows_of(param("ranges"))
    if is_lateral:
        rows = walked(fields, _in_range).lateral("in_range")
        return select(*(rows.c[field] for field in fields)).select_from(ranges.join(rows, true()))
    names = walked(["name"], _in_range).subquery("in_range")
    array = select(array_of(names.c.name)).scalar_subquery()
    listed = func.json_each(array).table_valued("value", name="names", joins_implicitly=True)
    return select(listed.c.value.label("name")).select_from(ranges.join(listed, true()))


def _in_range(source: FromClause) -> list[ColumnElement[bool]]:
    first, end = (element(literal_column("element.value"), literal_column(at)) for at in "01")
    return [source.c.name >= first, source.c.name < end]


def range_values(ranges: Sequence[Range]) -> dict[str, str]:
    """Return the value of these conditions."""
    return {"ranges": json.dumps(ranges, ensure_ascii=False)} if ranges else {}


def in_scope(name: ColumnElement[Any], count: int) -> ColumnElement[bool]:
    """Return whether a name is in the scope of these values, with so many slots for patterns."""
    listed = param("scope_names")
    if not count:
        return is_in_scope(name, listed, param("scope_patterns"))
    matches = (is_like(name, param(f"scope_pattern{number}")) for number in range(count))
    return or_(is_in(name, listed), *matches).self_group()


def event_in_scope(event: Any, count: int) -> ColumnElement[bool]:
    """Return whether all names of a row of events are; see `history.Event.is_in`."""
    naming: list[ColumnElement[str]] = [
        literal_column(f"'{each.value}'") for each in sorted(NAMING_ACTIONS)
    ]
    # What else an event leaves is not a text, or is a long one.
    after = case(
        (event.c.action.in_(naming), in_scope(text_in_json(event.c.after), count)),
        else_=literal_column("true"),
    )
    return in_scope(event.c.name, count) & after


def values(scope: NameScope | None, driver: Driver) -> dict[str, Any]:
    """Return the values of these conditions."""
    if scope is None:
        return {}
    patterns = [driver.pattern(like) for like in scope.likes]
    listed = {"scope_names": driver.listed(scope.names)}
    count = slots(scope, driver.dialect)
    if not count:
        return {**listed, "scope_patterns": driver.listed(patterns)}
    # No name is empty, as what fills up the slots wants it.
    filled = [*patterns, *[""] * (count - len(patterns))]
    return listed | {f"scope_pattern{number}": each for number, each in enumerate(filled)}


@compiles(is_in_scope, "sqlite")
def _sqlite_in_scope(node: is_in_scope, compiler: SQLCompiler, **options: Any) -> str:
    column, texts, patterns = operands(node, compiler, **options)
    return (
        f"({column} IN (SELECT value FROM json_each({texts})) OR EXISTS "  # noqa: S608 compiled operands
        f"(SELECT 1 FROM json_each({patterns}) WHERE {column} GLOB value))"
    )


@compiles(is_in_scope, "postgresql")
def _postgresql_in_scope(node: is_in_scope, compiler: SQLCompiler, **options: Any) -> str:
    column, texts, patterns = operands(node, compiler, **options)
    return f"({column} = ANY ({texts}::text[]) OR {column} LIKE ANY ({patterns}::text[]))"


@compiles(text_in_json, "sqlite")
def _sqlite_text_in_json(node: text_in_json, compiler: SQLCompiler, **options: Any) -> str:
    return "json_extract({}, '$')".format(*operands(node, compiler, **options))


@compiles(text_in_json, "postgresql")
def _postgresql_text_in_json(node: text_in_json, compiler: SQLCompiler, **options: Any) -> str:
    return "({}::json #>> '{{}}')".format(*operands(node, compiler, **options))
