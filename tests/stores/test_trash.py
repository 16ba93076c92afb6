"""What was deleted comes back, on every store: models with everything, and versions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

from registry_core import Registry, open_store, retention, trash
from registry_core.authors import Origin
from registry_core.errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    RegisteredModelNotFoundError,
)
from registry_core.history import Action
from registry_core.stores.memory import MemoryStore
from services.live_server import LiveServer
from services.stores import store_url

LARGE = "Grüße\n" * 1_000
"""A text that a bucket keeps beside its document."""


@pytest.fixture(scope="module", params=["memory", "sqlite", "postgresql", "s3"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with store_url(request.param, request) as url:
        yield url


@pytest.fixture(scope="module")
def shared(url: str) -> Iterator[Registry]:
    with Registry(open_store(url)) as registry:
        yield registry


@pytest.fixture
def registry(shared: Registry) -> Registry:
    """A registry of each kind without models; those of earlier tests are in the trash."""
    for model in shared.search_registered_models().items:
        shared.delete_registered_model(model.name)
    return shared


def fill(registry: Registry, name: str) -> None:
    """Make a model that has been through everything."""
    registry.create_registered_model("früher", description=LARGE, tags={"k": "v", "l": LARGE})
    for number in range(1, 5):
        registry.create_model_version("früher", source=f"s3://b/{number}", tags={"n": str(number)})
    registry.transition_model_version_stage("früher", 2, stage="Production")
    registry.transition_model_version_stage(
        "früher", 3, stage="Production", archive_existing_versions=True
    )
    registry.set_registered_model_alias("früher", "champion", 2)
    registry.delete_model_version("früher", 4)
    registry.rename_registered_model("früher", new_name=name)
    registry.set_model_version_tag(name, 1, "n", LARGE)


def test_a_deleted_model_comes_back_as_it_was(registry: Registry) -> None:
    fill(registry, "m")
    before = registry.snapshot("m")
    registry.acting_as("ann").delete_registered_model("m", reason="a slip")
    with pytest.raises(RegisteredModelNotFoundError):
        registry.get_registered_model("m")
    (gone,) = registry.deleted_registered_models("m")
    assert (gone.model_id, gone.deleted_by, gone.reason) == (
        before.document.model_id,
        "ann",
        "a slip",
    )

    restored = registry.acting_as("bob").restore_registered_model("m", reason="found out")

    after = registry.snapshot("m")
    assert restored == before.model == registry.get_registered_model("m")
    assert after.document == before.document
    assert after.events[: len(before.events)] == before.events
    deletion, restoring = after.events[len(before.events) :]
    assert (deletion.action, restoring.action) == (Action.DELETE_MODEL, Action.RESTORE_MODEL)
    assert (restoring.actor, restoring.reason) == ("bob", "found out")
    assert registry.verify_history("m").is_true
    assert registry.deleted_registered_models("m") == []
    assert registry.create_model_version("m", source="s3://b/5").version == 5
    registry.update_registered_model("m", description="new")
    (update,) = registry.history("m", actions=["update_model"])
    assert update.before == LARGE


def test_a_namesake_begins_anew_and_the_deleted_one_gets_another_name(registry: Registry) -> None:
    fill(registry, "n")
    before = registry.snapshot("n")
    registry.delete_registered_model("n")
    registry.create_registered_model("n")
    assert registry.create_model_version("n", source="s3://b/x").version == 1

    with pytest.raises(ConflictError, match="--as"):
        registry.restore_registered_model("n")
    registry.restore_registered_model("n", new_name="n2")

    after = registry.snapshot("n2")
    assert after.document.model_id == before.document.model_id
    assert list(after.versions) == [1, 2, 3]
    assert after.events[-1].before == "n"
    assert after.events[-1].after == "n2"
    assert registry.verify_history("n2").is_true
    assert len(registry.search_model_versions("name = 'n'").items) == 1
    assert registry.deleted_registered_models("n") == []


def test_a_model_may_be_deleted_and_restored_again_and_again(registry: Registry) -> None:
    registry.create_registered_model("r", description="one")
    for _ in range(3):
        registry.delete_registered_model("r")
        registry.restore_registered_model("r")
    registry.delete_registered_model("r")
    (one,) = registry.deleted_registered_models("r")
    registry.create_registered_model("r", description="two")
    registry.delete_registered_model("r")

    assert len(registry.deleted_registered_models("r")) == 2
    restored = registry.restore_registered_model("r", model_id=one.model_id, new_name="one")
    assert restored.description == "one"
    assert registry.restore_registered_model("r").description == "two"
    assert [event.sequence for event in registry.history("one")] == [*range(9, 0, -1)]


def test_of_two_who_restore_one_model_one_does(registry: Registry) -> None:
    registry.create_registered_model("o")
    registry.delete_registered_model("o")
    late = trash.restoring_model(registry.store, "o", new_name="o2")
    registry.restore_registered_model("o")
    writer = registry._writer(None)
    with pytest.raises(ConflictError):
        writer.apply(late)

    registry.delete_registered_model("o")
    with pytest.raises(ConflictError, match="somebody else"):
        writer.apply(late)
    assert registry.restore_registered_model("o").name == "o"
    assert len([*registry.history("o")]) == 5


@pytest.mark.parametrize("is_name_in_use", [False, True])
def test_of_many_who_restore_one_model_under_other_names_one_does(
    registry: Registry, url: str, is_name_in_use: bool
) -> None:
    """At the same moment, each with a store of its own where there can be several."""
    name = f"raced-{is_name_in_use}"
    fill(registry, name)
    registry.delete_registered_model(name)
    if is_name_in_use:
        registry.create_registered_model(name)
    ready = threading.Barrier(4)

    def restore(number: int) -> str | None:
        with contextlib.ExitStack() as stack:
            mine = registry
            if url != "memory:":
                mine = stack.enter_context(Registry(open_store(url)))
            change = trash.restoring_model(mine.store, name, new_name=f"{name}-{number}")
            ready.wait(60)
            with contextlib.suppress(ConflictError):
                return mine._writer(None).apply(change).name
        return None

    with ThreadPoolExecutor(4) as pool:
        restored = {*pool.map(restore, range(4))} - {None}
    (winner,) = restored
    listed = {each.name for each in registry.search_registered_models().items}
    assert listed == {winner, *([name] if is_name_in_use else [])}
    assert registry.verify_history(str(winner)).is_true


def test_a_deleted_version_comes_back_without_its_aliases(registry: Registry) -> None:
    fill(registry, "v")
    before = registry.get_model_version("v", 2)
    registry.delete_model_version("v", 2, reason="a slip")
    found = {each.version: each for each in registry.deleted_model_versions("v")}
    assert set(found) == {2, 4}
    assert found[2].reason == "a slip"
    assert found[2].fields["source"] == "s3://b/2"

    restored = registry.restore_model_version("v", 2)

    assert restored == attrs.evolve(before, aliases=()) == registry.get_model_version("v", 2)
    assert registry.verify_history("v").is_true
    with pytest.raises(NotFoundError):
        registry.restore_model_version("v", 2)
    assert [each.version for each in registry.deleted_model_versions("v")] == [4]
    registry.set_model_version_tag("v", 2, "n", "changed")
    (event,) = registry.history("v", version=2, actions=["set_version_tag"])
    assert event.before == "2"


def test_the_trash_has_models_and_versions_by_the_names_that_they_have_now(
    registry: Registry,
) -> None:
    fill(registry, "renamed later")
    registry.create_registered_model("gone")
    registry.create_model_version("gone", source="s3://b/1")
    registry.delete_model_version("gone", 1)
    registry.delete_registered_model("gone", reason="why")
    fill(registry, "back")
    registry.delete_registered_model("back")
    registry.restore_registered_model("back", new_name="back again")
    registry.delete_model_version("back again", 3)
    registry.restore_model_version("back again", 4)

    trash = registry.trash()

    assert (trash.models[0].name, trash.models[0].reason) == ("gone", "why")
    assert trash.models == tuple(registry.deleted_registered_models())
    here = [each for each in trash.versions if each.name in ("renamed later", "back again")]
    assert [(each.name, each.version) for each in here] == [
        ("back again", 3),
        ("renamed later", 4),
    ]
    # Each can be restored by what the list says of it; those of deleted models are not in it.
    assert "gone" not in {each.name for each in trash.versions}
    for each in here:
        registry.restore_model_version(each.name, each.version)
    assert not trash.is_cut


def test_what_was_deleted_long_ago_is_not_restored(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(registry, "w")
    monkeypatch.setenv(retention.RETENTION_VARIABLE, "0")
    with pytest.raises(NotFoundError, match="kept for 0 days"):
        registry.restore_model_version("w", 4)
    registry.delete_registered_model("w")
    with pytest.raises(NotFoundError, match="kept for 0 days"):
        registry.restore_registered_model("w")
    with pytest.raises(NotFoundError, match="no deleted"):
        registry.restore_registered_model("never")


@pytest.mark.parametrize("text", ["-1", "x", "36501", "0000009999999", "9" * 5000])
def test_a_retention_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="a number of days from 0 to 36500"):
        retention.retention({retention.RETENTION_VARIABLE: text})


def test_a_server_restores_what_was_deleted_on_it() -> None:
    behind = Registry(MemoryStore())
    fill(behind, "m")
    before = behind.snapshot("m")
    with LiveServer() as server, Registry(open_store(server.url)) as registry:
        server.serve(behind.store)
        registry.delete_model_version("m", 2)
        assert [each.version for each in registry.deleted_model_versions("m")] == [2, 4]
        assert registry.restore_model_version("m", 2, reason="a slip").version == 2
        registry.delete_registered_model("m")
        with pytest.raises(NotFoundError):
            registry.restore_registered_model("never")
        behind.create_registered_model("m")
        with pytest.raises(ConflictError, match="--as"):
            registry.restore_registered_model("m")
        restored = registry.restore_registered_model("m", new_name="n", reason="found out")

    assert restored == behind.get_registered_model("n")
    after = behind.snapshot("n")
    assert list(after.versions) == [1, 2, 3]
    assert after.document.model_id == before.document.model_id
    assert after.events[-1].reason == "found out"
    assert after.events[-1].origin is Origin.HTTP
    assert behind.verify_history("n").is_true
