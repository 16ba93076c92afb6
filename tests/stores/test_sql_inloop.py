"""Reads of an event loop: the same answers, and never a wait that holds it up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core import inloop
from registry_core.errors import RegisteredModelNotFoundError
from registry_core.inloop import LoopReads, WouldBlockError, loop_reads_of
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.search import Entity, Query, parse_order_by
from registry_core.stores.sql import SqlStore, slow_statements
from registry_core.stores.sql.compiling import Statement
from services.opened import open_sql_store as open_store
from services.selecting import Selecting

LONG = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000) "
    "SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(20)",
}
"""A statement of each database that takes seconds."""

EVERY_VERSION = Query(
    entity=Entity.MODEL_VERSION,
    order_by=parse_order_by((), Entity.MODEL_VERSION),
    max_results=1_000,
)


pytestmark = pytest.mark.usefixtures("checked_inloop")


@pytest.fixture
def caller() -> Iterator[Selecting]:
    """Whoever calls in this thread from now on is an event loop."""
    caller = Selecting()
    inloop.calling(caller)
    yield caller
    inloop.calling(None)


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """A store with a model `m` of two versions, and a connection that is idle."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    store = open_store(url if kind == "sqlite" else request.getfixturevalue("postgres_url"))
    store.create_registered_model(NewRegisteredModel(name="m", tags={"k": "v"}))
    for _ in range(2):
        store.create_model_version(NewModelVersion(name="m", source="s3://b/p"))
    store.set_registered_model_alias("m", "champion", version=1)
    yield store
    inloop.calling(None)
    store.close()


def answers(store: SqlStore) -> list[object]:
    return [
        store.get_registered_model("m"),
        store.get_model_version("m", 2),
        store.get_model_version_by_alias("m", "champion"),
        store.search_model_versions(EVERY_VERSION),
    ]


def test_answers_are_the_same(store: SqlStore, kind: str) -> None:
    """Whether the database is another process decides whether the caller is asked to wait."""
    expected = answers(store)
    caller = Selecting()
    inloop.calling(caller)
    assert answers(store) == expected
    assert loop_reads_of(store.backend) == LoopReads(pauses=kind == "postgresql", has_changes=True)
    assert (caller.pauses > 0) == (kind == "postgresql")


def test_errors_are_the_same(store: SqlStore, caller: Selecting) -> None:
    """What is not there is no reason to ask a thread."""
    with pytest.raises(RegisteredModelNotFoundError):
        store.get_registered_model("n")


def test_nothing_is_connected(store: SqlStore, caller: Selecting) -> None:
    """Without an idle connection, and with one that has died, a thread has to do it."""
    inloop.calling(None)
    connection = store._database._pool.take(fresh=False)
    inloop.calling(caller)
    with pytest.raises(WouldBlockError):
        store.get_registered_model("m")
    connection.close()
    store._database._pool.discard(connection)
    with pytest.raises(WouldBlockError):
        store.get_registered_model("m")
    inloop.calling(None)
    assert store.get_registered_model("m").name == "m"


def test_nobody_waits_for_a_connection(
    store: SqlStore, caller: Selecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are in use."""
    monkeypatch.setattr(store._database._pool._free, "_slots", 0)
    with pytest.raises(WouldBlockError):
        store.get_registered_model("m")


def test_a_closed_store_is_left_to_threads(store: SqlStore, caller: Selecting) -> None:
    """They have the error for it."""
    store.close()
    with pytest.raises(WouldBlockError):
        store.get_registered_model("m")


def test_a_long_statement_is_given_up(store: SqlStore, kind: str, caller: Selecting) -> None:
    """Its connection is as good as before, or gone; for a while nobody tries it again."""
    caller.patience = 0.2
    statement = Statement(LONG[kind], ())
    with pytest.raises(WouldBlockError) as first:
        store._database.read(statement, {})
    with pytest.raises(WouldBlockError) as second:
        store._database.read(statement, {})
    assert first.value.__cause__ is not None
    assert second.value.__cause__ is None
    inloop.calling(None)
    places = store._database.driver.max_connections
    assert store._database._pool._free._slots == places
    assert store.get_registered_model("m").name == "m"


def test_short_statements_are_never_given_up(store: SqlStore, caller: Selecting) -> None:
    """However many: SQLite counts the steps of all runs of a statement together."""
    for _ in range(3_000):
        store.get_registered_model("m")


def test_a_long_answer_is_given_up(store: SqlStore, caller: Selecting) -> None:
    """Decoding and encoding it would take as long; what is not read of it keeps no place."""
    inloop.calling(None)
    for _ in range(inloop.MOST_ROWS):
        store.create_model_version(NewModelVersion(name="m", source="s3://b/p"))
    idle = len(store._database._pool._idle)
    inloop.calling(caller)
    with pytest.raises(WouldBlockError):
        store.search_model_versions(EVERY_VERSION)
    # On PostgreSQL the connection is busy with the rest of the answer, and closed.
    assert store._database._pool._open == len(store._database._pool._idle) <= idle
    inloop.calling(None)
    assert len(store.search_model_versions(EVERY_VERSION).items) == inloop.MOST_ROWS + 2


def test_what_was_too_long_is_tried_again(
    store: SqlStore, kind: str, caller: Selecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while; and however many statements were, few are remembered."""
    caller.patience = 0.2
    monkeypatch.setattr(slow_statements, "PATIENT_SECONDS", 0.0)
    monkeypatch.setattr(slow_statements, "MOST_REMEMBERED", 2)
    for number in range(5):
        statement = Statement(f"{LONG[kind]} -- {number}", ())
        for _ in range(2):
            inloop.calling(None)
            store.ping()  # leaves an idle connection
            inloop.calling(caller)
            with pytest.raises(WouldBlockError) as error:
                store._database.read(statement, {})
            assert error.value.__cause__ is not None
    assert len(store._database._slow_statements._until) <= 3
