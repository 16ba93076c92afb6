"""Every database reaches the schema of this release, or is left exactly as it was."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import event

from registry_core.errors import BackendError, RegistryError, SchemaOutOfDateError
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.stores import sql
from registry_core.stores.sql import current, head, schema, upgrade
from registry_core.stores.sql.postgresql import PostgresqlDriver
from registry_core.stores.sql.sqlite import SqliteDriver
from registry_core.stores.sql.tables import ALEMBIC_VERSION_TABLE, metadata
from registry_core.testing.racing import race
from services import forking
from services.examples import one_of
from services.opened import open_sql_store as open_store

CONTESTANTS = 3

HEAD, NEXT = head(), "9999"
"""The revisions of this release and of the one after it."""

NEXT_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{head}"


def upgrade():
    op.add_column("registered_models", sa.Column("colour", sa.Text(), nullable=True))
    {then}
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return request.getfixturevalue("empty_postgres_url")


@contextlib.contextmanager
def connected(url: str) -> Iterator[Callable[[str], list[tuple]]]:
    """Runs statements on a database, each by itself."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url[10:], isolation_level=None)) as connection:
            yield lambda text: connection.execute(text).fetchall()
    else:
        with psycopg.connect(url, autocommit=True) as connection:

            def run(text: str) -> list[tuple]:
                cursor = connection.execute(text)
                return cursor.fetchall() if cursor.description else []

            yield run


def catalog(url: str) -> list[tuple]:
    """Everything that a database knows about its tables, columns, constraints and indexes."""
    with connected(url) as run:
        if url.startswith("sqlite"):
            found = run("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master")
            columns = [
                ("columns", name, repr(run(f"PRAGMA table_xinfo({name})")))
                for kind, name, *_ in found
                if kind == "table"
            ]
            return sorted([*((*row[:3], *parts_of(row[3])) for row in found), *columns])
        columns = run(
            "SELECT table_name, column_name, ordinal_position, data_type, is_nullable, "
            "collation_name, column_default, generation_expression "
            "FROM information_schema.columns WHERE table_schema = 'public'"
        )
        indexes = run(
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        )
        constraints = run(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = 'public'::regnamespace"
        )
        return sorted(map(repr, columns + indexes + constraints))


def parts_of(text: str) -> list[str]:
    """The parts of a statement of SQLite in any order: a column that was added is the last."""
    return sorted(
        re.split(r"\s*,\s*|\s*[()]\s*|\s+(?=CONSTRAINT)", re.sub(r'\s+|"', " ", text).strip())
    )


def migrate_from_nothing(url: str, revision: str = "head") -> None:
    """What Alembic makes of an empty database, migration by migration."""
    with sql._driver(url).migration_engine().connect() as connection:
        schema._run_alembic(connection, revision)
        connection.commit()


def line() -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(schema._MIGRATIONS))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][
        ::-1
    ]


@pytest.fixture
def next_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Makes this the release after this one, with one more migration."""

    def release(then: str = "pass") -> None:
        migrations = tmp_path / "migrations"
        shutil.copytree(schema._MIGRATIONS, migrations)
        migration = NEXT_MIGRATION.format(revision=NEXT, head=HEAD, then=then)
        (migrations / "versions" / f"{NEXT}_next.py").write_text(migration)
        monkeypatch.setattr(schema, "_MIGRATIONS", migrations)
        monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, NEXT))

    return release


def test_migrations_lead_from_nothing_to_the_tables(url: str, tmp_path: Path) -> None:
    """An empty database gets the same at once, down to the row that says so."""
    migrate_from_nothing(url)
    migrated, revision = catalog(url), current(url)
    if url.startswith("sqlite"):
        url = f"sqlite:///{tmp_path / 'created.db'}"
    else:
        with connected(url) as run:
            run("DROP SCHEMA public CASCADE")
            run("CREATE SCHEMA public")
    open_store(url).close()
    assert catalog(url) == migrated
    assert current(url) == revision == head()


def test_migrations_are_one_line_and_the_store_knows_it() -> None:
    """The revisions that opening a store compares with are those that Alembic would apply."""
    assert tuple(line()) == schema.REVISIONS
    assert head() == schema.REVISIONS[-1]


def test_opening_an_empty_database_migrates_it(url: str) -> None:
    """Nothing has to be called before the first use."""
    assert current(url) is None
    open_store(url).close()
    assert current(url) == head()


def test_upgrading_what_is_up_to_date_changes_nothing(url: str) -> None:
    """It may be part of every deployment."""
    open_store(url).close()
    before = catalog(url)
    upgrade(url)
    assert catalog(url) == before
    assert current(url) == head()


def test_upgrading_an_empty_database_migrates_it(url: str) -> None:
    upgrade(url)
    assert current(url) == head()


def test_threads_that_open_an_empty_database_at_once_all_succeed(url: str) -> None:
    """One migrates; the others wait for it."""

    def open_one() -> None:
        store = open_store(url)
        store.ping()
        store.close()

    assert [outcome.error for outcome in race(*[open_one] * CONTESTANTS)] == [None] * CONTESTANTS
    assert current(url) == head()


OPEN_AT_THE_WORD = """
import sys
from registry_core.stores.sql import open_store
print("ready", flush=True)
sys.stdin.readline()
store = open_store(sys.argv[1])
store.ping()
store.close()
"""


def test_processes_that_open_an_empty_database_at_once_all_succeed(url: str) -> None:
    """As the worker processes of a server do at its first start."""
    with contextlib.ExitStack() as stack:
        talks = [
            stack.enter_context(forking.talking(forking.CODE, OPEN_AT_THE_WORD, url))
            for _ in range(CONTESTANTS)
        ]
        assert [talk.stdout.readline() for talk in talks] == ["ready\n"] * CONTESTANTS
        for talk in talks:
            print("go", file=talk.stdin)
        assert [talk.process.wait(60) for talk in talks] == [0] * CONTESTANTS
    assert current(url) == head()


def test_an_older_schema_is_refused_until_it_is_upgraded(url: str, next_release) -> None:
    """The message names the command; upgrading keeps what is stored."""
    store = open_store(url)
    store.create_registered_model(NewRegisteredModel(name="m", tags={"k": "v"}))
    store.create_model_version(NewModelVersion(name="m", source="s"))
    store.close()
    next_release()
    before = catalog(url)
    with pytest.raises(SchemaOutOfDateError, match="regctl db upgrade"):
        open_store(url)
    assert catalog(url) == before
    assert current(url) == HEAD
    upgrade(url)
    assert current(url) == NEXT
    store = open_store(url)
    model = store.get_registered_model("m")
    assert (model.tags, [v.version for v in model.latest_versions]) == ({"k": "v"}, [1])
    store.close()


def test_racing_upgrades_apply_a_migration_once(url: str, next_release) -> None:
    """The one that comes second finds that there is nothing left to do."""
    open_store(url).close()
    next_release()
    outcomes = race(*[lambda: upgrade(url)] * CONTESTANTS)
    assert [outcome.error for outcome in outcomes] == [None] * CONTESTANTS
    assert current(url) == NEXT


def test_a_migration_that_fails_leaves_nothing_behind(url: str, next_release) -> None:
    """Neither the column that it had added already nor its revision."""
    open_store(url).close()
    before = catalog(url)
    next_release(then="raise RuntimeError('half-way')")
    with pytest.raises(RuntimeError, match="half-way"):
        upgrade(url)
    assert catalog(url) == before
    assert current(url) == HEAD


class PowerCutError(Exception):
    """The machine has lost power."""


@attrs.define
class Engine:
    """An engine that commits every statement of a migration by itself, and can be cut off."""

    statements_left: int

    def count(self, connection, cursor, statement, *_: object) -> None:
        if statement.lstrip().startswith(("CREATE", "DROP", "ALTER", "INSERT", "UPDATE")):
            if not self.statements_left:
                raise PowerCutError
            self.statements_left -= 1


@pytest.fixture
def commits_by_itself(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes databases such engines, on which migrations end after so many changes."""
    real = {kind: kind.migration_engine for kind in (SqliteDriver, PostgresqlDriver)}

    def cut_after(statements: int) -> None:
        engine = Engine(statements)

        def migration_engine(driver):
            made = real[type(driver)](driver).execution_options(isolation_level="AUTOCOMMIT")
            event.listen(made, "before_cursor_execute", engine.count)
            return made

        for kind in real:
            monkeypatch.setattr(kind, "migration_engine", migration_engine)

    monkeypatch.setattr(SqliteDriver, "begin_migration", lambda *_: None)
    return cut_after


def emptied(url: str) -> str:
    if url.startswith("sqlite"):
        for path in Path(url[10:]).parent.glob("registry.db*"):
            path.unlink()
    else:
        with connected(url) as run:
            run("DROP SCHEMA public CASCADE")
            run("CREATE SCHEMA public")
    return url


CUT_AFTER_ALL = 1_000

HURRIED = 5
"""In the gate every so many statements are cut after; in between nothing else is tried."""


@pytest.mark.parametrize("action", [open_store, upgrade])
def test_a_schema_that_was_cut_short_is_finished(url: str, commits_by_itself, action) -> None:
    """After whichever statement, by opening as by upgrading, on an engine that undoes nothing."""
    open_store(url).close()
    whole = catalog(url)
    cut_short = 0
    for statements in range(1, CUT_AFTER_ALL, HURRIED):
        emptied(url)
        commits_by_itself(statements)
        try:
            open_store(url).close()
        except PowerCutError:
            cut_short += 1
        else:
            break
        assert current(url) is None
        commits_by_itself(CUT_AFTER_ALL)
        opened = action(url)
        if opened is not None:
            opened.close()
        assert (catalog(url), current(url)) == (whole, head())
    assert cut_short >= len(metadata.tables) // HURRIED


@pytest.mark.scaled
def test_an_upgrade_that_was_cut_short_is_finished(url: str, commits_by_itself) -> None:
    """From the first release on, after whichever statement of whichever migration; here some."""
    open_store(url).close()
    whole = catalog(url)
    for statements in range(0, CUT_AFTER_ALL, one_of(9)):
        emptied(url)
        commits_by_itself(CUT_AFTER_ALL)
        migrate_from_nothing(url, "0001")
        commits_by_itself(statements)
        try:
            upgrade(url)
        except PowerCutError:
            commits_by_itself(CUT_AFTER_ALL)
            upgrade(url)
            assert (catalog(url), current(url)) == (whole, head())
        else:
            break
    assert (catalog(url), current(url)) == (whole, head())


def test_several_that_finish_a_schema_at_once_all_succeed(url: str, commits_by_itself) -> None:
    commits_by_itself(4)
    with pytest.raises(PowerCutError):
        open_store(url)
    commits_by_itself(CUT_AFTER_ALL)
    outcomes = race(*[lambda: upgrade(url)] * CONTESTANTS)
    assert [outcome.error for outcome in outcomes] == [None] * CONTESTANTS
    assert current(url) == head()


def test_a_newer_schema_is_refused(url: str) -> None:
    """By opening and by upgrading, whoever wrote it."""
    open_store(url).close()
    with connected(url) as run:
        run(f"UPDATE {ALEMBIC_VERSION_TABLE} SET version_num = '9999'")
    before = catalog(url)
    for refused in (open_store, upgrade):
        with pytest.raises(
            SchemaOutOfDateError, match=r"written by a newer release.*: run `pip install --upgrade"
        ):
            refused(url)
    assert catalog(url) == before


def test_a_database_of_somebody_else_is_never_touched(url: str) -> None:
    """Such as MLflow's, whose tables have the same names."""
    with connected(url) as run:
        run("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        run("INSERT INTO alembic_version VALUES ('dc11669786a5')")
        run("CREATE TABLE registered_models (name VARCHAR(256))")
        run("INSERT INTO registered_models VALUES ('theirs')")
    before = catalog(url)
    for refused in (open_store, upgrade, current):
        with pytest.raises(
            BackendError, match=r"not a registry's \(alembic_version, registered_models"
        ):
            refused(url)
    assert catalog(url) == before
    with connected(url) as run:
        assert run("SELECT * FROM registered_models") == [("theirs",)]


def test_a_schema_that_has_been_damaged_is_an_error_of_ours(url: str) -> None:
    """No driver's exception comes through when a table is missing."""
    store = open_store(url)
    with connected(url) as run:
        run("DROP TABLE webhooks")
    with pytest.raises(RegistryError, match="webhooks"):
        store.list_webhooks()
    store.close()


def test_current_does_not_create_what_it_is_asked_about(tmp_path: Path) -> None:
    """Asking for the revision of a file that does not exist leaves no file."""
    path = tmp_path / "absent.db"
    assert current(f"sqlite:///{path}") is None
    assert not path.exists()
