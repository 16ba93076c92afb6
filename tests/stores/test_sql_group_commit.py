"""Writers of one database that admits one at a time: who does whose change, and what becomes of it."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry_core import inloop
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    ConflictError,
    ContentionError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    StoreUnavailableError,
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
from registry_core.stores.sql import SqlStore, database, group_commit
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.errors import DuplicateError, LostRaceError
from registry_core.stores.sql.group_commit import MOST_SHARED, GroupCommit, Outcome
from registry_core.stores.sql.sqlite import SqliteDriver
from registry_core.testing.calls import Calls
from services.in_loop import SqlStoreInLoop
from services.opened import open_sql_store as open_store
from services.opened import sql_store_on
from services.selecting import Selecting

SOON = 30.0
"""Seconds within which what must happen has happened, on the slowest machine."""

pytestmark = pytest.mark.usefixtures("checked_inloop")

HOOK = NewWebhook(
    webhook_id="w",
    name="hook",
    url="https://example.com",
    events=(WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED),),
)


class Watched:
    """A driver that calls `sees` with each connection before whatever that does, and its name."""

    def __init__(self, driver: SqliteDriver) -> None:
        self._driver = driver
        self.sees: Callable[[str, WatchedConnection], None] = lambda *_: None

    def __getattr__(self, name):
        return getattr(self._driver, name)

    def connect(self):
        return WatchedConnection(self._driver.connect(), self)


class WatchedConnection:
    def __init__(self, connection, driver: Watched) -> None:
        self.connection = connection
        self._driver = driver

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def run(self, statement, values):
        self._driver.sees(statement.text.partition(" ")[0], self)
        return self.connection.run(statement, values)

    def begin(self):
        self._driver.sees("BEGIN", self)
        self.connection.begin()

    def commit(self):
        self._driver.sees("COMMIT", self)
        self.connection.commit()


class Holding:
    """Has the driver wait with whatever it does, until it may go on."""

    def __init__(self, driver: Watched) -> None:
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()
        driver.sees = self._hold

    def _hold(self, *_: object) -> None:
        self.has_begun.set()
        self.may_go_on.wait(SOON)


DELETE = Statement("DELETE FROM webhooks WHERE webhook_id = 'w'", ())


def alone(store: SqlStore) -> None:
    """A change that is one statement."""
    store._database.write(DELETE, {})


@pytest.fixture
def driver(tmp_path: Path) -> Watched:
    return Watched(SqliteDriver(str(tmp_path / "registry.db")))


@pytest.fixture(params=["threads", "loops"])
def store(driver: Watched, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SqlStore]:
    """A store with a model `m` of one version and a webhook `w`, as threads or loops call it."""
    open_store(f"sqlite:///{tmp_path / 'registry.db'}").close()
    store = sql_store_on(Database(driver))
    if request.param == "loops":
        in_loop = SqlStoreInLoop(store.backend)
        in_loop.patience = 0.05
        store = Calls(in_loop)
    store.create_registered_model(NewRegisteredModel(name="m"))
    store.create_model_version(NewModelVersion(name="m", source="s"))
    store.create_webhook(HOOK)
    yield store
    store.close()


class Called:
    """What became of a call in a thread."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result: object = self._call()
        except Exception as error:  # noqa: BLE001 that is what became of it
            self.result = error

    def wait(self) -> object:
        self._thread.join(SOON)
        return self.result


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def together(store: SqlStore, driver: Watched, calls: list[Callable[[], object]]) -> list[object]:
    """What became of the calls, all of which waited while another change held the database.

    That one is a statement alone, and so commits by itself.
    """
    writers = store._database._writers
    seen, holding = driver.sees, Holding(driver)
    first = Called(lambda: alone(store))
    holding.has_begun.wait(SOON)
    outcomes = []
    for number, call in enumerate(calls):
        outcomes.append(Called(call))
        until(lambda number=number: len(writers._waiting) == number + 1)
    driver.sees = seen
    holding.may_go_on.set()
    assert first.wait() is None
    return [outcome.wait() for outcome in outcomes]


def create_version(store: SqlStore, **fields: object) -> Callable[[], object]:
    return lambda: store.create_model_version(NewModelVersion(name="m", source="s", **fields))


def counted(driver: Watched) -> list[str]:
    """The names of what connections do from now on."""
    names: list[str] = []
    driver.sees = lambda name, _: names.append(name)
    return names


def test_changes_that_wait_share_a_transaction(store: SqlStore, driver: Watched) -> None:
    """They are done in the order of their coming, and made durable once."""
    names = counted(driver)
    versions = together(store, driver, [create_version(store) for _ in range(7)])
    assert [version.version for version in versions] == list(range(2, 9))
    assert names.count("COMMIT") == 1
    assert [store.get_model_version("m", number) for number in range(2, 9)] == versions


def test_a_change_alone_is_a_statement_alone(store: SqlStore, driver: Watched) -> None:
    """A transaction around it would cost two more."""
    names = counted(driver)
    alone(store)
    assert names == ["DELETE"]


def test_a_change_that_fails_is_undone_alone(store: SqlStore, driver: Watched) -> None:
    """Each caller gets its own error; what the others did before and after it stays."""
    before = store.get_registered_model("m").last_updated_timestamp
    time.sleep(0.002)
    calls = [
        lambda: store.set_registered_model_tag("m", "k", "v"),
        lambda: store.set_registered_model_tag("absent", "k", "v"),
        lambda: store.set_registered_model_alias("m", "champion", version=9),
        lambda: store.set_registered_model_alias("m", "champion", version=1),
        lambda: store.create_registered_model(NewRegisteredModel(name="m")),
        lambda: store.delete_registered_model("absent"),
        # It has touched the model when it finds no version.
        lambda: store.transition_model_version_stage(
            "m", 9, stage=Stage.PRODUCTION, archive_existing_versions=True
        ),
    ]
    outcomes = together(store, driver, calls)
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        RegisteredModelNotFoundError,
        ModelVersionNotFoundError,
        type(None),
        AlreadyExistsError,
        RegisteredModelNotFoundError,
        ModelVersionNotFoundError,
    ]
    model = store.get_registered_model("m")
    assert model.tags == {"k": "v"}
    assert model.aliases == {"champion": 1}
    assert model.last_updated_timestamp == before


def test_a_change_that_fails_leaves_nothing_to_the_collector(
    store: SqlStore, driver: Watched
) -> None:
    """Its error is gone when its caller has dealt with it; a server's collector comes seldom."""

    def fail() -> object:
        try:
            store.set_registered_model_tag("absent", "k", "v")
        except RegisteredModelNotFoundError as error:
            return weakref.ref(error.__cause__)

    gc.disable()
    try:
        assert [error() for error in together(store, driver, [fail] * 3)] == [None] * 3
    finally:
        gc.enable()


def test_events_of_changes_that_share_are_few_statements(store: SqlStore, driver: Watched) -> None:
    """And in the order of the changes."""
    traced: list[str] = []
    driver.sees = lambda _, connection: connection.raw.set_trace_callback(traced.append)
    tags = [f"k{number}" for number in range(5)]
    set_tags = [lambda key=key: store.set_registered_model_tag("m", key, "v") for key in tags]
    assert together(store, driver, [*set_tags, create_version(store)])[:5] == [None] * 5
    assert sum("INTO model_events" in text for text in traced) == 2
    newest = store.events(EventQuery(name="m", max_results=6))
    assert [each.key for each in reversed(newest)] == [*tags, None]
    assert [each.sequence for each in newest] == list(range(8, 2, -1))
    assert all(each.is_intact for each in newest)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at what a process has open")
def test_events_of_changes_that_share_need_no_file(store: SqlStore, driver: Watched) -> None:
    """SQLite makes one where a statement changes many pages, as those of many histories."""
    names = [f"model-{number}" for number in range(MOST_SHARED)]
    for name in names:
        store.create_registered_model(NewRegisteredModel(name=name))
        for number in range(3):
            store.set_registered_model_tag(name, "long", f"{number}" * 800)
    found: list[list[str]] = []
    driver.sees = lambda step, _: found.append(files_of_sqlite()) if step == "COMMIT" else None
    tagged = [lambda name=name: store.set_registered_model_tag(name, "k", "v") for name in names]
    assert together(store, driver, tagged) == [None] * MOST_SHARED
    assert found == [[]]


def files_of_sqlite() -> list[str]:
    """The temporary files of SQLite that this process has open."""
    paths = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            paths.append(str(descriptor.readlink()))
    return [path for path in paths if "/etilqs_" in path]


def damage(store: SqlStore, tmp_path: Path) -> None:
    """Create a model called `damaged`, whose next event cannot be written."""
    store.create_registered_model(NewRegisteredModel(name="damaged"))
    with contextlib.closing(sqlite3.connect(tmp_path / "registry.db")) as raw:
        raw.execute(
            "INSERT INTO model_events SELECT model_id, 2, name, time, actor, is_authenticated, "
            "origin, reason, action, subject, version, key, before, after, checksum "
            "FROM model_events WHERE name = 'damaged'"
        )
        raw.commit()


@pytest.mark.parametrize("first", [1, 5])
def test_an_event_that_cannot_be_written_fails_its_change_alone(
    store: SqlStore, driver: Watched, tmp_path: Path, first: int
) -> None:
    """What others have done in the same transaction stays, with its events."""
    damage(store, tmp_path)
    calls = [
        lambda name=name, key=f"k{number}": store.set_registered_model_tag(name, key, "v")
        for number, name in enumerate([*["m"] * first, "damaged", "m"])
    ]
    calls.append(create_version(store))
    *before, failed, after, version = together(store, driver, calls)
    assert (before, after, version.version) == ([None] * first, None, 2)
    assert isinstance(failed, DuplicateError)
    assert store.get_registered_model("damaged").tags == {}
    numbers = [each.sequence for each in store.events(EventQuery(name="m"))]
    assert numbers == list(range(first + 4, 0, -1))


@pytest.mark.parametrize(
    "other",
    [
        lambda store: store.update_registered_model("m", description="d"),
        lambda store: store.rename_registered_model("m", new_name="n"),
        lambda store: store.delete_model_version("m", 1),
        lambda store: store.delete_registered_model("m"),
    ],
    ids=["update", "rename", "delete version", "delete model"],
)
def test_an_event_that_cannot_be_written_is_not_the_fault_of_who_has_it_written(
    store: SqlStore, driver: Watched, tmp_path: Path, other: Callable[[SqlStore], object]
) -> None:
    """Some changes read what events may have changed, so those before them are written first."""
    damage(store, tmp_path)
    calls = [
        lambda: store.set_registered_model_tag("damaged", "k", "v"),
        lambda: other(store),
    ]
    failed, done = together(store, driver, calls)
    assert isinstance(failed, DuplicateError)
    assert not isinstance(done, Exception)
    assert store.get_registered_model("damaged").tags == {}


def test_each_sees_what_was_changed_before_it(store: SqlStore, driver: Watched) -> None:
    """In one transaction as in several."""
    calls = [
        lambda: store.rename_registered_model("m", new_name="n"),
        lambda: store.update_registered_model("m", description="d"),
        lambda: store.update_registered_model("n", description="d"),
    ]
    renamed, absent, updated = together(store, driver, calls)
    assert renamed.name == "n"
    assert isinstance(absent, RegisteredModelNotFoundError)
    assert updated.description == "d"


def test_a_lost_race_is_repeated_by_all(store: SqlStore, driver: Watched) -> None:
    """Nothing is done twice."""
    losses = iter([True, True])

    def lose(name: str, _: object) -> None:
        if name == "COMMIT" and next(losses, False):
            raise LostRaceError("busy")

    driver.sees = lose
    versions = together(store, driver, [create_version(store) for _ in range(4)])
    assert [version.version for version in versions] == [2, 3, 4, 5]
    assert next(losses, None) is None
    with pytest.raises(ModelVersionNotFoundError):
        store.get_model_version("m", 6)


def test_what_failed_in_an_undone_attempt_may_succeed_in_the_next(
    store: SqlStore, driver: Watched
) -> None:
    """Only what became of it in the attempt that was committed counts."""
    failures = {"DELETE": StoreUnavailableError("no memory"), "COMMIT": LostRaceError("busy")}

    def fail_once(name: str, _: object) -> None:
        if name in failures:
            raise failures.pop(name)

    store.set_registered_model_alias("m", "champion", version=1)
    driver.sees = fail_once
    calls = [
        create_version(store),
        lambda: store.delete_registered_model_alias("m", "champion"),
    ]
    assert together(store, driver, calls) == [store.get_model_version("m", 2), None]
    assert failures == {}
    assert store.get_registered_model("m").aliases == {}


def test_a_failure_that_ends_the_transaction_hits_one(store: SqlStore, driver: Watched) -> None:
    """As a full disk does, when it is full for a large change only; the others are repeated."""

    def fill(name: str, connection: WatchedConnection) -> None:
        if name == "DELETE":
            connection.connection.rollback()
            raise StoreUnavailableError("The disk is full")

    driver.sees = fill
    outcomes = together(
        store,
        driver,
        [
            create_version(store, tags={"k": "v"}),
            lambda: store.delete_registered_model_alias("m", "champion"),
            create_version(store),
        ],
    )
    assert outcomes[0] == store.get_model_version("m", 2)
    assert isinstance(outcomes[1], StoreUnavailableError)
    assert outcomes[2] == store.get_model_version("m", 3)


def test_a_failing_commit_fails_all(store: SqlStore, driver: Watched) -> None:
    """None of them is told that it was done, and none was."""

    def fail(name: str, _: object) -> None:
        if name == "COMMIT":
            raise StoreUnavailableError("The disk is full")

    driver.sees = fail
    calls = [create_version(store), lambda: store.set_registered_model_tag("m", "k", "v")]
    assert [type(outcome) for outcome in together(store, driver, calls)] == [
        StoreUnavailableError,
        StoreUnavailableError,
    ]
    driver.sees = lambda *_: None
    assert store.get_registered_model("m").tags == {}
    assert create_version(store)().version == 2


def test_who_waits_too_long_is_in_conflict(
    store: SqlStore, driver: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its change is not made later."""
    holding = Holding(driver)
    first = Called(lambda: store.set_registered_model_tag("m", "first", ""))
    holding.has_begun.wait(SOON)
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.01)
    with pytest.raises(ConflictError):
        store.set_registered_model_tag("m", "late", "")
    holding.may_go_on.set()
    assert first.wait() is None
    assert store.get_registered_model("m").tags == {"first": ""}


def test_no_more_share_than_a_few(store: SqlStore, driver: Watched) -> None:
    """The first of them waits for the last."""
    names = counted(driver)
    calls = [create_version(store) for _ in range(MOST_SHARED + 3)]
    versions = together(store, driver, calls)
    assert [version.version for version in versions] == list(range(2, MOST_SHARED + 5))
    assert names.count("COMMIT") == 2


def test_an_alias_deleted_beside_its_version_is_gone_or_absent(
    store: SqlStore, driver: Watched
) -> None:
    """Whether the owner exists is asked outside of the shared transaction."""
    store.set_registered_model_alias("m", "champion", version=1)
    calls = [
        lambda: store.delete_model_version("m", 1),
        lambda: store.delete_registered_model_alias("m", "champion"),
    ]
    assert together(store, driver, calls) == [None, None]
    with pytest.raises(AliasNotFoundError):
        store.get_model_version_by_alias("m", "champion")


# Taking turns, without a database


class Commits:
    """Does changes, which are texts, and says which it was given together."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_go_on = threading.Event()
        self.is_interrupted = False

    def __call__(self, changes: list[str]) -> list[Outcome]:
        self.groups.append(changes)
        if changes == ["first"]:
            self.may_go_on.wait(SOON)
        elif self.is_interrupted:
            raise KeyboardInterrupt
        return [(f"{change} is done", None) for change in changes]


class Writing:
    """A group in which one change is being made until `let_go`."""

    def __init__(self) -> None:
        self.commits = Commits()
        self.group = GroupCommit(self.commits)
        self.first = self.starts("first")
        until(lambda: bool(self.commits.groups))

    def starts(self, change: str, *, run: Callable[[str], object] | None = None) -> Called:
        """A thread that has a change done, and waits already unless it is the first."""
        count = len(self.group._waiting)
        called = Called(lambda: (run or self.run)(change))
        if change != "first":
            until(lambda: len(self.group._waiting) == count + 1)
        return called

    def run(self, change: str) -> object:
        with contextlib.suppress(KeyboardInterrupt):
            return self.group.run(change, timeout=SOON)

    def let_go(self) -> None:
        self.commits.may_go_on.set()
        assert self.first.wait() == "first is done"

    def is_free(self) -> bool:
        self.commits.is_interrupted = False
        return self.group.run("last", timeout=0) == "last is done"


def test_who_comes_to_lead_is_given_what_the_others_wait_for() -> None:
    """And they do nothing themselves."""
    writing = Writing()
    called = [writing.starts(change) for change in "abc"]
    writing.let_go()
    assert [each.wait() for each in called] == ["a is done", "b is done", "c is done"]
    assert writing.commits.groups == [["first"], ["a", "b", "c"]]
    assert writing.is_free()


def test_whose_change_was_interrupted_is_in_doubt() -> None:
    """Nobody waits for ever for a thread that is no more."""
    writing = Writing()
    writing.commits.is_interrupted = True
    called = [writing.starts(change) for change in "abc"]
    writing.let_go()
    leads, *follow = [each.wait() for each in called]
    assert leads is None
    assert [type(outcome) for outcome in follow] == [StoreUnavailableError] * 2
    assert "may or may not" in str(follow[0])
    assert writing.is_free()


def test_who_waits_too_long_withdraws() -> None:
    """Its change is not made later."""
    writing = Writing()
    with pytest.raises(ContentionError):
        writing.group.run("late", timeout=0.01)
    writing.let_go()
    assert writing.is_free()
    assert writing.commits.groups == [["first"], ["last"]]


class Interrupted(group_commit.Future):
    """Has its thread interrupted or late when it has begun to wait, or just when it has news."""

    error: BaseException = KeyboardInterrupt()
    has_come = False
    is_second = False

    def result(self, timeout: float = -1) -> object:
        if self.is_second:
            return super().result(timeout)
        self.is_second = True
        if self.has_come:
            super().result(timeout)
        raise self.error


@pytest.mark.parametrize("has_come", [False, True], ids=["waiting", "turn has come"])
def test_who_is_interrupted_while_waiting_does_not_keep_the_turn(
    monkeypatch: pytest.MonkeyPatch, *, has_come: bool
) -> None:
    """Neither before its turn nor when it comes at that moment."""
    monkeypatch.setattr(group_commit, "Future", Interrupted)
    monkeypatch.setattr(Interrupted, "has_come", has_come)
    writing = Writing()
    if has_come:
        called = writing.starts("a")
    else:
        called = Called(lambda: writing.run("a"))
        assert called.wait() is None
    writing.let_go()
    assert called.wait() is None
    assert writing.is_free()
    assert writing.commits.groups == [["first"], ["last"]]


def test_whose_time_is_up_when_its_turn_comes_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is late by nothing."""
    monkeypatch.setattr(group_commit, "Future", Interrupted)
    monkeypatch.setattr(Interrupted, "has_come", True)
    monkeypatch.setattr(Interrupted, "error", TimeoutError())
    writing = Writing()
    called = writing.starts("a")
    writing.let_go()
    assert called.wait() == "a is done"
    assert writing.is_free()


# Event loops


def as_loop(writing: Writing, caller: Selecting) -> Callable[[str], object]:
    """Has a change done by the group, as an event loop does."""

    def run(change: str) -> object:
        inloop.calling(caller)
        try:
            return writing.run(change)
        finally:
            inloop.calling(None)

    return run


class Leading(Selecting):
    """Counts for which of its changes a thread leads; one that is interrupted ends quietly."""

    def have_run(self, function: Callable[[], object]) -> None:
        self.in_threads += 1

        def run() -> None:
            with contextlib.suppress(KeyboardInterrupt):
                function()

        super().have_run(run)


def test_a_loop_whose_turn_has_come_has_a_thread_lead() -> None:
    """For all that wait; none of their threads does anything itself."""
    writing, caller = Writing(), Leading(makes_change=True)
    called = [writing.starts(change, run=as_loop(writing, caller)) for change in "abc"]
    writing.let_go()
    assert [each.wait() for each in called] == ["a is done", "b is done", "c is done"]
    assert writing.commits.groups == [["first"], ["a", "b", "c"]]
    assert caller.in_threads == 1
    assert writing.is_free()


def test_a_thread_that_leads_for_loops_goes_on_while_changes_wait() -> None:
    """Of whichever kind; to begin anew costs as much as a change."""
    writing, caller = Writing(), Leading(makes_change=True)
    writing.let_go()
    writing.commits.may_go_on.clear()
    writing.commits.groups.clear()
    loop = as_loop(writing, caller)
    first = Called(lambda: loop("first"))
    until(lambda: bool(writing.commits.groups))
    called = [writing.starts("a", run=loop), writing.starts("b"), writing.starts("c", run=loop)]
    writing.commits.may_go_on.set()
    assert [each.wait() for each in (first, *called)] == [
        f"{change} is done" for change in ("first", "a", "b", "c")
    ]
    assert writing.commits.groups == [["first"], ["a", "b", "c"]]
    assert caller.in_threads == 1
    until(lambda: not writing.group._has_leader)
    assert writing.is_free()


class WithoutThreads(Selecting):
    def have_run(self, function: Callable[[], object]) -> None:
        raise RuntimeError("can't start new thread")


def test_where_no_thread_can_be_had_the_turn_is_passed_on() -> None:
    """The change is not made, and its caller hears so."""
    writing = Writing()
    caller = WithoutThreads(makes_change=True)
    refused: list[object] = []

    def run(change: str) -> object:
        try:
            return as_loop(writing, caller)(change)
        except RuntimeError as error:
            refused.append(error)

    called = [writing.starts("a", run=run), writing.starts("b")]
    writing.let_go()
    assert [each.wait() for each in called] == [None, "b is done"]
    assert len(refused) == 1
    assert writing.commits.groups == [["first"], ["b"]]
    assert writing.is_free()


@pytest.mark.parametrize("patience", [30.0, 0.01])
def test_whose_thread_was_interrupted_is_in_doubt(patience: float) -> None:
    """And the next one leads."""
    writing = Writing()
    writing.commits.is_interrupted = True
    caller = Leading(patience, makes_change=True)
    called = [writing.starts(change, run=as_loop(writing, caller)) for change in "ab"]
    writing.let_go()
    outcomes = [each.wait() for each in called]
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailableError] * 2
    assert writing.is_free()


def test_a_loop_waits_as_long_as_a_thread() -> None:
    """Partly in a thread; then it withdraws."""
    writing, caller = Writing(), Selecting(0.01, makes_change=True)
    inloop.calling(caller)
    try:
        with pytest.raises(ContentionError):
            writing.group.run("late", timeout=0.05)
    finally:
        inloop.calling(None)
    assert caller.in_threads == 1
    writing.let_go()
    assert writing.is_free()
    assert writing.commits.groups == [["first"], ["last"]]


def test_what_a_loop_waited_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread has what is left of the time."""
    asked: list[float | None] = []

    class Asked(group_commit.LoopFuture):
        def result(self, timeout: float | None = None) -> object:
            asked.append(timeout)
            return super().result(timeout)

    monkeypatch.setattr(group_commit, "LoopFuture", Asked)
    writing, caller = Writing(), Selecting(0.1, makes_change=True)
    inloop.calling(caller)
    try:
        with pytest.raises(ContentionError):
            writing.group.run("late", timeout=0.4)
    finally:
        inloop.calling(None)
    assert [0 <= timeout <= 0.3 for timeout in asked] == [True]
    writing.let_go()
    assert writing.is_free()


def test_a_loop_that_is_no_more_does_not_keep_the_turn() -> None:
    """It is the next one's, or free."""
    writing = Writing()
    for change in ("a", "b"):
        writing.group._waiting.append((change, group_commit.LoopFuture(lambda: False)))
    called = writing.starts("c")
    writing.let_go()
    assert called.wait() == "c is done"
    assert writing.commits.groups == [["first"], ["c"]]
    assert writing.is_free()


def test_a_loop_is_notified_when_there_is_something_to_hear() -> None:
    """It looks at once."""
    seen: list[object] = []

    def look() -> bool:
        seen.append(future.result(0))
        return True

    future = group_commit.LoopFuture(look)
    assert future.set_result(("done", None))
    assert seen == [("done", None)]


def test_a_thread_that_waits_for_a_loop_leads_itself() -> None:
    """The loop may be busy, or join that thread."""
    writing, caller = Writing(), Leading(0.01, makes_change=True)
    called = writing.starts("a", run=as_loop(writing, caller))
    until(lambda: caller.in_threads == 1)
    writing.let_go()
    assert called.wait() == "a is done"
    assert caller.in_threads == 1
    assert writing.is_free()
