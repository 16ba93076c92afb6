"""Reading a registered model as a snapshot, from any store, as of one moment.

Strategy. A store gives a model in parts: its fields, its versions page by page, its events page by
page. Every change is an event, so if no event has come while the parts were read, all of them are
of one moment; otherwise they are read again. A server of MLflow's keeps no history: what it gives
is read until two looks at the model agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import attrs

from registry_core import histories, snapshots, uris, validation
from registry_core.errors import ConflictError, NotFoundError, UnsupportedBackendError
from registry_core.history import EVENTS_MAX_RESULTS, Event, EventQuery
from registry_core.models import Approval, ModelFields, ModelVersion, RegisteredModel
from registry_core.search import AttributeRef, Comparison, Entity, Op, Query, TagRef, all_pages
from registry_core.search.ordering import parse_order_by
from registry_core.snapshots import ModelSnapshot
from registry_core.store import Store, approvals_of

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


@runtime_checkable
class Locates(Protocol):
    """A store whose searches do not say where a version's files are."""

    def located(self, version: ModelVersion) -> ModelVersion:
        """Return a version that a search gave, with the place of its files."""
        ...


FieldsT = TypeVar("FieldsT", bound=ModelFields)


def take(store: Store, name: str) -> ModelSnapshot:
    """Return a model as it is at one moment, with its versions and its history.

    Raises:
        ConflictError: Others changed the model each time.
        RegisteredModelNotFoundError: There is no such model.
    """
    if isinstance(store, Snapshots):
        return store.snapshot(name)
    return read(store, name)


Parts: TypeAlias = Callable[
    [str], tuple[ModelFields, Sequence[ModelVersion], Mapping[int, tuple[Approval, ...]]]
]
"""Gives a model, all of its versions, and their approvals."""


def read(store: Store, name: str, parts: Parts | None = None) -> ModelSnapshot:
    """As `take`, by the methods that every store has, and the parts as `parts` gives them."""
    for _ in range(ATTEMPTS):
        try:
            snapshot = _read_once(store, name, parts or partial(_parts, store))
        except UnsupportedBackendError:
            return _without_history(store, name)
        if snapshot is not None:
            return snapshot
    raise ConflictError(f"Model '{name}' was changed each time that it was read")


def _parts(
    store: Store, name: str
) -> tuple[RegisteredModel, list[ModelVersion], Mapping[int, tuple[Approval, ...]]]:
    versions = [*versions_of(store, name)]
    return store.get_registered_model(name), versions, approvals_of(store, name)


def _read_once(store: Store, name: str, parts: Parts) -> ModelSnapshot | None:
    """The snapshot, or None if the model was changed meanwhile."""
    oldest_first = EventQuery(name=name, newest_first=False, max_results=EVENTS_MAX_RESULTS)
    events = [*histories.iterate(store, oldest_first)]
    model, versions, approvals = parts(name)
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
        approvals=approvals,
    )


def _last(events: list[Event]) -> tuple[str, int] | None:
    return (events[-1].model_id, events[-1].sequence) if events else None


def _without_history(store: Store, name: str) -> ModelSnapshot:
    model = store.get_registered_model(name)
    for _ in range(ATTEMPTS):
        versions = [_located(store, each) for each in versions_of(store, name, model.tags)]
        again = store.get_registered_model(name)
        if again == model:
            return _of(model, versions)
        model = again
    raise ConflictError(f"Model '{name}' was changed each time that it was read")


def _located(store: Store, version: ModelVersion) -> ModelVersion:
    """The version with the place of its files, which a search does not say."""
    if isinstance(store, Locates) and uris.is_model_uri(version.source):
        return store.located(version)
    return version


def _of(model: ModelFields, versions: Sequence[ModelVersion]) -> ModelSnapshot:
    # The number of a version that was deleted last is not known; nobody can see it.
    highest = max((version.version for version in versions), default=0)
    return snapshots.model_of(without_dangling(model, versions), versions, next_version=highest + 1)


def without_dangling(model: FieldsT, versions: Sequence[ModelVersion]) -> FieldsT:
    """Return a model without aliases of versions that it does not have.

    MLflow 2.3 leaves the aliases of a deleted version behind; nobody can load anything by them.
    """
    numbers = {version.version for version in versions}
    aliases = {alias: number for alias, number in model.aliases.items() if number in numbers}
    if len(aliases) == len(model.aliases):
        return model
    return attrs.evolve(model, aliases=aliases)


def versions_after(store: Store, name: str, after: int, *, most: int) -> list[ModelVersion]:
    """Return versions of a model by number, those after a number, at most so many."""
    query = _of_model(name, most)
    if after:
        beyond = Comparison(AttributeRef("version"), Op.GT, after)
        query = attrs.evolve(query, filter=(*query.filter, beyond))
    return [*store.search_model_versions(query).items]


def versions_of(
    store: Store, name: str, tags: Mapping[str, str] | None = None
) -> Iterator[ModelVersion]:
    """Yield the versions of a model by number, read page by page.

    With the model's tags the search is one that a server of MLflow's understands: it looks among
    prompts only when the filter says so.
    """
    query = _of_model(name, VERSIONS_AT_A_TIME)
    if tags is not None and tags.get(validation.PROMPT_TAG) == "true":
        is_prompt = Comparison(TagRef(validation.PROMPT_TAG), Op.EQ, "true")
        query = attrs.evolve(query, filter=(*query.filter, is_prompt))
    elif tags is not None:
        query = attrs.evolve(query, exclude_prompts=True)
    try:
        yield from all_pages(
            lambda token: store.search_model_versions(attrs.evolve(query, page_token=token))
        )
    except NotFoundError:
        return


def _of_model(name: str, most: int) -> Query:
    return Query(
        entity=Entity.MODEL_VERSION,
        filter=(Comparison(AttributeRef("name"), Op.EQ, name),),
        order_by=parse_order_by(("version_number ASC",), Entity.MODEL_VERSION),
        max_results=most,
    )
