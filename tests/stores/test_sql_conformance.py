"""The SQL store keeps every promise of a store, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from registry_core.store import Clock, Store
from registry_core.stores.sql import open_store
from registry_core.testing import ManualClock, StatefulTests, StoreTests
from registry_core.testing.aliases import AliasTests
from registry_core.testing.concurrency import ConcurrencyTests
from services.examples import examples
from services.in_loop import open_store_in_loop


@pytest.fixture(scope="module")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema: copying it is quicker than migrating a new one."""
    path = tmp_path_factory.mktemp("template") / "registry.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="module")
def emptied_postgres(postgres_module_url: str) -> Iterator[Callable[[], str]]:
    """Removes all rows of a database, which is quicker than making a new one; gives its URL."""
    open_store(postgres_module_url).close()
    with psycopg.connect(postgres_module_url, autocommit=True) as connection:

        def empty() -> str:
            connection.execute("DELETE FROM registered_models")
            connection.execute("DELETE FROM webhooks")
            return postgres_module_url

        yield empty


class SqlStoreTests(StoreTests):
    @pytest.fixture
    def backend(self, url: str, clock: ManualClock) -> Iterator[Store]:
        store = open_store(url, clock=clock)
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, url: str, clock: ManualClock) -> Callable[[], Store]:
        return functools.partial(open_store, url, clock=clock)

    @pytest.fixture
    def opener(self, url: str) -> Callable[[], Store]:
        return functools.partial(open_store, url)


class TestSqliteStore(SqlStoreTests):
    @pytest.fixture
    def url(self, tmp_path: Path, sqlite_template: Path) -> str:
        return f"sqlite:///{shutil.copy(sqlite_template, tmp_path)}"


class InMemory:
    durable = False
    shared = False

    @pytest.fixture
    def backend(self, clock: ManualClock) -> Iterator[Store]:
        store = open_store("sqlite://", clock=clock)
        yield store
        store.close()


class TestSqliteStoreInMemory(InMemory, AliasTests, ConcurrencyTests):
    """What is about several threads, which share one connection; in the long session all."""


@pytest.mark.long
class TestAllOfSqliteStoreInMemory(InMemory, StoreTests):
    pass


class TestPostgresqlStore(SqlStoreTests):
    @pytest.fixture
    def url(self, emptied_postgres: Callable[[], str]) -> str:
        return emptied_postgres()


@pytest.mark.usefixtures("checked_inloop")
class InLoop:
    """Changes as an event loop has them made."""

    @pytest.fixture
    def backend(self, url: str, clock: ManualClock) -> Iterator[Store]:
        store = open_store_in_loop(url, clock=clock)
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, url: str, clock: ManualClock) -> Callable[[], Store]:
        return functools.partial(open_store_in_loop, url, clock=clock)

    @pytest.fixture
    def opener(self, url: str) -> Callable[[], Store]:
        return functools.partial(open_store_in_loop, url)


class TestPostgresqlStoreInLoop(InLoop, StoreTests):
    @pytest.fixture
    def url(self, emptied_postgres: Callable[[], str]) -> str:
        return emptied_postgres()


class SqliteInLoop(InLoop):
    @pytest.fixture
    def url(self, tmp_path: Path, sqlite_template: Path) -> str:
        return f"sqlite:///{shutil.copy(sqlite_template, tmp_path)}"


class TestSqliteStoreInLoop(SqliteInLoop, AliasTests, ConcurrencyTests):
    """What is about turns; in the long session all."""


@pytest.mark.long
class TestAllOfSqliteStoreInLoop(SqliteInLoop, StoreTests):
    pass


class TestSqliteStoreMachine(StatefulTests):
    max_examples = examples(100, gate=5)

    @pytest.fixture
    def make_store(self, sqlite_template: Path, tmp_path: Path) -> Callable[[Clock], Store]:
        numbers = itertools.count()

        def make(clock: Clock) -> Store:
            path = shutil.copy(sqlite_template, tmp_path / f"{next(numbers)}.db")
            return open_store(f"sqlite:///{path}", clock=clock)

        return make


class TestPostgresqlStoreMachine(StatefulTests):
    max_examples = examples(50, gate=3)

    @pytest.fixture
    def make_store(self, emptied_postgres: Callable[[], str]) -> Callable[[Clock], Store]:
        return lambda clock: open_store(emptied_postgres(), clock=clock)
