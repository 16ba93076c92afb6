"""What each method costs in statements, counted where they leave for the driver."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from registry_core import Registry
from registry_core.errors import RegistryError
from registry_core.history import Action, EventQuery
from registry_core.models import (
    NewModelVersion,
    NewRegisteredModel,
    NewWebhook,
    Stage,
    Status,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.search import Entity, OrderBy, Query, parse_filter
from registry_core.store import Store
from registry_core.stores.memory import MemoryStore
from registry_core.stores.sql import SqlStore, event_pages
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.driver import Connection
from registry_core.stores.sql.postgresql import PostgresqlDriver
from registry_core.stores.sql.sqlite import SqliteDriver
from services.opened import open_sql_store as open_store
from services.opened import sql_store_on


@attrs.define
class Count:
    statements: int = 0
    transactions: int = 0


class CountingConnection:
    """A connection that counts what passes through it."""

    def __init__(self, connection: Connection, count: Count) -> None:
        self._connection = connection
        self._count = count

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def run(self, statement, values):
        self._count.statements += 1
        return self._connection.run(statement, values)

    def run_later(self, statement, values):
        self._count.statements += 1
        self._connection.run_later(statement, values)

    def begin(self):
        self._count.transactions += 1
        self._connection.begin()


class CountingDriver:
    """A driver whose connections count."""

    def __init__(self, driver) -> None:
        self._driver = driver
        self.count = Count()

    def __getattr__(self, name):
        return getattr(self._driver, name)

    def connect(self):
        return CountingConnection(self._driver.connect(), self.count)


HOOK = NewWebhook(
    webhook_id="w",
    name="hook",
    url="https://example.com",
    status=WebhookStatus.DISABLED,
    events=(WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED),),
)

MODELS = Query(
    entity=Entity.REGISTERED_MODEL,
    filter=parse_filter("tags.team = 'x' AND name LIKE 'm%'", Entity.REGISTERED_MODEL),
    order_by=(OrderBy("name"),),
    max_results=1000,
    exclude_prompts=True,
)
VERSIONS = Query(
    entity=Entity.MODEL_VERSION,
    filter=parse_filter("tags.k = 'v' AND run_id IN ('a', 'b')", Entity.MODEL_VERSION),
    order_by=(OrderBy("name"), OrderBy("version")),
    max_results=1000,
    exclude_prompts=True,
)

READS: dict[str, Callable[[Store], object]] = {
    "get_registered_model": lambda store: store.get_registered_model("m"),
    "get_model_version": lambda store: store.get_model_version("m", 1),
    "get_model_version_by_alias": lambda store: store.get_model_version_by_alias("m", "champion"),
    "search_registered_models": lambda store: store.search_registered_models(MODELS),
    "search_model_versions": lambda store: store.search_model_versions(VERSIONS),
    "get_webhook": lambda store: store.get_webhook("w"),
    "list_webhooks": lambda store: store.list_webhooks(),
    "ping": lambda store: store.ping(),
    "get_registered_model, absent": lambda store: store.get_registered_model("absent"),
    "get_model_version, absent": lambda store: store.get_model_version("m", 99),
    "get_model_version_by_alias, absent": lambda store: store.get_model_version_by_alias("m", "x"),
}

TAGS = {"a": "1", "b": "2", "c": "3"}

WRITES: dict[str, Callable[[Store], object]] = {
    "create_registered_model": lambda store: store.create_registered_model(
        NewRegisteredModel(name="new")
    ),
    "create_registered_model, tags": lambda store: store.create_registered_model(
        NewRegisteredModel(name="n", tags=TAGS)
    ),
    "update_registered_model": lambda store: store.update_registered_model("m", description="d"),
    "rename_registered_model": lambda store: store.rename_registered_model("m", new_name="renamed"),
    "delete_registered_model": lambda store: store.delete_registered_model("m"),
    "update_model_version": lambda store: store.update_model_version("m", 1, description="d"),
    "finalize_model_version": lambda store: store.finalize_model_version(
        "m", 2, status=Status.READY
    ),
    "transition_model_version_stage": lambda store: store.transition_model_version_stage(
        "m", 1, stage=Stage.STAGING, archive_existing_versions=True
    ),
    "delete_model_version": lambda store: store.delete_model_version("m", 1),
    "set_registered_model_alias": lambda store: store.set_registered_model_alias(
        "m", "champion", version=2
    ),
    "delete_registered_model_alias": lambda store: store.delete_registered_model_alias(
        "m", "champion"
    ),
    "set_registered_model_tag": lambda store: store.set_registered_model_tag("m", "team", "y"),
    "delete_registered_model_tag": lambda store: store.delete_registered_model_tag("m", "team"),
    "set_model_version_tag": lambda store: store.set_model_version_tag("m", 1, "k", "w"),
    "delete_model_version_tag": lambda store: store.delete_model_version_tag("m", 1, "k"),
    "create_webhook": lambda store: store.create_webhook(attrs.evolve(HOOK, webhook_id="v")),
    "update_webhook": lambda store: store.update_webhook("w", WebhookChanges(name="x")),
    "delete_webhook": lambda store: store.delete_webhook("w"),
}

COSTS = {
    "create_registered_model": ((2, 1), (1, 0)),
    "create_registered_model, tags": ((3, 1), (1, 0)),
    "update_registered_model": ((4, 1), (3, 1)),
    "rename_registered_model": ((5, 1), (4, 1)),
    "delete_registered_model": ((3, 1), (1, 0)),
    "update_model_version": ((4, 1), (3, 1)),
    "finalize_model_version": ((4, 1), (3, 1)),
    "transition_model_version_stage": ((5, 1), (4, 1)),
    "delete_model_version": ((5, 1), (5, 1)),
    "set_registered_model_alias": ((3, 1), (1, 0)),
    "delete_registered_model_alias": ((3, 1), (1, 0)),
    "set_registered_model_tag": ((3, 1), (1, 0)),
    "delete_registered_model_tag": ((3, 1), (1, 0)),
    "set_model_version_tag": ((3, 1), (1, 0)),
    "delete_model_version_tag": ((3, 1), (1, 0)),
    "create_webhook": ((1, 0), (1, 0)),
    "update_webhook": ((2, 1), (2, 1)),
    "delete_webhook": ((3, 1), (3, 1)),
}
"""Statements and transactions (BEGIN and COMMIT) of each write, on SQLite and on PostgreSQL."""

TOLD = {
    "create_registered_model": (1, 0),
    "create_registered_model, tags": (1, 0),
    "finalize_model_version": (1, 1),
    "set_registered_model_alias": (1, 0),
    "delete_registered_model_alias": (1, 0),
    "set_registered_model_tag": (1, 0),
    "delete_registered_model_tag": (1, 0),
    "set_model_version_tag": (1, 0),
    "delete_model_version_tag": (1, 0),
}
"""Statements that a write takes more where there is an active webhook."""


def filled(url: str, versions: int) -> None:
    store = open_store(url)
    store.create_registered_model(NewRegisteredModel(name="m", tags={"team": "x"}))
    for number in range(1, versions + 1):
        status = Status.PENDING_REGISTRATION if number == 2 else Status.READY
        store.create_model_version(
            NewModelVersion(name="m", source="s", run_id="a", tags={"k": "v"}, status=status)
        )
    store.set_registered_model_alias("m", "champion", version=1)
    store.create_webhook(HOOK)
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return request.getfixturevalue("postgres_url")


def counting(url: str) -> tuple[SqlStore, Count]:
    kind = SqliteDriver if url.startswith("sqlite") else PostgresqlDriver
    driver = CountingDriver(kind.from_url(url))
    return sql_store_on(Database(driver)), driver.count


@pytest.fixture
def counted(url: str) -> Iterator[tuple[SqlStore, Count]]:
    filled(url, versions=3)
    store, count = counting(url)
    yield store, count
    store.close()


def cost(count: Count, call: Callable[[], object]) -> tuple[int, int]:
    before = attrs.evolve(count)
    try:
        call()
    except RegistryError as error:
        assert "not found" in str(error)  # noqa: PT017 some of the calls are for what is absent
    return count.statements - before.statements, count.transactions - before.transactions


def test_every_read_is_one_statement(counted) -> None:
    """A read is one round trip without BEGIN, also when it finds nothing."""
    store, count = counted
    assert {
        name: cost(count, lambda c=call: c(store)) for name, call in READS.items()
    } == dict.fromkeys(READS, (1, 0))


@pytest.mark.parametrize("name", WRITES)
def test_write_costs_what_is_written_here(counted, url: str, name: str) -> None:
    """A write is one transaction of a few statements, its event among them.

    PostgreSQL does in one round trip what clients do most: to create, to set and to delete.
    """
    store, count = counted
    expected = COSTS[name][0 if url.startswith("sqlite") else 1]
    assert cost(count, lambda: WRITES[name](store)) == expected


@pytest.mark.parametrize(
    "name", ["set_registered_model_alias", "set_registered_model_tag", "set_model_version_tag"]
)
def test_what_is_so_already_is_seen_by_the_statement_that_sets_it(
    counted, url: str, name: str
) -> None:
    """On PostgreSQL; SQLite looks again in the same transaction."""
    store, count = counted
    WRITES[name](store)
    assert cost(count, lambda: WRITES[name](store)) == ((2, 1) if "sqlite" in url else (1, 0))


@pytest.mark.parametrize("name", TOLD)
def test_write_with_a_webhook_queues_its_event_in_the_same_transaction(
    counted, url: str, name: str
) -> None:
    """In one more statement, or, on PostgreSQL, mostly in none, once it was heard of."""
    store, count = counted
    store.update_webhook("w", WebhookChanges(status=WebhookStatus.ACTIVE))
    store.create_registered_model(NewRegisteredModel(name="before"))
    place = 0 if url.startswith("sqlite") else 1
    statements, transactions = COSTS[name][place]
    expected = (statements + TOLD[name][place], transactions)
    assert cost(count, lambda: WRITES[name](store)) == expected


def test_creations_do_not_expect_a_webhook_for_ever(postgres_url: str) -> None:
    """A process that creates without a pause learns that the webhook has gone."""
    store = open_store(postgres_url)
    store.create_webhook(attrs.evolve(HOOK, status=WebhookStatus.ACTIVE))
    store.create_registered_model(NewRegisteredModel(name="with"))
    assert store._making._expects_webhooks()
    until = store._making._webhooks_until
    store.delete_webhook(HOOK.webhook_id)
    store.create_registered_model(NewRegisteredModel(name="without"))
    assert store._making._webhooks_until == until
    store.close()


def test_creating_a_version_is_one_transaction(counted, url: str) -> None:
    """PostgreSQL does it in one round trip, SQLite in four statements, tags included."""
    store, count = counted
    new = NewModelVersion(name="m", source="s", tags=TAGS)
    expected = (4, 1) if url.startswith("sqlite") else (1, 0)
    assert cost(count, lambda: store.create_model_version(new)) == expected


def test_a_small_model_is_restored_in_one_round_trip(counted, url: str) -> None:
    """By PostgreSQL; SQLite inserts table by table."""
    store, count = counted
    source, target = Registry(MemoryStore()), Registry(store)
    source.create_registered_model("new")
    source.create_model_version("new", source="s")
    expected = (3, 1) if url.startswith("sqlite") else (1, 0)
    assert cost(count, lambda: target.restore(source.snapshot("new"))) == expected
    assert target.snapshot("new") == source.snapshot("new")


@pytest.mark.parametrize("name", ["delete_registered_model", "rename_registered_model"])
def test_cost_does_not_grow_with_versions(url: str, name: str) -> None:
    """Deleting or renaming a model of 40 versions takes the statements of one of 3."""
    filled(url, versions=40)
    store, count = counting(url)
    expected = COSTS[name][0 if url.startswith("sqlite") else 1]
    assert cost(count, lambda: WRITES[name](store)) == expected
    store.close()


def test_deleting_what_is_absent_asks_for_its_owner(counted, url: str) -> None:
    """And is no event. PostgreSQL looks again with the model locked."""
    store, count = counted
    expected = [(2, 1), (2, 1)] if url.startswith("sqlite") else [(4, 1), (2, 1)]
    assert cost(count, lambda: store.delete_registered_model_tag("m", "absent")) == expected[0]
    assert cost(count, lambda: store.delete_registered_model_tag("absent", "k")) == expected[1]


def test_clients_choose_what_statements_are_kept_and_not_how_many(tmp_path: Path) -> None:
    """Each set of actions is a statement of its own, and there are more sets than memory."""
    event_pages.page.cache_clear()
    with contextlib.closing(open_store(f"sqlite:///{tmp_path}/r.db")) as store:
        for actions in itertools.islice(itertools.combinations(Action, 3), 4):
            store.events(EventQuery(actions=frozenset(actions)))
    assert event_pages.page.cache_info()[2:] == (event_pages.KEPT_STATEMENTS, 4)
