"""The oldest events of a model make room for a new beginning, and all that reads them goes on."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from registry_core import Registry, open_store, pruning
from registry_core.authors import Author, Origin
from registry_core.errors import (
    ConflictError,
    InvalidArgumentError,
    RegisteredModelNotFoundError,
)
from registry_core.history import Action, Event
from registry_core.models import NewWebhook, WebhookAction, WebhookEntity, WebhookEvent
from registry_core.retention import RETENTION_VARIABLE
from registry_core.store import Store
from registry_core.stores import s3, sql
from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock
from services.live_server import LiveServer
from services.stores import store_url

KINDS = ("memory", "sqlite", "postgresql", "s3")


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


def open_with(url: str, clock: ManualClock) -> Store:
    if url.startswith("s3:"):
        return s3.open_store(url, clock=clock)
    return MemoryStore(clock) if url == "memory:" else sql.open_store(url, clock=clock)


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Registry]:
    with (
        store_url(request.param, request) as url,
        Registry(open_with(url, clock)) as registry,
    ):
        yield registry


@pytest.fixture
def registry(shared: Registry, clock: ManualClock) -> Registry:
    """A registry of each kind without models; those of earlier tests are in the trash."""
    for model in shared.search_registered_models().items:
        shared.delete_registered_model(model.name)
    tick(clock)  # Of several deleted models of a name, the one deleted last comes back.
    return shared


def tick(clock: ManualClock) -> int:
    """Let a second pass, and return the time: all that is done from now on is not before it."""
    clock.now += 1000
    return clock.now


def fill(registry: Registry, name: str = "m") -> None:
    """Make a model that has been through everything, in more events than a beginning has."""
    registry.create_registered_model("früher", description="alt", tags={"k": "v", "l": "w"})
    for number in range(1, 4):
        registry.create_model_version("früher", source=f"s3://b/{number}", tags={"n": str(number)})
    registry.transition_model_version_stage("früher", 2, stage="Production")
    registry.set_registered_model_alias("früher", "champion", 1)
    registry.set_registered_model_alias("früher", "champion", 2)
    registry.delete_model_version("früher", 3)
    registry.rename_registered_model("früher", new_name=name)
    registry.update_registered_model(name, description="neu")
    registry.update_model_version(name, 1, description="eins")
    registry.delete_registered_model_tag(name, "l")
    delete_and_restore(registry, name)


def delete_and_restore(registry: Registry, name: str) -> None:
    registry.delete_registered_model(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RETENTION_VARIABLE, "36500")
        registry.restore_registered_model(name)


def change_all(registry: Registry) -> None:
    """Do something to each thing that a beginning has to say the former state of."""
    registry.set_registered_model_alias("m", "champion", 1)
    registry.set_registered_model_tag("m", "k", "v2")
    registry.set_model_version_tag("m", 1, "n", "eins")
    registry.update_registered_model("m", description="neuer")
    registry.update_model_version("m", 1, description="eins!")
    registry.transition_model_version_stage("m", 2, stage="Archived")
    registry.create_model_version("m", source="s3://b/4")
    registry.delete_model_version("m", 2)


def listed(registry: Registry) -> list[Event]:
    return list(registry.history("m", newest_first=False))


@pytest.fixture(autouse=True)
def trash_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RETENTION_VARIABLE, "0")


def test_what_stays_is_as_it_was_and_the_beginning_says_what_was_before(
    registry: Registry, clock: ManualClock
) -> None:
    """Events, model, numbers; and what was before each event that comes first after the cut."""
    fill(registry)
    cut = tick(clock)
    change_all(registry)
    before, model = listed(registry), registry.snapshot("m")
    at_cut = registry.registered_model_as_of("m", cut - 1)
    gone = [each for each in before if each.time < cut]

    would = registry.prune_history("m", before=cut, dry_run=True)
    assert listed(registry) == before
    done = registry.acting_as("ann").prune_history("m", before=cut, reason="too long")

    after = listed(registry)
    beginning = after[: done.added]
    assert would == done
    # The model, versions 1 and 2, and the alias.
    assert (done.removed, done.added, done.first) == (len(gone), 4, len(gone) - 3)
    assert after[done.added :] == before[len(gone) :]
    assert [each.sequence for each in after] == list(range(done.first, before[-1].sequence + 1))
    said = {(each.actor, each.reason, each.origin, each.time) for each in beginning}
    assert said == {("ann", "too long", Origin.BASELINE, gone[-1].time)}
    snapshot = registry.snapshot("m")
    assert attrs.evolve(snapshot, events=()) == attrs.evolve(model, events=())
    assert registry.registered_model_as_of("m", cut - 1) == at_cut
    verified = registry.verify_history("m")
    assert (verified.is_true, verified.problems, verified.events) == (True, (), len(after))
    # Once more at the same moment there is nothing to gain.
    assert registry.prune_history("m", before=cut).removed == 0
    assert listed(registry) == after


def test_a_pruned_history_goes_on(registry: Registry, clock: ManualClock) -> None:
    """Further events, rollback, the trash, a snapshot, and a second pruning."""
    fill(registry)
    tick(clock)
    registry.prune_history("m", before=clock.now)
    last = listed(registry)[-1].sequence
    with pytest.raises(InvalidArgumentError, match="was pruned"):
        registry.rollback_registered_model_alias("m", "champion")
    with pytest.raises(InvalidArgumentError, match="was pruned"):
        registry.rollback_registered_model_alias("m", "champion", to=1)
    with pytest.raises(InvalidArgumentError, match="begins at"):
        registry.registered_model_as_of("m", clock.now - 1001)
    assert registry.get_registered_model("m").aliases == {"champion": 2}

    change_all(registry)
    assert listed(registry)[-8].sequence == last + 1
    delete_and_restore(registry, "m")
    registry.set_registered_model_alias("m", "champion", 4)
    assert registry.rollback_registered_model_alias("m", "champion") == 1
    assert listed(registry)[-1].sequence == last + 8 + 2 + 2
    assert registry.verify_history("m").problems == ()
    at = tick(clock)
    done = registry.prune_history("m", before=at)
    assert (done.added, registry.verify_history("m").is_true) == (4, True)
    assert listed(registry)[-1].sequence == last + 8 + 2 + 2


def test_a_pruned_model_is_exported_and_imported(registry: Registry, clock: ManualClock) -> None:
    fill(registry)
    tick(clock)
    registry.prune_history("m", before=clock.now)
    change_all(registry)
    snapshot = registry.snapshot("m")
    with Registry(MemoryStore(clock)) as other:
        other.restore(snapshot)
        assert other.snapshot("m") == snapshot
        other.set_registered_model_tag("m", "new", "1")
        assert listed(other)[-1].sequence == snapshot.events[-1].sequence + 1
        assert other.verify_history("m").is_true
    registry.restore(snapshot, on_conflict="replace", replaced=snapshot)
    registry.set_registered_model_tag("m", "new", "1")
    assert listed(registry)[-1].sequence == snapshot.events[-1].sequence + 1
    assert registry.verify_history("m").is_true


def test_a_cut_between_a_deletion_and_its_restoring_is_made_before_it(
    registry: Registry, clock: ManualClock
) -> None:
    fill(registry)
    tick(clock)
    registry.delete_registered_model("m")
    cut = tick(clock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RETENTION_VARIABLE, "36500")
        registry.restore_registered_model("m")
    registry.prune_history("m", before=cut)
    assert [each.action for each in listed(registry)[-2:]] == [
        Action.DELETE_MODEL,
        Action.RESTORE_MODEL,
    ]
    assert registry.verify_history("m").problems == ()


def test_what_can_still_be_restored_is_not_pruned(
    registry: Registry, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(registry)
    monkeypatch.setenv(RETENTION_VARIABLE, "30")
    day = 24 * 3600 * 1000
    now = tick(clock)
    by = Author(actor="ann")
    with pytest.raises(InvalidArgumentError, match="can be restored"):
        pruning.prune(registry.store, "m", before=now, by=by, clock=lambda: now + 30 * day - 1)
    assert len(listed(registry)) == 14
    pruning.prune(registry.store, "m", before=now, by=by, clock=lambda: now + 30 * day)
    assert len(listed(registry)) == 4
    with pytest.raises(RegisteredModelNotFoundError):
        registry.prune_history("absent", before=1)


def test_events_that_webhooks_wait_for_stay(registry: Registry, clock: ManualClock) -> None:
    hook = NewWebhook(
        webhook_id="w",
        name="w",
        url="https://example.com",
        events=(WebhookEvent(entity=WebhookEntity.REGISTERED_MODEL, action=WebhookAction.CREATED),),
    )
    registry.store.create_webhook(hook)
    fill(registry)
    tick(clock)
    before = listed(registry)
    with pytest.raises(ConflictError, match="webhooks"):
        registry.prune_history("m", before=clock.now)
    assert listed(registry) == before
    registry.store.delete_webhook("w")
    assert registry.prune_history("m", before=clock.now).removed == 14


def test_a_history_that_was_replaced_meanwhile_is_not_pruned(
    registry: Registry, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another has pruned it after it was read; and then a namesake has taken its place."""
    fill(registry)
    tick(clock)
    store = registry.store
    assert isinstance(store, pruning.ReplacesBeginnings)
    replace = store.replace_beginning

    def late(beginning: pruning.NewBeginning, meanwhile: list[str]) -> None:
        if meanwhile.pop() == "prune":
            replace(beginning)
        else:
            registry.delete_registered_model("m")
            tick(clock)
            fill(registry)
        after.extend(listed(registry))
        replace(beginning)

    for what in ("prune", "namesake"):
        after: list[Event] = []
        registry.delete_registered_model("m")
        tick(clock)
        fill(registry)
        at = tick(clock)
        monkeypatch.setattr(store, "replace_beginning", lambda plan, w=what: late(plan, [w]))
        with pytest.raises(ConflictError, match="replaced meanwhile"):
            registry.prune_history("m", before=at)
        assert listed(registry) == after


def test_a_history_that_has_lost_its_first_events_is_not_taken_for_a_pruned_one(
    clock: ManualClock,
) -> None:
    store = MemoryStore(clock)
    with Registry(store) as registry:
        fill(registry)
        tick(clock)
        registry.prune_history("m", before=clock.now)
        change_all(registry)
        (events,) = store._content.events.values()  # no call damages a history
        del events[0]
        found = registry.verify_history("m").problems
    assert any("are missing" in each for each in found)


def test_a_server_prunes_for_its_clients(clock: ManualClock) -> None:
    """With the reason that they give; and it refuses what the library refuses."""
    behind = Registry(MemoryStore(clock))
    fill(behind)
    tick(clock)
    with LiveServer() as server, Registry(open_store(server.url)) as registry:
        server.serve(behind.store)
        would = registry.prune_history("m", before=clock.now, dry_run=True)
        assert len(listed(behind)) == would.removed == 14
        assert registry.prune_history("m", before=clock.now, reason="too long") == would
        said = {(each.actor, each.reason) for each in listed(registry)}
        assert said == {("anonymous", "too long")}
        assert listed(registry) == listed(behind)
        assert registry.verify_history("m").is_true
        with pytest.raises(RegisteredModelNotFoundError):
            registry.prune_history("absent", before=1)
        with pytest.raises(InvalidArgumentError, match="can be restored"):
            registry.prune_history("m", before=2**62)
