"""Statements and their rows between a connection of psycopg and its server.

Strategy: psycopg's cursor takes a quarter of what reading a row costs this process. So psycopg
connects, adapts values, loads rows and waits, and what is sent, and when, is decided here, with
its wrapper of libpq.

Strategy for prepared statements: the server keeps them by name for a connection, and a pooler may
lend its connections by turns to clients that know nothing of each other. So a name says which
statement it is, from any client, and where the server does not have what this client believes it
has, the statement runs unprepared. No answer depends on what a connection holds.

Strategy for the server's memory: with glibc, a process of PostgreSQL may give what a statement took
of the heap's end back to the system, if that is more than 128 KiB, and take it again for the next
one, page by page: a quarter of the time of reading a model, wherever the heap happens to end so.
Once it has freed a larger piece it keeps twice as much. So a connection that begins to prepare
statements, and is here to stay, has one computed that takes such a piece.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias

import psycopg
from psycopg import capabilities
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus, error_message
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from registry_core import inloop
from registry_core.errors import RegistryError
from registry_core.inloop import TooLargeError, WouldBlockError
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.driver import Values
from registry_core.stores.sql.errors import (
    ConnectionLostError,
    PreparedElsewhereError,
    from_sqlstate,
)
from registry_core.stores.sql.results import ROWS_AT_A_TIME, PageOfRows, Row

PREPARED_MAX = 400
"""Prepared statements that a connection keeps, each a plan in the server's memory: one more, and
the oldest is forgotten. Also how many statements it knows to have run before: one more, and it
forgets them all. With fewer than there are shapes of searches it would prepare again and again."""

_Key: TypeAlias = tuple[str, tuple[int, ...]]
"""The text of a statement, and the types of its values."""

_logger = logging.getLogger(__name__)

_SUCCEEDED = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})

_LARGE_PIECE = b"SELECT length(repeat('x', 1048576))"
"""Takes a MiB of the server's memory, for less than a millisecond."""

_DIGEST_BYTES = 20
"""Of the digest in a name: no two statements share one. PostgreSQL keeps 63 bytes of a name."""


class Preparing:
    """Whether the connections to a database may prepare statements: until one finds a pooler."""

    def __init__(self) -> None:
        self.is_safe = True

    def stop(self) -> None:
        """Have all connections run their statements unprepared from now on."""
        if self.is_safe:
            _logger.info(
                "A pooler lends connections to the database without keeping prepared statements "
                "apart: this process prepares none any more"
            )
        self.is_safe = False


class PreparedSession:
    """What is asked and answered on one connection, on which nothing else runs statements.

    A statement is prepared when it runs for the second time: most shapes of searches never do.
    """

    def __init__(self, raw: psycopg.Connection[Any], preparing: Preparing) -> None:
        self._raw = raw
        self._pgconn = raw.pgconn
        self._preparing = preparing
        self._transformer = Transformer(raw)
        self._seen: set[_Key] = set()
        """What has run before."""
        self._names: dict[_Key, bytes] = {}
        """What is prepared, and under which name; the oldest first."""
        self._has_memory_kept = False
        """Whether the server's process has been made to keep its memory; see the module."""

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        """Return the rows of a statement; none when it gives none.

        Failures are errors of this package.

        After `CutRows` the connection is busy until the rest is given up.
        """
        try:
            result = self._answer(statement, values)
            if isinstance(result, list):
                return result
            if not result.nfields:
                return []
            self._transformer.set_pgresult(result)
            return self._transformer.load_rows(0, result.ntuples, tuple)
        except psycopg.OperationalError as error:
            raise ConnectionLostError(str(error).strip()) from error
        except psycopg.Error as error:
            raise RegistryError(f"The database cannot be sent that: {error}") from error

    def _answer(self, statement: Statement, values: Values) -> PGresult | list[Row]:
        """The result of a statement; of a search, its rows."""
        try:
            return self._sent(statement, values)
        except PreparedElsewhereError:
            self._preparing.stop()
            if self._pgconn.transaction_status != TransactionStatus.IDLE:
                raise  # it has ended the transaction, which has to be repeated as a whole
        return self._sent(statement, values)

    def _sent(self, statement: Statement, values: Values) -> PGresult | list[Row]:
        self._send(statement, values)
        return self._page(statement) if statement.is_search else self._result()

    def _send(self, statement: Statement, values: Values) -> None:
        pgconn = self._pgconn
        if not statement.prepare:
            # It has no values, and may be several.
            pgconn.send_query(statement.text.encode())
            return
        arguments = statement.arguments(values)
        adapted = self._transformer.dump_sequence(arguments, [PyFormat.AUTO] * len(arguments))
        formats, types = self._transformer.formats, self._transformer.types or ()
        if self._preparing.is_safe:
            key = statement.text, types
            name = self._names.get(key) or self._prepared_again(key)
            if name is not None:
                pgconn.send_query_prepared(name, adapted, formats)
                return
        pgconn.send_query_params(statement.text.encode(), adapted, types, formats)

    def _prepared_again(self, key: _Key) -> bytes | None:
        """The name of a statement that has run before, and is prepared now; None of another."""
        if key in self._seen:
            return self._prepare(key) if self._has_room() else None
        if len(self._seen) >= PREPARED_MAX:
            self._seen.clear()
        self._seen.add(key)
        return None

    def _has_room(self) -> bool:
        """Whether one more statement may be prepared, now that the oldest is forgotten."""
        if len(self._names) < PREPARED_MAX:
            return True
        if not capabilities.has_send_close_prepared():
            return False
        # Closing what a server does not have succeeds there, too.
        self._pgconn.send_close_prepared(self._names.pop(next(iter(self._names))))
        self._result()
        return True

    def _prepare(self, key: _Key) -> bytes:
        text, types = key
        name = _name(key)
        if not self._has_memory_kept and self._pgconn.transaction_status == TransactionStatus.IDLE:
            self._has_memory_kept = True
            self._pgconn.send_query(_LARGE_PIECE)
            # What an engine of another kind answers makes no difference.
            self._raw.wait(_received(self._pgconn))
        self._pgconn.send_prepare(name, text.encode(), types)
        self._result()
        self._names[key] = name
        return name

    def _page(self, statement: Statement) -> list[Row]:
        """The rows of a search, taken a few at a time until there are enough."""
        _have_rows_come_apart(self._pgconn)
        page = PageOfRows(statement)
        is_inloop = inloop.waiter() is not None
        largest = statement.long_columns[1::2]  # tags, and of a model its latest versions

        def is_enough(result: PGresult) -> bool:
            if is_inloop:
                _check_size(result, largest)
            self._transformer.set_pgresult(result)
            rows = self._transformer.load_rows(0, result.ntuples, tuple)
            is_full = page.is_full_with(rows)
            if is_inloop and (is_full or len(page.rows) > inloop.MOST_ROWS):
                raise WouldBlockError("It gives too many rows")
            return is_full

        result = self._raw.wait(_received_apart(self._pgconn, is_enough))
        if result is not None and result.status not in _SUCCEEDED:
            raise _failure(result)
        return page.rows

    def _result(self) -> PGresult:
        """The result of what was sent; the last, if it was several statements."""
        results = self._raw.wait(_received(self._pgconn))
        for result in results:
            if result.status not in _SUCCEEDED:
                raise _failure(result)
        return results[-1]


def _name(key: _Key) -> bytes:
    """The same for a statement in every process, and another one for any other statement."""
    text, types = key
    digest = hashlib.blake2b(f"{types} {text}".encode(), digest_size=_DIGEST_BYTES)
    return b"registry_" + digest.hexdigest().encode()


def _check_size(result: PGresult, columns: Sequence[int]) -> None:
    """Refuse what would hold up an event loop, before it becomes texts."""
    value, rows = result.get_value, range(result.ntuples)
    if sum([len(value(row, column) or b"") for row in rows for column in columns]) > (
        inloop.MOST_BYTES
    ):
        raise TooLargeError("It is too large to be done at once")


def _have_rows_come_apart(pgconn: PGconn) -> None:
    """Has what was sent last answered in pieces, so that not all rows are kept at once."""
    try:
        pgconn.set_chunked_rows_mode(ROWS_AT_A_TIME)
    except psycopg.NotSupportedError:  # libpq before 17
        pgconn.set_single_row_mode()


def _received_apart(
    pgconn: PGconn, is_enough: Callable[[PGresult], bool]
) -> Generator[Wait, Ready | int, PGresult | None]:
    """Give the rows of what is being sent to `is_enough`, some at a time; pause as `_received`.

    The last result, or None where it was enough before: the rest is then still to come.
    """
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    last = None
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            return last
        last = result
        if result.ntuples and is_enough(result):
            return None


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
