"""What a store promises about how much an entity may carry: its tags and aliases have a limit."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import attrs
import pytest

from registry_core.errors import InvalidArgumentError
from registry_core.testing.calls import Calls
from registry_core.testing.cases import StoreCase, create_model, create_version, create_versions
from registry_core.testing.observing import refused
from registry_core.testing.racing import errors, race, values
from registry_core.testing.samples import EMOJI
from registry_core.validation import (
    ALIASES_MAX_COUNT,
    TAG_VALUE_MAX_LENGTH,
    TAGS_MAX_BYTES,
    TAGS_MAX_COUNT,
    tag_bytes,
    too_many_aliases,
    too_many_tags,
)

FEW = 8
"""Contestants for the last places."""


@attrs.frozen
class _Tagged:
    """The calls about the tags of one entity."""

    create: Callable[[Calls, Mapping[str, str]], object]
    tags: Callable[[Calls], Mapping[str, str]]
    set: Callable[[Calls, str, str], None]
    delete: Callable[[Calls, str], None]


def _create_version(store: Calls, tags: Mapping[str, str]) -> None:
    create_model(store)
    create_version(store, tags=tags)


_TAGGED = pytest.mark.parametrize(
    "of",
    [
        _Tagged(
            create=lambda store, tags: create_model(store, tags=tags),
            tags=lambda store: store.get_registered_model("m").tags,
            set=lambda store, key, value: store.set_registered_model_tag("m", key, value),
            delete=lambda store, key: store.delete_registered_model_tag("m", key),
        ),
        _Tagged(
            create=_create_version,
            tags=lambda store: store.get_model_version("m", 1).tags,
            set=lambda store, key, value: store.set_model_version_tag("m", 1, key, value),
            delete=lambda store, key: store.delete_model_version_tag("m", 1, key),
        ),
    ],
    ids=["model", "version"],
)


def _many(count: int) -> dict[str, str]:
    return {f"k{number}": "v" for number in range(count)}


class TagLimitTests(StoreCase):
    """Tags of a model or a version, which every read of it brings."""

    @_TAGGED
    def test_tags_have_a_limit(self, store: Calls, of: _Tagged) -> None:
        """At the limit tags can be replaced and deleted, and another comes in their place."""
        of.create(store, _many(TAGS_MAX_COUNT))
        of.set(store, "k0", "w")
        with refused(store, InvalidArgumentError, str(too_many_tags())):
            of.set(store, "new", "v")
        of.delete(store, "k1")
        of.set(store, "new", "v")
        with refused(store, InvalidArgumentError, str(too_many_tags())):
            of.set(store, "k1", "v")
        kept = of.tags(store)
        assert (len(kept), kept["k0"], kept["new"]) == (TAGS_MAX_COUNT, "w", "v")

    @_TAGGED
    def test_tags_have_a_limit_together(self, store: Calls, of: _Tagged) -> None:
        """Keys and values count in UTF-8, to the byte; what is replaced does not."""
        long = dict.fromkeys("abcde", EMOJI * (TAG_VALUE_MAX_LENGTH // 2))
        # One byte is left, and then none.
        rest = TAGS_MAX_BYTES - sum(map(tag_bytes, long, long.values())) - len("f") - len("g")
        of.create(store, long)
        of.set(store, "f", "x" * rest)
        with refused(store, InvalidArgumentError, str(too_many_tags())):
            of.set(store, "g", "x")
        of.set(store, "g", "")
        with refused(store, InvalidArgumentError, str(too_many_tags())):
            of.set(store, "f", "x" * (rest + 1))
        of.set(store, "f", "y" * rest)
        of.set(store, "a", "short")
        of.set(store, "h", "x" * TAG_VALUE_MAX_LENGTH)
        assert sorted(of.tags(store)) == [*"abcdefgh"]

    @_TAGGED
    def test_a_race_for_the_last_tags_keeps_the_limit(
        self, handles: tuple[Calls, Calls], of: _Tagged
    ) -> None:
        """Of many that are set at once as many are kept as there is room for."""
        of.create(handles[0], _many(TAGS_MAX_COUNT - 3))
        outcomes = race(
            *(functools.partial(of.set, handles[i % 2], f"new{i}", "v") for i in range(FEW))
        )
        assert len(values(outcomes)) == 3
        assert {type(error) for error in errors(outcomes)} == {InvalidArgumentError}
        assert len(of.tags(handles[0])) == TAGS_MAX_COUNT


class AliasLimitTests(StoreCase):
    """Aliases of a model, which every read of it brings."""

    def test_aliases_have_a_limit(self, store: Calls) -> None:
        """At the limit aliases can be moved and deleted, and another comes in their place."""
        create_model(store)
        create_versions(store, 2)
        for number in range(ALIASES_MAX_COUNT):
            store.set_registered_model_alias("m", f"a{number}", version=1)
        store.set_registered_model_alias("m", "a0", version=2)
        with refused(store, InvalidArgumentError, str(too_many_aliases())):
            store.set_registered_model_alias("m", "new", version=1)
        store.delete_registered_model_alias("m", "a1")
        store.set_registered_model_alias("m", "new", version=1)
        aliases = store.get_registered_model("m").aliases
        assert (len(aliases), aliases["a0"], aliases["new"]) == (ALIASES_MAX_COUNT, 2, 1)


class LimitTests(TagLimitTests, AliasLimitTests):
    """Everything about how much an entity may carry."""
