"""What a store promises about tags (contract 2.8, 2.9, 2.20, 2.21, 3.2, 3.3)."""

from __future__ import annotations

import pytest

from registry_core.errors import RegisteredModelNotFoundError
from registry_core.testing import registered_model_changes
from registry_core.testing.calls import Calls
from registry_core.testing.cases import StoreCase, create_model, create_version, create_versions
from registry_core.testing.clocks import ManualClock
from registry_core.testing.observing import (
    assert_same,
    dump,
    model_names,
    models_query,
    plain,
    refused,
    version_keys,
    versions_query,
)
from registry_core.testing.samples import TAG_KEYS, TAG_VALUES


class RegisteredModelTagTests(StoreCase):
    """Tags of registered models."""

    def test_set_model_tag_adds_and_replaces(self, store: Calls) -> None:
        """The others stay, and all of them sort by key."""
        create_model(store, tags={"b": "1", "d": "1"})
        for key, value in (("c", "2"), ("b", "2"), ("a", ""), ("b", "3")):
            store.set_registered_model_tag("m", key, value)
        expected = {"a": "", "b": "3", "c": "2", "d": "1"}
        assert_same(store.get_registered_model("m").tags, expected)

    def test_set_model_tag_keeps_any_legal_key_and_value(self, store: Calls) -> None:
        """No key is folded, trimmed or cut into another, no value changes."""
        create_model(store)
        expected = dict(zip(TAG_KEYS, TAG_VALUES, strict=False))
        for key, value in expected.items():
            store.set_registered_model_tag("m", key, value)
        assert_same(store.get_registered_model("m").tags, dict(sorted(expected.items())))

    @pytest.mark.parametrize("value", TAG_VALUES, ids=range(len(TAG_VALUES)))
    def test_model_tags_given_at_creation_are_the_same_as_set(
        self, store: Calls, value: str
    ) -> None:
        """Every way in keeps the value, up to 100,000 characters of four bytes."""
        create_model(store, tags={"k": value})
        create_model(store, "other")
        store.set_registered_model_tag("other", "k", value)
        assert store.get_registered_model("m").tags == {"k": value}
        assert store.get_registered_model("other").tags == {"k": value}

    def test_delete_model_tag_removes_only_that_one(self, store: Calls) -> None:
        """It need not exist, and keys count exactly."""
        create_model(store, tags={"a": "1", "A": "2", "a/b": "3"})
        store.delete_registered_model_tag("m", "a")
        store.delete_registered_model_tag("m", "a")
        store.delete_registered_model_tag("m", "never")
        assert_same(store.get_registered_model("m").tags, {"A": "2", "a/b": "3"})

    def test_model_tags_move_no_timestamp(self, store: Calls, clock: ManualClock) -> None:
        """Neither of the model nor of its versions."""
        create_model(store)
        create_version(store)
        before = dump(store)
        clock.advance(1_000)
        store.set_registered_model_tag("m", "k", "v")
        store.set_registered_model_tag("m", "k", "w")
        store.delete_registered_model_tag("m", "k")
        assert dump(store) == before

    def test_model_tags_are_not_version_tags(self, store: Calls) -> None:
        """The same key may be on a model, its versions and other models, each for itself."""
        for name in ("m", "other"):
            create_model(store, name, tags={"k": name})
            create_version(store, name, tags={"k": f"{name} 1"})
        store.set_registered_model_tag("m", "k", "changed")
        assert store.get_model_version("m", 1).tags == {"k": "m 1"}
        store.delete_registered_model_tag("m", "k")
        assert store.get_model_version("m", 1).tags == {"k": "m 1"}
        assert store.get_registered_model("other").tags == {"k": "other"}

    def test_model_tags_of_a_missing_model_fail(self, store: Calls) -> None:
        """Setting and deleting alike."""
        create_model(store, "M", tags={"k": "v"})
        message = registered_model_changes.not_found("m")
        with refused(store, RegisteredModelNotFoundError, message):
            store.set_registered_model_tag("m", "k", "v")
        with refused(store, RegisteredModelNotFoundError, message):
            store.delete_registered_model_tag("m", "k")


class ModelVersionTagTests(StoreCase):
    """Tags of model versions."""

    def test_set_version_tag_adds_and_replaces(self, store: Calls) -> None:
        """The others stay, and all of them sort by key."""
        create_model(store)
        create_version(store, tags={"b": "1", "d": "1"})
        for key, value in (("c", "2"), ("b", "2"), ("a", ""), ("b", "3")):
            store.set_model_version_tag("m", 1, key, value)
        expected = {"a": "", "b": "3", "c": "2", "d": "1"}
        assert_same(store.get_model_version("m", 1).tags, expected)
        assert_same(store.get_registered_model("m").latest_versions[0].tags, expected)

    def test_set_version_tag_keeps_any_legal_key_and_value(self, store: Calls) -> None:
        """No key is folded, trimmed or cut into another, no value changes."""
        create_model(store)
        create_version(store)
        expected = dict(zip(TAG_KEYS, TAG_VALUES, strict=False))
        for key, value in expected.items():
            store.set_model_version_tag("m", 1, key, value)
        assert_same(store.get_model_version("m", 1).tags, dict(sorted(expected.items())))

    @pytest.mark.parametrize("value", TAG_VALUES, ids=range(len(TAG_VALUES)))
    def test_version_tags_given_at_creation_are_the_same_as_set(
        self, store: Calls, value: str
    ) -> None:
        """Every way in keeps the value, up to 100,000 characters of four bytes."""
        create_model(store)
        create_version(store, tags={"k": value})
        create_version(store)
        store.set_model_version_tag("m", 2, "k", value)
        assert store.get_model_version("m", 1).tags == {"k": value}
        assert store.get_model_version("m", 2).tags == {"k": value}

    def test_long_version_tags_are_replaced_and_deleted_whole(self, store: Calls) -> None:
        """A long value can become another, a short one, and nothing, on every version alone."""
        long, longer = "x" * 99_999 + "1", "x" * 99_999 + "2"
        create_model(store)
        create_version(store, tags={"k": long})
        create_version(store, tags={"k": long})
        store.set_model_version_tag("m", 1, "k", longer)
        assert store.get_model_version("m", 1).tags["k"] == longer
        assert store.get_model_version("m", 2).tags["k"] == long
        store.set_model_version_tag("m", 1, "k", "short")
        assert store.get_model_version("m", 1).tags["k"] == "short"
        store.set_model_version_tag("m", 1, "k", long)
        store.delete_model_version_tag("m", 1, "k")
        assert store.get_model_version("m", 1).tags == {}
        assert store.get_model_version("m", 2).tags["k"] == long

    def test_a_version_has_many_tags(self, store: Calls) -> None:
        """A few hundred tags come back complete and in order."""
        tags = {f"key {number:03}": "x" * number for number in range(300)}
        create_model(store)
        create_version(store, tags=dict(reversed(tags.items())))
        assert_same(store.get_model_version("m", 1).tags, tags)

    def test_delete_version_tag_removes_only_that_one(self, store: Calls) -> None:
        """It need not exist, and keys count exactly."""
        create_model(store)
        create_version(store, tags={"a": "1", "A": "2", "a/b": "3"})
        store.delete_model_version_tag("m", 1, "a")
        store.delete_model_version_tag("m", 1, "a")
        store.delete_model_version_tag("m", 1, "never")
        assert_same(store.get_model_version("m", 1).tags, {"A": "2", "a/b": "3"})

    def test_version_tags_move_no_timestamp(self, store: Calls, clock: ManualClock) -> None:
        """Neither of the version nor of its model."""
        create_model(store)
        create_version(store)
        before = dump(store)
        clock.advance(1_000)
        store.set_model_version_tag("m", 1, "k", "v")
        store.set_model_version_tag("m", 1, "k", "w")
        store.delete_model_version_tag("m", 1, "k")
        assert dump(store) == before

    def test_version_tags_belong_to_one_version(self, store: Calls) -> None:
        """Neighbours, the model, and the same number of other models keep theirs."""
        for name in ("m", "other"):
            create_model(store, name, tags={"k": name})
            for _ in range(2):
                create_version(store, name, tags={"k": "v"})
        store.set_model_version_tag("m", 1, "k", "changed")
        store.delete_model_version_tag("m", 2, "k")
        kept = [store.get_model_version("other", number).tags for number in (1, 2)]
        assert kept == [{"k": "v"}, {"k": "v"}]
        assert store.get_model_version("m", 1).tags == {"k": "changed"}
        assert store.get_model_version("m", 2).tags == {}
        assert store.get_registered_model("m").tags == {"k": "m"}


class TagSearchTests(StoreCase):
    """Searches see tags as they are now."""

    def test_model_searches_follow_tags(self, store: Calls) -> None:
        """Set, replaced and deleted tags count from the next search on."""
        create_model(store, tags={"k": "1"})

        def found(value: str) -> list[str]:
            return model_names(store, models_query(f"tags.k = '{value}'"))

        assert (found("1"), found("2")) == (["m"], [])
        store.set_registered_model_tag("m", "k", "2")
        assert (found("1"), found("2")) == ([], ["m"])
        store.delete_registered_model_tag("m", "k")
        assert (found("1"), found("2")) == ([], [])

    def test_version_searches_follow_tags(self, store: Calls) -> None:
        """Set, replaced and deleted tags count from the next search on."""
        create_model(store)
        create_versions(store, 2)
        store.set_model_version_tag("m", 1, "k", "1")

        def found(value: str) -> list[tuple[str, int]]:
            return version_keys(store, versions_query(f"tags.k = '{value}'"))

        assert (found("1"), found("2")) == ([("m", 1)], [])
        store.set_model_version_tag("m", 1, "k", "2")
        assert (found("1"), found("2")) == ([], [("m", 1)])
        store.delete_model_version_tag("m", 1, "k")
        assert (found("1"), found("2")) == ([], [])

    def test_search_results_carry_all_tags(self, store: Calls) -> None:
        """Not only those that the filter is about."""
        create_model(store, tags={"b": "1", "a": "2"})
        create_version(store, tags={"d": "1", "c": "2"})
        (model,) = store.search_registered_models(models_query("tags.b = '1'")).items
        (version,) = store.search_model_versions(versions_query("tags.d = '1'")).items
        assert plain(model.tags) == plain({"a": "2", "b": "1"})
        assert plain(version.tags) == plain({"c": "2", "d": "1"})


class TagTests(RegisteredModelTagTests, ModelVersionTagTests, TagSearchTests):
    """Everything about tags."""
