"""Snapshots: the same model, whichever store it comes from and goes to, history included."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs
import pytest

from registry_core import Registry, documents, histories, open_store, snapshot_format, snapshots
from registry_core.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidArgumentError,
    NotPermittedError,
)
from registry_core.history import Action, Event, new_model_id
from registry_core.models import ModelVersion, Stage, Status
from registry_core.snapshots import ModelSnapshot, is_ahead
from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock
from services.live_server import LiveServer
from services.stores import store_url

LARGE = "Grüße\n" * 1_000
"""A text that a bucket keeps beside its document."""

_LINE = (
    '{"format_version":1,"kind":"model_snapshot","name":"m","creation_timestamp":1,'
    '"last_updated_timestamp":1,"next_version":2,%s}'
)

KINDS = ("memory", "sqlite", "postgresql", "s3", "http")


def filled(registry: Registry) -> ModelSnapshot:
    """A model that has been through everything: gaps, stages, tags, aliases, a rename."""
    ann = registry.acting_as("ann", reason="because")
    ann.create_registered_model("früher", description=LARGE, tags={"k": "v", "large": LARGE})
    for number in range(1, 6):
        ann.create_model_version(
            "früher", source=f"s3://bucket/{number}", tags={"n": str(number)}, run_id=f"run{number}"
        )
    bob = registry.acting_as("bob", is_authenticated=True)
    bob.transition_model_version_stage("früher", 2, stage="Production")
    bob.transition_model_version_stage(
        "früher", 4, stage="Production", archive_existing_versions=True
    )
    bob.set_registered_model_alias("früher", "champion", 4)
    bob.set_registered_model_alias("früher", "champion", 2)
    bob.set_registered_model_alias("früher", "gone", 5)
    bob.update_model_version("früher", 1, description=LARGE)
    bob.update_model_version("früher", 1, description="short")
    bob.set_model_version_tag("früher", 1, "n", LARGE)
    bob.delete_model_version_tag("früher", 2, "n")
    bob.delete_model_version("früher", 3)
    bob.delete_model_version("früher", 5)
    bob.rename_registered_model("früher", new_name="größe")
    bob.set_registered_model_tag("größe", "k", "")
    bob.update_registered_model("größe", description=None)
    return registry.snapshot("größe")


@pytest.fixture(scope="module")
def taken() -> ModelSnapshot:
    return filled(Registry(MemoryStore(ManualClock())))


@pytest.fixture
def snapshot(taken: ModelSnapshot) -> ModelSnapshot:
    """Of a model that no registry has seen: what a test deletes stays in the trash."""
    return taken.with_id(new_model_id())


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest) -> Iterator[Registry]:
    if request.param == "http":
        with LiveServer() as server, Registry(open_store(server.url)) as registry:
            server.serve(MemoryStore())
            yield registry
        return
    with store_url(request.param, request) as url, Registry(open_store(url)) as registry:
        yield registry


@pytest.fixture
def registry(shared: Registry) -> Registry:
    """An empty registry of each kind."""
    for model in shared.search_registered_models().items:
        shared.delete_registered_model(model.name)
    return shared


def test_a_restored_model_is_the_same_in_everything(
    registry: Registry, snapshot: ModelSnapshot
) -> None:
    assert snapshot.document.next_version == 6
    assert list(snapshot.versions) == [1, 2, 4]

    restored = registry.restore(snapshot)

    assert restored == snapshot.model
    assert registry.get_registered_model("größe") == snapshot.model
    assert registry.snapshot("größe") == snapshot
    assert registry.get_model_version_by_alias("größe", "champion") == snapshot.versions[2]
    assert registry.verify_history("größe").is_true
    found = registry.search_model_versions("tags.n = '4'").items
    assert found == [snapshot.versions[4]]


def test_a_model_goes_on_where_it_was(registry: Registry, snapshot: ModelSnapshot) -> None:
    registry.restore(snapshot)
    created = registry.create_model_version("größe", source="s3://bucket/new")
    registry.set_registered_model_alias("größe", "champion", created.version)

    assert created.version == 6
    events = registry.snapshot("größe").events
    assert events[: len(snapshot.events)] == snapshot.events
    assert [event.sequence for event in events] == [*range(1, len(events) + 1)]
    assert events[-1].before == 2
    assert registry.verify_history("größe").is_true
    assert is_ahead(registry.snapshot("größe"), snapshot)
    assert not is_ahead(snapshot, registry.snapshot("größe"))


def test_what_a_store_gives_is_what_the_next_one_takes(registry: Registry) -> None:
    taken = filled(registry)
    elsewhere = Registry(MemoryStore())
    elsewhere.restore(taken)

    assert snapshots.check(taken) is taken
    assert elsewhere.snapshot("größe") == taken
    assert elsewhere.verify_history("größe").is_true

    registry.delete_registered_model("größe")
    registry.restore(elsewhere.snapshot("größe"), on_conflict="replace")
    assert registry.snapshot("größe") == taken


def test_a_model_without_history_gets_one_that_begins_with_what_it_is(
    registry: Registry, snapshot: ModelSnapshot
) -> None:
    registry.restore(snapshot.without_history())

    found = registry.snapshot("größe")
    assert found.document == attrs.evolve(snapshot.document, model_id=found.document.model_id)
    assert {event.origin.value for event in found.events} == {"baseline"}
    assert registry.verify_history("größe").is_true


def test_a_taken_name_is_refused_skipped_or_replaced(
    registry: Registry, snapshot: ModelSnapshot
) -> None:
    there = registry.create_registered_model("größe", tags={"mine": LARGE})
    registry.create_model_version("größe", source="s3://bucket/mine", tags={"mine": "yes"})
    before = registry.snapshot("größe")

    with pytest.raises(AlreadyExistsError):
        registry.restore(snapshot)
    assert registry.restore(snapshot, on_conflict="skip").creation_timestamp == (
        there.creation_timestamp
    )
    assert registry.snapshot("größe") == before

    registry.restore(snapshot, on_conflict="replace")
    assert registry.snapshot("größe") == snapshot
    assert registry.search_model_versions("tags.mine = 'yes'").items == []

    registry.set_registered_model_tag("größe", "later", LARGE)
    registry.restore(snapshot, on_conflict="replace")
    assert registry.snapshot("größe") == snapshot


def test_an_id_belongs_to_one_model(registry: Registry, snapshot: ModelSnapshot) -> None:
    registry.restore(snapshot)
    document = attrs.evolve(snapshot.document, name="other")
    other = ModelSnapshot(
        document=documents.build(document, document.versions.values()), events=snapshot.events
    )
    with pytest.raises(ConflictError):
        registry.restore(other)
    assert [model.name for model in registry.search_registered_models().items] == ["größe"]
    assert registry.snapshot("größe") == snapshot

    registry.restore(other.without_history())
    assert registry.verify_history("other").is_true


def test_thousands_of_versions_and_events_are_restored(registry: Registry) -> None:
    source = Registry(MemoryStore(ManualClock()))
    source.create_registered_model("many")
    for number in range(1_203):
        source.create_model_version("many", source=f"s3://bucket/{number}", tags={"n": str(number)})
    taken = source.snapshot("many")
    registry.restore(taken)
    assert registry.snapshot("many") == taken
    assert registry.create_model_version("many", source="s3://bucket/next").version == 1_204
    assert len([*histories.iterate(registry.store, histories.query("many"))]) == 1_205


def test_a_snapshot_is_one_line_and_comes_back(registry: Registry) -> None:
    taken = filled(registry)
    line = snapshot_format.dumps(taken)
    assert "\n" not in line
    assert snapshot_format.loads(line) == taken
    assert snapshot_format.dumps(snapshot_format.loads(line)) == line


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "[" * 100_000,
        "{}",
        '{"format_version":1,"kind":"other"}',
        '{"format_version":2,"kind":"model_snapshot"}',
        '{"format_version":1,"kind":"model_snapshot","name":"m"}',
        _LINE % '"unknown":1',
        _LINE % '"tags":{"k":1}',
        _LINE % '"description":1',
        _LINE % '"aliases":{"k":"1"}',
        _LINE % '"versions":[{"version":1,"creation_timestamp":1}]',
        _LINE % '"versions":[{"version":1,"creation_timestamp":1,"source":"","current_stage":"x"}]',
        _LINE % '"events":[{"sequence":1,"time":1,"name":"m","actor":"a","action":"x"}]',
        _LINE % '"events":[{"sequence":true,"time":1,"name":"m","actor":"a","action":"set_alias"}]',
    ],
)
def test_what_is_no_snapshot_is_refused(line: str) -> None:
    with pytest.raises(InvalidArgumentError):
        snapshot_format.loads(line)


def _event(snapshot: ModelSnapshot, **fields: object) -> ModelSnapshot:
    first, *others = snapshot.events
    return attrs.evolve(snapshot, events=(attrs.evolve(first, **fields), *others))


def _deletion(event: Event) -> Event:
    return attrs.evolve(event, action=Action.DELETE_MODEL, version=None, key=None)


def _version(snapshot: ModelSnapshot, **fields: object) -> ModelSnapshot:
    document = snapshot.document
    version: ModelVersion = attrs.evolve(document.versions[1], **fields)
    changed = attrs.evolve(document, versions={**document.versions, 1: version})
    return attrs.evolve(snapshot, document=changed)


def _document(snapshot: ModelSnapshot, **fields: object) -> ModelSnapshot:
    return attrs.evolve(snapshot, document=attrs.evolve(snapshot.document, **fields))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda each: _document(each, name="a/b"),
        lambda each: _document(each, next_version=4),
        lambda each: _document(each, next_version=2**31 + 1),
        lambda each: _document(each, aliases={"champion": 3}),
        lambda each: _document(each, aliases={"latest": 1}),
        lambda each: _document(each, tags={"k" * 251: ""}),
        lambda each: _document(each, model_id="../x"),
        lambda each: _document(each, model_id=""),
        lambda each: _document(each, creation_timestamp=-1),
        lambda each: _document(each, description="\x00"),
        lambda each: _version(each, source="x" * 4_097),
        lambda each: _version(each, version=2),
        lambda each: _version(each, tags={"k": "v" * 100_001}),
        lambda each: _version(each, status_message="\ud800"),
        lambda each: attrs.evolve(each, events=each.events[1:]),
        lambda each: attrs.evolve(each, events=(*each.events, each.events[0])),
        lambda each: attrs.evolve(each, events=(*each.events[:-1], _deletion(each.events[-1]))),
        lambda each: _event(each, after="\x00"),
        lambda each: _event(each, after=2**63),
        lambda each: _event(each, after={"next_version": "2"}),
        lambda each: _event(each, key="\x00"),
        lambda each: _event(each, key="\ud800"),
        lambda each: _event(each, key="k" * 1_000),
        lambda each: _event(each, version=0),
        lambda each: _event(each, version=2**31),
        lambda each: _event(each, action=Action.DELETE_VERSION),
        lambda each: _event(each, action=Action.SET_VERSION_TAG, key="k"),
        lambda each: _event(each, action=Action.SET_ALIAS, version=1, key="a", after="1"),
    ],
)
def test_an_illegal_snapshot_is_refused_and_changes_nothing(
    snapshot: ModelSnapshot, spoil: Callable[[ModelSnapshot], ModelSnapshot]
) -> None:
    registry = Registry(MemoryStore())
    with pytest.raises(InvalidArgumentError, match="snapshot of model"):
        registry.restore(spoil(snapshot))
    assert registry.search_registered_models().items == []


def test_stage_and_status_survive(registry: Registry, snapshot: ModelSnapshot) -> None:
    pending = _version(
        snapshot.without_history(),
        status=Status.FAILED_REGISTRATION,
        status_message="lost",
        current_stage=Stage.STAGING,
        storage_location="s3://elsewhere/1",
        user_id="ann",
        model_id="m-1",
    )
    registry.restore(pending)
    found = registry.get_model_version("größe", 1)
    assert found == pending.versions[1]


def test_an_old_backup_is_not_restored_over_what_was_done_since(registry: Registry) -> None:
    """The model is in the trash, with a history that goes on: its last events would be lost."""
    registry.create_registered_model("old")
    backup = registry.snapshot("old")
    registry.set_registered_model_tag("old", "k", "v")
    registry.delete_registered_model("old")
    with pytest.raises(ConflictError, match="its history goes on after this snapshot"):
        registry.restore(backup)
    assert registry.restore_registered_model("old").tags == {"k": "v"}
    assert registry.verify_history("old").is_true
    registry.delete_registered_model("old")
    assert registry.restore(backup, on_conflict="replace").tags == {}
    assert registry.snapshot("old") == backup


def test_nobody_who_was_authenticated_writes_what_others_have_done() -> None:
    """A server would vouch for a history that its client made up."""
    registry = Registry(MemoryStore())
    registry.create_registered_model("m")
    snapshot = registry.snapshot("m")
    ann = registry.acting_as("ann", is_authenticated=True)
    with pytest.raises(NotPermittedError, match="takes no snapshot"):
        ann.restore(snapshot, on_conflict="replace")
    assert registry.snapshot("m") == snapshot


def test_a_copy_replaces_nothing_that_was_changed_meanwhile(
    registry: Registry, snapshot: ModelSnapshot, request: pytest.FixtureRequest
) -> None:
    if "http" in request.node.name:
        pytest.skip("a server is not asked to look at what is replaced")
    registry.restore(snapshot)
    compared = registry.snapshot("größe")
    registry.restore(snapshot, on_conflict="replace", replaced=compared)
    registry.set_registered_model_tag("größe", "theirs", "yes")
    changed = registry.snapshot("größe")

    with pytest.raises(ConflictError, match="somebody else"):
        registry.restore(snapshot, on_conflict="replace", replaced=compared)

    assert registry.snapshot("größe") == changed
