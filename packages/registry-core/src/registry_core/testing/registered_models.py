"""What a store promises about registered models (contract 2.1 to 2.5)."""

from __future__ import annotations

import pytest

from registry_core import validation
from registry_core.errors import AlreadyExistsError, RegisteredModelNotFoundError
from registry_core.models import RegisteredModel, Stage, Status
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    StoreCase,
    create_model,
    create_version,
    create_versions,
    transition,
)
from registry_core.testing.clocks import START, ManualClock
from registry_core.testing.observing import (
    assert_same,
    model_names,
    models_query,
    plain,
    refused,
    version_keys,
    versions_query,
)
from registry_core.testing.registered_model_changes import (
    DeleteRegisteredModelTests,
    RenameRegisteredModelTests,
    furnished,
    not_found,
    otherwise_taken,
)
from registry_core.testing.samples import EMOJI, NAMES

PROMPT = validation.PROMPT_TAG


class CreateRegisteredModelTests(StoreCase):
    """Creating and reading a registered model."""

    def test_create_registered_model_returns_it_as_stored(self, store: Calls) -> None:
        """All that was given is kept, in order; both timestamps are now."""
        created = create_model(
            store,
            tags={"b": "2", "a": "1", "B": ""},
            description="Text",
            deployment_job_id="job",
        )
        expected = RegisteredModel(
            name="m",
            creation_timestamp=START,
            last_updated_timestamp=START,
            description="Text",
            deployment_job_id="job",
            tags={"B": "", "a": "1", "b": "2"},
        )
        assert_same(created, expected)
        assert_same(store.get_registered_model("m"), expected)

    def test_create_registered_model_takes_the_time_from_the_clock(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Each creation reads the clock anew."""
        clock.now = 1
        assert create_model(store, "first").creation_timestamp == 1
        clock.now = 2**41 + 1
        assert create_model(store, "second").last_updated_timestamp == 2**41 + 1

    @pytest.mark.parametrize("description", [None, "", " ", "x", EMOJI * 100_000])
    def test_create_registered_model_keeps_any_description(
        self, store: Calls, description: str | None
    ) -> None:
        """None, an empty text and the longest one are three different things."""
        assert create_model(store, description=description).description == description
        assert store.get_registered_model("m").description == description

    def test_create_registered_model_without_anything_has_nothing(self, store: Calls) -> None:
        """A bare model has no description, tags, aliases or versions."""
        assert_same(
            create_model(store),
            RegisteredModel(name="m", creation_timestamp=START, last_updated_timestamp=START),
        )

    @pytest.mark.parametrize(
        ("existing", "wanted", "message"),
        [
            ({}, {}, "Registered Model (name=m) already exists."),
            ({PROMPT: "true"}, {PROMPT: "true"}, "Prompt (name=m) already exists."),
            ({}, {PROMPT: "false"}, otherwise_taken("prompt", by="registered model")),
            ({PROMPT: ""}, {"k": "v"}, otherwise_taken("registered model", by="prompt")),
        ],
    )
    def test_create_registered_model_refuses_a_taken_name(
        self, store: Calls, existing: dict[str, str], wanted: dict[str, str], message: str
    ) -> None:
        """The error says which of the two is a prompt: the tag counts, not its value."""
        create_model(store, tags=existing, description="first")
        with refused(store, AlreadyExistsError, message):
            create_model(store, tags=wanted, description="second")

    def test_create_registered_model_tells_prompts_by_the_tags_of_now(self, store: Calls) -> None:
        """A model that was made a prompt later is one when its name is wanted."""
        create_model(store)
        store.set_registered_model_tag("m", PROMPT, "true")
        with pytest.raises(AlreadyExistsError) as raised:
            create_model(store, tags={PROMPT: "true"})
        assert (raised.value.existing_is_prompt, raised.value.wanted_prompt) == (True, True)
        store.delete_registered_model_tag("m", PROMPT)
        with pytest.raises(AlreadyExistsError) as raised:
            create_model(store, tags={PROMPT: "true"})
        assert (raised.value.existing_is_prompt, raised.value.wanted_prompt) == (False, True)

    def test_create_registered_model_does_not_share_its_draft(self, store: Calls) -> None:
        """A mapping that the caller goes on using is not the store's."""
        tags = {"k": "v"}
        create_model(store, tags=tags)
        tags["k"] = "changed"
        assert_same(store.get_registered_model("m").tags, {"k": "v"})

    def test_get_registered_model_of_an_empty_store_fails(self, store: Calls) -> None:
        """What was never created is not found, and the error carries its name."""
        with refused(store, RegisteredModelNotFoundError, not_found("a b")):
            store.get_registered_model("a b")
        with pytest.raises(RegisteredModelNotFoundError) as raised:
            store.get_registered_model("a b")
        assert raised.value.name == "a b"

    def test_registered_models_of_any_legal_name_live_side_by_side(self, store: Calls) -> None:
        """No name is trimmed, folded, normalised, escaped or cut into another."""
        for index, name in enumerate(NAMES):
            created = create_model(store, name, description=str(index))
            assert created.name == name
        for index, name in enumerate(NAMES):
            found = store.get_registered_model(name)
            assert (found.name, found.description) == (name, str(index))
        assert model_names(store, models_query()) == sorted(NAMES)

    def test_every_operation_works_under_any_legal_name(self, store: Calls) -> None:
        """Versions, aliases, tags, renaming and deleting mind the exact name as well."""
        for name in NAMES:
            create_model(store, name)
            create_version(store, name, description=name)
            store.set_model_version_tag(name, 1, "k", name)
            store.set_registered_model_alias(name, "a", version=1)
        for name in NAMES:
            found = store.get_model_version_by_alias(name, "a")
            assert (found.name, found.description, found.tags) == (name, name, {"k": name})
        gone = NAMES[::2]
        for name in gone:
            store.delete_registered_model(name)
        kept = sorted(set(NAMES) - set(gone))
        assert model_names(store, models_query()) == kept
        assert version_keys(store, versions_query("", ["name"])) == [(name, 1) for name in kept]

    def test_get_registered_model_has_the_newest_version_of_each_stage(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """In stage order, each complete; the newest is the highest number, not the last moved."""
        create_model(store)
        create_versions(store, 9)
        for number, stage in [
            (9, Stage.ARCHIVED),
            (8, Stage.PRODUCTION),
            (2, Stage.STAGING),
            (3, Stage.STAGING),
            (7, Stage.PRODUCTION),
            (1, Stage.ARCHIVED),
        ]:
            clock.advance()
            transition(store, number, stage)
        store.set_model_version_tag("m", 3, "k", "v")
        store.set_registered_model_alias("m", "b", version=8)
        store.set_registered_model_alias("m", "a", version=8)
        found = store.get_registered_model("m")
        assert [version.version for version in found.latest_versions] == [6, 3, 8, 9]
        assert_same(found.latest_versions, [store.get_model_version("m", n) for n in (6, 3, 8, 9)])
        assert found.latest_versions[1].tags == {"k": "v"}
        assert found.latest_versions[2].aliases == ("a", "b")
        assert_same(found.aliases, {"a": 8, "b": 8})

    def test_latest_versions_follow_transitions_and_deletions(self, store: Calls) -> None:
        """A version that leaves a stage makes room for the one before it."""

        def latest() -> list[tuple[str, int]]:
            found = store.get_registered_model("m").latest_versions
            return [(version.current_stage.value, version.version) for version in found]

        create_model(store)
        assert latest() == []
        create_versions(store, 3)
        assert latest() == [("None", 3)]
        transition(store, 3, Stage.PRODUCTION)
        assert latest() == [("None", 2), ("Production", 3)]
        transition(store, 1, Stage.PRODUCTION)
        assert latest() == [("None", 2), ("Production", 3)]
        store.delete_model_version("m", 3)
        assert latest() == [("None", 2), ("Production", 1)]
        transition(store, 2, Stage.PRODUCTION, archive=True)
        assert latest() == [("Production", 2), ("Archived", 1)]
        store.delete_model_version("m", 2)
        store.delete_model_version("m", 1)
        assert latest() == []

    def test_latest_versions_sort_by_number_not_by_text(self, store: Calls) -> None:
        """Version 10 is newer than version 9."""
        create_model(store)
        create_versions(store, 11)
        assert [v.version for v in store.get_registered_model("m").latest_versions] == [11]

    def test_latest_versions_include_versions_that_are_not_ready(self, store: Calls) -> None:
        """A reserved number is the newest version at once."""
        create_model(store)
        create_version(store)
        pending = create_version(store, status=Status.PENDING_REGISTRATION)
        assert_same(store.get_registered_model("m").latest_versions, [pending])

    def test_registered_models_do_not_see_each_others_parts(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Whatever happens to one model leaves its neighbours as they were."""
        for name in ("m", "mm", "M", "m "):
            furnished(store, clock, name)
        before = {name: plain(store.get_registered_model(name)) for name in ("mm", "M", "m ")}
        versions = {
            (name, n): plain(store.get_model_version(name, n)) for name in before for n in (1, 2, 3)
        }
        store.update_registered_model("m", description="other")
        transition(store, 3, Stage.PRODUCTION, archive=True)
        store.delete_model_version("m", 1)
        store.delete_registered_model_alias("m", "next")
        store.set_registered_model_tag("m", "a", "other")
        store.delete_registered_model_tag("m", "b")
        store.delete_model_version_tag("m", 3, "n")
        store.rename_registered_model("m", new_name="renamed")
        store.delete_registered_model("renamed")
        assert {name: plain(store.get_registered_model(name)) for name in before} == before
        assert {key: plain(store.get_model_version(*key)) for key in versions} == versions


class UpdateRegisteredModelTests(StoreCase):
    """Changing the description of a registered model."""

    @pytest.mark.parametrize("description", ["new", "", None, "x" * 100_000])
    def test_update_registered_model_replaces_the_description(
        self, store: Calls, clock: ManualClock, description: str | None
    ) -> None:
        """None erases it; the model is updated now, and nothing else about it changes."""
        before = furnished(store, clock)
        updated = store.update_registered_model("m", description=description)
        assert (updated.description, updated.last_updated_timestamp) == (description, clock.now)
        assert updated.creation_timestamp == START
        assert_same(updated, store.get_registered_model("m"))
        assert_same(updated.latest_versions, before.latest_versions)
        assert_same((updated.tags, updated.aliases), (before.tags, before.aliases))

    def test_update_registered_model_counts_as_an_update_without_a_change(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """The same description again still means that the model was updated."""
        create_model(store, description="same")
        clock.advance()
        store.update_registered_model("m", description="same")
        assert store.get_registered_model("m").last_updated_timestamp == clock.now

    def test_update_registered_model_fails_without_the_model(self, store: Calls) -> None:
        """Updating does not create."""
        create_model(store, "M")
        with refused(store, RegisteredModelNotFoundError, not_found("m")):
            store.update_registered_model("m", description="x")


class RegisteredModelTests(
    CreateRegisteredModelTests,
    UpdateRegisteredModelTests,
    RenameRegisteredModelTests,
    DeleteRegisteredModelTests,
):
    """Everything about registered models."""
