"""Statements and their rows between a connection of psycopg and its server.

Strategy: psycopg's cursor takes a quarter of what reading a row costs this process. So psycopg
connects, adapts values, loads rows and waits, and what is sent, and when, is decided here, with
its wrapper of libpq.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import DiagnosticField, ExecStatus, error_message
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from registry_core.errors import RegistryError
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Row, Values
from registry_core.stores.sql.errors import ConnectionLostError, from_sqlstate

PREPARED_MAX = 400
"""Prepared statements that a connection keeps, and statements that it knows to have run before. One
more of either, and it forgets them all."""

_Key: TypeAlias = tuple[str, tuple[int, ...]]
"""The text of a statement, and the types of its values."""

_SUCCEEDED = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})


class Exchange:
    """What is asked and answered on one connection, on which nobody else runs statements.

    A statement is prepared when it runs for the second time: most shapes of searches never do.
    """

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._raw = raw
        self._pgconn = raw.pgconn
        self._transformer = Transformer(raw)
        self._seen: set[_Key] = set()
        """What has run before."""
        self._names: dict[_Key, bytes] = {}
        """What is prepared, and under which name."""
        self._names_given = 0

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        """The rows of a statement; none when it gives none. Failures are errors of this package."""
        try:
            self._send(statement, values)
            result = self._result()
            if not result.nfields:
                return []
            self._transformer.set_pgresult(result)
            return self._transformer.load_rows(0, result.ntuples, tuple)
        except psycopg.OperationalError as error:
            raise ConnectionLostError(str(error).strip()) from error
        except psycopg.Error as error:
            raise RegistryError(f"The database cannot be told that: {error}") from error

    def _send(self, statement: Statement, values: Values) -> None:
        pgconn = self._pgconn
        if not statement.prepare:
            # It has no values, and may be several.
            pgconn.send_query(statement.text.encode())
            return
        arguments = statement.arguments(values)
        adapted = self._transformer.dump_sequence(arguments, [PyFormat.AUTO] * len(arguments))
        formats, types = self._transformer.formats, self._transformer.types or ()
        key = statement.text, types
        name = self._names.get(key)
        if name is None and key in self._seen:
            name = self._prepare(key)
        if name is not None:
            pgconn.send_query_prepared(name, adapted, formats)
            return
        if len(self._seen) >= PREPARED_MAX:
            self._seen.clear()
        self._seen.add(key)
        pgconn.send_query_params(statement.text.encode(), adapted, types, formats)

    def _prepare(self, key: _Key) -> bytes:
        if len(self._names) >= PREPARED_MAX:
            self._names.clear()
            self._pgconn.send_query(b"DEALLOCATE ALL")
            self._result()
        self._names_given += 1
        name = b"registry%d" % self._names_given
        text, types = key
        self._pgconn.send_prepare(name, text.encode(), types)
        self._result()
        self._names[key] = name
        return name

    def _result(self) -> PGresult:
        """The result of what was sent; the last, if it was several statements."""
        results = self._raw.wait(_received(self._pgconn))
        for result in results:
            if result.status not in _SUCCEEDED:
                raise _failure(result)
        return results[-1]


def _received(pgconn: PGconn) -> Generator[Wait, Ready | int, list[PGresult]]:
    """All results of what is being sent; pauses until the socket is ready for what it says."""
    while pgconn.flush():
        # A server that waits for its answers to be read takes nothing more.
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    results: list[PGresult] = []
    try:
        while True:
            while pgconn.is_busy():
                yield Wait.R
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                return results
            results.append(result)
    except psycopg.OperationalError:
        # A server that hangs up has said why.
        if results and results[-1].status not in _SUCCEEDED:
            return results
        raise


def _failure(result: PGresult) -> Exception:
    message = error_message(result).strip()
    sqlstate = result.error_field(DiagnosticField.SQLSTATE)
    severity = result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED) or b"ERROR"
    return from_sqlstate(sqlstate.decode() if sqlstate else None, message, severity.decode())
