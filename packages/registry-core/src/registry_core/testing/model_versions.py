"""What a store promises about model versions (contract 2.13 to 2.17, 3.4, 3.5, 3.9, 3.10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from registry_core.errors import (
    AliasNotFoundError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
)
from registry_core.models import ModelVersion, Stage, Status
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    StoreCase,
    create_model,
    create_version,
    create_versions,
    transition,
)
from registry_core.testing.clocks import START, ManualClock
from registry_core.testing.model_version_changes import (
    PENDING,
    FinalizeModelVersionTests,
    RelocateModelVersionTests,
    TransitionModelVersionTests,
    UpdateModelVersionTests,
)
from registry_core.testing.observing import (
    assert_same,
    dump,
    numbers,
    plain,
    refused,
    version_keys,
    versions_query,
)
from registry_core.testing.samples import EMOJI

ABSENT_VERSIONS = (0, -1, 2, 2**31 - 1, 2**31, -(2**31) - 1, 2**63, 10**30)
"""Well-formed numbers of no version, where version 1 is the only one; some fit no column."""


def not_found(name: str, version: int) -> str:
    """The message about a model version that does not exist."""
    return f"Model Version (name={name}, version={version}) not found"


def by_version(call: Callable[[Calls, str, int], object], name: str) -> Any:
    """A parameter of tests about all methods that name a version."""
    return pytest.param(call, id=name)


NAMING_A_VERSION = [
    by_version(lambda store, name, number: store.get_model_version(name, number), "get"),
    by_version(
        lambda store, name, number: store.update_model_version(name, number, description="x"),
        "update",
    ),
    by_version(
        lambda store, name, number: store.finalize_model_version(name, number, status=Status.READY),
        "finalize",
    ),
    by_version(
        lambda store, name, number: store.relocate_model_version(name, number, source="s3://b/x"),
        "relocate",
    ),
    by_version(
        lambda store, name, number: transition(
            store, number, Stage.PRODUCTION, name=name, archive=True
        ),
        "transition",
    ),
    by_version(lambda store, name, number: store.delete_model_version(name, number), "delete"),
    by_version(
        lambda store, name, number: store.set_registered_model_alias(name, "a", version=number),
        "set_alias",
    ),
    by_version(
        lambda store, name, number: store.set_model_version_tag(name, number, "k", "x"), "set_tag"
    ),
    by_version(
        lambda store, name, number: store.delete_model_version_tag(name, number, "k"),
        "delete_tag",
    ),
]
"""Every method that raises `ModelVersionNotFoundError`."""


class CreateModelVersionTests(StoreCase):
    """Creating and reading a model version."""

    def test_create_model_version_returns_it_as_stored(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """All that was given is kept, in order, and read back the same."""
        create_model(store)
        clock.advance()
        created = create_version(
            store,
            source="models:/other/3",
            storage_location="s3://bucket/original",
            run_id="run",
            run_link="https://host/run?x=1#y",
            description="Text",
            user_id="user",
            model_id="m-1",
            tags={"b": "2", "a": "1"},
            status=PENDING,
        )
        expected = ModelVersion(
            name="m",
            version=1,
            creation_timestamp=clock.now,
            last_updated_timestamp=clock.now,
            current_stage=Stage.NONE,
            source="models:/other/3",
            storage_location="s3://bucket/original",
            run_id="run",
            run_link="https://host/run?x=1#y",
            status=PENDING,
            description="Text",
            user_id="user",
            model_id="m-1",
            tags={"a": "1", "b": "2"},
        )
        assert_same(created, expected)
        assert_same(store.get_model_version("m", 1), expected)

    @pytest.mark.parametrize("given", [None, ""])
    def test_create_model_version_tells_none_from_empty(
        self, store: Calls, given: str | None
    ) -> None:
        """An optional text that was never given is not an empty one."""
        create_model(store)
        fields = ("storage_location", "run_id", "run_link", "description", "user_id", "model_id")
        created = create_version(store, **dict.fromkeys(fields, given))
        assert [getattr(created, field) for field in fields] == [given] * len(fields)
        assert_same(store.get_model_version("m", 1), created)

    def test_create_model_version_keeps_long_and_odd_texts(self, store: Calls) -> None:
        """Texts come back as given, up to the limits, counted in characters."""
        create_model(store)
        created = create_version(
            store,
            source="s3://b/" + "\u00e9" * 4_000 + "//?x=../y#z ",
            storage_location=" " + "x" * 4_000,
            run_id=EMOJI * 256,
            run_link="'\"\\%_\n",
            description=EMOJI * 100_000,
            user_id="\u00e9",
        )
        assert_same(store.get_model_version("m", 1), created)
        assert created.description == EMOJI * 100_000
        assert created.run_link == "'\"\\%_\n"
        assert created.source == "s3://b/" + "\u00e9" * 4_000 + "//?x=../y#z "

    def test_create_model_version_numbers_from_one_without_gaps(self, store: Calls) -> None:
        """Each model counts for itself."""
        for name in ("m", "other"):
            create_model(store, name)
        created = [create_version(store, name) for name in ("m", "m", "other", "m", "other")]
        assert [version.version for version in created] == [1, 2, 1, 3, 2]

    def test_create_model_version_updates_its_model(self, store: Calls, clock: ManualClock) -> None:
        """The model's last update is the version's creation; the model's creation stays."""
        create_model(store, description="d", tags={"k": "v"})
        clock.advance(5)
        created = create_version(store)
        model = store.get_registered_model("m")
        assert created.creation_timestamp == created.last_updated_timestamp == START + 5
        assert (model.creation_timestamp, model.last_updated_timestamp) == (START, START + 5)
        assert (model.description, model.tags) == ("d", {"k": "v"})

    def test_create_model_version_leaves_the_others_alone(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """A new version changes nothing of those before it."""
        create_model(store)
        first = create_version(store, tags={"k": "v"})
        store.set_registered_model_alias("m", "a", version=1)
        clock.advance()
        create_version(store)
        found = store.get_model_version("m", 1)
        assert found.last_updated_timestamp == first.last_updated_timestamp
        assert (found.tags, found.aliases) == ({"k": "v"}, ("a",))

    def test_create_model_version_fails_without_the_model(self, store: Calls) -> None:
        """A version does not create its model."""
        create_model(store, "M")
        with refused(store, RegisteredModelNotFoundError, "Registered Model with name=m not found"):
            create_version(store)

    def test_create_model_version_does_not_share_its_draft(self, store: Calls) -> None:
        """A mapping that the caller goes on using is not the store's."""
        create_model(store)
        tags = {"k": "v"}
        create_version(store, tags=tags)
        tags["k"] = "changed"
        assert_same(store.get_model_version("m", 1).tags, {"k": "v"})

    def test_create_model_version_never_reuses_a_number(self, store: Calls) -> None:
        """Not that of the newest version, nor that of the only one, nor of many."""
        create_model(store)
        create_version(store)
        store.delete_model_version("m", 1)
        assert create_version(store).version == 2
        assert [version.version for version in create_versions(store, 3)] == [3, 4, 5]
        for number in (2, 3, 5, 4):
            store.delete_model_version("m", number)
        assert create_version(store).version == 6
        assert numbers(store, "m") == [6]

    def test_create_model_version_counts_past_nine(self, store: Calls) -> None:
        """Numbers are numbers, also where texts would sort otherwise."""
        create_model(store)
        assert [version.version for version in create_versions(store, 12)] == list(range(1, 13))
        assert numbers(store, "m") == list(range(1, 13))

    def test_create_model_version_uses_no_number_when_it_fails(self, store: Calls) -> None:
        """A creation that was refused leaves no gap."""
        with pytest.raises(RegisteredModelNotFoundError):
            create_version(store)
        create_model(store)
        assert create_version(store).version == 1

    def test_get_model_version_has_its_tags_and_aliases(self, store: Calls) -> None:
        """In order, and none of its neighbours'."""
        create_model(store, tags={"model": "tag"})
        create_version(store, tags={"b": "1", "a": "1"})
        create_version(store, tags={"c": "2"})
        for alias, number in (("z", 1), ("a", 1), ("other", 2)):
            store.set_registered_model_alias("m", alias, version=number)
        first, second = (store.get_model_version("m", number) for number in (1, 2))
        assert_same((first.tags, first.aliases), ({"a": "1", "b": "1"}, ("a", "z")))
        assert_same((second.tags, second.aliases), ({"c": "2"}, ("other",)))

    @pytest.mark.parametrize("call", NAMING_A_VERSION)
    def test_a_missing_version_is_not_found(
        self, store: Calls, call: Callable[[Calls, str, int], object]
    ) -> None:
        """Every method says so in the same words, whatever the number, and changes nothing."""
        create_model(store)
        create_version(store, tags={"k": "v"}, status=PENDING)
        store.set_registered_model_alias("m", "a", version=1)
        before = dump(store)
        for number in ABSENT_VERSIONS:
            with pytest.raises(ModelVersionNotFoundError) as raised:
                call(store, "m", number)
            assert str(raised.value) == not_found("m", number)
            assert (raised.value.name, raised.value.version) == ("m", number)
        assert dump(store) == before

    @pytest.mark.parametrize("call", NAMING_A_VERSION)
    def test_a_version_of_a_missing_model_is_not_found(
        self, store: Calls, call: Callable[[Calls, str, int], object]
    ) -> None:
        """The error is about the version, and the name counts exactly."""
        create_model(store, "M")
        create_version(store, "M", status=PENDING)
        with refused(store, ModelVersionNotFoundError, not_found("m", 1)):
            call(store, "m", 1)

    @pytest.mark.parametrize("call", NAMING_A_VERSION)
    def test_a_deleted_version_is_not_found(
        self, store: Calls, call: Callable[[Calls, str, int], object]
    ) -> None:
        """Nothing can be done to a version that was deleted, deleting it included."""
        create_model(store)
        create_versions(store, 2)
        store.delete_model_version("m", 1)
        with refused(store, ModelVersionNotFoundError, not_found("m", 1)):
            call(store, "m", 1)


class DeleteModelVersionTests(StoreCase):
    """Deleting a model version."""

    def test_delete_model_version_removes_it_from_everywhere(
        self, store: Calls, clock: ManualClock
    ) -> None:
        """It is not got, found, latest or aliased any more; the model is updated now."""
        create_model(store)
        create_versions(store, 3)
        for alias, number in (("gone", 2), ("also", 2), ("kept", 1)):
            store.set_registered_model_alias("m", alias, version=number)
        transition(store, 2, Stage.PRODUCTION)
        kept = {n: plain(store.get_model_version("m", n)) for n in (1, 3)}
        clock.advance()
        store.delete_model_version("m", 2)
        model = store.get_registered_model("m")
        assert model.last_updated_timestamp == clock.now
        assert_same(model.aliases, {"kept": 1})
        assert [version.version for version in model.latest_versions] == [3]
        assert numbers(store, "m") == [1, 3]
        for alias in ("gone", "also"):
            with pytest.raises(AliasNotFoundError):
                store.get_model_version_by_alias("m", alias)
        assert {n: plain(store.get_model_version("m", n)) for n in (1, 3)} == kept

    def test_delete_model_version_frees_its_aliases(self, store: Calls) -> None:
        """They may name another version afterwards, and then name only that."""
        create_model(store)
        create_versions(store, 2)
        store.set_registered_model_alias("m", "a", version=1)
        store.delete_model_version("m", 1)
        store.set_registered_model_alias("m", "a", version=2)
        assert store.get_model_version_by_alias("m", "a").version == 2
        assert_same(store.get_registered_model("m").aliases, {"a": 2})

    def test_delete_model_version_takes_its_tags_along(self, store: Calls) -> None:
        """No search finds a deleted version by its tags, and no later version inherits them."""
        create_model(store)
        create_version(store, tags={"k": "v"})
        create_version(store, tags={"k": "v"})
        store.delete_model_version("m", 2)
        assert version_keys(store, versions_query("tags.k = 'v'")) == [("m", 1)]
        assert_same(create_version(store).tags, {})
        store.delete_registered_model("m")
        create_model(store)
        assert all(not version.tags for version in create_versions(store, 3))
        assert version_keys(store, versions_query("tags.k = 'v'")) == []

    def test_delete_model_version_may_empty_a_model(self, store: Calls) -> None:
        """The model stays, without a version."""
        create_model(store, tags={"k": "v"})
        create_version(store)
        store.delete_model_version("m", 1)
        model = store.get_registered_model("m")
        assert_same((model.latest_versions, model.tags), ((), {"k": "v"}))


class ModelVersionTests(
    CreateModelVersionTests,
    UpdateModelVersionTests,
    FinalizeModelVersionTests,
    RelocateModelVersionTests,
    TransitionModelVersionTests,
    DeleteModelVersionTests,
):
    """Everything about model versions."""
