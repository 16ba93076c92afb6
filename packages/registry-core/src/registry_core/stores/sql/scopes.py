"""The names that somebody may see, as a condition of SQL.

Names are one list and patterns another, whatever their number, so that all scopes share statements.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text, case, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from registry_core.history import NAMING_ACTIONS
from registry_core.name_scope import NameScope
from registry_core.stores.sql.compiling import param
from registry_core.stores.sql.driver import Driver


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


def in_scope(name: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a name is in the scope whose values are given."""
    return is_in_scope(name, param("scope_names"), param("scope_patterns"))


def event_in_scope(event: Any) -> ColumnElement[bool]:
    """Whether all names of a row of events are; see `history.Event.is_in`."""
    names: list[ColumnElement[str]] = [
        literal_column(f"'{each.value}'") for each in sorted(NAMING_ACTIONS)
    ]
    # What else an event leaves is no text, or a long one.
    after = case(
        (event.c.action.in_(names), in_scope(text_in_json(event.c.after))),
        else_=literal_column("true"),
    )
    return in_scope(event.c.name) & after


def values(scope: NameScope | None, driver: Driver) -> dict[str, Any]:
    """The values of these conditions."""
    if scope is None:
        return {}
    return {
        "scope_names": driver.listed(scope.names),
        "scope_patterns": driver.listed([driver.pattern(like) for like in scope.likes]),
    }


def _operands(node: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> list[str]:
    return [compiler.process(clause, **options) for clause in node.clauses]


@compiles(is_in_scope, "sqlite")
def _sqlite_in_scope(node: is_in_scope, compiler: SQLCompiler, **options: Any) -> str:
    column, texts, patterns = _operands(node, compiler, **options)
    return (
        f"({column} IN (SELECT value FROM json_each({texts})) OR EXISTS "  # noqa: S608 compiled operands
        f"(SELECT 1 FROM json_each({patterns}) WHERE {column} GLOB value))"
    )


@compiles(is_in_scope, "postgresql")
def _postgresql_in_scope(node: is_in_scope, compiler: SQLCompiler, **options: Any) -> str:
    column, texts, patterns = _operands(node, compiler, **options)
    return f"({column} = ANY ({texts}::text[]) OR {column} LIKE ANY ({patterns}::text[]))"


@compiles(text_in_json, "sqlite")
def _sqlite_text_in_json(node: text_in_json, compiler: SQLCompiler, **options: Any) -> str:
    return "json_extract({}, '$')".format(*_operands(node, compiler, **options))


@compiles(text_in_json, "postgresql")
def _postgresql_text_in_json(node: text_in_json, compiler: SQLCompiler, **options: Any) -> str:
    return "({}::json #>> '{{}}')".format(*_operands(node, compiler, **options))
