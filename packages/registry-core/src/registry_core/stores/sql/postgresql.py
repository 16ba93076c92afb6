"""PostgreSQL by psycopg 3.

Strategy for servers that do not answer: TCP does not tell a hung server from a slow statement. So
a client that has heard nothing for `SILENCE_SECONDS` asks the server by another connection, as
`liveness` says; if it is gone the statement is given up, else it may take `STATEMENT_SECONDS` in
all. This is the client's own clock, and rests on nothing that the session holds. Behind a pooler it
is the pooler that gives the sign of life, and a server that hangs is found out after
`STATEMENT_SECONDS`.
"""

from __future__ import annotations

import contextlib
import math
import select
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.pool import NullPool

from registry_core import inloop
from registry_core.errors import (
    BackendNotInstalledError,
    RegistryError,
    SearchTooSlowError,
    StoreBusyError,
    StoreUnavailableError,
)
from registry_core.inloop import LoopReads, Waiter
from registry_core.interest import is_wanted
from registry_core.search.like import sql_like_pattern
from registry_core.stores.sql.compiling import LOCK_MILLISECONDS, Statement
from registry_core.stores.sql.driver import Values, WritesAlone
from registry_core.stores.sql.errors import (
    ConnectionLostError,
    InDoubtError,
    ReadOnlyServerError,
    ServerLostError,
    ServerSilentError,
    from_sqlstate,
)
from registry_core.stores.sql.results import SEARCH_SECONDS, CutRows, Row
from registry_core.stores.sql.tables import ALEMBIC_VERSION_TABLE

try:
    import psycopg
    from psycopg.adapt import AdaptersMap
    from psycopg.pq import TransactionStatus
    from psycopg.pq.abc import PGconn
    from psycopg.types.numeric import Int8Dumper
    from psycopg.types.string import TextLoader
    from psycopg.waiting import Ready, Wait

    from registry_core.stores.sql import liveness, plain_session
    from registry_core.stores.sql.hosts import Hosts
    from registry_core.stores.sql.plain_session import PlainSession
    from registry_core.stores.sql.postgresql_url import parameters
    from registry_core.stores.sql.prepared_session import PreparedSession, Preparing
except ModuleNotFoundError as error:
    raise BackendNotInstalledError(
        f"A PostgreSQL store needs the module '{error.name}', which is not installed: "
        "pip install 'registry-core[postgres]'"
    ) from error

CONNECT_SECONDS = 3
"""For a new connection."""

SILENCE_SECONDS = 1.0
"""After that long without a byte, the server is asked for a sign of life. With
`liveness.SIGN_OF_LIFE_SECONDS` it makes a hung server known to a worker within 2.5 seconds, and so
to each of several that are asked one after the other within the 5 that a failover may take."""

STATEMENT_SECONDS = 60.0
"""For a statement on a server that is alive. The longest of ours renames a model, whose versions
the foreign keys follow one by one: 10,000 took 7 seconds on a busy machine."""

READ_ONLY_SECONDS = 5.0
"""How long a connection that was opened to a server without writes is used for reads. That server
may be replaced by another one at any time, and would then answer with what used to be."""

CANCEL_SECONDS = 2.0
"""For a request to cancel a statement, which goes over a connection of its own."""

MAX_CONNECTIONS = 16
"""Of one process, where no other number is configured: as many as a worker of the server has
threads
and reads in its event loop. PostgreSQL admits 100 by default, for all processes."""

_DIALECT: Dialect = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # as SQLAlchemy has it

_DEFAULTS: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "registry",
}
"""Connection parameters of libpq, where the URL gives none."""

_BEGIN = Statement(
    # READ WRITE is not said: it would override `default_transaction_read_only`, which operators set
    # to keep writers away from a primary that another server is about to replace.
    "BEGIN ISOLATION LEVEL READ COMMITTED; "
    # A client that freezes in a transaction must not keep a model's row locked forever, and who
    # waits for that row must not keep a connection for long. LOCAL, because behind a pooler the
    # next transaction on the same connection may be another operation's.
    "SET LOCAL idle_in_transaction_session_timeout = '10s'; "
    f"SET LOCAL lock_timeout = '{LOCK_MILLISECONDS}ms'; "
    # Before the client gives it up, and does not know what becomes of it.
    f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS - 5:g}s'",
    (),
    prepare=False,
)
_COMMIT = Statement("COMMIT", (), prepare=False)
_ROLLBACK = Statement("ROLLBACK", (), prepare=False)

_IDLE, _ACTIVE = TransactionStatus.IDLE, TransactionStatus.ACTIVE

_READY = {(True, False): Ready.R, (False, True): Ready.W, (True, True): Ready.RW}
"""Psycopg's words for what a socket is ready for."""


class PostgresqlDriver:
    """Reaches one database."""

    dialect = _DIALECT
    insert = staticmethod(insert)
    has_one_writer = False
    writes_in_one_statement = True
    waits_for_sockets = True
    is_lasting = True

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self.max_connections = MAX_CONNECTIONS
        self._preparing = Preparing()
        self._is_plain = plain_session.is_chosen()
        self.loop_reads = None if self._is_plain else LoopReads(pauses=True)
        self._hosts = Hosts(parameters)

    @classmethod
    def from_url(cls, url: str) -> PostgresqlDriver:
        """Return the driver for a URL of libpq, whatever SQLAlchemy's name for the scheme.

        Raises:
            InvalidUrlError: the URL is malformed.
        """
        return cls(_DEFAULTS | parameters(url) | {"client_encoding": "UTF8"})

    def exists(self) -> bool:
        """See `Driver`."""
        return True

    def connect(self) -> PostgresqlConnection:
        """See `Driver`."""
        raw = self.raw_connection()
        return PostgresqlConnection(raw, self._session(raw))

    def _session(self, raw: BoundedConnection) -> PreparedSession | PlainSession:
        return PlainSession(raw) if self._is_plain else PreparedSession(raw, self._preparing)

    def raw_connection(self) -> BoundedConnection:
        """Return a connection of psycopg, committing by itself."""
        began = time.monotonic()
        try:
            raw = BoundedConnection.connect(
                **self._hosts.parameters(),
                autocommit=True,
                prepare_threshold=None,
                context=_ADAPTERS,
                cursor_factory=psycopg.RawCursor,
            )
        except psycopg.Error as error:
            raise StoreBusyError(f"The database cannot be reached: {error}") from error
        if time.monotonic() - began > CONNECT_SECONDS / 2:
            self._hosts.avoid_before(raw.pgconn)
        raw.hosts = self._hosts
        return raw

    def close(self) -> None:
        """See `Driver`."""

    def migration_engine(self) -> Engine:
        """See `Driver`."""
        return create_engine(
            "postgresql+psycopg://", creator=self._migration_connection, poolclass=NullPool
        )

    def begin_migration(self, connection: Connection) -> None:
        """See `Driver`."""
        # The first statement begins it.

    def lock_schema(self, connection: Connection) -> None:
        """See `Driver`."""
        # The row is what migrating changes. Not LOCK TABLE, which is PostgreSQL's alone.
        connection.exec_driver_sql(
            f"SELECT version_num FROM {ALEMBIC_VERSION_TABLE} FOR UPDATE"  # noqa: S608 a constant
        )

    def translated(self, error: BaseException | None) -> Exception:
        """See `Driver`."""
        return _translated(error)

    def _migration_connection(self) -> BoundedConnection:
        raw = self.raw_connection()
        raw.autocommit = False
        raw.cursor_factory = psycopg.Cursor
        raw.statement_seconds = math.inf
        return raw

    def pattern(self, like: str) -> str:
        """Return a pattern for LIKE."""
        return sql_like_pattern(like)

    def listed(self, texts: Sequence[str]) -> list[str]:
        """Return an array parameter."""
        return list(texts)


class BoundedConnection(psycopg.Connection[Row]):
    """A connection of psycopg that waits only as long as the server is alive."""

    statement_seconds = STATEMENT_SECONDS
    hosts: Hosts
    """Where it was looked for."""
    _search_until = math.inf
    _is_given_up = False

    @contextlib.contextmanager
    def searching(self) -> Iterator[None]:
        """Has what runs in the block cancelled when it takes longer than a search may.

        Raises:
            SearchTooSlowError: it was.
        """
        self._search_until, self._is_given_up = time.monotonic() + SEARCH_SECONDS, False
        try:
            yield
        except StoreUnavailableError as error:
            if self._is_given_up:
                raise SearchTooSlowError(SEARCH_SECONDS) from error
            raise
        finally:
            self._search_until = math.inf

    def give_up_rest(self) -> None:
        """Cancel the statement that runs, and take what the server has sent of it by then."""
        self._cancel()
        self.wait(_to_the_end(self.pgconn))

    def _cancel(self) -> None:
        # Where it fails, or comes too late, there is an end to the statement all the same.
        with contextlib.suppress(psycopg.Error):
            self.cancel_safe(timeout=CANCEL_SECONDS)

    def close(self) -> None:
        """See psycopg. A statement that still runs would go on, and is cancelled."""
        if self.pgconn.transaction_status == _ACTIVE:
            # In a daemon thread of its own: it takes a while, an event loop may be the caller, and
            # an exit need not wait for it.
            threading.Thread(target=self._cancel_and_close, daemon=True).start()
        else:
            super().close()

    def _cancel_and_close(self) -> None:
        self._cancel()
        super().close()

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """Return what psycopg's `wait` returns."""
        waiter = inloop.waiter()
        if waiter is not None:
            return self._wait_by(waiter, gen)
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _wait_by(self, waiter: Waiter, gen: Generator[Any, Any, Any]) -> Any:
        """The same exchange with the socket, while an event loop goes on."""
        descriptor = self.pgconn.socket
        try:
            state = next(gen)
            while True:
                ready = waiter.until_ready(
                    descriptor, reading=bool(state & Wait.R), writing=bool(state & Wait.W)
                )
                state = gen.send(_READY[ready])
        except StopIteration as stop:
            return stop.value

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The same exchange with the socket, looked at whenever there is nothing to read."""
        started = heard = time.monotonic()
        try:
            state = next(gen)
            while True:
                ready = yield state
                is_silent = ready == Ready.NONE
                heard = self._check(started, heard) if is_silent else time.monotonic()
                state = gen.send(ready)
        except StopIteration as stop:
            return stop.value

    def _check(self, started: float, heard: float) -> float:
        """The moment of the last sign of life."""
        now = time.monotonic()
        if self._search_until < math.inf and not self._is_given_up:
            self._is_given_up = now > self._search_until or not is_wanted()
            if self._is_given_up:
                self._cancel()
        if now - started > self.statement_seconds:
            reason = f"no result in {self.statement_seconds:g} seconds"
            self._give_up(InDoubtError(f"The database does not answer: {reason}"))
        if now - heard < SILENCE_SECONDS:
            return heard
        self._look_after_server(now - heard)
        return time.monotonic()

    def _look_after_server(self, silence: float) -> None:
        if not liveness.has_server(self.pgconn):
            self.hosts.avoid(self.pgconn)
            self._give_up(ServerSilentError(f"no answer in {silence:.0f} seconds"))
        if not self._has_session():
            self._give_up(ServerLostError("another server answers in place of the one that did"))

    def _has_session(self) -> bool:
        """Whether the server that answers now may be the one that runs the statement."""
        with contextlib.suppress(psycopg.Error, StoreUnavailableError):
            parameters = liveness.parameters(self.pgconn)
            with _Observer.connect(**parameters, autocommit=True) as observer:
                return liveness.has_session(observer, self.pgconn.backend_pid)
        return True

    def _give_up(self, error: Exception) -> NoReturn:
        # Closing the socket is all that works on a hung server.
        self.pgconn.finish()
        raise error


class _Observer(BoundedConnection):
    """A connection that watches another one, and is not watched itself."""

    statement_seconds = liveness.SIGN_OF_LIFE_SECONDS

    def _look_after_server(self, silence: float) -> None:
        pass


class PostgresqlConnection(WritesAlone):
    """See `Connection`."""

    generation = 0

    def __init__(self, raw: BoundedConnection, session: PreparedSession | PlainSession) -> None:
        self.raw = raw
        self._session = session
        self._poll = select.poll()
        self._poll.register(raw.pgconn.socket, select.POLLIN)
        self._trusted_until = math.inf
        if self._is_read_only():
            self._trusted_until = time.monotonic() + READ_ONLY_SECONDS

    def run(self, statement: Statement, values: Values) -> list[Row]:
        """See `Connection`."""
        try:
            return self._rows(statement, values)
        except ReadOnlyServerError:
            self.raw.hosts.avoid(self.raw.pgconn)
            raise

    def _rows(self, statement: Statement, values: Values) -> list[Row]:
        if not statement.is_search or inloop.waiter() is not None:
            return self._session.rows(statement, values)
        with self.raw.searching():
            rows = self._session.rows(statement, values)
            if isinstance(rows, CutRows) and self.raw.pgconn.transaction_status == _ACTIVE:
                self.raw.give_up_rest()
            return rows

    def begin(self) -> None:
        """See `Connection`."""
        self.run(_BEGIN, {})

    def commit(self) -> None:
        """See `Connection`."""
        self.run(_COMMIT, {})

    def rollback(self) -> None:
        """See `Connection`."""
        # A connection that cannot even do this is found out by `is_usable`.
        with contextlib.suppress(ConnectionLostError, RegistryError):
            self.run(_ROLLBACK, {})

    def in_transaction(self) -> bool:
        """See `Connection`."""
        return self.raw.pgconn.transaction_status == TransactionStatus.INTRANS

    def is_usable(self) -> bool:
        """See `Connection`."""
        # A server says nothing to an idle connection but that it is going away.
        pgconn = self.raw.pgconn
        return pgconn.transaction_status == _IDLE and not self._poll.poll(0)

    def was_demoted(self) -> bool:
        """See `Connection`."""
        if not self._is_read_only():
            return False
        return self._trusted_until == math.inf or time.monotonic() > self._trusted_until

    def _is_read_only(self) -> bool:
        # Reported from PostgreSQL 14 on, with the next answer after it has changed.
        status = self.raw.pgconn.parameter_status
        return (
            status(b"default_transaction_read_only") == b"on" or status(b"in_hot_standby") == b"on"
        )

    def close(self) -> None:
        """See `Connection`."""
        self.raw.close()


def _to_the_end(pgconn: PGconn) -> Generator[Wait, Ready | int, None]:
    """Take all results and look at none; pause until the socket is ready for what it says."""
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        if pgconn.get_result() is None:
            return


_ADAPTERS = AdaptersMap(psycopg.adapters)
# One type for all integers, so that a statement is prepared once and not per size of number.
_ADAPTERS.register_dumper(int, Int8Dumper)
# `rows` parses JSON, as it does for SQLite. Some engines have no JSON but `jsonb`.
_ADAPTERS.register_loader("json", TextLoader)
_ADAPTERS.register_loader("jsonb", TextLoader)


def _translated(error: BaseException | None) -> Exception:
    return from_sqlstate(getattr(error, "sqlstate", None), str(error).strip())
