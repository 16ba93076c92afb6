"""The names that somebody may see, as a condition of SQL.

Names are one list and patterns another, whatever their number, so that all scopes share statements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    CompoundSelect,
    Select,
    Text,
    case,
    literal_column,
    or_,
    select,
    union_all,
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
from registry_core.stores.sql.compiling import is_in, is_like, operands, param, unseen
from registry_core.stores.sql.driver import Driver
from registry_core.stores.sql.tables import registered_models


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


RANGES = (1, 2, 4, 8, 16, 32, 64)
"""How many ranges of names a statement has that walks some of them."""


def in_range(name: ColumnElement[Any], place: int) -> list[ColumnElement[bool]]:
    """Return that a name is in the range of a place of `range_values`."""
    return [name >= unseen(f"range_from{place}"), name < unseen(f"range_to{place}")]


def names_in_ranges(
    count: int,
    further: Callable[[FromClause], list[ColumnElement[bool]]],
    is_ascending: bool,  # noqa: FBT001 the only one
) -> CompoundSelect[Any]:
    """Return the names in so many ranges that come one after the other, in their order.

    The last part of a union is merged last, so that its rows pass through nothing else.
    """
    parts: list[Select[Any]] = []
    for place in reversed(range(count)):
        part = registered_models.alias(f"n{place}")
        parts.append(select(part.c.name).where(*in_range(part.c.name, place), *further(part)))
    order: ColumnElement[Any] = literal_column("name")
    return union_all(*parts).order_by(order if is_ascending else order.desc())


def range_values(ranges: Sequence[Range]) -> dict[str, str]:
    """Return the values of these conditions, for as many places as `RANGES` has next."""
    if not ranges:
        return {}
    # No name is in what fills up the places.
    filled = [*ranges, *[("", "")] * (range_places(ranges) - len(ranges))]
    return {
        f"range_{bound}{place}": value
        for place, pair in enumerate(filled)
        for bound, value in zip(("from", "to"), pair, strict=True)
    }


def range_places(ranges: Sequence[Range]) -> int:
    """Return for how many ranges the statement is that takes these; 0 for none."""
    return next(count for count in (0, *RANGES) if count >= len(ranges))


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
