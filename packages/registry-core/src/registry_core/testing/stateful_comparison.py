"""A store beside the memory store: what every step of the machine of `stateful` is checked with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)

from registry_core import histories
from registry_core.errors import RegisteredModelNotFoundError, RegistryError
from registry_core.history import EVENTS_MAX_RESULTS, Event, EventQuery
from registry_core.models import (
    RegisteredModel,
)
from registry_core.search import Entity, Page, Query
from registry_core.store import Clock, Store
from registry_core.stores.memory import MemoryStore
from registry_core.testing import strategies
from registry_core.testing.calls import Calls
from registry_core.testing.clocks import ManualClock, moving_wall_clock
from registry_core.testing.observing import dump, models_query, plain, versions_query

MakeStore: TypeAlias = Callable[[Clock], Store]

_orders = {entity: strategies.orders(entity) for entity in Entity}


class StoreComparison(RuleBasedStateMachine):
    """The memory store, the store under test, and what has to be the same of both."""

    _names: list[str]
    _aliases: list[str]
    _ticks: list[int]
    _steps: int
    _filters: dict[Entity, st.SearchStrategy[str]]
    _standing: list[Query]

    def __init__(self, make_store: MakeStore, *, keeps_history: bool = True) -> None:
        super().__init__()
        self._keeps_history = keeps_history
        self._clock = ManualClock()
        self._reference = Calls(MemoryStore(self._clock))
        self._subject = Calls(make_store(self._clock))
        self._touched: set[str] = set()
        self._walk: Query | None = None
        self._ending = ExitStack()
        self._wall_clock = self._ending.enter_context(moving_wall_clock())
        self._ending.callback(self._subject.close)

    def teardown(self) -> None:
        """Closes the store under test."""
        self._ending.close()

    @invariant()
    def everything_is_the_same(self) -> None:
        """What searches find is the same on both, and what reads give of all that changed.

        The example's standing searches take turns, so that filters meet the data at every stage.
        """
        assert dump(self._subject) == dump(self._reference)
        self._page(self._standing[self._steps % len(self._standing)])
        for name in self._touched:
            self._compare_reads(name)
            if self._keeps_history:
                self._compare_histories(name)
        self._touched.clear()

    def _compare_reads(self, name: str) -> None:
        assert self._compare(lambda store: store.get_registered_model(name))
        for number in range(6):
            assert self._compare(lambda store, n=number: store.get_model_version(name, n))
        for alias in self._aliases:
            assert self._compare(lambda store, a=alias: store.get_model_version_by_alias(name, a))

    def _compare_histories(self, name: str) -> None:
        """The events are the same but for the id of their model, and lead to what there is."""
        assert self._compare(lambda store: [*map(_comparable, events_of(store, name))])
        if model_if_any(self._reference, name) is not None:
            assert histories.verify(self._subject.backend, name).problems == ()

    def _both(self, call: Callable[[Calls], object], *indices: int) -> None:
        """One step: the call at one moment on both stores, about the models of those indices."""
        self._clock.advance(self._ticks[self._steps % len(self._ticks)])
        self._steps += 1
        self._touched.update(self._names[index] for index in indices)
        assert self._compare(call)

    def _compare(self, call: Callable[..., object]) -> bool:
        expected, actual = _outcome(call, self._reference), _outcome(call, self._subject)
        assert actual == expected
        return True

    def _draw_query(
        self, data: st.DataObject, entity: Entity, *, exclude_prompts: bool, size: int
    ) -> Query:
        text = data.draw(self._filters[entity])
        build = models_query if entity is Entity.REGISTERED_MODEL else versions_query
        order_by = data.draw(_orders[entity])
        return build(text, order_by, max_results=size, exclude_prompts=exclude_prompts)

    def _page(self, query: Query) -> Query | None:
        """The query for the next page, each store going by its own token."""
        search: Callable[[Calls], Page[Any]] = (
            (lambda store: store.search_registered_models(query))
            if query.entity is Entity.REGISTERED_MODEL
            else (lambda store: store.search_model_versions(query))
        )
        expected, actual = search(self._reference), search(self._subject)
        assert plain(actual.items) == plain(expected.items)
        assert (actual.next_page_token is None) == (expected.next_page_token is None)
        if expected.next_page_token is None:
            return None
        return attrs.evolve(query, page_token=actual.next_page_token)


def _outcome(call: Callable[[Calls], object], store: Calls) -> Sequence[object]:
    try:
        return ("value", plain(call(store)))
    except RegistryError as error:
        return ("error", type(error).__name__, str(error))


def events_of(store: Calls, name: str) -> list[Event]:
    """Return all events of a model, oldest first."""
    query = EventQuery(name=name, newest_first=False, max_results=EVENTS_MAX_RESULTS)
    return [*histories.iterate(store.backend, query)]


def _comparable(event: Event) -> object:
    """What an event says, in whichever store: models get their ids by chance."""
    return plain(attrs.evolve(event, model_id="", is_intact=None))


def model_if_any(store: Calls, name: str) -> RegisteredModel | None:
    """Return a model; None if it is missing."""
    try:
        return store.get_registered_model(name)
    except RegisteredModelNotFoundError:
        return None
