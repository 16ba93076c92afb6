"""Where a bucket keeps events, and what happens when some of them are damaged."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from registry_core import Registry, histories, pruning, trash
from registry_core.authors import Author, Origin
from registry_core.changes import CreateModel
from registry_core.errors import ConflictError, InvalidArgumentError, StoreCorruptedError
from registry_core.history import Action, Event, EventQuery
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.stores.s3 import S3Store
from registry_core.stores.s3.event_log import EventLines
from registry_core.stores.s3.record import new_operation
from registry_core.testing import ManualClock
from registry_core.testing.clocks import START
from services.opened import open_s3_store as open_store
from services.s3 import S3Server
from services.s3_keys import Keys
from services.s3_mutations import LARGE

pytestmark = pytest.mark.usefixtures("found_out")

OLD = {
    "format_version": 1,
    "kind": "registered_model",
    "revision": 1,
    "operations": ["00000000000abcdef0"],
    "name": "old",
    "model_id": "0123456789abcdef",
    "creation_timestamp": 1,
    "last_updated_timestamp": 1,
    "tags": {"k": "before"},
    "aliases": {"champion": 1},
    "next_version": 2,
    "versions": [{"version": 1, "creation_timestamp": 1, "source": "s3://b/1"}],
}
"""A document as the release before wrote it."""


@pytest.fixture
def keys(s3_server: S3Server, s3_prefix: str) -> Iterator[Keys]:
    client = s3_server.client()
    yield Keys(client, s3_prefix)
    client.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(s3_url: str, clock: ManualClock) -> Iterator[S3Store]:
    store = open_store(s3_url, clock=clock)
    yield store
    store.close()


@pytest.fixture
def other(s3_url: str, clock: ManualClock) -> Iterator[S3Store]:
    """Another process."""
    store = open_store(s3_url, clock=clock)
    yield store
    store.close()


def tagged(store: S3Store, name: str, events: int) -> None:
    """A model with so many events, the first of which makes it."""
    store.create_registered_model(NewRegisteredModel(name=name))
    for number in range(events - 1):
        store.set_registered_model_tag(name, "k", str(number))


def sequences(events: list[Event]) -> list[int]:
    return [event.sequence for event in events]


def problems(store: S3Store, *, repair: bool = True) -> list[tuple[str, str]]:
    report = store.fsck(repair=repair, grace_seconds=0)
    assert not any(each.repaired for each in report.findings)
    return [(each.problem, each.subject.split("/", 1)[-1]) for each in report.findings]


def beside(keys: Keys) -> list[str]:
    """The keys of the objects with events."""
    return [key for key in keys.all() if key.startswith("events/")]


def test_a_model_from_before_history_begins_with_what_there_was(store: S3Store, keys: Keys) -> None:
    """Written with its first change, of which the document says what things were before."""
    store.create_registered_model(NewRegisteredModel(name="other"))
    keys.put("models/old.json", json.dumps(OLD).encode())
    assert store.events(EventQuery(name="old")) == []
    with pytest.raises(InvalidArgumentError, match="has no history yet"):
        histories.verify(store, "old")
    store.set_registered_model_tag("old", "k", "after")
    store.create_model_version(NewModelVersion(name="old", source="s3://b/2"))
    store.set_registered_model_alias("old", "champion", version=2)
    alias, version, tag, *there = store.events(EventQuery(name="old"))
    assert sequences([*reversed(there), tag, version, alias]) == [1, 2, 3, 4, 5, 6]
    assert {event.model_id for event in (tag, version, alias, *there)} == {OLD["model_id"]}
    assert {event.origin for event in there} == {Origin.BASELINE}
    assert [(event.action, event.version, event.key) for event in reversed(there)] == [
        (Action.CREATE_MODEL, None, None),
        (Action.CREATE_VERSION, 1, None),
        (Action.SET_ALIAS, 1, "champion"),
    ]
    assert (tag.before, tag.after) == ("before", "after")
    assert (alias.before, alias.after) == (1, 2)
    assert histories.verify(store, "old").is_true
    assert problems(store) == []


def test_the_id_of_a_model_is_its_creators(store: S3Store, keys: Keys) -> None:
    """In the document and in the events."""
    store.apply(CreateModel(NewRegisteredModel(name="m"), model_id="feedfacecafebeef"))
    assert json.loads(keys.get("models/m.json"))["model_id"] == "feedfacecafebeef"
    (event,) = store.events(EventQuery(name="m"))
    assert event.model_id == "feedfacecafebeef"


def test_older_events_are_in_objects_that_people_can_read(
    store: S3Store, keys: Keys, clock: ManualClock
) -> None:
    """A line per event, under the number of the first, and their earliest and latest time."""
    store.create_registered_model(NewRegisteredModel(name="m"))
    for number in range(64):
        clock.advance(10)
        store.set_registered_model_tag("m", "k", str(number))
    document = json.loads(keys.get("models/m.json"))
    assert [event["sequence"] for event in document["events"]] == list(range(33, 66))
    assert document["spilled_events"] == {"earliest": START, "latest": START + 310}
    (key,) = beside(keys)
    assert key == f"events/{document['model_id']}/0000000001-{START}-{START + 310}.json"
    lines = keys.get(key).decode().splitlines()
    assert lines[:4] == [
        "{",
        '"format_version": 2,',
        '"kind": "events",',
        f'"model_id": "{document["model_id"]}",',
    ]
    line = json.loads(lines[6].rstrip(","))
    assert len(line.pop("checksum")) == 16
    assert line == {
        "sequence": 2,
        "time": START + 10,
        "name": "m",
        "actor": "tester",
        "action": "set_model_tag",
        "key": "k",
        "after": "0",
    }
    assert len(lines) == 4 + 1 + 32 + 2


def test_a_large_text_is_in_a_document_by_reference(
    store: S3Store, other: S3Store, keys: Keys
) -> None:
    """And comes back whole, also when nothing but an older event refers to it."""
    store.create_registered_model(NewRegisteredModel(name="m", tags={"card": LARGE}))
    store.set_registered_model_tag("m", "card", f"{LARGE}2")
    store.delete_registered_model_tag("m", "card")
    for number in range(70):
        store.set_registered_model_tag("m", "k", str(number))
    assert len(keys.get("models/m.json")) < len(LARGE)
    assert problems(store) == []
    assert len(keys.texts()) == 2
    created, replaced, deleted = other.events(
        EventQuery(name="m", newest_first=False, max_results=3)
    )
    assert created.after == {"name": "m", "tags": {"card": LARGE}}
    assert (replaced.before, replaced.after) == (LARGE, f"{LARGE}2")
    assert (deleted.before, deleted.after) == (f"{LARGE}2", None)


def test_a_deleted_model_keeps_its_events(store: S3Store, keys: Keys) -> None:
    """In its tombstone, and beside the documents once its name is used again."""
    tagged(store, "m", 70)
    (chunk,) = beside(keys)
    store.delete_registered_model("m")
    gone = json.loads(keys.get("models/m.json"))
    assert gone["kind"] == "tombstone"
    assert [event["sequence"] for event in gone["events"]] == list(range(33, 72))
    assert gone["events"][-1]["action"] == Action.DELETE_MODEL
    store.create_registered_model(NewRegisteredModel(name="m"))
    assert sequences(store.events(EventQuery(name="m"))) == [1]
    kept, last = beside(keys)
    assert kept == chunk
    assert last == f"events/{gone['model_id']}/deleted-0000000071.json"
    put_away = json.loads(keys.get(last))
    for field in ("name", "model_id", "events", "spilled_events"):
        assert put_away[field] == gone[field]
    assert problems(store) == []


def test_two_processes_number_events_without_a_gap(store: S3Store, other: S3Store) -> None:
    """In turn, each with a document that the other has changed since."""
    tagged(store, "m", 1)
    for number in range(50):
        store.set_registered_model_tag("m", "k", f"a{number}")
        other.set_registered_model_tag("m", "k", f"b{number}")
    events = other.events(EventQuery(name="m", newest_first=False, max_results=1_000))
    assert sequences(events) == list(range(1, 102))
    for before, after in itertools.pairwise(events[1:]):
        assert after.before == before.after


def test_a_missing_chunk_is_named(
    store: S3Store, other: S3Store, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    """By a check, and by a page that needs it. Others, and changes, go on without it."""
    tagged(store, "m", 110)
    tagged(store, "n", 3)
    first, second = beside(keys)
    keys.delete(first)
    prefix = first.split("-")[0]
    assert problems(store) == [("missing-events", prefix)]
    assert sequences(other.events(EventQuery(name="m", max_results=60)))[-1] == 51
    with pytest.raises(StoreCorruptedError, match=prefix):
        other.events(EventQuery(name="m", newest_first=False))
    with caplog.at_level(logging.ERROR):
        events = other.events(EventQuery(max_results=1_000))
    assert len(events) == 110 - 32 + 3
    assert prefix in caplog.text
    store.set_registered_model_tag("m", "k", "goes on")
    assert beside(keys) == [second]


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[:-40],
        lambda body: body.replace(b'"sequence":7,', b'"sequence":8,'),
        lambda body: body.replace(b'"model_id": "', b'"model_id": "f'),
        lambda body: body.replace(b'"format_version": 2', b'"format_version": 3'),
        lambda body: b"[]",
        lambda body: b"",
    ],
)
def test_a_damaged_chunk_is_named(
    store: S3Store, other: S3Store, keys: Keys, damage: object
) -> None:
    """And never taken for something else."""
    assert callable(damage)
    tagged(store, "m", 70)
    (chunk,) = beside(keys)
    keys.put(chunk, damage(keys.get(chunk)))
    assert len(other.events(EventQuery(name="m", max_results=38))) == 38
    with pytest.raises(StoreCorruptedError, match=chunk):
        other.events(EventQuery(name="m"))
    assert len(other.events(EventQuery())) == 38


def test_a_damaged_event_costs_its_model_nothing_else(store: S3Store, keys: Keys) -> None:
    """The model is read and changed; a page with the event in it says so, and so does a check."""
    tagged(store, "m", 3)
    keys.change("models/m.json", lambda document: document["events"][1].update(action="dance"))
    store.set_registered_model_tag("m", "k", "goes on")
    assert store.get_registered_model("m").tags == {"k": "goes on"}
    with pytest.raises(StoreCorruptedError, match=r"Event 2 of model .*\$\.action"):
        store.events(EventQuery(name="m"))
    assert sequences(store.events(EventQuery())) == [4, 3, 1]
    assert problems(store) == [("unreadable-event", "models/m.json")]


def test_every_history_is_played_back(store: S3Store, keys: Keys) -> None:
    """Those of deleted models, too, with the events beside their documents."""
    tagged(store, "m", 70)
    tagged(store, "gone", 70)
    store.delete_registered_model("gone")
    report = store.fsck()
    assert (report.clean, report.checked["histories"]) == (True, 2)
    assert report.checked["events"] == 2 * 71 + 1 - 2
    for key in ("models/m.json", "models/gone.json"):
        (tag, *_) = (e for e in json.loads(keys.get(key))["events"] if e["sequence"] == 40)
        damaged = keys.get(key).replace(
            f'"sequence":40,"time":{tag["time"]}'.encode(),
            f'"sequence":40,"time":{tag["time"] + 1}'.encode(),
        )
        keys.put(key, damaged)
    found = [(each.problem, each.subject, each.detail) for each in store.fsck().findings]
    detail = "event 40 is damaged: its checksum does not fit"
    assert [(problem, told) for problem, _, told in found] == [("untrue-history", detail)] * 2
    assert found[0][1] == "m"
    assert found[1][1].endswith("models/gone.json")


def test_events_of_no_model_are_found_and_left_alone(store: S3Store, keys: Keys) -> None:
    """Somebody has removed a document: they are the last that is left of it."""
    tagged(store, "m", 70)
    tagged(store, "n", 1)
    (chunk,) = beside(keys)
    keys.delete("models/m.json")
    assert problems(store) == [("orphaned-events", chunk)]
    keys.put("events/readme", b"hello")
    assert (
        problems(store) == [("orphaned-events", chunk), ("foreign-object", "events/readme")][::-1]
    )
    assert keys.get("events/readme") == b"hello"


def test_a_text_of_events_that_cannot_be_read_is_kept(
    store: S3Store, other: S3Store, keys: Keys
) -> None:
    """It may be one of theirs."""
    store.create_registered_model(NewRegisteredModel(name="m", tags={"card": LARGE}))
    store.delete_registered_model_tag("m", "card")
    for number in range(70):
        store.set_registered_model_tag("m", "k", str(number))
    (chunk,) = beside(keys)
    keys.put(chunk, b"damaged")
    assert problems(other) == [("untrue-history", "m")]
    assert len(keys.texts()) == 1


def test_a_document_brought_back_from_a_backup_goes_on_from_there(
    store: S3Store, other: S3Store, keys: Keys, clock: ManualClock
) -> None:
    """Its events get the numbers of those that were undone, whose chunks count no more."""
    tagged(store, "m", 40)
    backup = keys.get("models/m.json")
    for number in range(60):
        clock.advance(1)
        store.set_registered_model_tag("m", "k", f"undone {number}")
    assert len(beside(keys)) == 2
    keys.put("models/m.json", backup)
    for number in range(60):
        clock.advance(1)
        store.set_registered_model_tag("m", "k", f"again {number}")
    events = other.events(EventQuery(name="m", newest_first=False, max_results=1_000))
    assert sequences(events) == list(range(1, 101))
    assert not any("undone" in str(event.after) for event in events)


def pruned(store: S3Store, name: str, *, before: int) -> int:
    """Prune a history, and return the number that it begins with."""
    return pruning.prune(store.backend, name, before=before, by=Author(actor="ann")).first


_long_lived: dict[str, bytes] = {}
"""The objects of the model of the next function, once it was made: seven are sooner put than 200."""


def long_lived(store: S3Store, keys: Keys, clock: ManualClock) -> None:
    """A model with 200 events, one per millisecond."""
    if _long_lived:
        clock.advance(198)
        for key, body in _long_lived.items():
            keys.put(key, body)
        return
    tagged(store, "m", 2)
    for number in range(198):
        clock.advance(1)
        store.set_registered_model_tag("m", "k", f"v{number}")
    _long_lived.update((key, keys.get(key)) for key in keys.all())


def firsts(keys: Keys, kind: str) -> list[int]:
    """The numbers that the objects of a kind begin with, in the order of their keys."""
    found = (
        key.rpartition("/")[2].removeprefix("beginning-") for key in beside(keys) if kind in key
    )
    return [int(name.partition("-")[0]) for name in found]


def test_what_was_pruned_is_gone_and_the_rest_is_found(
    store: S3Store, other: S3Store, keys: Keys, clock: ManualClock
) -> None:
    """The chunk that the cut is in becomes a part of the beginning; and again when that is cut."""
    long_lived(store, keys, clock)
    before = other.events(EventQuery(name="m", newest_first=False, max_results=1_000))
    for cut, chunks in (70, [97, 129]), (75, [97, 129]), (96, [97, 129]), (180, []):
        assert pruned(store, "m", before=before[cut].time) == cut
        assert firsts(keys, "beginning-") == [cut]
        assert firsts(keys, "/0") == chunks
        for reader in (store, other):
            kept = reader.events(EventQuery(name="m", newest_first=False, max_results=1_000))
            assert sequences(kept) == list(range(cut, 201))
            assert kept[1:] == before[cut:]
            assert reader.events(EventQuery(name="m", max_results=1_000)) == kept[::-1]
            assert reader.events(EventQuery(max_results=1_000)) == kept[::-1]
            page = EventQuery(name="m", after=(0, "", cut + 1), newest_first=False, max_results=9)
            assert sequences(reader.events(page)) == list(range(cut + 2, min(cut + 11, 201)))
        assert problems(other) == []
    # What comes now fills the chunk that the beginning has left open.
    for number in range(100):
        store.set_registered_model_tag("m", "k", f"w{number}")
    assert firsts(keys, "/0") == [181, 193, 225]
    assert histories.verify(other, "m").is_true


def test_a_pruned_model_that_was_deleted_comes_back(
    store: S3Store, other: S3Store, keys: Keys, clock: ManualClock
) -> None:
    """From its tombstone, and when its name was used again."""
    long_lived(store, keys, clock)
    pruned(store, "m", before=clock.now - 50)
    store.delete_registered_model("m")
    store.create_registered_model(NewRegisteredModel(name="m"))
    other.apply(trash.restoring_model(other, "m", new_name="n", clock=clock))
    assert histories.verify(store, "n").is_true
    assert Registry(store.backend).snapshot("n").events[0].sequence > 1
    assert problems(store) == []
    store.delete_registered_model("m")
    store.rename_registered_model("n", new_name="m")
    clock.advance(1)  # Of two of a name the one that was deleted last comes back.
    store.delete_registered_model("m")
    other.apply(trash.restoring_model(other, "m", clock=clock))
    assert histories.verify(store, "m").is_true
    assert json.loads(keys.get("models/m.json"))["format_version"] == 4


def test_a_reader_that_a_pruning_overtakes_reads_again(
    store: S3Store,
    other: S3Store,
    keys: Keys,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has the document from before; the chunks that this refers to are gone."""
    long_lived(store, keys, clock)
    find, late = other.backend._models.find, [clock.now - 50]

    def overtaken(name: str) -> object:
        model = find(name)
        while late:
            pruned(store, "m", before=late.pop())
        return model

    monkeypatch.setattr(other.backend._models, "find", overtaken)
    events = other.events(EventQuery(name="m", newest_first=False, max_results=1_000))
    assert sequences(events) == list(range(149, 201))


def test_a_backup_that_replaces_a_pruned_model_has_all_of_its_history(
    store: S3Store, other: S3Store, keys: Keys, clock: ManualClock
) -> None:
    """The process that has pruned it has seen the older events before, and writes them again."""
    long_lived(store, keys, clock)
    backup = Registry(store.backend).snapshot("m")
    pruned(store, "m", before=clock.now - 50)
    Registry(store.backend).restore(backup, on_conflict="replace")
    store.set_registered_model_tag("m", "k", "goes on")
    assert firsts(keys, "/0") == [1, 33, 65, 97, 129]
    for reader in (store, other):
        kept = reader.events(EventQuery(name="m", newest_first=False, max_results=1_000))
        assert sequences(kept) == list(range(1, 202))
    assert histories.verify(other, "m").is_true
    store.fsck(repair=True, grace_seconds=0)  # The beginning of the pruning is left over.
    assert problems(other) == []


def test_a_backup_that_comes_back_while_its_model_is_pruned_keeps_its_events(
    store: S3Store,
    other: S3Store,
    keys: Keys,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pruning has been made, and is about to remove what it has replaced."""
    long_lived(store, keys, clock)
    backup = Registry(other.backend).snapshot("m")
    chunks = store.backend._prefix.chunks
    remove = chunks.remove_pruned

    def overtaken(*arguments: Any) -> None:
        Registry(other.backend).restore(backup, on_conflict="replace")
        other.set_registered_model_tag("m", "k", "goes on")
        remove(*arguments)

    monkeypatch.setattr(chunks, "remove_pruned", overtaken)
    pruned(store, "m", before=clock.now - 50)
    assert firsts(keys, "/0") == [1, 33, 65, 97, 129]
    assert histories.verify(other, "m").is_true


def test_a_damaged_chunk_beside_a_pruning_that_was_not_made_stops_nobody_else(
    store: S3Store,
    other: S3Store,
    keys: Keys,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not taken for one that was pruned meanwhile: lists of all models go on without it."""
    long_lived(store, keys, clock)
    store.create_registered_model(NewRegisteredModel(name="n"))
    (first, *_) = store.events(EventQuery(name="m", newest_first=False, max_results=1))
    lines = EventLines(first=150, lines=("{}",), times=(1,))
    store.backend._prefix.chunks.write_beginning(first.model_id, lines, new_operation(clock))
    keys.put(next(each for each in beside(keys) if "/0" in each), b"damaged")
    caplog.clear()
    for _ in range(2):
        events = other.events(EventQuery(newest_first=False, max_results=1_000))
        of_m = [each for each in events if each.name == "m"]
        assert (sequences(of_m), len(events)) == (list(range(33, 201)), 169)
    assert [each.levelno for each in caplog.records] == [logging.ERROR]
    with pytest.raises(StoreCorruptedError, match="events 1 to 32"):
        other.events(EventQuery(name="m", newest_first=False))


def test_a_model_comes_back_once_though_its_events_are_there_twice(
    store: S3Store,
    other: S3Store,
    s3_url: str,
    keys: Keys,
    clock: ManualClock,
) -> None:
    """In its tombstone, and where a process put them that died while it used the name again."""

    class DiedError(BaseException):
        pass

    def die(_: str, key: str) -> None:
        seen.append(key)
        if "deleted-" in seen[-2]:
            raise DiedError

    long_lived(store, keys, clock)
    store.delete_registered_model("m")
    victim, seen = open_store(s3_url, clock=clock), [""]
    victim.backend.observe(die)
    with pytest.raises(DiedError):
        victim.create_registered_model(NewRegisteredModel(name="m"))
    victim.close()
    late = trash.restoring_model(other, "m", new_name="n", clock=clock)
    commit = other.backend._models.commit

    def overtaken(change: object, by: object) -> object:
        store.apply(trash.restoring_model(store, "m", clock=clock))
        return commit(change, by)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(other.backend._models, "commit", overtaken)
        with pytest.raises(ConflictError):
            other.apply(late)
    listed = Registry(store.backend).search_registered_models().items
    assert [each.name for each in listed] == ["m"]
    assert histories.verify(other, "m").is_true
    pruned(store, "m", before=clock.now - 50)
    assert problems(other) == []


def test_a_beginning_that_is_missing_is_named(
    store: S3Store, other: S3Store, keys: Keys, clock: ManualClock
) -> None:
    long_lived(store, keys, clock)
    pruned(store, "m", before=clock.now - 50)
    (key,) = (each for each in beside(keys) if "beginning-" in each)
    keys.delete(key)
    assert problems(store) == [("missing-events", key)]
    with pytest.raises(StoreCorruptedError, match="beginning-"):
        other.events(EventQuery(name="m", newest_first=False))
    assert len(other.events(EventQuery(name="m", max_results=30))) == 30
