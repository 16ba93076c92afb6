"""Registries in SQLite and PostgreSQL."""

from __future__ import annotations

import functools
import logging

from registry_core.errors import UnknownBackendError
from registry_core.store import Clock, system_clock
from registry_core.stores.sql import schema
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.driver import Driver
from registry_core.stores.sql.schema import head
from registry_core.stores.sql.sqlite import SqliteDriver
from registry_core.stores.sql.store import SqlStore

__all__ = ["SqlStore", "current", "head", "open_store", "upgrade"]

_POSTGRESQL = frozenset({"postgresql", "postgres"})

_OUR_DRIVERS = frozenset({"psycopg", "pysqlite"})
"""SQLAlchemy's names for the drivers that are used here."""

_logger = logging.getLogger(__name__)


def open_store(
    url: str, *, clock: Clock = system_clock, connections: int | None = None
) -> SqlStore:
    """The registry in a database.

    URLs: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` (in memory, gone with the
    store), `postgresql://...` with any of libpq's parameters. A driver in the scheme, as in
    `postgresql+psycopg2://...`, changes nothing. An empty database is made ready; `upgrade`
    migrates one of an older release. A process opens at most so many `connections` to a PostgreSQL
    server; without a number, `postgresql.MAX_CONNECTIONS`.

    Raises:
        InvalidUrlError: the URL is malformed.
        SchemaOutOfDateError: the database was written by an older or a newer release.
        UnsupportedBackendError: the server, or the encoding of the database, is not supported.
        NotPermittedError: the role may not use, or not set up, the schema of the database.
        BackendError: the database belongs to somebody else.
        StoreUnavailableError: the database cannot be reached.
    """
    database = Database(_driver(url, connections))
    try:
        schema.prepare(database)
        return SqlStore(database, clock=clock)
    except BaseException:
        database.close()
        raise


def upgrade(url: str) -> None:
    """Bring a database to the schema of this release; one that has it already is left alone.

    Raises:
        SchemaOutOfDateError: the database was written by a newer release.
        BackendError: the database cannot hold a registry; see `open_store`. Nothing was changed.
    """
    database = Database(_driver(url))
    try:
        schema.migrate(database)
    finally:
        database.close()


def current(url: str) -> str | None:
    """The schema revision of a database; None for an empty one.

    Raises:
        BackendError: the database cannot hold a registry; see `open_store`.
    """
    driver = _driver(url)
    if not driver.exists():
        return None
    database = Database(driver)
    try:
        return schema.inspect(database).revision
    finally:
        database.close()


def _driver(url: str, connections: int | None = None) -> Driver:
    scheme, _, driver = url.partition(":")[0].lower().partition("+")
    if driver and driver not in _OUR_DRIVERS:
        _say_that_it_is_not_used(driver)
    if scheme == "sqlite":
        return SqliteDriver.from_url(url)
    if scheme in _POSTGRESQL:
        # Imported here: SQLite needs no psycopg.
        from registry_core.stores.sql.postgresql import PostgresqlDriver  # noqa: PLC0415 as above

        postgresql = PostgresqlDriver.from_url(url)
        postgresql.max_connections = connections or postgresql.max_connections
        return postgresql
    raise UnknownBackendError(f"Not a SQL database: '{scheme}:'")


@functools.cache
def _say_that_it_is_not_used(driver: str) -> None:
    """Once in a process: configurations are shared with MLflow, which does use it."""
    _logger.warning(
        "The driver '%s' that the store URL names is not used: PostgreSQL is reached by psycopg 3, "
        "SQLite by Python's own sqlite3",
        driver,
    )
