"""The outbox of a bucket under crashes and races: an event is told if, and only if, it was made."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from registry_core.authors import Author
from registry_core.changes import (
    CreateModel,
    CreateVersion,
    DeleteModel,
    RenameModel,
    SetAlias,
    SetVersionTag,
)
from registry_core.errors import RegistryError
from registry_core.history import Action, EventQuery
from registry_core.models import NewModelVersion, NewRegisteredModel, NewWebhook
from registry_core.stores import s3
from registry_core.stores.s3 import S3Store
from registry_core.stores.s3.outbox import ABANDONED_SECONDS
from registry_core.testing import ManualClock
from registry_core.webhooks import SAMPLES
from services.s3_crash import Crash, CrashError

ANN = Author(actor="ann")
LEASE = 60.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def opened(s3_url: str, clock: ManualClock) -> Iterator:
    """Opens the bucket as another process would."""
    stores: list[S3Store] = []

    def open_store() -> S3Store:
        stores.append(s3.open_store(s3_url, clock=clock))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def hook(store: S3Store) -> str:
    new = NewWebhook(webhook_id="w", name="h", url="https://h/", events=tuple(sorted(SAMPLES)))
    return store.create_webhook(new).webhook_id


def with_version(store: S3Store, name: str) -> None:
    store.apply(CreateModel(NewRegisteredModel(name=name)), by=ANN)
    store.apply(CreateVersion(NewModelVersion(name=name, source="s3://b/p")), by=ANN)


def drained(store: S3Store, webhook_id: str) -> list[tuple[str, int]]:
    """Everything that is given out, in that order."""
    outbox, delivered = store.outbox(), []
    while taken := outbox.take(webhook_id, limit=100, lease_seconds=LEASE):
        delivered += [(each.event.name, each.event.sequence) for each in taken]
        for each in taken:
            outbox.done(each)
    return delivered


def test_a_writer_that_dies_at_any_request_tells_what_it_made(opened) -> None:
    """What it did not make is not told; and the next change of the model is, in either case."""
    reader = opened()
    webhook_id = hook(reader)
    for number in itertools.count():
        name = f"m{number}"
        with_version(reader, name)
        drained(reader, webhook_id)
        victim = opened()
        victim._bucket.ready_to_write()
        Crash(victim, number)
        try:
            victim.apply(SetAlias(name=name, alias="a", version=1), by=ANN)
        except CrashError:
            pass
        else:
            break
        made = [each.sequence for each in reader.events(EventQuery(name=name))]
        assert drained(reader, webhook_id) == [(name, 3)] * (3 in made)
        reader.apply(SetAlias(name=name, alias="b", version=1), by=ANN)
        assert drained(reader, webhook_id) == [(name, len(made) + 1)]
        assert list(reader._prefix.objects.list_all(reader._prefix.layout.outbox_of("w"))) == []
        assert reader.fsck(grace_seconds=0).findings == ()
    assert number >= 4  # the list of webhooks, the document, the delivery, the document again


@pytest.mark.parametrize("end", ["done", "retry", "dead"])
def test_a_deliverer_that_dies_at_any_request_loses_nothing(
    opened, clock: ManualClock, end: str
) -> None:
    """Another one gets the delivery when the lease has run out, unless it was finished."""
    reader = opened()
    webhook_id = hook(reader)
    for number in itertools.count():
        name = f"m{number}"
        reader.apply(CreateModel(NewRegisteredModel(name=name)), by=ANN)
        victim = opened()
        victim._bucket.ready_to_write()
        Crash(victim, number)
        try:
            (taken,) = victim.outbox().take(webhook_id, limit=1, lease_seconds=LEASE)
            if end == "done":
                victim.outbox().done(taken)
            elif end == "retry":
                victim.outbox().retry(taken, due=clock())
            else:
                victim.outbox().dead(taken, problem="status 500")
        except CrashError:
            pass
        else:
            break
        clock.advance(round(LEASE * 1000))
        delivered = drained(reader, webhook_id)
        dead = reader.outbox().dead_letters(webhook_id)
        buried = [(each.event.name, each.event.sequence) for each in dead]
        # A process that died before it could write down that it was done repeats it.
        assert [*delivered, *buried] in ([(name, 1)], [(name, 1), (name, 1)][: 1 + (end == "dead")])
        reader.outbox().redeliver(webhook_id, [each.delivery_id for each in dead])
        drained(reader, webhook_id)
    assert number >= 4


def test_writers_that_race_tell_each_event_once(opened) -> None:
    """Those of lost races are told by nobody, and the order is that of the history."""
    stores = [opened() for _ in range(4)]
    webhook_id = hook(stores[0])
    with_version(stores[0], "m")

    def write(number: int) -> None:
        for value in range(8):
            change = SetVersionTag(name="m", version=1, key=f"k{number}", value=str(value))
            try:
                stores[number].apply(change, by=ANN)
            except RegistryError:  # It lost for too long, and has changed nothing.
                continue

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [
        (each.name, each.sequence)
        for each in stores[0].events(EventQuery(name="m", newest_first=False, max_results=100))
    ]
    assert drained(stores[0], webhook_id) == made


def test_what_was_queued_and_never_made_goes_after_an_hour(opened, clock: ManualClock) -> None:
    """Until then its writer might still make it."""
    reader, victim = opened(), opened()
    webhook_id = hook(reader)
    victim.list_webhooks()
    victim._bucket.ready_to_write()
    Crash(victim, 1)  # the delivery, and not the document
    with pytest.raises(CrashError):
        victim.apply(CreateModel(NewRegisteredModel(name="m")), by=ANN)
    prefix = reader._prefix.layout.outbox_of(webhook_id)
    clock.advance(round(ABANDONED_SECONDS * 1000) - 1)
    assert drained(reader, webhook_id) == []
    assert len(list(reader._prefix.objects.list_all(prefix))) == 1
    clock.advance(1)
    assert drained(reader, webhook_id) == []
    assert list(reader._prefix.objects.list_all(prefix)) == []


def test_events_of_models_that_went_elsewhere_are_found(opened) -> None:
    """However often the name was used since, and however many events came after them."""
    store = opened()
    webhook_id = hook(store)
    with_version(store, "m")
    for number in range(80):  # enough to move the oldest ones out of the document
        store.apply(SetVersionTag(name="m", version=1, key="k", value=str(number)), by=ANN)
    store.apply(RenameModel(name="m", new_name="n"), by=ANN)
    store.apply(CreateModel(NewRegisteredModel(name="m")), by=ANN)
    store.apply(RenameModel(name="n", new_name="o"), by=ANN)
    store.apply(DeleteModel(name="o"), by=ANN)
    store.apply(CreateModel(NewRegisteredModel(name="o")), by=ANN)
    delivered = drained(store, webhook_id)
    assert [sequence for name, sequence in delivered if name == "m"].count(1) == 2
    assert len(delivered) == 87
    assert Action.CREATE_MODEL in [
        each.action for each in store.events(EventQuery(name="o", max_results=5))
    ]
