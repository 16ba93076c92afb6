"""What a store promises about renames and deletions of registered models (contract 2.2, 2.4)."""

from __future__ import annotations

from registry_core.errors import AlreadyExistsError, RegisteredModelNotFoundError
from registry_core.models import RegisteredModel, Stage
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    SOURCE,
    StoreCase,
    create_model,
    create_version,
    transition,
)
from registry_core.testing.clocks import START, ManualClock
from registry_core.testing.observing import (
    assert_same,
    dump,
    model_names,
    models_query,
    numbers,
    refused,
    version_keys,
    versions_query,
)
from registry_core.testing.samples import NAMES, TAG_KEYS


def not_found(name: str) -> str:
    """The message about a registered model that does not exist."""
    return f"Registered Model with name={name} not found"


def otherwise_taken(wanted: str, *, by: str) -> str:
    """The message about a name that the other kind of thing has."""
    return (
        f"Tried to create a {wanted} with name 'm', but the name is already taken by a {by}. "
        "MLflow does not allow creating a model and a prompt with the same name."
    )


def furnished(store: Calls, clock: ManualClock, name: str = "m") -> RegisteredModel:
    """A model with everything a model can have; the clock has moved on since."""
    create_model(store, name, description="described", tags={"b": "2", "a": "1"})
    for number in range(1, 5):
        clock.advance()
        create_version(store, name, tags={"n": str(number)}, run_id=f"run{number}")
    transition(store, 1, Stage.PRODUCTION, name=name)
    transition(store, 2, Stage.STAGING, name=name)
    store.set_registered_model_alias(name, "champion", version=1)
    store.set_registered_model_alias(name, "best", version=1)
    store.set_registered_model_alias(name, "next", version=3)
    store.delete_model_version(name, 4)
    clock.advance(1_000)
    return store.get_registered_model(name)


class RenameRegisteredModelTests(StoreCase):
    """Renaming a registered model."""

    def test_rename_registered_model_moves_all_it_had(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Description, tags, aliases, stages and versions go along; every part is updated now."""
        before = furnished(store, clock)
        renamed = store.rename_registered_model("m", new_name="new")
        assert_same(renamed, store.get_registered_model("new"))
        assert (renamed.name, renamed.description) == ("new", "described")
        assert (renamed.creation_timestamp, renamed.last_updated_timestamp) == (START, clock.now)
        assert_same(renamed.tags, {"a": "1", "b": "2"})
        assert_same(renamed.aliases, {"best": 1, "champion": 1, "next": 3})
        assert [(v.name, v.version, v.current_stage) for v in renamed.latest_versions] == [
            ("new", v.version, v.current_stage) for v in before.latest_versions
        ]
        for number in (1, 2, 3):
            version = store.get_model_version("new", number)
            assert (version.name, version.last_updated_timestamp) == ("new", clock.now)
            assert version.creation_timestamp == START + number
            assert_same(version.tags, {"n": str(number)})
            assert (version.source, version.run_id) == (SOURCE, f"run{number}")
        assert store.get_model_version_by_alias("new", "best").version == 1
        assert store.get_model_version("new", 1).aliases == ("best", "champion")

    def test_rename_registered_model_leaves_nothing_under_the_old_name(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """The old name is free: what is created under it starts from nothing."""
        furnished(store, clock)
        store.rename_registered_model("m", new_name="new")
        with refused(store, RegisteredModelNotFoundError, not_found("m")):
            store.get_registered_model("m")
        assert model_names(store, models_query()) == ["new"]
        assert version_keys(store, versions_query("name = 'm'")) == []
        fresh = create_model(store)
        assert_same((fresh.tags, fresh.aliases, fresh.latest_versions), ({}, {}, ()))
        assert_same(create_version(store).tags, {})
        assert numbers(store, "m") == [1]
        assert numbers(store, "new") == [1, 2, 3]

    def test_rename_registered_model_takes_the_version_counter_along(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """A number that was used under the old name is not used again under the new one."""
        furnished(store, clock)
        store.rename_registered_model("m", new_name="new")
        assert create_version(store, "new").version == 5

    def test_rename_registered_model_to_its_own_name_only_updates(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """The same name is allowed: model and versions are updated now, and all is kept."""
        before = furnished(store, clock)
        renamed = store.rename_registered_model("m", new_name="m")
        assert renamed.last_updated_timestamp == clock.now
        assert_same((renamed.tags, renamed.aliases), (before.tags, before.aliases))
        assert {store.get_model_version("m", n).last_updated_timestamp for n in (1, 2, 3)} == {
            clock.now
        }
        assert create_version(store).version == 5

    def test_rename_registered_model_refuses_a_taken_name(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Neither of the two changes."""
        furnished(store, clock)
        furnished(store, clock, "taken")
        with refused(store, AlreadyExistsError, "Registered Model (name=taken) already exists."):
            store.rename_registered_model("m", new_name="taken")

    def test_rename_registered_model_fails_without_the_model(self, store: Calls) -> None:
        """A missing model is what the error is about, even if the new name is taken as well."""
        create_model(store, "taken")
        for new_name in ("free", "taken", "m"):
            with refused(store, RegisteredModelNotFoundError, not_found("m")):
                store.rename_registered_model("m", new_name=new_name)

    def test_rename_registered_model_passes_names_on(self, store: Calls) -> None:
        """Names move in a ring, and back to where they were."""
        for name in ("a", "b"):
            create_model(store, name, description=name)
            create_version(store, name, description=name)
        for old, new in [("a", "c"), ("b", "a"), ("c", "b"), ("b", "d"), ("d", "b")]:
            store.rename_registered_model(old, new_name=new)
        for name, origin in (("a", "b"), ("b", "a")):
            assert store.get_registered_model(name).description == origin
            assert store.get_model_version(name, 1).description == origin
        assert model_names(store, models_query()) == ["a", "b"]

    def test_rename_registered_model_to_a_deleted_name_starts_from_its_own(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Nothing of a deleted model turns up in the one that takes its name."""
        furnished(store, clock, "gone")
        store.delete_registered_model("gone")
        create_model(store)
        create_version(store)
        renamed = store.rename_registered_model("m", new_name="gone")
        assert_same((renamed.tags, renamed.aliases, renamed.description), ({}, {}, None))
        assert numbers(store, "gone") == [1]
        assert create_version(store, "gone").version == 2

    def test_rename_registered_model_works_between_any_legal_names(self, store: Calls) -> None:
        """Every name can be left for every next one."""
        create_model(store, "start")
        create_version(store, "start")
        here = "start"
        for name in NAMES:
            assert store.rename_registered_model(here, new_name=name).name == name
            here = name
        assert version_keys(store, versions_query()) == [(here, 1)]


class DeleteRegisteredModelTests(StoreCase):
    """Deleting a registered model."""

    def test_delete_registered_model_removes_all_it_had(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Model and versions are found no more, by any road."""
        empty = dump(store)
        furnished(store, clock)
        store.delete_registered_model("m")
        assert dump(store) == empty
        with refused(store, RegisteredModelNotFoundError, not_found("m")):
            store.get_model_version_by_alias("m", "champion")

    def test_delete_registered_model_resets_the_name(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """What is created under the name later starts at version 1, without tags or aliases."""
        furnished(store, clock)
        store.delete_registered_model("m")
        clock.advance()
        created = create_model(store)
        assert_same(
            created,
            RegisteredModel(
                name="m", creation_timestamp=clock.now, last_updated_timestamp=clock.now
            ),
        )
        version = create_version(store)
        assert (version.version, version.tags, version.aliases) == (1, {}, ())
        assert_same(store.get_registered_model("m").aliases, {})
        assert_same(store.get_model_version("m", 1), version)

    def test_delete_registered_model_fails_without_the_model(self, store: Calls) -> None:
        """Deleting twice is an error, and touches nothing."""
        create_model(store)
        create_model(store, "other", tags=dict.fromkeys(TAG_KEYS, "v"))
        store.delete_registered_model("m")
        with refused(store, RegisteredModelNotFoundError, not_found("m")):
            store.delete_registered_model("m")
