"""An upgrade begins the history of every model with what there is, on databases and in buckets."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pytest

from registry_core import Registry
from registry_core.authors import BASELINE_AUTHOR, Author
from registry_core.changes import CreateModel
from registry_core.history import Action, Event, EventQuery, baseline
from registry_core.models import NewRegisteredModel
from registry_core.store import Store
from registry_core.stores.memory import MemoryStore
from registry_core.stores.sql import tables, upgrade
from registry_core.testing import ManualClock
from services.opened import open_sql_store as open_store

from .test_migrations import connected, url

__all__ = ["url"]

ANN = Author(actor="ann")

NAMES = ("churn", "Grüße \"quoted\" 'twice'", "empty", "with-deleted")

BEFORE = (
    "DROP TABLE model_events",
    "DROP INDEX ix_registered_models_model_id",
    "ALTER TABLE registered_models DROP COLUMN model_id",
    "ALTER TABLE registered_models DROP COLUMN last_event",
    f"UPDATE {tables.ALEMBIC_VERSION_TABLE} SET version_num = '0003'",
)
"""What makes the tables those of the release that kept no history."""


def fill(store: Store, clock: ManualClock) -> None:
    """Models with everything that a model can have."""
    registry = Registry(store).acting_as("ann")
    for name in NAMES:
        clock.advance(1000)
        registry.create_registered_model(name, tags={"team": "risk", "k ey": "ü\n\\\"'"})
        if name == "empty":
            registry.delete_registered_model_tag(name, "team")
            registry.delete_registered_model_tag(name, "k ey")
            continue
        registry.update_registered_model(name, description="it is 'good'\n")
        for number in range(1, 13):
            clock.advance(7)
            registry.create_model_version(
                name,
                source=f"s3://bucket/{number}",
                run_id="r" if number % 2 else None,
                tags={"number": str(number)} if number % 3 else {},
                description="d" if number == 5 else None,
            )
        clock.advance(7)
        registry.transition_model_version_stage(name, 3, stage="Production")
        registry.set_registered_model_alias(name, "champion", 3)
        registry.set_registered_model_alias(name, "b", 12)
    registry.delete_model_version("with-deleted", 12)
    registry.delete_model_version("with-deleted", 4)


def turned_back(url: str) -> None:
    """Make of a database what the release before history would have left."""
    with connected(url) as run:
        if url.startswith("sqlite"):
            run("DROP TRIGGER tr_registered_models_model_id")
        for statement in BEFORE:
            run(statement)


@pytest.fixture
def reference() -> MemoryStore:
    """The same models in memory."""
    clock = ManualClock()
    store = MemoryStore(clock)
    fill(store, clock)
    return store


@pytest.fixture
def older(url: str) -> str:
    """A database of the release before, with those models in it."""
    clock = ManualClock()
    store = open_store(url, clock=clock)
    fill(store, clock)
    store.close()
    turned_back(url)
    return url


def expected(reference: MemoryStore, name: str) -> list[tuple[Any, ...]]:
    """What the history of a model has to begin with."""
    document = reference._content.models[name]
    effects = baseline(document, document.versions.values(), next_version=document.next_version)
    return [(e.action, e.version, e.key, e.before, e.after) for e in effects]


def facts(events: list[Event]) -> list[tuple[Any, ...]]:
    """What events say, but for when and of which model."""
    return [(e.action, e.version, e.key, e.before, e.after) for e in events]


@pytest.mark.parametrize("name", NAMES)
def test_a_history_begins_with_what_there_is(older: str, reference: MemoryStore, name: str) -> None:
    """In the order of its numbers, by nobody, and complete."""
    upgrade(older)
    store = open_store(older)
    events = [*Registry(store).history(name, newest_first=False)]
    verified = Registry(store).verify_history(name)
    store.close()
    assert (verified.problems, verified.unchecked) == ((), 0)
    assert facts(events) == expected(reference, name)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert {(event.actor, event.origin) for event in events} == {
        (BASELINE_AUTHOR.actor, BASELINE_AUTHOR.origin)
    }


FLIPS = {
    "model_id": "'0123456789abcdef'",
    "sequence": "sequence + 100",
    "name": "name || 'x'",
    "time": "time + 1",
    "actor": "'unknowm'",
    "is_authenticated": "1 - is_authenticated",
    "origin": "'library'",
    "reason": "'because'",
    "action": "'update_model'",
    "subject": "subject || 'x'",
    "version": "coalesce(version, 0) + 1",
    "key": "coalesce(key, '') || 'x'",
    "before": "'\"x\"'",
    "after": "replace(\"after\", '1', '2')",
    "checksum": "CASE substr(checksum, 1, 1) WHEN '0' THEN '1' ELSE '0' END || substr(checksum, 2)",
}
"""What changes each column a little, and leaves it what an event could have."""


@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "by the next upgrade"])
def test_a_flipped_byte_in_a_beginning_is_named(older: str, *, is_late: bool) -> None:
    """In any column of what an upgrade has written; also by one that wrote no checksums."""
    upgrade(older)
    with connected(older) as run:
        if is_late:
            run("UPDATE model_events SET checksum = NULL")
            run(f"UPDATE {tables.ALEMBIC_VERSION_TABLE} SET version_num = '0008'")
            upgrade(older)
        columns = ", ".join(f'"{name}"' for name in FLIPS)
        mine = "model_id = (SELECT model_id FROM registered_models WHERE name = 'churn')"
        kept = run(f"SELECT {columns} FROM model_events WHERE {mine} ORDER BY sequence")
        store = open_store(older)
        registry = Registry(store)
        assert registry.verify_history("churn").is_true
        # The model, a version and an alias; not the last event, after which none is missing.
        for sequence in 1, 2, len(kept) - 1:
            here = f"{mine} AND sequence = {sequence}"
            old = dict(zip(FLIPS, kept[sequence - 1], strict=True))
            for column, flipped in FLIPS.items():
                run(f'UPDATE model_events SET "{column}" = {flipped} WHERE {here}')
                named = "".join(registry.verify_history("churn").problems)
                assert f"event {sequence}" in named, column
                where = f"{mine} AND sequence IN ({sequence}, {sequence + 100})"
                if column == "model_id":
                    where = f"model_id = {flipped}"
                value = (
                    "NULL"
                    if old[column] is None
                    else "'{}'".format(str(old[column]).replace("'", "''"))
                )
                run(f'UPDATE model_events SET "{column}" = {value} WHERE {where}')
        assert registry.verify_history("churn").is_true
        store.close()


def test_the_first_change_knows_what_was_before(older: str) -> None:
    """So that an alias that was set long ago can be put back, and not away."""
    upgrade(older)
    store = open_store(older)
    registry = Registry(store).acting_as("ann")
    registry.set_registered_model_alias("churn", "champion", 7)
    registry.set_model_version_tag("churn", 5, "number", "five")
    registry.transition_model_version_stage("churn", 3, stage="Archived")
    registry.update_registered_model("churn", description="better")
    newest = [*registry.history("churn")][:4]
    assert [(e.before, e.after) for e in newest] == [
        ("it is 'good'\n", "better"),
        ("Production", "Archived"),
        ("5", "five"),
        (3, 7),
    ]
    registry.rollback_registered_model_alias("churn", "champion")
    assert registry.get_registered_model("churn").aliases["champion"] == 3
    store.close()


def test_a_model_of_a_server_that_was_not_stopped_is_refused(older: str) -> None:
    """It would have no id, and a history without a beginning; an upgrade and a new database agree."""
    upgrade(older)
    values = "'late', 'late', 1, 1, 1"
    with connected(older) as run, pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        run(
            "INSERT INTO registered_models "
            f"(name, name_folded, creation_time, last_updated_time, next_version) VALUES ({values})"
        )


def test_an_upgrade_that_was_undone_can_be_repeated(older: str, reference: MemoryStore) -> None:
    """Nothing is written twice where its statements run again, as after a cut."""
    upgrade(older)
    with connected(older) as run:
        run("UPDATE registered_models SET last_event = 0")
        run(f"UPDATE {tables.ALEMBIC_VERSION_TABLE} SET version_num = '0003'")
    upgrade(older)
    store = open_store(older)
    for name in NAMES:
        events = [*Registry(store).history(name, newest_first=False)]
        assert facts(events) == expected(reference, name)
    store.close()


def test_a_document_without_events_begins_with_what_there_is(reference: MemoryStore) -> None:
    """As one that a third party's store kept before there was history."""
    document = reference._content.models["churn"]
    reference._content.events.clear()
    registry = Registry(reference).acting_as("ann")
    registry.set_registered_model_alias("churn", "champion", 7)
    events = [*registry.history("churn", newest_first=False)]
    effects = baseline(document, document.versions.values(), next_version=document.next_version)
    assert facts(events[:-1]) == [(e.action, e.version, e.key, e.before, e.after) for e in effects]
    assert (events[-1].action, events[-1].before, events[-1].actor) == (
        Action.SET_ALIAS,
        3,
        "ann",
    )


def test_a_new_model_has_no_baseline() -> None:
    """Its creation is what its history begins with."""
    store = MemoryStore()
    store.apply(CreateModel(new=NewRegisteredModel(name="m"), model_id="i"), by=ANN)
    (event,) = store.events(EventQuery(name="m"))
    assert event.actor == "ann"
