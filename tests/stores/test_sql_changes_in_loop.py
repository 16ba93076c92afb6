"""Changes of an event loop: made once, and what waits does so in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from registry_core import inloop
from registry_core.errors import StoreUnavailableError
from registry_core.history import EventQuery
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.stores.sql import SqlStore, bounded_connection
from registry_core.stores.sql.bounded_connection import BoundedConnection
from registry_core.stores.sql.errors import InDoubtError, LostRaceError
from services.opened import open_sql_store as open_store
from services.selecting import Selecting

pytestmark = pytest.mark.usefixtures("checked_inloop")

CHANGES: dict[str, Callable[[SqlStore], object]] = {
    "create model": lambda store: store.create_registered_model(NewRegisteredModel(name="n")),
    "create version": lambda store: store.create_model_version(
        NewModelVersion(name="m", source="s3://b/p", tags={"k": "v"})
    ),
    "set alias": lambda store: store.set_registered_model_alias("m", "champion", version=1),
    "delete alias": lambda store: store.delete_registered_model_alias("m", "champion"),
    "set tag": lambda store: store.set_registered_model_tag("m", "k", "v"),
    "delete tag": lambda store: store.delete_registered_model_tag("m", "k"),
    "set version tag": lambda store: store.set_model_version_tag("m", 1, "k", "v"),
    "delete version tag": lambda store: store.delete_model_version_tag("m", 1, "k"),
}
"""Those that a server makes in its event loop."""


@pytest.fixture
def store(postgres_url: str) -> Iterator[SqlStore]:
    """A store with a model `m` of a version, and a connection that is idle."""
    store = open_store(postgres_url)
    store.create_registered_model(NewRegisteredModel(name="m"))
    store.create_model_version(NewModelVersion(name="m", source="s3://b/p"))
    yield store
    inloop.calling(None)
    store.close()


@pytest.fixture
def caller(store: SqlStore) -> Selecting:
    """An event loop that makes changes, from now on."""
    caller = Selecting(makes_change=True)
    inloop.calling(caller)
    return caller


@contextlib.contextmanager
def in_threads() -> Iterator[None]:
    """No event loop calls in the block."""
    caller = inloop.waiter()
    inloop.calling(None)
    yield
    inloop.calling(caller)


def events(store: SqlStore, name: str = "m") -> int:
    """How many changes of a model there have been."""
    with in_threads():
        return len(store.events(EventQuery(name=name)))


def let_go_when_a_thread_waits(
    caller: Selecting, let_go: Callable[[], object]
) -> contextlib.AbstractContextManager[None]:
    """Call `let_go` once something has been given to a thread."""

    @contextlib.contextmanager
    def letting_go() -> Iterator[None]:
        def wait() -> None:
            deadline = time.monotonic() + 30
            while not caller.in_threads and time.monotonic() < deadline:
                time.sleep(0.005)
            let_go()

        thread = threading.Thread(target=wait)
        thread.start()
        yield
        thread.join()

    return letting_go()


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_needs_no_thread(store: SqlStore, caller: Selecting, name: str) -> None:
    """One pause or a few, on a connection that was idle."""
    CHANGES[name](store)
    assert caller.pauses > 0
    assert caller.in_threads == 0


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("patience", [0, 30])
def test_what_it_does_is_the_same(
    store: SqlStore, caller: Selecting, name: str, patience: float
) -> None:
    """Also where each of its statements is waited for in a thread."""
    caller.patience = patience
    before = events(store)
    CHANGES[name](store)
    new = "n" if name == "create model" else "m"
    # What sets or removes what is so already changes nothing.
    expected = {"create model": 1}.get(name, before + (not name.startswith("delete")))
    assert events(store, new) == expected
    assert (caller.in_threads > 0) == (patience == 0)


def test_a_thread_connects(store: SqlStore, caller: Selecting) -> None:
    """The loop takes what is idle, and waits for no server."""
    store._database.close_idle()
    CHANGES["set tag"](store)
    assert caller.in_threads == 1


def test_a_locked_row_is_waited_for_in_a_thread(
    store: SqlStore, caller: Selecting, postgres_url: str
) -> None:
    """The statement that was sent is not sent again."""
    caller.patience = 0.1
    before = events(store)
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM registered_models WHERE name = 'm' FOR UPDATE")
        with let_go_when_a_thread_waits(caller, other.rollback):
            CHANGES["set tag"](store)
    assert caller.in_threads == 1
    assert events(store) == before + 1


def test_the_time_of_a_statement_begins_when_it_is_sent(
    store: SqlStore, caller: Selecting, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is over as it is in threads; what became of the change is not known then."""
    monkeypatch.setattr(BoundedConnection, "statement_seconds", 0.5)
    caller.patience = 0.1
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM registered_models WHERE name = 'm' FOR UPDATE")
        with pytest.raises(StoreUnavailableError, match=r"no result in 0\.5 seconds"):
            CHANGES["set tag"](store)


def test_silence_that_the_loop_has_waited_counts(
    store: SqlStore, caller: Selecting, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread looks after the server when it is time, and not a second after it took over."""
    heard: list[float] = []
    look = BoundedConnection._look_after_server

    def watched(self: BoundedConnection, silence: float) -> None:
        heard.append(silence)
        look(self, silence)
        other.rollback()

    monkeypatch.setattr(BoundedConnection, "_look_after_server", watched)
    monkeypatch.setattr(bounded_connection, "SILENCE_SECONDS", 0.4)
    caller.patience = 0.5
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM registered_models WHERE name = 'm' FOR UPDATE")
        began = time.monotonic()
        CHANGES["set tag"](store)
    assert caller.in_threads == 1
    assert heard[0] >= 0.5
    assert began + heard[0] <= time.monotonic()


def taken_places(store: SqlStore) -> contextlib.ExitStack:
    """All that changes may take."""
    places = contextlib.ExitStack()
    for _ in range(store._database._lanes._changes._slots):
        places.enter_context(store._database._lanes.change(None))
    return places


def taken_model(store: SqlStore) -> contextlib.ExitStack:
    """All that changes of one model may take."""
    places = contextlib.ExitStack()
    for _ in range(2):
        places.enter_context(store._database._lanes.change("m"))
    return places


@pytest.mark.parametrize("taken", [taken_places, taken_model])
@pytest.mark.parametrize("patience", [0, 30])
def test_a_place_is_waited_for(
    store: SqlStore,
    caller: Selecting,
    taken: Callable[[SqlStore], contextlib.ExitStack],
    patience: float,
) -> None:
    """In a thread if it takes too long; and it is given back at the end."""
    with in_threads():
        places = taken(store)
    caller.patience = patience
    let_go = threading.Timer(0.2, places.close)
    let_go.start()
    CHANGES["set tag"](store)
    let_go.join()
    assert (caller.in_threads > 0) == (patience == 0)
    free = store._database._lanes._changes._slots
    CHANGES["set tag"](store)
    assert store._database._lanes._changes._slots == free


def failing(store: SqlStore, monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> list[Any]:
    """Has the next statements fail so; what was sent."""
    with in_threads():
        connection = store._database._pool.take(fresh=False)
        store._database._pool.put_back(connection)
    sent: list[Any] = []
    run = connection.run

    def fail(statement: Any, values: Any) -> Any:
        sent.append(statement)
        if errors:
            raise errors.pop(0)
        return run(statement, values)

    monkeypatch.setattr(connection, "run", fail)
    return sent


def test_a_lost_race_is_repeated(
    store: SqlStore, caller: Selecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause before is a thread's."""
    sent = failing(store, monkeypatch, [LostRaceError("lost"), LostRaceError("lost")])
    CHANGES["set tag"](store)
    assert len(sent) == 3
    assert caller.in_threads == 2


def test_a_lost_reply_is_said_and_not_repeated(
    store: SqlStore, caller: Selecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was made is not known."""
    sent = failing(store, monkeypatch, [InDoubtError("gone")])
    with pytest.raises(StoreUnavailableError):
        CHANGES["set tag"](store)
    assert len(sent) == 1


def test_a_reply_that_was_lost_is_looked_for_in_a_thread(
    store: SqlStore, caller: Selecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A creation is made once, and found out."""
    failing(store, monkeypatch, [InDoubtError("gone")])
    CHANGES["create version"](store)
    assert caller.in_threads == 1
    with in_threads():
        assert store.get_model_version("m", 2).tags == {"k": "v"}


def test_reads_of_a_change_are_left_to_threads_one_by_one(
    store: SqlStore, caller: Selecting
) -> None:
    """The change as a whole is not: it may have written something before."""
    store._database.close_idle()
    assert store.get_registered_model("m").name == "m"
    assert caller.in_threads == 1


def test_changes_side_by_side(store: SqlStore) -> None:
    """Of one model, from many loops: each has its number."""

    def create(_: int) -> int:
        inloop.calling(Selecting(makes_change=True))
        try:
            return store.create_model_version(NewModelVersion(name="m", source="s")).version
        finally:
            inloop.calling(None)

    with ThreadPoolExecutor(16) as loops:
        numbers = list(loops.map(create, range(200)))
    assert sorted(numbers) == list(range(2, 202))
