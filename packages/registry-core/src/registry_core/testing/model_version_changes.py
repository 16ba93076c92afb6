"""What a store promises about changes of model versions (contract 2.14, 2.15, 3.9, 3.10)."""

from __future__ import annotations

import pytest

from registry_core.errors import (
    ConflictError,
    InvalidArgumentError,
)
from registry_core.models import ModelVersion, Stage, Status
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    SOURCE,
    StoreCase,
    create_model,
    create_version,
    create_versions,
    transition,
)
from registry_core.testing.clocks import START, ManualClock
from registry_core.testing.observing import (
    assert_same,
    dump,
    plain,
    version_keys,
    versions_query,
)
from registry_core.testing.samples import EMOJI
from registry_core.validation import TAGS_MAX_COUNT

PENDING = Status.PENDING_REGISTRATION


class UpdateModelVersionTests(StoreCase):
    """Changing the description of a model version."""

    @pytest.mark.parametrize("description", ["new", "", None, EMOJI * 100_000])
    def test_update_model_version_replaces_the_description(
        self, store: Calls, clock: ManualClock, description: str | None
    ) -> None:
        """None erases it; the version is updated now, its model and neighbours are not."""
        create_model(store)
        create_version(store, description="old", run_id="r", tags={"k": "v"})
        create_version(store, description="other")
        store.set_registered_model_alias("m", "a", version=1)
        other, model = store.get_model_version("m", 2), store.get_registered_model("m")
        clock.advance()
        updated = store.update_model_version("m", 1, description=description)
        assert (updated.description, updated.last_updated_timestamp) == (description, clock.now)
        assert (updated.creation_timestamp, updated.run_id) == (START, "r")
        assert (updated.tags, updated.aliases) == ({"k": "v"}, ("a",))
        assert_same(updated, store.get_model_version("m", 1))
        assert_same(store.get_model_version("m", 2), other)
        assert_same(store.get_registered_model("m"), model)

    def test_update_model_version_counts_as_an_update_without_a_change(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """The same description again still means that the version was updated."""
        create_model(store)
        create_version(store, description="same")
        clock.advance()
        store.update_model_version("m", 1, description="same")
        assert store.get_model_version("m", 1).last_updated_timestamp == clock.now


class FinalizeModelVersionTests(StoreCase):
    """Moving a version on from PENDING_REGISTRATION."""

    @pytest.fixture
    def pending(self, store: Calls, clock: ManualClock) -> ModelVersion:
        """A reserved version; the clock has moved on since."""
        create_model(store)
        created = create_version(
            store, status=PENDING, storage_location="old", run_id="r", tags={"k": "v"}
        )
        clock.advance()
        return created

    @pytest.mark.usefixtures("pending")
    def test_finalize_model_version_makes_it_ready_elsewhere(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Source and location are replaced; the version is updated now, its model is not."""
        model = store.get_registered_model("m")
        final = store.finalize_model_version(
            "m", 1, status=Status.READY, source="s3://b/new", storage_location="s3://b/loc"
        )
        assert (final.status, final.status_message) == (Status.READY, None)
        assert (final.source, final.storage_location) == ("s3://b/new", "s3://b/loc")
        assert (final.creation_timestamp, final.last_updated_timestamp) == (START, clock.now)
        assert (final.run_id, final.tags) == ("r", {"k": "v"})
        assert_same(final, store.get_model_version("m", 1))
        after = store.get_registered_model("m")
        assert after.last_updated_timestamp == model.last_updated_timestamp
        assert_same(after.latest_versions, [final])

    @pytest.mark.usefixtures("pending")
    def test_finalize_model_version_keeps_what_is_not_given(self, store: Calls) -> None:
        """Without a source or a location the stored ones stay."""
        final = store.finalize_model_version("m", 1, status=Status.READY)
        assert (final.source, final.storage_location) == (SOURCE, "old")

    @pytest.mark.usefixtures("pending")
    def test_finalize_model_version_can_end_in_failure(self, store: Calls) -> None:
        """The reason is kept with it."""
        message = "Upload failed: \u00e9 'x'"
        final = store.finalize_model_version(
            "m", 1, status=Status.FAILED_REGISTRATION, status_message=message
        )
        assert (final.status, final.status_message) == (Status.FAILED_REGISTRATION, message)
        assert_same(store.get_model_version("m", 1), final)

    @pytest.mark.usefixtures("pending")
    @pytest.mark.parametrize("first", [Status.READY, Status.FAILED_REGISTRATION])
    @pytest.mark.parametrize("second", [Status.READY, Status.FAILED_REGISTRATION])
    def test_finalize_model_version_happens_once(
        self, store: Calls, first: Status, second: Status
    ) -> None:
        """The second attempt is a conflict, even to the same end, and changes nothing."""
        store.finalize_model_version("m", 1, status=first, source="s3://b/1")
        before = dump(store)
        with pytest.raises(ConflictError):
            store.finalize_model_version("m", 1, status=second, source="s3://b/2")
        assert dump(store) == before

    def test_finalize_model_version_refuses_one_that_was_ready_at_once(self, store: Calls) -> None:
        """Only reserved versions can be finalized."""
        create_model(store)
        create_version(store)
        before = dump(store)
        with pytest.raises(ConflictError):
            store.finalize_model_version("m", 1, status=Status.READY)
        assert dump(store) == before

    @pytest.mark.usefixtures("pending")
    def test_a_pending_version_is_a_version(self, store: Calls) -> None:
        """It is found, described, staged and deleted like any other, and stays pending."""
        assert version_keys(store, versions_query()) == [("m", 1)]
        assert store.update_model_version("m", 1, description="d").status is PENDING
        assert transition(store, 1, Stage.STAGING).status is PENDING
        store.set_registered_model_alias("m", "a", version=1)
        assert store.get_model_version_by_alias("m", "a").status is PENDING
        store.delete_model_version("m", 1)
        assert create_version(store).version == 2


class TransitionModelVersionTests(StoreCase):
    """Moving a version between stages."""

    @pytest.mark.parametrize("stage", list(Stage))
    @pytest.mark.parametrize("start", list(Stage))
    def test_transition_updates_version_and_model(
        self, store: Calls, clock: ManualClock, start: Stage, stage: Stage
    ) -> None:
        """From any stage to any, itself included, both are updated now."""
        create_model(store, description="d")
        create_version(store, tags={"k": "v"})
        store.set_registered_model_alias("m", "a", version=1)
        transition(store, 1, start)
        clock.advance()
        moved = transition(store, 1, stage)
        model = store.get_registered_model("m")
        assert (moved.current_stage, moved.last_updated_timestamp) == (stage, clock.now)
        assert (moved.creation_timestamp, moved.tags, moved.aliases) == (START, {"k": "v"}, ("a",))
        assert (model.creation_timestamp, model.last_updated_timestamp) == (START, clock.now)
        assert_same(moved, store.get_model_version("m", 1))
        assert_same(model.latest_versions, [moved])

    @pytest.mark.parametrize("stage", [Stage.STAGING, Stage.PRODUCTION])
    def test_transition_archives_all_others_in_the_stage(
        self, store: Calls, clock: ManualClock, stage: Stage
    ) -> None:
        """Older and newer ones, and those are updated now; other stages and models are not."""
        other = Stage.STAGING if stage is Stage.PRODUCTION else Stage.PRODUCTION
        create_model(store)
        create_model(store, "neighbour")
        create_version(store, "neighbour")
        transition(store, 1, stage, name="neighbour")
        create_versions(store, 7)
        stages = {1: stage, 2: other, 3: stage, 4: Stage.NONE, 5: Stage.ARCHIVED, 7: stage}
        for number, begin in stages.items():
            transition(store, number, begin)
        store.set_registered_model_alias("m", "a", version=3)
        before = {n: plain(store.get_model_version("m", n)) for n in (2, 4, 5)}
        clock.advance()
        moved = transition(store, 6, stage, archive=True)
        assert moved.current_stage is stage
        for number in (1, 3, 7):
            archived = store.get_model_version("m", number)
            assert archived.current_stage is Stage.ARCHIVED
            assert archived.last_updated_timestamp == clock.now
        assert store.get_model_version("m", 3).aliases == ("a",)
        assert {n: plain(store.get_model_version("m", n)) for n in (2, 4, 5)} == before
        assert store.get_model_version("neighbour", 1).current_stage is stage
        assert store.get_registered_model("neighbour").last_updated_timestamp == START

    def test_transition_within_the_stage_archives_the_others_too(self, store: Calls) -> None:
        """A version that is there already stays, and the others go."""
        create_model(store)
        create_versions(store, 3)
        for number in (1, 2, 3):
            transition(store, number, Stage.PRODUCTION)
        transition(store, 2, Stage.PRODUCTION, archive=True)
        assert [store.get_model_version("m", n).current_stage for n in (1, 2, 3)] == [
            Stage.ARCHIVED,
            Stage.PRODUCTION,
            Stage.ARCHIVED,
        ]

    def test_transition_leaves_the_others_unless_told(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Several versions may share a stage."""
        create_model(store)
        create_versions(store, 2)
        first = transition(store, 1, Stage.PRODUCTION)
        clock.advance()
        transition(store, 2, Stage.PRODUCTION)
        assert_same(store.get_model_version("m", 1), first)


class RelocateModelVersionTests(StoreCase):
    """Saying where the files of a version are."""

    def test_relocate_model_version_replaces_its_place_and_sets_tags(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """In one step, of which the version's last update is the time."""
        create_model(store)
        create_version(store, storage_location="old", run_id="r", tags={"k": "v", "digest": "1"})
        clock.advance()
        moved = store.relocate_model_version(
            "m", 1, source="s3://b/NEW", tags={"digest": "2", "a": "b"}
        )
        assert (moved.source, moved.storage_location) == ("s3://b/NEW", None)
        assert (moved.creation_timestamp, moved.last_updated_timestamp) == (START, clock.now)
        assert (moved.run_id, moved.tags) == ("r", {"a": "b", "digest": "2", "k": "v"})
        assert_same(moved, store.get_model_version("m", 1))
        found = version_keys(store, versions_query("source_path = 's3://b/NEW'"))
        assert found == [("m", 1)]
        assert version_keys(store, versions_query("tags.digest = '2'")) == [("m", 1)]
        clock.advance()
        located = store.relocate_model_version("m", 1, source="x", storage_location="y")
        assert (located.source, located.storage_location) == ("x", "y")

    def test_relocate_model_version_to_where_it_is_changes_nothing(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """Not even the time, or a tag."""
        create_model(store)
        create_version(store, storage_location="here")
        before = dump(store)
        clock.advance()
        store.relocate_model_version(
            "m", 1, source=SOURCE, storage_location="here", tags={"k": "v"}
        )
        assert dump(store) == before

    def test_relocate_model_version_sets_no_tag_too_many(self, store: Calls) -> None:
        """And changes nothing then."""
        create_model(store)
        create_version(store, tags={str(number): "" for number in range(TAGS_MAX_COUNT)})
        before = dump(store)
        with pytest.raises(InvalidArgumentError, match="tags"):
            store.relocate_model_version("m", 1, source="s3://b/x", tags={"one": "more"})
        assert dump(store) == before
