"""What a store does when its database goes away, hangs, is full, or is not what it should be."""

from __future__ import annotations

import contextlib
import re
import select
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import psycopg
import pytest

from registry_core.errors import (
    BackendError,
    ContentionError,
    InvalidUrlError,
    NotPermittedError,
    RegistryError,
    StoreBusyError,
    StoreCorruptedError,
    StoreUnavailableError,
    UnknownBackendError,
)
from registry_core.history import EventQuery
from registry_core.models import (
    NewModelVersion,
    NewRegisteredModel,
    NewWebhook,
    Stage,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
)
from registry_core.store import Store
from registry_core.stores.sql import (
    SqlStore,
    bounded_connection,
    database,
    pool,
    postgresql,
    sqlite,
)
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.errors import (
    ConnectionLostError,
    InDoubtError,
    LostRaceError,
    from_sqlstate,
)
from registry_core.stores.sql.postgresql import PostgresqlDriver
from registry_core.stores.sql.sqlite import SqliteDriver
from registry_core.testing.racing import race
from services.opened import open_sql_store as open_store
from services.opened import opened_sql_store as opened
from services.opened import sql_store_on
from services.postgres import PostgresServer

PROMPTLY = 20.0
"""Seconds within which a store says that its database does not answer: 3 on an idle machine, and minutes
where only TCP finds out."""

HOOK = NewWebhook(
    webhook_id="w",
    name="w",
    url="https://e.x",
    events=(WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED),),
)
NEW = NewModelVersion(name="m", source="s", tags={"k": "v"})


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return request.getfixturevalue("postgres_url")


@contextlib.contextmanager
def raises_promptly(kind: type[Exception] = StoreUnavailableError) -> Iterator[None]:
    started = time.monotonic()
    with pytest.raises(kind):
        yield
    assert time.monotonic() - started < PROMPTLY


def create_model(store: Store, name: str = "m") -> None:
    store.create_registered_model(NewRegisteredModel(name=name))


def numbers(store: Store) -> list[int]:
    found = []
    for number in range(1, 2000):
        try:
            found.append(store.get_model_version("m", number).version)
        except LookupError:
            break
    return found


class Faulty:
    """A driver whose connections ask `fault` before each statement, by name, and after COMMIT.

    Before a statement that changes something outside a transaction they ask by "alone", too.
    """

    def __init__(self, driver, fault: Callable[[str, object], None]) -> None:
        self._driver = driver
        self.fault = fault

    def __getattr__(self, name):
        return getattr(self._driver, name)

    def connect(self):
        return FaultyConnection(self._driver.connect(), self.fault)


class FaultyConnection:
    def __init__(self, connection, fault) -> None:
        self._connection = connection
        self._fault = fault
        self._is_in_transaction = False
        self.generation = 0

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def run(self, statement, values):
        if not self._is_in_transaction and re.search("INSERT|UPDATE|DELETE", statement.text):
            self._fault("alone", self._connection)
        self._fault(statement.text.partition(" ")[0], self._connection)
        return self._connection.run(statement, values)

    def run_later(self, statement, values):
        self._fault(statement.text.partition(" ")[0], self._connection)
        self._connection.run_later(statement, values)

    def begin(self):
        self._fault("BEGIN", self._connection)
        self._connection.begin()
        self._is_in_transaction = True

    def commit(self):
        self._fault("COMMIT", self._connection)
        self._connection.commit()
        self._is_in_transaction = False
        self._fault("committed", self._connection)

    def rollback(self):
        self._is_in_transaction = False
        self._connection.rollback()


def driver(url: str):
    return (SqliteDriver if url.startswith("sqlite") else PostgresqlDriver).from_url(url)


@attrs.define
class Faults:
    """Does something the first `times` that a store comes to a certain point."""

    at: str = ""
    times: int = 0
    do: Callable[[object], None] = lambda connection: None

    def __call__(self, point: str, connection: object) -> None:
        if point == self.at and self.times > 0:
            self.times -= 1
            self.do(connection)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@contextlib.contextmanager
def faulty_on(url: str, faults: Faults) -> Iterator[SqlStore]:
    """A store with a model `m` of one version, whose connections fail as `faults` says."""
    with opened(url) as store:
        create_model(store)
        store.create_model_version(NEW)
    store = sql_store_on(Database(Faulty(driver(url), faults)))
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def faulty(url: str, faults: Faults) -> Iterator[SqlStore]:
    """See `faulty_on`."""
    with faulty_on(url, faults) as store:
        yield store


def raising(error: Exception) -> Callable[[object], None]:
    def do(connection: object) -> None:
        raise error

    return do


def transition(store: Store) -> Stage:
    moved = store.transition_model_version_stage(
        "m", 1, stage=Stage.PRODUCTION, archive_existing_versions=True
    )
    return moved.current_stage


# What is repeated, and what is not


@pytest.mark.parametrize("point", ["BEGIN", "UPDATE", "SELECT", "COMMIT"])
def test_a_lost_race_is_repeated(faulty: SqlStore, faults: Faults, point: str) -> None:
    """Wherever in a transaction it is lost, nothing of the first attempts is left."""
    faults.at, faults.times, faults.do = point, 3, raising(LostRaceError("busy"))
    assert transition(faulty) is Stage.PRODUCTION
    assert faults.times == 0


def test_a_race_lost_for_too_long_is_contention(
    faulty: SqlStore, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was written, and the connection is as good as before."""
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.05)
    faults.at, faults.times, faults.do = "COMMIT", 10**6, raising(LostRaceError("busy"))
    with pytest.raises(ContentionError):
        transition(faulty)
    faults.times = 0
    assert faulty.get_model_version("m", 1).current_stage is Stage.NONE
    assert transition(faulty) is Stage.PRODUCTION


@pytest.mark.parametrize("point", ["BEGIN", "UPDATE", "SELECT"])
def test_a_connection_lost_before_commit_is_replaced(
    faulty: SqlStore, faults: Faults, point: str
) -> None:
    """What has not been committed has not happened, so it may be done again."""
    faults.at, faults.times, faults.do = point, 1, raising(ConnectionLostError("gone"))
    assert transition(faulty) is Stage.PRODUCTION


def test_a_read_is_repeated_once(faulty: SqlStore, faults: Faults) -> None:
    """On a new connection; when that fails too, the database is away."""
    faults.at, faults.times, faults.do = "SELECT", 1, raising(ConnectionLostError("gone"))
    assert faulty.get_registered_model("m").name == "m"
    faults.times = 2
    with pytest.raises(StoreBusyError):
        faulty.get_registered_model("m")
    assert faulty.get_registered_model("m").name == "m"


def test_a_commit_without_a_reply_is_not_repeated(faulty: SqlStore, faults: Faults) -> None:
    """The caller learns that the change may have been made; it was, and only once."""
    faults.at, faults.times, faults.do = "committed", 1, raising(ConnectionLostError("gone"))
    with pytest.raises(InDoubtError, match="may or may not"):
        transition(faulty)
    assert faulty.get_model_version("m", 1).current_stage is Stage.PRODUCTION


DELETE = Statement("DELETE FROM webhooks WHERE webhook_id = 'w'", ())
"""A change that is one statement."""


def test_a_single_statement_without_a_reply_is_not_repeated(
    faulty: SqlStore, faults: Faults
) -> None:
    """It is its own commit."""
    faulty.create_webhook(HOOK)
    faults.at, faults.times, faults.do = "alone", 1, raising(ConnectionLostError("gone"))
    with pytest.raises(InDoubtError, match="may or may not"):
        faulty._database.write(DELETE, {})
    assert [hook.name for hook in faulty.list_webhooks()] == ["w"]
    faults.times, faults.do = 1, raising(ConnectionLostError("gone", in_doubt=False))
    faulty._database.write(DELETE, {})
    assert faults.times == 0
    assert faulty.list_webhooks() == []


def test_a_change_with_its_event_is_a_single_statement_too(postgres_url: str) -> None:
    """Where it is one, both are there or neither, and both only once."""
    faults = Faults(at="alone", times=1, do=raising(ConnectionLostError("gone")))
    with faulty_on(postgres_url, faults) as store:
        with pytest.raises(InDoubtError, match="may or may not"):
            store.set_registered_model_tag("m", "k", "v")
        assert store.get_registered_model("m").tags == {}
        assert [event.sequence for event in store.events(EventQuery(name="m"))] == [2, 1]
        faults.times, faults.do = 1, raising(ConnectionLostError("gone", in_doubt=False))
        store.set_registered_model_tag("m", "k", "v")
        assert faults.times == 0
        assert store.get_registered_model("m").tags == {"k": "v"}
        assert [event.sequence for event in store.events(EventQuery(name="m"))] == [3, 2, 1]


@pytest.mark.parametrize("point", ["BEGIN", "UPDATE", "SELECT"])
def test_a_transaction_without_a_commit_has_written_nothing(
    faulty: SqlStore, faults: Faults, point: str
) -> None:
    """Whether the connection is lost again and again, or the server hangs: a client may repeat it."""
    for error in (ConnectionLostError("gone"), InDoubtError("no answer")):
        faults.at, faults.times, faults.do = point, 2, raising(error)
        with pytest.raises(StoreBusyError):
            transition(faulty)
        faults.times = 0
        assert faulty.get_model_version("m", 1).current_stage is Stage.NONE


@pytest.mark.parametrize("severity", ["FATAL", "PANIC"])
@pytest.mark.parametrize("code", ["53200", "58030", "25006", "57014", "40001"])
def test_an_error_that_ends_the_connection_does_not_say_what_was_written(
    code: str, severity: str
) -> None:
    """As when the log cannot be written at a commit; an ordinary error of the code undoes it."""
    ended = from_sqlstate(code, "m", severity)
    assert isinstance(ended, ConnectionLostError)
    assert ended.in_doubt
    assert not getattr(from_sqlstate(code, "m"), "in_doubt", False)


def test_an_error_in_a_transaction_undoes_it(faulty: SqlStore, faults: Faults) -> None:
    """Whatever the error is, and also when it is nobody's fault but ours."""
    before = faulty.get_registered_model("m")
    faults.at, faults.times, faults.do = "SELECT", 1, raising(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        transition(faulty)
    assert faulty.get_registered_model("m") == before


def test_a_connection_knows_whether_its_transaction_goes_on(url: str) -> None:
    """Before one, in one, and after one."""
    with opened(url) as store:
        connection = store._database._pool.take(fresh=True)
        found = [connection.in_transaction()]
        connection.begin()
        found.append(connection.in_transaction())
        connection.rollback()
        found.append(connection.in_transaction())
        store._database._pool.put_back(connection)
    assert found == [False, True, False]


def test_a_full_house_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits too long for a connection is told so."""
    monkeypatch.setattr(pool, "ACQUIRE_SECONDS", 0.05)
    with opened(url) as store:
        kept = store._database._pool
        taken = [kept.take(fresh=True) for _ in range(kept._driver.max_connections)]
        with pytest.raises(StoreBusyError, match="in use"):
            store.ping()
        for connection in taken:
            kept.put_back(connection)
        store.ping()


def test_a_closed_store_says_so(url: str) -> None:
    store = open_store(url)
    store.close()
    store.close()
    with pytest.raises(RegistryError, match="closed"):
        store.ping()


def test_idle_connections_are_used_last_in_first_out_and_replaced_when_old(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall may have forgotten a connection that nobody has used for minutes."""
    with opened(url) as store:
        kept = store._database._pool
        store.ping()
        first = kept._idle[-1][1]
        store.ping()
        assert kept._idle[-1][1] is first
        monkeypatch.setattr(pool, "MAX_IDLE_SECONDS", -1.0)
        store.ping()
        assert kept._idle[-1][1] is not first


FORK = """
import os, sys
from registry_core.models import NewRegisteredModel
from registry_core.stores.sql import open_store
from registry_core.testing.calls import Calls

store = Calls(open_store(sys.argv[1]))
store.create_registered_model(NewRegisteredModel(name="parent"))
child = os.fork()
if child == 0:
    store.create_registered_model(NewRegisteredModel(name="child"))
    store.get_registered_model("parent")
    store.close()
    os._exit(0)
for _ in range(50):
    store.set_registered_model_tag("parent", "k", "v")
assert os.waitpid(child, 0)[1] == 0
store.get_registered_model("child")
store.close()
"""


def test_a_store_survives_a_fork(url: str) -> None:
    """Parent and child go on with connections of their own, at the same time."""
    subprocess.run([sys.executable, "-W", "error", "-c", FORK, url], check=True, timeout=60)


# PostgreSQL


def test_a_restart_between_two_calls_is_not_noticed(own_server: PostgresServer) -> None:
    """Connections that the server has closed are replaced before they are used, also for writes."""
    with opened(own_server.url()) as store:
        create_model(store)
        store.create_model_version(NEW)
        own_server.restart()
        assert store.create_model_version(NEW).version == 2
        own_server.restart()
        assert store.get_registered_model("m").latest_versions[0].version == 2
        own_server.kill()
        own_server.start()
        assert transition(store) is Stage.PRODUCTION
        store.delete_registered_model("m")


def test_a_server_that_is_down_is_unavailable_until_it_is_up(own_server: PostgresServer) -> None:
    """Every call says so at once, and that it did nothing; all work again without anybody's help."""
    with opened(own_server.url()) as store:
        create_model(store)
        own_server.stop()
        for call in (
            store.ping,
            lambda: create_model(store, "n"),
            lambda: store.create_model_version(NEW),
            lambda: transition(store),
            lambda: open_store(own_server.url()),
        ):
            with raises_promptly(StoreBusyError):
                call()
        own_server.start()
        assert store.create_model_version(NEW).version == 1
        store.delete_registered_model("m")


def test_acknowledged_versions_survive_the_death_of_the_server(own_server: PostgresServer) -> None:
    """After a crash every acknowledged version is there, once, and no other."""
    acknowledged: list[int] = []
    stop = threading.Event()
    with opened(own_server.url()) as store:
        create_model(store)

        def write() -> None:
            while not stop.is_set():
                with contextlib.suppress(StoreBusyError):
                    acknowledged.append(store.create_model_version(NEW).version)

        def wait_for(count: int) -> None:
            while len(acknowledged) < count:
                time.sleep(0.005)

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        wait_for(40)
        own_server.kill()
        own_server.start()
        wait_for(len(acknowledged) + 40)
        stop.set()
        for writer in writers:
            writer.join()
        assert sorted(acknowledged) == numbers(store) == list(range(1, len(acknowledged) + 1))
        store.delete_registered_model("m")


def test_a_server_that_hangs_is_unavailable_until_it_goes_on(own_server: PostgresServer) -> None:
    """It accepts connections and answers nothing, which TCP cannot tell from a slow statement."""
    with opened(own_server.url()) as store, opened(own_server.url()) as other:
        create_model(store)
        store.create_model_version(NEW)
        other.ping()
        calls = (
            store.ping,
            lambda: other.set_registered_model_tag("m", "k", "v"),
            lambda: transition(store),
            lambda: open_store(own_server.url()),
        )

        def unavailable(call: Callable[[], object]) -> None:
            with raises_promptly():
                call()

        with own_server.frozen():
            outcomes = race(*(lambda call=call: unavailable(call) for call in calls))
        assert [outcome.error for outcome in outcomes] == [None] * len(calls)
        assert transition(store) is Stage.PRODUCTION
        store.delete_registered_model("m")


def test_a_slow_statement_on_a_server_that_lives_may_take_its_time(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence alone is no reason to give up; only the limit for a statement is."""
    monkeypatch.setattr(bounded_connection, "SILENCE_SECONDS", 0.05)
    with opened(postgres_url) as store, psycopg.connect(postgres_url) as holder:
        create_model(store)
        holder.execute("SELECT * FROM registered_models FOR UPDATE")
        threading.Timer(0.4, holder.rollback).start()
        assert store.update_registered_model("m", description="d").description == "d"
        holder.execute("SELECT * FROM registered_models FOR UPDATE")
        with monkeypatch.context() as patched:
            patched.setattr(bounded_connection.BoundedConnection, "statement_seconds", 0.2)
            with pytest.raises(StoreUnavailableError, match=r"no result in 0\.2 seconds"):
                store.update_registered_model("m", description="e")
        holder.rollback()
        assert store.get_registered_model("m").description == "d"


@pytest.mark.parametrize("point", ["UPDATE", "SELECT", "COMMIT"])
def test_a_transaction_that_the_server_ends_while_it_is_idle_is_repeated(
    postgres_url: str, point: str
) -> None:
    """Also at COMMIT: the server has not even looked at it (25P03)."""

    def idle_for_too_long(connection) -> None:
        raw = connection.raw
        raw.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'")
        assert select.select([raw], [], [], 30)[0], "the server did not end the session"

    with ended_at(postgres_url, point, idle_for_too_long) as store:
        assert transition(store) is Stage.PRODUCTION
        assert numbers(store) == [1]


@pytest.mark.parametrize("point", ["UPDATE", "SELECT", "COMMIT"])
def test_a_transaction_that_takes_too_long_for_the_server_is_an_error_of_ours(
    postgres_url: str, point: str
) -> None:
    """Repeated, unless it may have been committed (25P04)."""

    def take_too_long(connection) -> None:
        if connection.raw.info.server_version < 170_000:
            pytest.skip("PostgreSQL 17 is the first to limit the time of a transaction")
        connection.raw.execute("SET LOCAL transaction_timeout = '20ms'")
        assert select.select([connection.raw], [], [], 30)[0], "the server did not end the session"

    with ended_at(postgres_url, point, take_too_long) as store:
        if point == "COMMIT":
            with pytest.raises(StoreUnavailableError, match=r"may or may not.*transaction timeout"):
                transition(store)
        assert transition(store) is Stage.PRODUCTION


def test_a_session_that_the_server_ends_between_two_calls_is_replaced(postgres_url: str) -> None:
    """Also where that is noticed only by the answer to a write (57P05)."""

    def idle_for_too_long(connection) -> None:
        if connection.raw.info.server_version < 140_000:
            pytest.skip("PostgreSQL 14 is the first to limit how long a session is idle")
        connection.raw.execute("SET idle_session_timeout = '20ms'")
        assert select.select([connection.raw], [], [], 30)[0], "the server did not end the session"

    with ended_at(postgres_url, "alone", idle_for_too_long) as store:
        store.set_registered_model_tag("m", "k", "v")
        assert store.get_registered_model("m").tags == {"k": "v"}


@pytest.mark.parametrize(
    ("sqlstate", "is_repeated"),
    [
        ("40001", "always"),
        ("40002", "always"),
        ("40003", "before it is sent"),
        ("42P05", "always"),
        ("26000", "always"),
        ("53300", "always"),
        ("57P03", "always"),
        ("25006", "always"),
    ],
)
@pytest.mark.parametrize("point", ["BEGIN", "UPDATE", "COMMIT", "alone"])
def test_what_the_server_says_decides_what_is_repeated(
    postgres_url: str, sqlstate: str, is_repeated: str, point: str
) -> None:
    """Whatever is certain to have done nothing; of the rest it is said that nobody knows."""

    def fail(connection) -> None:
        connection.run(
            Statement(
                f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$", (), False
            ),
            {},
        )

    def change(store: SqlStore) -> None:
        if point == "alone":
            store.set_registered_model_tag("m", "k", "v")
        else:
            transition(store)

    with ended_at(postgres_url, point, fail) as store:
        if is_repeated != "always" and point in {"COMMIT", "alone"}:
            with pytest.raises(StoreUnavailableError, match="may or may not"):
                change(store)
        change(store)


@contextlib.contextmanager
def ended_at(url: str, point: str, do: Callable[[object], None]) -> Iterator[SqlStore]:
    """A store as of `faulty_on`, to which this happens once at that point."""
    faults = Faults(at=point, times=1, do=do)
    with faulty_on(url, faults) as store:
        yield store
    assert faults.times == 0


def test_a_deadlock_is_repeated(postgres_url: str) -> None:
    """PostgreSQL undoes one of two that wait for each other; nobody else gets to know."""
    with opened(postgres_url) as store:
        for name in ("a", "b"):
            create_model(store, name)
        faults = Faults(at="SELECT", times=1)
        racing = sql_store_on(Database(Faulty(driver(postgres_url), faults)))
        with psycopg.connect(postgres_url) as holder:
            holder.execute("SET deadlock_timeout = '10s'")
            holder.execute("UPDATE registered_models SET description = 'x' WHERE name = 'b'")
            waiting = threading.Thread(
                target=holder.execute,
                args=["UPDATE registered_models SET description = 'x' WHERE name = 'a'"],
            )

            def cross(connection) -> None:
                waiting.start()
                connection.raw.execute(
                    "UPDATE registered_models SET description = 'y' WHERE name = 'b'", prepare=False
                )

            def translated(connection) -> None:
                try:
                    cross(connection)
                except psycopg.Error as error:
                    raise postgresql._translated(error) from error
                finally:
                    waiting.join()
                    holder.commit()

            faults.do = translated
            assert racing.update_registered_model("a", description="mine").description == "mine"
        racing.close()


def test_a_read_only_server_is_unavailable_for_writes(postgres_url: str) -> None:
    """As a standby is, or a primary that has been demoted: reads go on."""
    with opened(postgres_url) as store:
        create_model(store)
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with opened(postgres_url) as store:
        with pytest.raises(StoreUnavailableError, match="does not accept writes"):
            store.set_registered_model_tag("m", "k", "v")
        assert store.get_registered_model("m").tags == {}


def test_a_role_without_rights_is_not_permitted(postgres_url: str) -> None:
    with opened(postgres_url):
        pass
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS registry_guest")
        admin.execute("CREATE ROLE registry_guest LOGIN")
        admin.execute("GRANT SELECT ON registry_alembic_version TO registry_guest")
    as_guest = postgres_url.replace("postgres@", "registry_guest@")
    with opened(as_guest) as store, pytest.raises(NotPermittedError):
        store.get_registered_model("m")
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("REVOKE ALL ON registry_alembic_version FROM registry_guest")
        admin.execute("DROP ROLE registry_guest")


def test_a_database_that_does_not_exist_is_named(postgres_server) -> None:
    with pytest.raises(StoreUnavailableError, match="no_such_database"):
        open_store(postgres_server.url("no_such_database"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunter2@127.0.0.1:1/db",
        "postgres://user:hunter2@[broken/db",
        "postgresql+psycopg://user:hunter2@127.0.0.1/db?colour=red",
    ],
)
def test_no_error_shows_a_password(url: str) -> None:
    """Whatever is wrong with a URL, it may be printed to a log."""
    with pytest.raises((BackendError, StoreUnavailableError)) as raised:
        open_store(url)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_name_of_the_scheme_and_parameters_of_libpq_work(
    postgres_url: str, scheme: str
) -> None:
    """A URL that works for another program works here."""
    url = postgres_url.replace("postgresql", scheme, 1) + "?application_name=mine"
    with opened(url) as store:
        connection = store._database._pool.take(fresh=False)
        assert connection.raw.execute("SHOW application_name").fetchone() == ("mine",)
        store._database._pool.put_back(connection)


# SQLite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


def test_a_locked_file_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers wait for another process for a while, then it is a conflict; readers do not wait."""
    with opened(f"sqlite:///{path}") as store, contextlib.closing(sqlite3.connect(path)) as other:
        create_model(store)
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        assert store.get_registered_model("m").name == "m"
        monkeypatch.setattr(database, "RETRY_SECONDS", 0.2)
        for write in (
            lambda: store.create_model_version(NEW),
            lambda: store.set_registered_model_tag("m", "k", "v"),
        ):
            with pytest.raises(ContentionError):
                write()
        other.execute("ROLLBACK")
        assert store.create_model_version(NEW).version == 1


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("PRAGMA max_page_count = 1", (StoreUnavailableError, "is full")),
        ("PRAGMA query_only = ON", (NotPermittedError, "readonly")),
    ],
)
def test_a_file_that_cannot_be_written_is_an_error_of_ours(
    path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, error
) -> None:
    """A full disk, a file without write permission: nothing is written, and reads go on."""
    with opened(f"sqlite:///{path}") as store:
        create_model(store)
    monkeypatch.setattr(sqlite, "_SETTINGS", (*sqlite._SETTINGS, setting))
    with opened(f"sqlite:///{path}") as store:
        kind, message = error
        for write in (
            lambda: store.set_registered_model_tag("m", "k", "v" * 100_000),
            lambda: store.update_registered_model("m", description="d" * 100_000),
        ):
            with pytest.raises(kind, match=message):
                write()
        assert store.get_registered_model("m").tags == {}


def test_a_file_that_is_no_database_is_corrupted(path: Path) -> None:
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(StoreCorruptedError, match=r"registry\.db"):
        open_store(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such/directory/registry.db", "no/such/directory' .* does not exist: make it first"),
        ("file/registry.db", "file' .* is not a folder"),
        (".", "is a folder: name a file in it"),
    ],
)
def test_a_place_where_no_file_can_be_is_a_fault_of_the_url(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidUrlError, match=message) as raised:
        open_store(f"sqlite:///{tmp_path}/{name}")
    assert str(tmp_path) in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """The URL is right, and the machine refuses: another time it may not."""
    path = tmp_path / ("x" * 255)
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        open_store(f"sqlite:///{path}")


def test_a_relative_path_means_the_directory_of_the_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changing the directory later changes nothing."""
    monkeypatch.chdir(tmp_path)
    with opened("sqlite:///registry.db") as store:
        monkeypatch.chdir("/")
        store._database.forget_connections()
        create_model(store)
    with opened(f"sqlite:///{tmp_path / 'registry.db'}") as store:
        assert store.get_registered_model("m").name == "m"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:"])
def test_a_database_in_memory_is_shared_by_threads_and_by_nobody_else(url: str) -> None:
    with opened(url) as store, opened(url) as another:
        create_model(store)
        outcomes = race(*[lambda: store.create_model_version(NEW).version] * 8)
        assert sorted(outcome.value for outcome in outcomes) == list(range(1, 9))
        create_model(another)


@pytest.mark.parametrize(
    "url", ["sqlite:registry.db", "sqlite://host/registry.db", "sqlite:///r.db?mode=ro"]
)
def test_a_url_that_would_be_misunderstood_is_refused(url: str) -> None:
    with pytest.raises(BackendError, match="not a SQLite URL"):
        open_store(url)


def test_another_scheme_is_refused() -> None:
    with pytest.raises(UnknownBackendError):
        open_store("mysql://localhost/registry")
