"""What creates something is done once, whatever becomes of the connection meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import psycopg
import pytest

from registry_core.errors import (
    AlreadyExistsError,
    NotPermittedError,
    RegisteredModelNotFoundError,
    StoreBusyError,
    StoreUnavailableError,
)
from registry_core.models import (
    NewModelVersion,
    NewRegisteredModel,
    NewWebhook,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.stores.sql import SqlStore, operations
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.errors import DuplicateError, InDoubtError
from registry_core.stores.sql.operations import operation_id, settled
from registry_core.stores.sql.postgresql import PostgresqlDriver
from registry_core.testing.calls import Calls
from services.in_loop import SqlStoreInLoop
from services.opened import opened_sql_store as opened
from services.opened import sql_store_on
from services.postgres import PostgresServer
from services.tcp_proxy import TcpProxy

MODEL = NewRegisteredModel(name="new", tags={"a": "1", "b": "2"})
PLAIN = NewRegisteredModel(name="new")
VERSION = NewModelVersion(name="m", source="s", run_id="r", tags={"k": "v"})
HOOK = NewWebhook(
    webhook_id="w",
    name="w",
    url="https://example.org/",
    events=(WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED),),
    status=WebhookStatus.ACTIVE,
)

CREATIONS: dict[str, tuple[Callable[[SqlStore], Any], str]] = {
    "model": (lambda store: store.create_registered_model(PLAIN), "registered_models"),
    "model with tags": (lambda store: store.create_registered_model(MODEL), "registered_models"),
    "version": (lambda store: store.create_model_version(VERSION), "model_versions"),
    "webhook": (lambda store: store.create_webhook(HOOK), "webhooks"),
}
"""What creates something, and the table that shows it."""


@pytest.fixture
def url(postgres_url: str) -> str:
    """A database with a model `m`."""
    with opened(postgres_url) as store:
        store.create_registered_model(NewRegisteredModel(name="m"))
    return postgres_url


@pytest.fixture
def own_url(own_server: PostgresServer) -> Iterator[str]:
    """A fresh database on it, with a model `m`."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(own_server.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    with opened(own_server.url(name)) as store:
        store.create_registered_model(NewRegisteredModel(name="m"))
    return own_server.url(name)


@contextlib.contextmanager
def direct(url: str) -> Iterator[Callable[..., list[tuple]]]:
    """Runs statements past the store."""
    with psycopg.connect(url, autocommit=True) as connection:

        def run(text: str, *values: object) -> list[tuple]:
            cursor = connection.execute(text, values)
            return cursor.fetchall() if cursor.description else []

        yield run


def in_background(call: Callable[[], Any]) -> Future[Any]:
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except Exception as error:  # noqa: BLE001 it is the test's
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Losing:
    """A driver whose first statement is lost on the way: `before` or after it was carried out."""

    def __init__(self, url: str, *, before: bool) -> None:
        self._driver = PostgresqlDriver.from_url(url)
        self.before = before
        self.lost: list[tuple[Any, Any]] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def connect(self) -> Any:
        connection = self._driver.connect()
        run = connection.run

        def losing(statement: Any, values: Any) -> Any:
            if self.lost or not statement.prepare:
                return run(statement, values)
            self.lost.append((statement, values))
            if not self.before:
                run(statement, values)
            self.meanwhile()
            raise InDoubtError("gone")

        connection.run = losing
        return connection


@contextlib.contextmanager
def losing(url: str, *, before: bool, in_loop: bool = False) -> Iterator[tuple[SqlStore, Losing]]:
    driver = Losing(url, before=before)
    store = sql_store_on(Database(driver))
    yield Calls(SqlStoreInLoop(store.backend)) if in_loop else store, driver
    store.close()


def content(url: str) -> tuple[Any, ...]:
    """All that a registry holds."""
    with direct(url) as run:
        return tuple(
            sorted(run(f"SELECT * FROM {table}"), key=repr)
            for table in (
                "registered_models",
                "registered_model_tags",
                "model_versions",
                "model_version_tags",
                "webhooks",
            )
        )


@pytest.mark.parametrize("name", CREATIONS)
def test_a_lost_reply_is_found_out(url: str, name: str) -> None:
    """The statement was carried out and the connection reset: the call succeeds, and was done once."""
    create, table = CREATIONS[name]
    with TcpProxy(int(psycopg.conninfo.conninfo_to_dict(url)["port"])).running() as proxy:
        through = url.replace(url.rpartition("/")[0].rpartition(":")[2], str(proxy.port))
        with opened(through) as store, direct(url) as run:
            before = len(run(f"SELECT 1 FROM {table}"))
            proxy.is_deaf = True
            outcome = in_background(lambda: create(store))
            eventually(lambda: len(run(f"SELECT 1 FROM {table}")) > before)
            proxy.is_deaf = False
            proxy.cut()
            created = outcome.result(60)
            assert len(run(f"SELECT 1 FROM {table}")) == before + 1
    with opened(url) as store:
        if name == "version":
            assert store.get_model_version("m", 1) == created
        elif name == "webhook":
            assert store.get_webhook("w") == created
        else:
            assert store.get_registered_model("new") == created


@pytest.mark.parametrize("name", CREATIONS)
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("in_loop", [False, True])
@pytest.mark.usefixtures("checked_inloop")
def test_what_is_lost_on_the_way_is_done_once(
    url: str, name: str, before: bool, in_loop: bool
) -> None:
    """Whether the request was lost, or the reply."""
    create, table = CREATIONS[name]
    with direct(url) as run, losing(url, before=before, in_loop=in_loop) as (store, driver):
        found = len(run(f"SELECT 1 FROM {table}"))
        create(store)
        assert len(driver.lost) == 1
        assert len(run(f"SELECT 1 FROM {table}")) == found + 1


@pytest.mark.parametrize("name", CREATIONS)
def test_a_copy_that_arrives_late_changes_nothing(url: str, name: str) -> None:
    """As from a server that was frozen, and reads the first copy when the second is done."""
    create, _ = CREATIONS[name]
    with losing(url, before=True) as (store, driver):
        create(store)
        before = content(url)
        statement, values = driver.lost[0]
        with contextlib.suppress(DuplicateError):
            # A name that is taken makes no row, and is no error.
            assert store._database.write(statement, values) == []
        assert content(url) == before
        assert store.create_model_version(VERSION).version == len(before[2]) + 1


@pytest.mark.parametrize("name", ["model", "model with tags", "version"])
def test_a_copy_that_arrives_late_does_not_bring_back_what_was_deleted(url: str, name: str) -> None:
    """What notes the operation outlives what it created."""
    create, _ = CREATIONS[name]
    with losing(url, before=True) as (store, driver):
        create(store)
        store.delete_registered_model("m" if name == "version" else "new")
        store.create_registered_model(NewRegisteredModel(name="m2"))
        if name == "version":
            store.create_registered_model(NewRegisteredModel(name="m"))
        before = content(url)
        with pytest.raises(DuplicateError):
            store._database.write(*driver.lost[0])
        assert content(url) == before


@pytest.mark.parametrize("name", ["model", "model with tags", "version"])
def test_a_copy_that_arrives_late_does_not_do_what_was_refused(url: str, name: str) -> None:
    """Sent again it found nothing to do, and the caller heard so; the first copy was on its way."""
    create, _ = CREATIONS[name]
    refused = RegisteredModelNotFoundError if name == "version" else AlreadyExistsError
    with opened(url) as other, losing(url, before=True) as (store, driver):
        if name == "version":
            driver.meanwhile = lambda: other.delete_registered_model("m")
        else:
            driver.meanwhile = lambda: other.create_registered_model(NewRegisteredModel(name="new"))
        with pytest.raises(refused):
            create(store)
        if name == "version":
            other.create_registered_model(NewRegisteredModel(name="m"))
        else:
            other.delete_registered_model("new")
        before = content(url)
        with pytest.raises(DuplicateError):
            store._database.write(*driver.lost[0])
        assert content(url) == before


@pytest.mark.parametrize("name", ["model", "version"])
def test_what_was_deleted_before_anybody_looked_is_not_made_again(url: str, name: str) -> None:
    """It was made, and somebody who saw it has deleted it: that is how it stays."""
    create, _ = CREATIONS[name]
    with opened(url) as other, losing(url, before=False) as (store, driver):
        driver.meanwhile = lambda: other.delete_registered_model(
            "m" if name == "version" else "new"
        )
        created = create(store)
        assert name == "model" or created.version == 1
    with direct(url) as run:
        gone = "m" if name == "version" else "new"
        assert run("SELECT 1 FROM registered_models WHERE name = %s", gone) == []


def test_a_name_that_another_one_took_meanwhile_is_taken(url: str) -> None:
    """The request was lost, and by the time it is repeated the model is somebody else's."""
    with opened(url) as other, losing(url, before=True) as (store, driver):
        driver.meanwhile = lambda: other.create_registered_model(PLAIN)
        with pytest.raises(AlreadyExistsError):
            store.create_registered_model(MODEL)
        assert other.get_registered_model("new").tags == {}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_of_the_server_is_waited_for(
    own_server: PostgresServer, own_url: str, end: str
) -> None:
    """A version was under way when the server ended: it is made when there is a server again."""
    with opened(own_url) as store, contextlib.closing(psycopg.connect(own_url)) as holder:
        holder.execute("SELECT 1 FROM registered_models FOR UPDATE")
        outcome = in_background(lambda: store.create_model_version(VERSION))
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with direct(own_url) as run:
            eventually(lambda: run(waiting))
        getattr(own_server, end)()
        own_server.start()
        assert outcome.result(60).version == 1
        assert store.create_model_version(VERSION).version == 2


def test_a_frozen_server_is_waited_for(
    own_server: PostgresServer, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may still read what it was sent before: whatever it does first, there is one version."""
    looks = threading.Event()
    with opened(own_url) as store:
        store.create_model_version(VERSION)
        read = store._database.read

        def looking(*arguments: Any) -> Any:
            looks.set()
            return read(*arguments)

        monkeypatch.setattr(store._database, "read", looking)
        with own_server.frozen():
            outcome = in_background(lambda: store.create_model_version(VERSION))
            assert looks.wait(60)
            assert not outcome.done()
        assert outcome.result(60).version == 2
        assert store.create_model_version(VERSION).version == 3


def test_a_server_that_stays_away_leaves_the_outcome_open(
    own_server: PostgresServer, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call ends, and does not claim that nothing was written; another one says so at once."""
    monkeypatch.setattr(operations, "OUTCOME_SECONDS", 0.3)
    with losing(own_url, before=False) as (store, driver):
        driver.meanwhile = own_server.stop
        with pytest.raises(InDoubtError, match="gone"):
            store.create_model_version(VERSION)
        with pytest.raises(StoreBusyError):
            store.create_model_version(VERSION)
        own_server.start()
        assert store.create_model_version(VERSION).version == 2


def test_an_error_that_says_nothing_of_the_first_attempt_leaves_it_open() -> None:
    """As when the new connection is refused for good: a caller must not believe it was not done."""

    def lost() -> list[Any]:
        raise InDoubtError("gone")

    def refused() -> list[Any]:
        raise NotPermittedError("who are you?")

    with pytest.raises(InDoubtError, match="gone"):
        settled(lost, refused)


def test_what_is_no_creation_is_not_repeated(url: str) -> None:
    """To set a tag twice could undo what another one has set in between."""
    with losing(url, before=True) as (store, _):
        with pytest.raises(StoreUnavailableError) as raised:
            store.set_registered_model_tag("m", "k", "v")
        assert not isinstance(raised.value, StoreBusyError)
        assert store.get_registered_model("m").tags == {}


def test_ids_of_operations_sort_by_time_and_never_meet() -> None:
    """UUIDs of version 7: the newest belong to one end of the index."""
    ids = [uuid.UUID(operation_id(1_700_000_000 + second / 1000)) for second in range(2000)]
    assert ids == sorted(ids)
    assert {(one.version, one.variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert len({operation_id(1_700_000_000) for _ in range(1000)}) == 1000


def test_operations_are_forgotten_when_nobody_can_ask_any_more(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process removes those that are old, and no others."""
    monkeypatch.setattr(operations, "PRUNE_SECONDS", -1.0)
    with opened(url) as store, direct(url) as run:
        (kept,) = run("SELECT operation_id FROM applied_operations")
        now = time.time()
        for age in (3000, 3700, 100_000):
            run("INSERT INTO applied_operations VALUES (%s)", operation_id(now - age))
        store.create_model_version(VERSION)
        left = sorted(run("SELECT operation_id FROM applied_operations"))
        assert len(left) == 3
        assert left[0][0] < kept[0] < left[2][0]
        assert left[1] == kept


def test_a_pruning_that_fails_is_nobodys_business(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is made; what is old goes the next time."""
    monkeypatch.setattr(operations, "PRUNE_SECONDS", -1.0)
    with opened(url) as store:
        write = store._database.write

        def failing(statement: Any, values: Any) -> Any:
            if statement is store._sql.prune_operations:
                raise StoreBusyError("away")
            return write(statement, values)

        monkeypatch.setattr(store._database, "write", failing)
        assert store.create_model_version(VERSION).version == 1
