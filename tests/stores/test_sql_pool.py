"""The connections of a process: how many there are, and what becomes of those who find none."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import attrs
import psycopg
import pytest
from psycopg import sql

from registry_core import open_registry
from registry_core.backends import connection_limit
from registry_core.errors import InvalidArgumentError, StoreUnavailableError
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.stores.sql import SqlStore, pool
from registry_core.stores.sql.errors import ConnectionLostError
from registry_core.stores.sql.pool import Pool
from registry_core.testing.racing import race
from services.opened import open_sql_store as open_store

PROMPTLY = 20.0
"""Seconds within which a store says that there is no connection: 1 on an idle machine."""


@attrs.frozen
class Role:
    """A role that the server admits only so often."""

    url: str
    name: str
    admin: psycopg.Connection

    def limit(self, connections: int) -> None:
        """Has the server admit it so often from now on; whoever is there may stay."""
        self.admin.execute(
            sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(
                sql.Identifier(self.name), sql.Literal(connections)
            )
        )

    def connections(self) -> int:
        """How often it is there now."""
        counting = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
        row = self.admin.execute(counting, [self.name]).fetchone()
        assert row is not None
        return row[0]

    def terminate(self) -> None:
        """Ends all its connections, and returns when they are gone."""
        ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
        self.admin.execute(ending, [self.name])
        until(lambda: self.connections() == 0)


@pytest.fixture
def role(empty_postgres_url: str) -> Iterator[Role]:
    name = f"registry_{uuid.uuid4().hex[:12]}"
    identifier = sql.Identifier(name)
    with psycopg.connect(empty_postgres_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(identifier))
        database = sql.Identifier(admin.info.dbname)
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, identifier))
        role = Role(empty_postgres_url.replace("postgres@", f"{name}@"), name, admin)
        try:
            yield role
        finally:
            role.terminate()
            admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(database))
            admin.execute(sql.SQL("DROP OWNED BY {}").format(identifier))
            admin.execute(sql.SQL("DROP ROLE {}").format(identifier))


@pytest.fixture
def store(role: Role) -> Iterator[SqlStore]:
    """A store with a model `m`, and one connection that is idle."""
    store = open_store(role.url)
    store.create_registered_model(NewRegisteredModel(name="m"))
    yield store
    store.close()


def work(store: SqlStore, worker: int, times: int = 40) -> None:
    """Reads, statements and transactions."""
    for number in range(times):
        store.get_registered_model("m")
        store.set_registered_model_tag("m", f"{worker}", f"{number}")
        store.create_model_version(NewModelVersion(name="m", source="s"))
        store.update_registered_model("m", description=f"{worker}-{number}")


def test_process_goes_on_with_the_connections_that_the_server_admits(
    role: Role, store: SqlStore
) -> None:
    """However many operations there are at a time: each waits for a connection of the process."""
    role.limit(2)
    outcomes = race(*(partial(work, store, worker) for worker in range(8)))
    assert [outcome.error for outcome in outcomes] == [None] * 8
    assert len(store.get_registered_model("m").tags) == 8
    assert role.connections() <= 2


def test_process_uses_more_connections_when_there_is_room(role: Role, store: SqlStore) -> None:
    """Those that it was refused once are opened later."""
    role.limit(1)
    kept = store._database._pool
    one = kept.take(fresh=False)
    waiting = threading.Thread(target=lambda: kept.put_back(kept.take(fresh=False)))
    waiting.start()
    until(lambda: kept._waiting)
    role.limit(2)
    # Whoever asks now is refused by nobody, once the refusal is no longer believed.
    until(lambda: time.monotonic() > kept._refused_until)
    other = kept.take(fresh=True)
    assert other is not one
    kept.put_back(other)
    waiting.join()
    kept.put_back(one)


def test_those_who_wait_for_a_connection_come_first_and_in_their_order(
    role: Role, store: SqlStore
) -> None:
    """Nobody overtakes them, whether a thread or an event loop."""
    role.limit(1)
    kept = store._database._pool
    only = kept.take(fresh=False)
    served: list[int] = []

    def wait(number: int) -> None:
        connection = kept.take(fresh=False)
        served.append(number)
        assert kept.take_idle() is None
        kept.put_back(connection)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=wait, args=[number]))
        threads[-1].start()
        until(lambda: len(kept._waiting) == len(threads))
    kept.put_back(only)
    for thread in threads:
        thread.join()
    assert served == list(range(5))


def test_who_waits_in_vain_is_told_what_the_server_said(
    role: Role, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    role.limit(1)
    monkeypatch.setattr(pool, "ACQUIRE_SECONDS", 0.2)
    only = store._database._pool.take(fresh=False)
    with pytest.raises(StoreUnavailableError, match=f"cannot be more: .*{role.name}"):
        store.ping()
    store._database._pool.put_back(only)
    store.ping()


def test_process_without_connections_is_refused_promptly(role: Role, store: SqlStore) -> None:
    """There is nothing that it could wait for."""
    role.limit(0)
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=role.name):
        open_store(role.url)
    role.terminate()
    with pytest.raises(StoreUnavailableError, match=role.name):
        store.ping()
    assert time.monotonic() - started < PROMPTLY


def test_process_that_has_lost_its_connections_tries_for_a_while(
    role: Role, store: SqlStore
) -> None:
    """The server needs a moment to notice that the lost one is gone."""
    role.limit(1)
    role.terminate()
    with psycopg.connect(role.url) as other:
        threading.Timer(0.3, other.close).start()
        store.ping()
    assert store.get_registered_model("m").name == "m"


def test_who_waits_learns_at_once_that_the_server_is_gone(role: Role, store: SqlStore) -> None:
    """When there is no connection any more, there is none to wait for."""
    role.limit(1)
    kept = store._database._pool
    only = kept.take(fresh=False)
    failures: list[StoreUnavailableError] = []

    def wait() -> None:
        try:
            store.ping()
        except StoreUnavailableError as error:
            failures.append(error)

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(kept._waiting) == len(threads))
    role.limit(0)
    started = time.monotonic()
    kept.discard(only)
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < PROMPTLY
    assert len(failures) == len(threads)


@pytest.mark.parametrize("connections", [1, 3])
def test_process_has_no_more_connections_than_it_was_given(role: Role, connections: int) -> None:
    """Also when it replaces some that were lost, while others are idle."""
    with contextlib.closing(open_store(role.url, connections=connections)) as store:
        store.create_registered_model(NewRegisteredModel(name="m"))
        store._database.close_idle()
        driver, opened, seen = store._database.driver, [], []
        connect = driver.connect

        def counted() -> object:
            opened.append(connection := connect())
            seen.append(sum(not connection.raw.closed for connection in opened))
            return connection

        driver.connect = counted
        outcomes = race(*(partial(work, store, worker, 10) for worker in range(8)))
        assert [outcome.error for outcome in outcomes] == [None] * 8
        for _ in range(2 * connections):
            before = len(opened)
            store._database._repeated(failing_once(), harmless=True)
            assert len(opened) == before + 1
    assert max(seen) == connections


def failing_once() -> Callable[[object], None]:
    failures = iter([ConnectionLostError("gone", in_doubt=False)])

    def action(connection: object) -> None:
        for failure in failures:
            raise failure

    return action


def test_connections_that_nobody_needs_are_given_back_to_the_server(
    role: Role, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those at the bottom of the stack, too, which are taken only when many are needed at a time."""
    kept = store._database._pool
    for connection in [kept.take(fresh=True) for _ in range(4)]:
        kept.put_back(connection)
    store.ping()
    assert len(kept._idle) == 5
    monkeypatch.setattr(pool, "MAX_IDLE_SECONDS", 0.2)
    kept._trim_at = time.monotonic() + 0.3
    while len(kept._idle) == 5:
        store.ping()
    assert len(kept._idle) == kept._open == 1
    until(lambda: role.connections() == 1)


def test_connection_that_is_given_to_nobody_is_kept(store: SqlStore) -> None:
    """As when who waited has given up at that very moment."""
    kept: Pool = store._database._pool
    kept._waiting.append(waiter := pool._Waiter())
    kept._usable = lambda: kept._waiting.clear() or kept._idle.pop()[1]
    kept._hand_over()
    assert waiter.connection is None
    assert len(kept._idle) == 1


def test_number_of_connections_comes_from_the_environment(
    role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the caller gives none."""
    monkeypatch.setenv("REGISTRY_DATABASE_CONNECTIONS", "7")
    for argument, expected in ((None, 7), (3, 3)):
        with open_registry(role.url, artifacts="none", database_connections=argument) as registry:
            assert registry.store._database.driver.max_connections == expected
    assert connection_limit(environ={}) is None


@pytest.mark.parametrize("wanted", ["0", "-1", "many", "1001", "1.5", "٣"])
def test_number_of_connections_that_is_none_is_refused(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_DATABASE_CONNECTIONS", wanted)
    with pytest.raises(InvalidArgumentError, match=f"from 1 to 1000, not '{wanted}'"):
        open_registry("memory:", artifacts="none")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
