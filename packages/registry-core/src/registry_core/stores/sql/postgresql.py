"""PostgreSQL by psycopg 3."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.pool import NullPool

from registry_core import inloop
from registry_core.errors import (
    BackendNotInstalledError,
    RegistryError,
    StoreBusyError,
)
from registry_core.inloop import LoopReads
from registry_core.search.like import sql_like_pattern
from registry_core.stores.sql.compiling import LOCK_MILLISECONDS, Statement
from registry_core.stores.sql.driver import Values, WritesAlone
from registry_core.stores.sql.errors import (
    ConnectionLostError,
    ReadOnlyServerError,
    from_sqlstate,
)
from registry_core.stores.sql.results import CutRows, Row
from registry_core.stores.sql.tables import ALEMBIC_VERSION_TABLE

try:
    import psycopg
    from psycopg.adapt import AdaptersMap
    from psycopg.pq import TransactionStatus
    from psycopg.types.numeric import Int8Dumper
    from psycopg.types.string import TextLoader

    from registry_core.stores.sql import plain_session
    from registry_core.stores.sql.bounded_connection import STATEMENT_SECONDS, BoundedConnection
    from registry_core.stores.sql.hosts import Hosts
    from registry_core.stores.sql.plain_session import PlainSession
    from registry_core.stores.sql.postgresql_url import parameters
    from registry_core.stores.sql.prepared_session import PreparedSession, Preparing
except ModuleNotFoundError as error:
    raise BackendNotInstalledError(
        f"A PostgreSQL store needs the module '{error.name}', which is not installed: "
        "pip install 'registry-core[postgres]'"
    ) from error

CONNECT_SECONDS = 2
"""For a new connection to each host; psycopg knows no shorter time."""

READ_ONLY_SECONDS = 5.0
"""How long a connection that was opened to a server without writes is used for reads. That server
may be replaced by another one at any time, and would then answer with what used to be."""

MAX_CONNECTIONS = 16
"""Of one process, where no other number is configured: as many as a worker of the server has
threads and reads in its event loop. PostgreSQL admits 100 by default, for all processes."""

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
        self.loop_reads = None if self._is_plain else LoopReads(pauses=True, has_changes=True)
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
            self._hosts.avoid_timed_out(str(error))
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


class PostgresqlConnection(WritesAlone):
    """See `Connection`."""

    generation = 0

    def __init__(self, raw: BoundedConnection, session: PreparedSession | PlainSession) -> None:
        self.raw = raw
        self._session = session
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
        return pgconn.transaction_status == _IDLE and not self.raw.hears_within(0)

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


_ADAPTERS = AdaptersMap(psycopg.adapters)
# One type for all integers, so that a statement is prepared once and not per size of number.
_ADAPTERS.register_dumper(int, Int8Dumper)
# `rows` parses JSON, as it does for SQLite. Some engines have no JSON but `jsonb`.
_ADAPTERS.register_loader("json", TextLoader)
_ADAPTERS.register_loader("jsonb", TextLoader)


def _translated(error: BaseException | None) -> Exception:
    return from_sqlstate(getattr(error, "sqlstate", None), str(error).strip())
