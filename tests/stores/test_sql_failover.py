"""What a store does when another server takes the place of the one that it is connected to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from registry_core import inloop
from registry_core.errors import StoreBusyError, StoreUnavailableError
from registry_core.models import NewModelVersion, NewRegisteredModel, Stage
from registry_core.stores.sql import SqlStore, bounded_connection, postgresql
from registry_core.stores.sql.postgresql import PostgresqlDriver
from registry_core.testing.racing import race
from services.opened import open_sql_store as open_store
from services.pgbouncer import pgbouncer
from services.ports import free_port
from services.postgres import PostgresServer
from services.selecting import Selecting
from services.tcp_proxy import TcpProxy

pytestmark = pytest.mark.usefixtures("checked_inloop")

PROMPTLY = 20.0
"""Seconds within which a store finds the server that has taken over, or says that there is none: 2.5 on
an idle machine, and minutes where only TCP finds out."""

BEFORE, AFTER = "as it was", "as it is now"


@pytest.fixture(scope="module")
def old() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def new() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(autouse=True)
def registries(old: PostgresServer, new: PostgresServer) -> Iterator[None]:
    """The same registry on both servers, but that on the new one the model has been changed."""
    for server, description in ((old, BEFORE), (new, AFTER)):
        with contextlib.closing(open_store(server.url())) as store:
            store.create_registered_model(NewRegisteredModel(name="m", description=description))
            store.create_model_version(NewModelVersion(name="m", source="s"))
    yield
    for server in (old, new):
        read_only(server, "off")
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute("DROP SCHEMA public CASCADE")
            admin.execute("CREATE SCHEMA public")


@pytest.fixture
def proxy(old: PostgresServer) -> Iterator[TcpProxy]:
    """What leads to the old server, and can lead new connections to the new one."""
    with TcpProxy(old.port).running() as proxy:
        yield proxy


@pytest.fixture
def url(old: PostgresServer, proxy: TcpProxy) -> str:
    return old.url().replace(f":{old.port}/", f":{proxy.port}/")


@contextlib.contextmanager
def opened(url: str, *, idle: int = 3) -> Iterator[SqlStore]:
    """A store with so many connections that are idle."""
    store = open_store(url)
    pool = store._database._pool
    for connection in [pool.take(fresh=True) for _ in range(idle)]:
        pool.put_back(connection)
    try:
        yield store
    finally:
        inloop.calling(None)
        store.close()


def read_only(server: PostgresServer, value: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        admin.execute("SELECT pg_reload_conf()")
        reading = (
            "SELECT setting = %s FROM pg_settings WHERE name = 'default_transaction_read_only'"
        )
        while admin.execute(reading, [value]).fetchone() != (True,):
            time.sleep(0.01)


def fence(server: PostgresServer, store: SqlStore) -> None:
    """Make a server read-only for the sessions of a store, too: each hears of it by a signal."""
    read_only(server, "on")
    for _, connection in store._database._pool._idle:
        while connection.raw.execute("SHOW default_transaction_read_only").fetchone() != ("on",):
            time.sleep(0.01)


def describe(store: SqlStore) -> str | None:
    return store.get_registered_model("m").description


def transition(store: SqlStore) -> None:
    moved = store.transition_model_version_stage(
        "m", 1, stage=Stage.PRODUCTION, archive_existing_versions=True
    )
    assert moved.current_stage is Stage.PRODUCTION


def tag(store: SqlStore) -> None:
    store.set_registered_model_tag("m", "k", "v")


def ports(store: SqlStore) -> list[int]:
    """The server that each idle connection leads to, as the server says."""
    pool = store._database._pool
    return [
        connection.raw.execute("SELECT setting FROM pg_settings WHERE name = 'port'").fetchone()[0]
        for _, connection in pool._idle
    ]


WRITES = pytest.mark.parametrize("write", [tag, transition])
"""A statement that is a transaction by itself, and a transaction."""


# A server that accepts no writes


@WRITES
def test_fenced_primary_takes_no_writes(old: PostgresServer, write) -> None:
    """Reads go on over the connections that there are; when it is writable again, so do writes."""
    with opened(old.url()) as store:
        write(store)
        fence(old, store)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="does not accept writes"):
                write(store)
            assert describe(store) == BEFORE
        assert store.get_model_version("m", 1).current_stage in {Stage.NONE, Stage.PRODUCTION}
        read_only(old, "off")
        write(store)


@WRITES
def test_write_goes_to_the_server_that_has_taken_over(
    old: PostgresServer, new: PostgresServer, proxy: TcpProxy, url: str, write
) -> None:
    """The caller notices nothing, and no connection to the old one is used any more."""
    with opened(url) as store:
        fence(old, store)
        proxy.switch(new.port)
        write(store)
        assert set(ports(store)) == {str(new.port)}
        assert describe(store) == AFTER
    with opened(old.url()) as store:
        assert store.get_registered_model("m").tags == {}
        assert store.get_model_version("m", 1).current_stage is Stage.NONE


@pytest.fixture
def says_what_it_is(old: PostgresServer) -> None:
    """The server says with every answer whether it accepts writes."""
    with psycopg.connect(old.url()) as connection:
        if connection.info.server_version < 140_000:
            pytest.skip("PostgreSQL 14 is the first to say whether it accepts writes")


@pytest.mark.usefixtures("says_what_it_is")
@pytest.mark.parametrize("in_loop", [False, True])
def test_read_comes_from_the_server_that_has_taken_over(
    old: PostgresServer, new: PostgresServer, proxy: TcpProxy, url: str, in_loop
) -> None:
    """Not from the old one that accepts writes no more, over whichever connection."""
    with opened(url) as store:
        fence(old, store)
        proxy.switch(new.port)
        for _ in range(4):
            if in_loop:
                inloop.calling(Selecting())
            try:
                assert describe(store) == AFTER
            except inloop.WouldBlockError:
                inloop.calling(None)
                assert describe(store) == AFTER


@pytest.mark.usefixtures("says_what_it_is")
def test_connection_to_a_read_only_server_is_not_read_for_ever(
    old: PostgresServer,
    new: PostgresServer,
    proxy: TcpProxy,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have been opened to the old server just before the new one took over."""
    read_only(old, "on")
    with opened(url) as store:
        proxy.switch(new.port)
        assert describe(store) == BEFORE
        for _, connection in store._database._pool._idle:
            connection._trusted_until = time.monotonic()
        assert describe(store) == AFTER


# A server that hangs


def test_hung_server_is_left_for_the_one_that_answers_in_its_place(
    new: PostgresServer,
) -> None:
    """The proxy goes on to hold the old connections. What can be repeated is; the rest is said."""
    with PostgresServer() as hung, TcpProxy(hung.port).running() as proxy:
        url = hung.url().replace(f":{hung.port}/", f":{proxy.port}/")
        with opened(url, idle=5) as store:
            store.create_registered_model(NewRegisteredModel(name="m", description=BEFORE))
            store.create_model_version(NewModelVersion(name="m", source="s"))
            hung.freeze()
            proxy.switch(new.port)
            read, wrote, moved = race_promptly(
                lambda: describe(store), lambda: tag(store), lambda: transition(store)
            )
            assert read.value == AFTER
            assert isinstance(wrote.error, StoreUnavailableError)
            assert "may or may not" in str(wrote.error)
            assert moved.error is None
            # Nobody else has to find out.
            assert set(ports(store)) == {str(new.port)}
            hung.kill()


def race_promptly(*calls: Callable[[], object]) -> list:
    started = time.monotonic()
    outcomes = race(*calls)
    assert time.monotonic() - started < PROMPTLY
    return outcomes


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_connection, "SILENCE_SECONDS", 0.1)


@pytest.mark.parametrize("way", ["directly", "by a proxy", "by a pooler"])
def test_slow_statement_is_waited_for(impatient, way: str, old: PostgresServer, url: str) -> None:
    """Its session is there, or nobody can say that it is not."""
    with contextlib.ExitStack() as stack:
        if way == "directly":
            url = old.url()
        elif way == "by a pooler":
            url = stack.enter_context(pgbouncer(old.url()))
        connection = stack.enter_context(
            contextlib.closing(PostgresqlDriver.from_url(url).connect())
        )
        sleeping = postgresql.Statement("SELECT 'slept' FROM pg_sleep(1)", ())
        assert connection.run(sleeping, {}) == [("slept",)]


# Several hosts


def test_host_that_hangs_is_tried_last(new: PostgresServer) -> None:
    """So that it costs one connection seconds, and no other."""
    with PostgresServer() as hung:
        hung.freeze()
        url = f"postgresql://postgres@127.0.0.1:{hung.port},127.0.0.1:{new.port}/postgres"
        driver = PostgresqlDriver.from_url(url)
        driver.connect().close()
        started = time.monotonic()
        driver.connect().close()
        assert time.monotonic() - started < postgresql.CONNECT_SECONDS
        hung.kill()


def test_a_hung_host_is_known_also_where_no_other_can_be_reached() -> None:
    """A standby that refuses writes is asked again at once, and the old primary is not."""
    with PostgresServer() as hung:
        hung.freeze()
        url = f"postgresql://postgres@127.0.0.1:{hung.port},127.0.0.1:{free_port()}/postgres"
        driver = PostgresqlDriver.from_url(url)
        with pytest.raises(StoreBusyError, match="timeout"):
            driver.connect()
        started = time.monotonic()
        with pytest.raises(StoreBusyError, match="refused"):
            driver.connect()
        assert time.monotonic() - started < postgresql.CONNECT_SECONDS
        hung.kill()


def test_host_that_falls_silent_is_left_for_the_other(new: PostgresServer) -> None:
    with PostgresServer() as hung:
        url = f"postgresql://postgres@127.0.0.1:{hung.port},127.0.0.1:{new.port}/postgres"
        with opened(url) as store:
            store.create_registered_model(NewRegisteredModel(name="m", description=BEFORE))
            hung.freeze()
            (outcome,) = race_promptly(lambda: describe(store))
            assert isinstance(outcome.error, StoreUnavailableError)
            started = time.monotonic()
            assert describe(store) == AFTER
            assert time.monotonic() - started < postgresql.CONNECT_SECONDS
            hung.kill()


@WRITES
def test_host_that_accepts_no_writes_is_left_for_the_other(
    old: PostgresServer, new: PostgresServer, write
) -> None:
    """Also where the URL does not ask for one that does."""
    url = f"postgresql://postgres@127.0.0.1:{old.port},127.0.0.1:{new.port}/postgres"
    with opened(url) as store:
        assert describe(store) == BEFORE
        fence(old, store)
        write(store)
        assert set(ports(store)) == {str(new.port)}
