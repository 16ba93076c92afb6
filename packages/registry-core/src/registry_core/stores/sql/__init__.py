"""Registries in SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator

from registry_core.errors import BackendError, StoreNotFoundError, UnknownBackendError
from registry_core.redaction import redacted
from registry_core.store import Clock, system_clock
from registry_core.stores.sql import checks, schema
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
    url: str,
    *,
    clock: Clock = system_clock,
    connections: int | None = None,
    create: bool = True,
) -> SqlStore:
    """Return the registry in a database.

    URLs: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` (in memory, gone with the
    store), `postgresql://...` with any of libpq's parameters. A driver in the scheme, as in
    `postgresql+psycopg2://...`, changes nothing. An empty database is made ready, if `create` says
    so; `upgrade` migrates one of an older release. A process opens at most so many `connections`
    to a PostgreSQL server; without a number, `postgresql.MAX_CONNECTIONS`.

    Raises:
        InvalidUrlError: the URL is malformed, or names no place where a file can be.
        StoreNotFoundError: there is no registry, and `create` is not set.
        SchemaOutOfDateError: the database was written by an older or a newer release.
        UnsupportedBackendError: the server, or the encoding of the database, is not supported.
        NotPermittedError: the role may not use, or not set up, the schema of the database.
        BackendError: the database belongs to somebody else.
        StoreUnavailableError: the database cannot be reached.
    """
    driver = _driver(url, connections)
    if not create and not driver.exists():
        raise StoreNotFoundError(f"There is no registry at {redacted(url)}: the file is not there")
    database = Database(driver)
    try:
        with _explained(url):
            schema.prepare(database, create=create)
        return SqlStore(database, clock=clock)
    except BaseException:
        database.close()
        raise


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Have errors name the database, where what helps depends on its URL."""
    try:
        yield
    except schema.EmptyDatabaseError as error:
        raise StoreNotFoundError(
            f"There is no registry at {redacted(url)}: the database is empty"
        ) from error
    except checks.MlflowDatabaseError as error:
        raise BackendError(
            f"{redacted(url)} is a database of MLflow's. Copy its models into one of your own, and "
            f"name that: regctl copy mlflow+{redacted(url)} sqlite:///registry.db"
        ) from error


def upgrade(url: str) -> None:
    """Bring a database to the schema of this release; one that has it already is left alone.

    Raises:
        SchemaOutOfDateError: the database was written by a newer release.
        BackendError: the database cannot hold a registry; see `open_store`. Nothing was changed.
    """
    database = Database(_driver(url))
    try:
        with _explained(url):
            schema.migrate(database)
    finally:
        database.close()


def current(url: str) -> str | None:
    """Return the schema revision of a database; None for an empty one.

    Raises:
        BackendError: the database cannot hold a registry; see `open_store`.
    """
    driver = _driver(url)
    if not driver.exists():
        return None
    database = Database(driver)
    try:
        with _explained(url):
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
