"""Reading a registered model as a snapshot, from any store, as of one moment.

Strategy. A store gives a model in parts: its fields, its versions page by page, its events page by
page. Every change is an event, so if no event has come while the parts were read, all of them are
of one moment; otherwise they are read again. A server of MLflow's keeps no history: what it gives
is read until two looks at the model agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import attrs

from registry_core import histories, snapshots
from registry_core.errors import ConflictError, NotFoundError, UnsupportedBackendError
from registry_core.history import EVENTS_MAX_RESULTS, Event, EventQuery
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search import AttributeRef, Comparison, Entity, Op, Query, all_pages
from registry_core.search.ordering import parse_order_by
from registry_core.snapshots import ModelSnapshot
from registry_core.store import Store

ATTEMPTS = 10
"""How often a model is read before it is given up, because others change it all the time."""

VERSIONS_AT_A_TIME = 1_000
"""Versions of one page."""


@runtime_checkable
class Snapshots(Protocol):
    """A store with a way of its own to read a snapshot."""

    def snapshot(self, name: str) -> ModelSnapshot:
        """See `take`."""
        ...


def take(store: Store, name: str) -> ModelSnapshot:
    """Return a model as it is at one moment, with its versions and its history.

    Raises:
        ConflictError: Others changed the model each time.
        RegisteredModelNotFoundError: There is no such model.
    """
    if isinstance(store, Snapshots):
        return store.snapshot(name)
    return read(store, name)


def read(store: Store, name: str) -> ModelSnapshot:
    """As `take`, by the methods that every store has."""
    for _ in range(ATTEMPTS):
        try:
            found = _read_once(store, name)
        except UnsupportedBackendError:
            return _without_history(store, name)
        if found is not None:
            return found
    raise ConflictError(f"Model '{name}' was changed each time that it was read")


def _read_once(store: Store, name: str) -> ModelSnapshot | None:
    """The snapshot, or None if the model was changed meanwhile."""
    oldest_first = EventQuery(name=name, newest_first=False, max_results=EVENTS_MAX_RESULTS)
    events = [*histories.iterate(store, oldest_first)]
    model = store.get_registered_model(name)
    versions = [*versions_of(store, name)]
    newest = store.events(EventQuery(name=name, max_results=1))
    if _last(newest) != _last(events):
        return None
    if not events:
        return _of(model, versions)
    return snapshots.model_of(
        model,
        versions,
        next_version=snapshots.next_version_of(events),
        model_id=events[0].model_id,
        events=events,
    )


def _last(events: list[Event]) -> tuple[str, int] | None:
    return (events[-1].model_id, events[-1].sequence) if events else None


def _without_history(store: Store, name: str) -> ModelSnapshot:
    model = store.get_registered_model(name)
    for _ in range(ATTEMPTS):
        versions = [*versions_of(store, name)]
        again = store.get_registered_model(name)
        if again == model:
            return _of(model, versions)
        model = again
    raise ConflictError(f"Model '{name}' was changed each time that it was read")


def _of(model: RegisteredModel, versions: list[ModelVersion]) -> ModelSnapshot:
    # The number of a version that was deleted last is not known; nobody can see it.
    highest = max((version.version for version in versions), default=0)
    return snapshots.model_of(model, versions, next_version=highest + 1)


def versions_of(store: Store, name: str, *, after: int | None = None) -> Iterator[ModelVersion]:
    """Yield the versions of a model by number, read page by page, those after a number if given."""
    query = Query(
        entity=Entity.MODEL_VERSION,
        filter=(Comparison(AttributeRef("name"), Op.EQ, name),),
        order_by=parse_order_by(("version_number ASC",), Entity.MODEL_VERSION),
        max_results=VERSIONS_AT_A_TIME,
    )
    if after is not None:
        beyond = Comparison(AttributeRef("version"), Op.GT, after)
        query = attrs.evolve(query, filter=(*query.filter, beyond))
    try:
        yield from all_pages(
            lambda token: store.search_model_versions(attrs.evolve(query, page_token=token))
        )
    except NotFoundError:
        return
