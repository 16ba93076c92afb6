"""Which schema a database has, and bringing it to the one this release needs.

Strategy: an empty database is made ready when it is first opened, any other only on purpose, by
`upgrade`. What the migrations lead to is what `tables` describes, so an empty database is given
that at once: loading Alembic takes longer than all the rest. Either is one transaction, so that a
crash leaves all of it or nothing, and it looks again at what there is once it has the lock: of
several processes that start at once on an empty database one does it, and the others find that it
has. A database with tables, but without our own version table, is somebody else's and is not
touched.

Some engines commit every change of a schema by itself. So our version table comes first, and the
revision in it last; where that is missing, setting up was cut short, and the process that opens the
database next goes through all migrations, each of which does only what has not been done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError

from registry_core.backoff import Backoff
from registry_core.errors import BackendError, SchemaOutOfDateError, StoreUnavailableError
from registry_core.stores.sql import checks
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.driver import Driver
from registry_core.stores.sql.errors import ConnectionLostError, DuplicateError, LostRaceError
from registry_core.stores.sql.tables import ALEMBIC_VERSION_TABLE, alembic_version, metadata

REVISIONS = (
    "0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011",
    "0012", "0013",
)  # fmt: skip
"""The line of migrations, oldest first; kept here so that opening a store need not load Alembic."""

MIGRATE_SECONDS = 60.0
"""How long to wait for another process that is migrating the same database."""

_OTHERS_MIGRATION = Backoff(first_seconds=0.05, longest_seconds=0.5)
"""Between two attempts to migrate, while another process is at it for some tenths of a second."""

_MIGRATIONS = Path(__file__).parent / "migrations"

_REVISION = f"SELECT version_num FROM {ALEMBIC_VERSION_TABLE}"  # noqa: S608 a constant

_in_this_process = threading.Lock()
"""Alembic keeps the migration that is running in a global."""


@attrs.frozen
class State:
    """What a database holds."""

    contents: checks.Contents
    revision: str | None
    """None when it is empty, or when it was not set up to the end."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.contents.tables

    @property
    def is_ready(self) -> bool:
        """Whether it was set up, by this release or another."""
        return self.revision is not None

    @property
    def is_older(self) -> bool:
        """Whether migrating leads from here to the head."""
        return self.revision is None or self.revision in REVISIONS[:-1]

    def require_head(self) -> None:
        """Return when this is the schema of this release.

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
    """Return the revision that this release needs."""
    return REVISIONS[-1]


class EmptyDatabaseError(BackendError):
    """There is nothing in the database, and nothing was to be made."""


def prepare(database: Database, *, create: bool = True) -> None:
    """Make a database ready for use: create the tables of an empty one, and check any other.

    Raises:
        EmptyDatabaseError: It is empty, and `create` is not set.
        BackendError: it cannot hold a registry; see `checks.look`.
        NotPermittedError: its schema cannot be used, or has to be set up and cannot be changed.
        SchemaOutOfDateError: it has an older or a newer schema.
    """
    state = inspect(database)
    if state.is_ready:
        state.require_head()
    elif state.is_empty and not create and database.driver.is_lasting:
        raise EmptyDatabaseError("The database is empty")
    else:
        # A pooler may have no more than one connection for this process.
        database.close_idle()
        migrate(database)


def inspect(database: Database) -> State:
    """Return what the database holds.

    Raises:
        BackendError: it cannot hold a registry; see `checks.look`.
        NotPermittedError: its schema cannot be used.
    """
    return _state(lambda text: database.read(Statement(text, ()), {}), database.driver)


def migrate(database: Database) -> None:
    """Bring an empty database, or one of an older release, to the head.

    Raises:
        BackendError: it cannot hold a registry; see `checks.look`.
        NotPermittedError: its schema cannot be used, or not changed.
        SchemaOutOfDateError: it was written by a newer release.
        StoreUnavailableError: another process has been migrating it for too long.
    """
    # Asked here, too: SQLAlchemy cannot even connect to what does not call itself PostgreSQL.
    if not _may_change(inspect(database)):
        return
    pauses = _OTHERS_MIGRATION.pauses(until=time.monotonic() + MIGRATE_SECONDS)
    while True:
        try:
            _migrate_once(database.driver)
        except (LostRaceError, DuplicateError) as error:
            pause = next(pauses, None)
            if pause is None:
                raise StoreUnavailableError(
                    "Another process has been migrating the database for too long"
                ) from error
            time.sleep(pause)
        except ConnectionLostError as error:
            raise StoreUnavailableError(f"The database went away: {error}") from error
        else:
            return


def _migrate_once(driver: Driver) -> None:
    try:
        with _in_this_process, driver.migration_engine().connect() as connection:
            driver.begin_migration(connection)

            def ask(text: str) -> Sequence[Sequence[Any]]:
                return connection.exec_driver_sql(text).all()

            state = _state(ask, driver)
            if not state.is_empty:
                # Two upgrades at once: the second waits here, and looks again.
                driver.lock_schema(connection)
                state = _state(ask, driver)
            if _may_change(state):
                _set_up(connection, state)
                connection.commit()
    except DBAPIError as error:
        raise driver.translated(error.orig) from error


def _may_change(state: State) -> bool:
    """Whether there is something to change; raises where that cannot be done."""
    if not state.is_older:
        state.require_head()
        return False
    state.contents.require_changeable()
    return True


def _set_up(connection: Connection, state: State) -> None:
    if state.is_empty:
        _create_tables(connection)
    else:
        _run_alembic(connection)


def _create_tables(connection: Connection) -> None:
    alembic_version.create(connection, checkfirst=False)
    metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(alembic_version).values(version_num=head()))


def _run_alembic(connection: Connection, revision: str = "head") -> None:
    # Loaded here: the command line should not wait for it when there is nothing to migrate.
    from alembic import command  # noqa: PLC0415 as above
    from alembic.config import Config  # noqa: PLC0415 as above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _state(ask: checks.Ask, driver: Driver) -> State:
    """What a database holds that may hold a registry."""
    contents = checks.look(ask, driver.dialect.name)
    revisions = ask(_REVISION) if contents.tables else ()
    return State(contents, revision=revisions[0][0] if revisions else None)
