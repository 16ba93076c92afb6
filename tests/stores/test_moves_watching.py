"""A copy that follows its source loses nothing when a store does not answer for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from registry_core import Registry
from registry_core.errors import StoreUnavailableError
from registry_core.history import Event, EventQuery
from registry_core.moves.copying import copy
from registry_core.moves.sources import StoreSource
from registry_core.moves.watching import watch
from registry_core.stores.memory import MemoryStore


class AwayStore(MemoryStore):
    """A store that does not answer the next so many reads of a history."""

    away = 0

    def events(self, query: EventQuery) -> list[Event]:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("away")
        return super().events(query)


class Looks(threading.Event):
    """Stops after some looks, and does something before the first one."""

    def __init__(self, count: int, first: Callable[[], None]) -> None:
        super().__init__()
        self._left = count
        self._actions = [first]

    def wait(self, timeout: float | None = None) -> bool:
        while self._actions:
            self._actions.pop()()
        self._left -= 1
        return self._left < 0


def test_deletions_go_from_the_copy_after_the_target_was_away() -> None:
    """Also those that came behind the one that could not be made."""
    store = AwayStore()
    source, target = Registry(MemoryStore()), Registry(store)
    for name in ("first", "second", "stays"):
        source.create_registered_model(name)

    def delete_two() -> None:
        for name in ("first", "second"):
            source.delete_registered_model(name)
        store.away = 1

    copies = partial(copy, target=target)
    stop = Looks(3, delete_two)
    found = list(watch(StoreSource(source.store), target, copies, stop=stop, interval_seconds=0))
    assert store.away == 0
    removed = [each.name for each in found if each.outcome.value == "removed"]
    assert sorted(removed) == ["first", "second"]
    assert [model.name for model in target.iter_registered_models()] == ["stays"]


def test_a_deletion_of_a_model_that_is_not_followed_leaves_its_copy() -> None:
    source, target = Registry(MemoryStore()), Registry(MemoryStore())
    for name in ("followed", "other"):
        source.create_registered_model(name)
    list(copy(StoreSource(source.store), target))

    def delete_both() -> None:
        for name in ("followed", "other"):
            source.delete_registered_model(name)

    clause = "name = 'followed'"
    found = watch(
        StoreSource(source.store),
        target,
        partial(copy, target=target, filter_text=clause),
        stop=Looks(1, delete_both),
        interval_seconds=0,
        filter_text=clause,
    )
    assert [each.name for each in found if each.outcome.is_written] == ["followed"]
    assert [model.name for model in target.iter_registered_models()] == ["other"]
