"""What a store promises about aliases (contract 2.10 to 2.12, 3.8)."""

from __future__ import annotations

import pytest

from registry_core.errors import (
    AliasNotFoundError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
)
from registry_core.testing import model_versions, registered_model_changes
from registry_core.testing.calls import Calls
from registry_core.testing.cases import StoreCase, create_model, create_version, create_versions
from registry_core.testing.clocks import ManualClock
from registry_core.testing.observing import assert_same, plain, refused
from registry_core.testing.samples import ALIASES


class AliasTests(StoreCase):
    """Everything about aliases."""

    def test_set_alias_makes_the_version_known_by_it(self, store: Calls) -> None:
        """Reading by alias gives the version as reading by number does; the model lists it."""
        create_model(store)
        create_version(store, tags={"k": "v"})
        create_version(store)
        store.set_registered_model_alias("m", "champion", version=1)
        found = store.get_model_version_by_alias("m", "champion")
        assert (found.version, found.aliases, found.tags) == (1, ("champion",), {"k": "v"})
        assert_same(found, store.get_model_version("m", 1))
        assert_same(store.get_registered_model("m").aliases, {"champion": 1})
        assert store.get_model_version("m", 2).aliases == ()

    def test_set_alias_moves_an_existing_one(self, store: Calls) -> None:
        """An alias names one version; the one before forgets it, and keeps its others."""
        create_model(store)
        create_versions(store, 3)
        store.set_registered_model_alias("m", "moving", version=1)
        store.set_registered_model_alias("m", "staying", version=1)
        for number in (3, 2):
            store.set_registered_model_alias("m", "moving", version=number)
            assert store.get_model_version_by_alias("m", "moving").version == number
        aliases = [store.get_model_version("m", number).aliases for number in (1, 2, 3)]
        assert aliases == [("staying",), ("moving",), ()]
        assert_same(store.get_registered_model("m").aliases, {"moving": 2, "staying": 1})

    def test_set_alias_twice_is_set_once(self, store: Calls) -> None:
        """The same again changes nothing."""
        create_model(store)
        create_version(store)
        for _ in range(2):
            store.set_registered_model_alias("m", "a", version=1)
        assert store.get_model_version("m", 1).aliases == ("a",)

    def test_a_version_has_any_number_of_aliases_in_order(self, store: Calls) -> None:
        """They sort by code point, on the version and on the model."""
        create_model(store)
        create_versions(store, 2)
        for index, alias in enumerate(reversed(ALIASES)):
            store.set_registered_model_alias("m", alias, version=1 + index % 2)
        expected = {alias: 1 + index % 2 for index, alias in enumerate(reversed(ALIASES))}
        assert_same(store.get_registered_model("m").aliases, dict(sorted(expected.items())))
        for number in (1, 2):
            assert store.get_model_version("m", number).aliases == tuple(
                sorted(alias for alias, version in expected.items() if version == number)
            )

    def test_aliases_of_any_legal_spelling_are_distinct(self, store: Calls) -> None:
        """No alias is folded, escaped or cut into another, also when it is deleted."""
        create_model(store)
        versions = create_versions(store, len(ALIASES))
        for version, alias in zip(versions, ALIASES, strict=True):
            store.set_registered_model_alias("m", alias, version=version.version)
        for version, alias in zip(versions, ALIASES, strict=True):
            assert store.get_model_version_by_alias("m", alias).version == version.version
        for alias in ALIASES[::2]:
            store.delete_registered_model_alias("m", alias)
        assert sorted(store.get_registered_model("m").aliases) == sorted(ALIASES[1::2])

    def test_aliases_belong_to_one_model(self, store: Calls) -> None:
        """Two models may use one alias for different versions."""
        for name in ("m", "other"):
            create_model(store, name)
            create_versions(store, 2, name)
        store.set_registered_model_alias("m", "a", version=1)
        store.set_registered_model_alias("other", "a", version=2)
        store.delete_registered_model_alias("m", "a")
        assert store.get_model_version_by_alias("other", "a").version == 2
        assert store.get_model_version("m", 2).aliases == ()

    def test_delete_alias_removes_only_that_one(self, store: Calls) -> None:
        """The version and its other aliases stay."""
        create_model(store)
        create_version(store)
        for alias in ("a", "b", "c"):
            store.set_registered_model_alias("m", alias, version=1)
        store.delete_registered_model_alias("m", "b")
        assert store.get_model_version("m", 1).aliases == ("a", "c")
        assert_same(store.get_registered_model("m").aliases, {"a": 1, "c": 1})
        with pytest.raises(AliasNotFoundError):
            store.get_model_version_by_alias("m", "b")

    def test_delete_alias_of_an_absent_one_is_no_error(self, store: Calls) -> None:
        """Deleting what is not there changes nothing."""
        create_model(store)
        create_version(store)
        store.set_registered_model_alias("m", "a", version=1)
        before = plain(store.get_registered_model("m"))
        store.delete_registered_model_alias("m", "A")
        store.delete_registered_model_alias("m", "latest")
        assert plain(store.get_registered_model("m")) == before

    def test_aliases_move_no_timestamp(self, store: Calls, clock: ManualClock) -> None:
        """Neither of the model, nor of the versions an alias leaves and reaches."""
        create_model(store)
        create_versions(store, 2)

        def timestamps() -> list[int]:
            return [
                store.get_registered_model("m").last_updated_timestamp,
                store.get_model_version("m", 1).last_updated_timestamp,
                store.get_model_version("m", 2).last_updated_timestamp,
            ]

        before = timestamps()
        clock.advance(1_000)
        store.set_registered_model_alias("m", "a", version=1)
        store.set_registered_model_alias("m", "a", version=2)
        store.delete_registered_model_alias("m", "a")
        assert timestamps() == before

    def test_set_alias_to_a_missing_version_leaves_it_where_it_was(self, store: Calls) -> None:
        """An alias never names a version that does not exist."""
        create_model(store)
        create_versions(store, 2)
        store.delete_model_version("m", 2)
        store.set_registered_model_alias("m", "a", version=1)
        for number in (2, 3):
            message = model_versions.not_found("m", number)
            with refused(store, ModelVersionNotFoundError, message):
                store.set_registered_model_alias("m", "a", version=number)
            with refused(store, ModelVersionNotFoundError, message):
                store.set_registered_model_alias("m", "new", version=number)

    def test_get_by_an_absent_alias_fails(self, store: Calls) -> None:
        """The error carries model and alias."""
        create_model(store)
        create_version(store)
        store.set_registered_model_alias("m", "a", version=1)
        for alias in ("A", "aa", "1"):
            with refused(store, AliasNotFoundError, f"Registered model alias {alias} not found."):
                store.get_model_version_by_alias("m", alias)
        with pytest.raises(AliasNotFoundError) as raised:
            store.get_model_version_by_alias("m", "A")
        assert (raised.value.name, raised.value.alias) == ("m", "A")

    def test_aliases_of_a_missing_model_fail(self, store: Calls) -> None:
        """Reading and deleting are about the model, setting is about the version."""
        create_model(store, "M")
        create_version(store, "M")
        store.set_registered_model_alias("M", "a", version=1)
        message = registered_model_changes.not_found("m")
        with refused(store, RegisteredModelNotFoundError, message):
            store.get_model_version_by_alias("m", "a")
        with refused(store, RegisteredModelNotFoundError, message):
            store.delete_registered_model_alias("m", "a")
        with refused(store, ModelVersionNotFoundError, model_versions.not_found("m", 1)):
            store.set_registered_model_alias("m", "a", version=1)
