"""PostgreSQL by psycopg 3.

Strategy for servers that do not answer: TCP does not tell a hung server from a slow statement. So
whoever has heard nothing for `SILENCE_SECONDS` asks the server's front door for a sign of life; if
there is none the statement is given up, else it may take `STATEMENT_SECONDS` in all. This is the
client's own clock: no session state is needed, and it works through a connection pooler.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import time
from collections.abc import Generator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.pool import NullPool

from registry_core import at_once
from registry_core.at_once import Waiter
from registry_core.errors import (
    BackendNotInstalledError,
    RegistryError,
    StoreBusyError,
)
from registry_core.search.like import sql_like_pattern
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Row, Values
from registry_core.stores.sql.errors import ConnectionLostError, InDoubtError, from_sqlstate
from registry_core.stores.sql.tables import ALEMBIC_VERSION_TABLE

try:
    import psycopg
    from psycopg.adapt import AdaptersMap
    from psycopg.pq import TransactionStatus
    from psycopg.pq.abc import PGconn
    from psycopg.types.numeric import Int8Dumper
    from psycopg.types.string import TextLoader
    from psycopg.waiting import Ready, Wait

    from registry_core.stores.sql.exchange import Exchange, Preparing
    from registry_core.stores.sql.postgresql_url import parameters
except ModuleNotFoundError as error:
    raise BackendNotInstalledError(
        f"A PostgreSQL store needs the module '{error.name}', which is not installed: "
        "pip install 'registry-core[postgres]'"
    ) from error

CONNECT_SECONDS = 3
"""For a new connection."""

SILENCE_SECONDS = 2.0
"""After that long without a byte, the server is asked for a sign of life."""

SIGN_OF_LIFE_SECONDS = 1.5
"""For that sign. With `SILENCE_SECONDS` it makes a hung server known within 5 seconds."""

STATEMENT_SECONDS = 60.0
"""For a statement on a server that is alive. The longest of ours renames a model, whose versions
the foreign keys follow one by one: 10,000 took 7 seconds on a busy machine."""

MAX_CONNECTIONS = 16
"""Of one process; PostgreSQL admits 100 by default, for all of them."""

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
    # A client that freezes in a transaction must not keep a model's row locked for ever.
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
    "SET LOCAL idle_in_transaction_session_timeout = '10s'",
    (),
    prepare=False,
)
_COMMIT = Statement("COMMIT", (), prepare=False)
_ROLLBACK = Statement("ROLLBACK", (), prepare=False)

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""The question that a server answers with one byte before it knows who asks."""

_IDLE = TransactionStatus.IDLE

_READY = {(True, False): Ready.R, (False, True): Ready.W, (True, True): Ready.RW}
"""Psycopg's words for what a socket is ready for."""


class PostgresqlDriver:
    """Reaches one database."""

    dialect = _DIALECT
    insert = staticmethod(insert)
    max_connections = MAX_CONNECTIONS
    has_one_writer = False
    writes_at_once = True
    waits_for_sockets = True

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self._preparing = Preparing()

    @classmethod
    def from_url(cls, url: str) -> PostgresqlDriver:
        """The driver for a URL of libpq, whatever SQLAlchemy's name for the scheme.

        Raises:
            InvalidUrlError: the URL is malformed.
        """
        return cls(_DEFAULTS | parameters(url) | {"client_encoding": "UTF8"})

    def exists(self) -> bool:
        """See `Driver`."""
        return True

    def connect(self) -> PostgresqlConnection:
        """See `Driver`."""
        return PostgresqlConnection(self.raw_connection(), self._preparing)

    def raw_connection(self) -> BoundedConnection:
        """A connection of psycopg, committing by itself."""
        try:
            raw = BoundedConnection.connect(
                **self.parameters,
                autocommit=True,
                prepare_threshold=None,
                context=_ADAPTERS,
                cursor_factory=psycopg.RawCursor,
            )
        except psycopg.Error as error:
            raise StoreBusyError(f"The database cannot be reached: {error}") from error
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
        """A pattern for LIKE."""
        return sql_like_pattern(like)

    def listed(self, texts: Sequence[str]) -> list[str]:
        """An array parameter."""
        return list(texts)


class BoundedConnection(psycopg.Connection[Row]):
    """A connection of psycopg that waits for a server that is alive, and not for ever."""

    statement_seconds = STATEMENT_SECONDS

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """What psycopg's `wait` returns."""
        waiter = at_once.waiter()
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
        if now - started > self.statement_seconds:
            self._give_up(f"no result in {self.statement_seconds:g} seconds")
        if now - heard > SILENCE_SECONDS:
            if not self._has_sign_of_life():
                self._give_up(f"no answer in {now - heard:.0f} seconds")
            return time.monotonic()
        return heard

    def _give_up(self, reason: str) -> None:
        # Closing the socket is all that works on a hung server.
        self.pgconn.finish()
        raise InDoubtError(f"The database does not answer: {reason}")

    def _has_sign_of_life(self) -> bool:
        with contextlib.suppress(OSError), _dial(self.pgconn) as door:
            door.settimeout(SIGN_OF_LIFE_SECONDS)
            door.sendall(_SSL_REQUEST)
            return bool(door.recv(1))
        return False


class PostgresqlConnection:
    """See `Connection`."""

    def __init__(self, raw: BoundedConnection, preparing: Preparing) -> None:
        self.raw = raw
        self._exchange = Exchange(raw, preparing)
        self._poll = select.poll()
        self._poll.register(raw.pgconn.socket, select.POLLIN)

    def run(self, statement: Statement, values: Values) -> list[Row]:
        """See `Connection`."""
        return self._exchange.rows(statement, values)

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

    def close(self) -> None:
        """See `Connection`."""
        self.raw.close()


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    # One type for all integers, so that a statement is prepared once and not per size of number.
    adapters.register_dumper(int, Int8Dumper)
    # `rows` parses JSON, as it does for SQLite. Some engines have no JSON but `jsonb`.
    adapters.register_loader("json", TextLoader)
    adapters.register_loader("jsonb", TextLoader)
    return adapters


_ADAPTERS = _adapters()


def _dial(pgconn: PGconn) -> socket.socket:
    """A connection to where another one is connected to."""
    host, port = pgconn.host.decode(), int(pgconn.port)
    if host.startswith("/"):
        local = socket.socket(socket.AF_UNIX)
        local.settimeout(SIGN_OF_LIFE_SECONDS)
        local.connect(f"{host}/.s.PGSQL.{port}")
        return local
    address = pgconn.hostaddr.decode() or host
    return socket.create_connection((address, port), SIGN_OF_LIFE_SECONDS)


def _translated(error: BaseException | None) -> Exception:
    return from_sqlstate(getattr(error, "sqlstate", None), str(error).strip())
