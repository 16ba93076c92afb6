"""The plain twin of `prepared_session`: statements and their rows by psycopg's own cursor.

Slower, and nothing but what psycopg documents. For a release of psycopg or libpq whose insides
differ from those that `prepared_session` knows, and to tell whose fault something is. The same
tests run on both.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from itertools import islice
from typing import Any

import psycopg
from psycopg import capabilities

from registry_core import inloop
from registry_core.errors import InvalidArgumentError, RegistryError
from registry_core.inloop import WouldBlockError
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.driver import Values
from registry_core.stores.sql.errors import ConnectionLostError, from_sqlstate
from registry_core.stores.sql.results import ROWS_AT_A_TIME, PageOfRows, Row

SESSION_VARIABLE = "REGISTRY_DATABASE_SESSION"
"""`prepared`, as by default, or `plain`: how a process talks to PostgreSQL."""


def is_chosen(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the environment asks for this twin.

    Raises:
        InvalidArgumentError: it asks for something else that there is not.
    """
    session = environ.get(SESSION_VARIABLE) or "prepared"
    if session not in ("prepared", "plain"):
        raise InvalidArgumentError(
            f"{SESSION_VARIABLE} must be 'prepared' or 'plain', not '{session}'"
        )
    return session == "plain"


class PlainSession:
    """See `PreparedSession`. Prepares nothing, and is for threads alone."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._raw = raw

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        """Return the rows of a statement; none when it gives none.

        Failures are errors of this package.
        """
        if inloop.waiter() is not None:
            # Psycopg's cursor holds the lock of its connection while it waits.
            raise WouldBlockError("A plain session is for threads")
        try:
            with self._raw.cursor() as cursor:
                if statement.is_search:
                    return _page(cursor, statement, values)
                return _all_rows(cursor, statement, values)
        except psycopg.Error as error:
            raise _translated(error) from error


def _all_rows(cursor: psycopg.Cursor[Any], statement: Statement, values: Values) -> list[Row]:
    # Without values it may be several statements, of which the last one counts.
    arguments = statement.arguments(values) if statement.prepare else None
    cursor.execute(statement.text.encode(), arguments, prepare=False)
    while cursor.nextset():
        pass
    return cursor.fetchall() if cursor.description else []


def _page(cursor: psycopg.Cursor[Any], statement: Statement, values: Values) -> list[Row]:
    page = PageOfRows(statement)
    size = ROWS_AT_A_TIME if capabilities.has_stream_chunked() else 1
    stream = cursor.stream(statement.text.encode(), statement.arguments(values), size=size)
    # To close it before its end cancels the statement.
    with contextlib.closing(stream):  # type: ignore[type-var] # a generator, typed as an iterator
        while rows := list(islice(stream, ROWS_AT_A_TIME)):
            if page.is_full_with(rows):
                break
    return page.rows


def _translated(error: psycopg.Error) -> Exception:
    message = str(error).strip()
    if error.sqlstate is not None:
        return from_sqlstate(error.sqlstate, message, error.diag.severity_nonlocalized or "ERROR")
    if isinstance(error, psycopg.OperationalError):
        return ConnectionLostError(message)
    return RegistryError(f"The database cannot be sent that: {error}")
