"""Slow searches, locked rows and changes of one model leave room for everybody else."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import attrs
import psycopg
import pytest

from registry_core import interest
from registry_core.errors import ConflictError, SearchTooSlowError, StoreBusyError
from registry_core.inloop import WouldBlockError
from registry_core.models import NewModelVersion, NewRegisteredModel, NewWebhook, WebhookChanges
from registry_core.search import Entity, Query, parse_order_by
from registry_core.stores.sql import (
    SqlStore,
    bounded_connection,
    compiling,
    database,
    lanes,
    outbox,
    postgresql,
    results,
    sqlite,
    statements,
)
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.lanes import Lanes
from registry_core.testing.observing import versions_query
from services.opened import open_sql_store as open_store
from services.selecting import Selecting

pytestmark = pytest.mark.usefixtures("checked_inloop")

SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0}0000000)"
    " SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep({0})",
}
"""A statement of each database that takes many seconds."""

EVERY_MODEL = Query(
    entity=Entity.REGISTERED_MODEL,
    order_by=parse_order_by((), Entity.REGISTERED_MODEL),
    max_results=10,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    store = open_store(url)
    for name in ("m", "n"):
        store.create_registered_model(NewRegisteredModel(name=name))
        store.create_model_version(NewModelVersion(name=name, source="s"))
    yield store
    store.close()


@contextlib.contextmanager
def in_threads(calls: list[Callable[[], object]]) -> Iterator[list[Future[object]]]:
    with ThreadPoolExecutor(len(calls)) as threads:
        yield [threads.submit(call) for call in calls]


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody else has locked every row of the model `m` and of webhooks, and creates others."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1 FROM registered_models WHERE name = 'm' FOR UPDATE")
        for table in ("model_versions", "model_version_tags", "registered_model_tags"):
            connection.execute(f"SELECT 1 FROM {table} WHERE name = 'm' FOR UPDATE")
        connection.execute("SELECT 1 FROM registered_model_aliases FOR UPDATE")
        connection.execute("SELECT 1 FROM webhooks FOR UPDATE")
        for name in ("new", "newer"):
            connection.execute(
                "INSERT INTO registered_models "
                "(name, model_id, creation_time, last_updated_time, next_version) "
                "VALUES (%s, %s, 1, 1, 1)",
                (name, f"id of {name}"),
            )
        yield
        connection.rollback()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def connections_in_use(store: SqlStore) -> int:
    return store._database.driver.max_connections - store._database._pool._free._slots


# Searches


def test_slow_searches_leave_connections_for_everybody_else(
    store: SqlStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as one likes: reads and changes go on meanwhile, at their usual pace."""
    monkeypatch.setattr(results, "SEARCH_SECONDS", 30.0)
    given_up = threading.Event()
    slow = Statement(SLOW[kind].format(9), (), is_search=True)

    def search() -> object:
        with interest.wanted_while(lambda: not given_up.is_set()):
            return store._database.read(slow, {})

    with in_threads([search] * 24) as searches:
        until(lambda: connections_in_use(store) > 0)
        for number in range(5):
            assert store.get_registered_model("m").name == "m"
            store.set_registered_model_tag("n", "k", str(number))
        assert connections_in_use(store) <= store._database.driver.max_connections // 4
        given_up.set()
        ended = [search.exception(30) for search in searches]
    assert {type(error) for error in ended} == {SearchTooSlowError}


def test_a_search_is_given_up_after_its_time(
    store: SqlStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own error, and the connection is as good as before."""
    store.ping()
    (kept,) = [connection for _, connection in store._database._pool._idle]
    with monkeypatch.context() as patched:
        for module in (sqlite, bounded_connection):
            patched.setattr(module, "SEARCH_SECONDS", 0.2)
        with pytest.raises(SearchTooSlowError, match=r"taken more than 0\.2 seconds"):
            store._database.read(Statement(SLOW[kind].format(9), (), is_search=True), {})
    assert [connection for _, connection in store._database._pool._idle] == [kept]
    assert store.search_registered_models(EVERY_MODEL).items[0].name == "m"


def test_a_search_that_nobody_waits_for_is_given_up(store: SqlStore, kind: str) -> None:
    """In the middle; one that somebody waits for is not."""
    slow = Statement(SLOW[kind].format(9), (), is_search=True)
    asked = []

    def is_wanted() -> bool:
        asked.append(True)
        return len(asked) < 3

    with interest.wanted_while(is_wanted), pytest.raises(SearchTooSlowError):
        store._database.read(slow, {})
    assert len(asked) == 3
    assert interest.is_wanted()


def test_a_search_that_is_given_up_does_not_go_on_in_the_server(postgres_url: str) -> None:
    """Neither in threads nor where an event loop was its caller, which cannot wait for that."""
    from registry_core import inloop

    store = open_store(postgres_url)
    store.ping()
    slow = Statement("SELECT pg_sleep(60) AS given_up_by_a_loop", (), is_search=True)
    inloop.calling(Selecting(patience=0.2))
    try:
        with pytest.raises(WouldBlockError):
            store._database.read(slow, {})
    finally:
        inloop.calling(None)
    with psycopg.connect(postgres_url, autocommit=True) as watching:
        running = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE state = 'active' AND query LIKE '%given_up_by_a_loop' AND pid <> pg_backend_pid()"
        )
        until(lambda: watching.execute(running).fetchone() == (0,))
    store.close()


def test_a_slow_search_of_a_loop_does_not_have_others_tried_for_a_while(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they are: on SQLite each would hold up the loop. Reads are tried all the same."""
    from registry_core import inloop

    store = open_store(f"sqlite:///{tmp_path / 'registry.db'}")
    store.create_registered_model(NewRegisteredModel(name="m"))
    inloop.calling(Selecting(patience=0))
    try:
        with pytest.raises(WouldBlockError) as tried:
            store._database.read(Statement(SLOW["sqlite"].format(9), (), is_search=True), {})
        assert tried.value.__cause__ is not None
        with pytest.raises(WouldBlockError) as other:
            store.search_registered_models(EVERY_MODEL)
        assert other.value.__cause__ is None
        assert store.get_registered_model("m").name == "m"
        until(lambda: _is_tried(store))
    finally:
        inloop.calling(None)
        store.close()


def _is_tried(store: SqlStore) -> bool:
    try:
        return bool(store.search_registered_models(EVERY_MODEL).items)
    except WouldBlockError:
        return False


# Changes


def test_a_locked_row_leaves_other_models_alone(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty wait for it, and two of them with a connection; reads of the same model go on."""
    # Those that wait do so until the others have been answered, on a busy machine, too.
    monkeypatch.setattr(database, "RETRY_SECONDS", 60.0)
    monkeypatch.setattr(lanes, "MODEL_SECONDS", 60.0)
    store = open_store(postgres_url)
    for name in ("m", "n"):
        store.create_registered_model(NewRegisteredModel(name=name))
    new = NewModelVersion(name="m", source="s")
    with ThreadPoolExecutor(40) as threads:
        with locked(postgres_url):
            waiting = [threads.submit(store.create_model_version, new) for _ in range(40)]
            until(lambda: connections_in_use(store) == lanes.CHANGES_OF_A_MODEL)
            for number in range(5):
                began = time.monotonic()
                store.set_registered_model_tag("n", "k", str(number))
                store.create_model_version(NewModelVersion(name="n", source="s"))
                assert store.get_registered_model("m").name == "m"
                assert time.monotonic() - began < 10
                assert connections_in_use(store) <= lanes.CHANGES_OF_A_MODEL
            assert not any(each.done() for each in waiting)
        numbers = sorted(each.result(60).version for each in waiting)
    assert numbers == list(range(1, 41))
    store.close()


WRITES: dict[str, Callable[[SqlStore], object]] = {
    "create_registered_model": lambda store: store.create_registered_model(
        NewRegisteredModel(name="new")
    ),
    "create_registered_model, tags": lambda store: store.create_registered_model(
        NewRegisteredModel(name="newer", tags={"k": "v"})
    ),
    "create_model_version": lambda store: store.create_model_version(
        NewModelVersion(name="m", source="s", tags={"k": "v"})
    ),
    "update_registered_model": lambda store: store.update_registered_model("m", description="d"),
    "rename_registered_model": lambda store: store.rename_registered_model("m", new_name="o"),
    "delete_model_version": lambda store: store.delete_model_version("m", 1),
    "set_registered_model_tag": lambda store: store.set_registered_model_tag("m", "k", "v"),
    "delete_registered_model_tag": lambda store: store.delete_registered_model_tag("m", "t"),
    "set_model_version_tag": lambda store: store.set_model_version_tag("m", 1, "k", "v"),
    "delete_model_version_tag": lambda store: store.delete_model_version_tag("m", 1, "t"),
    "set_registered_model_alias": lambda store: store.set_registered_model_alias(
        "m", "a", version=1
    ),
    "delete_registered_model_alias": lambda store: store.delete_registered_model_alias("m", "b"),
    "delete_registered_model": lambda store: store.delete_registered_model("m"),
    "update_webhook": lambda store: store.update_webhook("w", WebhookChanges(name="x")),
    "delete_webhook": lambda store: store.delete_webhook("w"),
}


@pytest.mark.parametrize("name", WRITES)
def test_no_change_waits_long_for_a_lock(
    postgres_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives up and says so, with nothing written; whatever statements it consists of."""
    store = open_store(postgres_url)
    store.create_registered_model(NewRegisteredModel(name="m", tags={"t": "v"}))
    store.create_model_version(NewModelVersion(name="m", source="s", tags={"t": "v"}))
    store.set_registered_model_alias("m", "b", version=1)
    store.create_webhook(NewWebhook(webhook_id="w", name="n", url="https://h", events=()))
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.0)
    with locked(postgres_url):
        began = time.monotonic()
        with pytest.raises(ConflictError):
            WRITES[name](store)
        assert time.monotonic() - began < compiling.LOCK_MILLISECONDS / 1_000 + 20
    WRITES[name](store)
    store.close()


def test_the_limit_of_locks_ends_with_the_statement(postgres_url: str) -> None:
    """Behind a pooler the next one on the connection is somebody else's."""
    store = open_store(postgres_url)
    store.create_registered_model(NewRegisteredModel(name="m"))
    store.set_registered_model_tag("m", "k", "v")
    store.update_registered_model("m", description="d")
    ((_, connection),) = store._database._pool._idle
    shown = [
        connection.run(Statement(f"SHOW {name}", ()), {})
        for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    ]
    assert shown == [[("0",)]] * 3
    store.close()


# The places themselves


def test_a_small_number_of_connections_has_a_lane_for_each_kind() -> None:
    """With three there is one that neither a search nor a change can have."""
    for connections in range(1, 20):
        found = Lanes(connections, is_in_process=False)
        assert min(found._changes._slots, found._searches_in_threads._slots) >= 1
        places = [found._changes, found._searches, *filter(None, [found._lookups])]
        if connections >= 3:
            assert sum(each._slots for each in places) < connections


def taken_inloop(found: Lanes) -> list[Callable[[], None]]:
    """Take all places that a search of an event loop can have; what ends each."""
    taken = []
    with contextlib.suppress(WouldBlockError):
        while True:
            taken.append(found.search_inloop())
    return taken


def test_an_event_loop_has_the_places_for_searches_that_others_leave() -> None:
    """Those of threads while these want none, and a few of changes; two are its own."""
    found = Lanes(16, is_in_process=False)
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(found.search())
        for name in "abcdefgh":
            stack.enter_context(found.change(name))
        for give_back in taken_inloop(found):
            stack.callback(give_back)
        assert found._searches._slots == found._changes._slots == 0
        assert len(stack._exit_callbacks) == 4 + 8 + 2
    for _ in range(2):
        taken = taken_inloop(found)
        assert len(taken) == 4 + 2 + 2
        assert found._changes._slots == 8 - 2
        for give_back in taken:
            give_back()
    assert (found._searches._slots, found._changes._slots, found._lent._slots) == (6, 8, 2)


@pytest.mark.parametrize("kind_of_work", ["search", "change"])
def test_a_thread_has_the_next_place_that_an_event_loop_gives_back(kind_of_work: str) -> None:
    """However many others the loop would try meanwhile."""
    found, has_place, may_end = Lanes(16, is_in_process=False), threading.Event(), threading.Event()
    taken = taken_inloop(found)
    places, give_back = found._searches, taken[0]
    if kind_of_work == "change":
        places, give_back = found._changes, taken[-1]
        while places.acquire(timeout=0):
            pass

    def work() -> None:
        with found.search() if kind_of_work == "search" else found.change("m"):
            has_place.set()
            may_end.wait(30)

    with in_threads([work]):
        until(lambda: places.waiting == 1)
        give_back()
        with pytest.raises(WouldBlockError):
            found.search_inloop()
        assert has_place.wait(30)
        may_end.set()
    assert places._slots == 1


@pytest.mark.parametrize("text", ["source_path = 's3://b/1'", "run_id = 'r'", "tags.k = 'v'"])
def test_a_search_by_one_value_passes_the_slow_ones(store: SqlStore, text: str) -> None:
    """As a server does before it lets somebody write a file."""
    query, places = versions_query(text), store._database._lanes
    with contextlib.ExitStack() as stack:
        for _ in range(places._searches_in_threads._slots):
            stack.enter_context(places.search())
        (answer,) = stack.enter_context(in_threads([lambda: store.search_model_versions(query)]))
        assert answer.result(timeout=20).items == []


def test_changes_of_one_model_wait_for_each_other_and_for_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """First come, first served; and nothing is kept of models that nobody changes."""
    monkeypatch.setattr(lanes, "MODEL_SECONDS", 0.05)
    found = Lanes(16, is_in_process=False)
    with found.change("m"), found.change("m"):
        with found.change("n"), found.change(None):
            pass
        with pytest.raises(StoreBusyError, match="'m'; nothing was written"), found.change("m"):
            pytest.fail("there was a third place")
    assert found._models._models == {}
    assert found._changes._slots == 8
    with found.change("m"):
        pass


def test_changes_that_wait_for_one_model_have_the_places_of_those_before() -> None:
    """Of the first two, too, who have theirs from before anybody waited."""
    found, under_way, most = Lanes(16, is_in_process=False), 0, 0
    counting, may_go_on = threading.Lock(), threading.Event()

    def change() -> None:
        nonlocal under_way, most
        with found.change("m"):
            with counting:
                under_way += 1
                most = max(most, under_way)
            may_go_on.wait(30)
            with counting:
                under_way -= 1

    with in_threads([change] * 12) as changes:
        until(lambda: "m" in found._models._models and found._models._models["m"].users == 12)
        may_go_on.set()
        for one in changes:
            one.result(30)
    assert most == 2
    assert found._models._models == {}


def test_so_many_wait_for_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused at once."""
    monkeypatch.setattr(lanes, "MOST_WAITING_FOR_A_MODEL", 0)
    found = Lanes(16, is_in_process=False)
    with found.change("m"), found.change("m"):
        began = time.monotonic()
        with pytest.raises(StoreBusyError), found.change("m"):
            pytest.fail("there was a third place")
        assert time.monotonic() - began < lanes.MODEL_SECONDS / 2


def test_who_finds_no_place_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches and changes alike; a loop is told at once, and a thread does it."""
    monkeypatch.setattr(lanes, "CHANGE_SECONDS", 0.01)
    monkeypatch.setattr(lanes, "SEARCH_SECONDS", 0.01)
    found = Lanes(4, is_in_process=False)
    with contextlib.ExitStack() as stack:
        stack.enter_context(found.search())
        with pytest.raises(StoreBusyError, match="that searches may take"), found.search():
            pytest.fail("there was a second place")
        for name in ("m", "n"):
            stack.enter_context(found.change(name))
        with pytest.raises(StoreBusyError, match="that changes may take"), found.change("o"):
            pytest.fail("there was a third place")
        with pytest.raises(WouldBlockError):
            found.search_inloop()
    with found.search(), found.change("o"):
        pass


def test_every_statement_that_changes_something_by_itself_waits_for_locks_briefly() -> None:
    """In a transaction BEGIN has said so; these have none."""
    driver = postgresql.PostgresqlDriver
    alone = attrs.asdict(statements.statements(driver.dialect, driver.insert), recurse=False)
    alone |= outbox._compiled(driver.dialect)
    in_transactions = {
        *("create_model", "create_model_tags", "update_model", "touch_model", "rename_model"),
        "touch_versions",
        *("create_version", "create_version_tags", "update_version", "finalize_version"),
        *("relocate_version", "put_approval", "delete_approval"),
        *("transition", "transition_and_archive", "delete_version", "touch_webhook"),
        *("update_webhook", "delete_webhook", "lock_model", "add_event", "add_events"),
        *(
            "queue_event",
            "queue_events",
            "bury",
            "prune",
            "queue_again",
            "dig_up",
            "forget_queued",
            "forget_dead",
        ),
    }
    in_transactions |= {name for name in alone if name.startswith("restore_")}
    in_transactions |= {"replace_model", "remove_history", "remove_beginning", "keep_key"}
    # Nobody else can have locked what does not exist.
    in_transactions.add("create_webhook")
    for name, statement in alone.items():
        changes = any(word in statement.text for word in ("INSERT", "UPDATE ", "DELETE"))
        if changes and name not in in_transactions:
            assert "set_config('lock_timeout'" in statement.text, name
