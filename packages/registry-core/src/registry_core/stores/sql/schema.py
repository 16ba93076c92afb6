"""Which schema a database has, and bringing it to the one this release needs.

Strategy: an empty database is made ready when it is first opened, any other only on purpose, by
`upgrade`. What the migrations lead to is what `tables` describes, so an empty database is given
that at once: loading Alembic takes longer than all the rest. Either is one transaction, so that a
crash leaves all of it or nothing, and it looks again at what there is once it has the lock: of
several processes that start at once on an empty database one does it, and the others find that it
has. A database with tables, but without our own version table, is somebody else's and is not
touched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs
from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError

from registry_core.errors import BackendError, SchemaOutOfDateError, StoreUnavailableError
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Database, Driver
from registry_core.stores.sql.errors import DuplicateError, LostRaceError
from registry_core.stores.sql.tables import ALEMBIC_VERSION_TABLE, alembic_version, metadata

REVISIONS = ("0001",)
"""The line of migrations, oldest first; kept here so that opening a store need not load Alembic."""

MIGRATE_SECONDS = 60.0
"""How long to wait for another process that is migrating the same database."""

_POLL_SECONDS = 0.05

_MIGRATIONS = Path(__file__).parent / "migrations"

_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'",
    # What belongs to an extension is nobody's data.
    "postgresql": (
        "SELECT c.relname FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'f', 'v', 'm') "
        "AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d "
        "WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid "
        "AND d.deptype = 'e')"
    ),
}

_REVISION = f"SELECT version_num FROM {ALEMBIC_VERSION_TABLE}"  # noqa: S608 a constant

_in_this_process = threading.Lock()
"""Alembic keeps the migration that is running in a global."""


@attrs.frozen
class State:
    """What a database holds."""

    is_empty: bool
    revision: str | None
    """None when it is empty, or when migrating has not begun."""

    @property
    def is_older(self) -> bool:
        """Whether migrating leads from here to the head."""
        return self.revision is None or self.revision in REVISIONS[:-1]

    def require_head(self) -> None:
        """Returns when this is the schema of this release.

        Raises:
            SchemaOutOfDateError: it is an older or a newer one.
        """
        if self.revision == REVISIONS[-1]:
            return
        if self.is_older:
            raise SchemaOutOfDateError(
                f"The database has schema revision {self.revision}, and this release needs "
                f"{REVISIONS[-1]}: run `regctl db upgrade`"
            )
        raise SchemaOutOfDateError(
            f"The database has schema revision {self.revision}, written by a newer release than "
            f"this one, which knows revisions up to {REVISIONS[-1]}: run "
            "`pip install --upgrade registry-core`"
        )


def head() -> str:
    """The revision that this release needs."""
    return REVISIONS[-1]


def prepare(database: Database) -> None:
    """Makes a database ready for use: creates the tables of an empty one, and checks any other.

    Raises:
        BackendError: it belongs to somebody else.
        SchemaOutOfDateError: it has an older or a newer schema.
    """
    state = inspect(database)
    if state.is_empty:
        migrate(database.driver)
    else:
        state.require_head()


def inspect(database: Database) -> State:
    """What the database holds.

    Raises:
        BackendError: it belongs to somebody else.
    """

    def rows(text: str) -> list[str]:
        return [value for (value,) in database.read(Statement(text, ()), {})]

    return _state(rows, database.driver)


def migrate(driver: Driver) -> None:
    """Brings an empty database, or one of an older release, to the head.

    Raises:
        BackendError: it belongs to somebody else.
        SchemaOutOfDateError: it was written by a newer release.
        StoreUnavailableError: another process has been migrating it for too long.
    """
    deadline = time.monotonic() + MIGRATE_SECONDS
    while True:
        try:
            _migrate_once(driver)
        except (LostRaceError, DuplicateError) as error:
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    "Another process has been migrating the database for too long"
                ) from error
            time.sleep(_POLL_SECONDS)
        else:
            return


def _migrate_once(driver: Driver) -> None:
    try:
        with _in_this_process, driver.migration_engine().connect() as connection:
            driver.begin_migration(connection)

            def rows(text: str) -> list[str]:
                return list(connection.exec_driver_sql(text).scalars())

            state = _state(rows, driver)
            if not state.is_empty:
                # Two upgrades at once: the second waits here, and looks again.
                driver.lock_schema(connection)
                state = _state(rows, driver)
            if state.is_empty:
                _create_tables(connection)
                connection.commit()
            elif state.is_older:
                _run_alembic(connection)
                connection.commit()
            else:
                state.require_head()
    except DBAPIError as error:
        raise driver.translated(error.orig) from error


def _create_tables(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    alembic_version.create(connection, checkfirst=False)
    connection.execute(insert(alembic_version).values(version_num=head()))


def _run_alembic(connection: Connection) -> None:
    # Loaded here: the command line should not wait for it when there is nothing to migrate.
    from alembic import command  # noqa: PLC0415 as above
    from alembic.config import Config  # noqa: PLC0415 as above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _state(rows: Callable[[str], list[str]], driver: Driver) -> State:
    """What a database holds; `rows` runs a query of one column on it."""
    tables = rows(_TABLES[driver.dialect.name])
    if not tables:
        return State(is_empty=True, revision=None)
    if ALEMBIC_VERSION_TABLE not in tables:
        raise BackendError(
            "The database holds tables that are not a registry's "
            f"({', '.join(sorted(tables)[:5])}): give the registry a database of its own"
        )
    return State(is_empty=False, revision=next(iter(rows(_REVISION)), None))
