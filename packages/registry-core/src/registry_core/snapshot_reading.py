"""Reading a registered model as a snapshot, from any store, as of one moment.

Strategy. A store gives a model in parts: its fields, its versions page by page, its events page by
page. Every change is an event, so if the newest event is the same before the versions are read and
at the end of the events, all of them are of one moment; otherwise they are read again, and so they
are if the history was pruned meanwhile, so that its oldest event is another. What has more rows
than one piece goes into a temporary file while it is read. A server of MLflow's keeps no history:
what it gives is read until two looks at the model agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import attrs

from registry_core import histories, snapshot_pieces, snapshots, uris, validation
from registry_core.documents import FIRST_VERSION
from registry_core.errors import ConflictError, NotFoundError, UnsupportedBackendError
from registry_core.history import EVENTS_MAX_RESULTS, Event, EventQuery
from registry_core.models import Approval, ModelFields, ModelVersion
from registry_core.search import AttributeRef, Comparison, Entity, Op, Query, TagRef, all_pages
from registry_core.search.ordering import parse_order_by
from registry_core.snapshot_pieces import SpooledSnapshot, SpoolWriter
from registry_core.snapshots import ModelSnapshot
from registry_core.store import Store, approvals_of

ATTEMPTS = 10
"""How often a model is read before it is given up, because others change it all the time."""

VERSIONS_AT_A_TIME = 1_000
"""Versions of one page."""


Parts: TypeAlias = tuple[ModelFields, Sequence[ModelVersion], Mapping[int, tuple[Approval, ...]]]
"""A model, versions of it, and their approvals."""


@runtime_checkable
class GivesPieces(Protocol):
    """A store with a way of its own to read a snapshot piece by piece."""

    def snapshot_piece(self, name: str, after: int, most: int) -> Parts:
        """Return a model, its versions after a number, and their approvals.

        Versions come in the order of their numbers, `most` of them if there are so many, and with
        as many approvals or more.

        Raises:
            RegisteredModelNotFoundError: There is no such model.
            UnsupportedBackendError: The store keeps no history.
        """
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
    return snapshot_pieces.in_memory(open_snapshot(store, name))


def open_snapshot(store: Store, name: str) -> ModelSnapshot | SpooledSnapshot:
    """As `take`; a large model is read into a temporary file, piece by piece."""
    for _ in range(ATTEMPTS):
        try:
            snapshot = _Reading(store, name).read()
        except UnsupportedBackendError:
            return _without_history(store, name)
        if snapshot is not None:
            return snapshot
    raise ConflictError(f"Model '{name}' was changed each time that it was read")


@attrs.define
class _Reading:
    """One reading of a model of which a store keeps a history."""

    store: Store
    name: str
    model: ModelFields | None = None
    approvals: dict[int, tuple[Approval, ...]] = attrs.field(factory=dict)

    def read(self) -> ModelSnapshot | SpooledSnapshot | None:
        """Return the snapshot, or None if the model was changed meanwhile."""
        before = self.store.events(EventQuery(name=self.name, max_results=1))
        collected = _collected(self.name, self._versions(), self._events())
        model, newest = self.model, collected.newest
        assert model is not None, "a piece has the model"
        if _place(newest) != _place(before[0] if before else None):
            return None
        if histories.was_pruned(self.store, self.name, collected.oldest, newest):
            return None
        model_id = "" if newest is None else newest.model_id
        if newest is None:
            collected.next_version = collected.highest + 1
        return collected.snapshot(model, model_id)

    def _versions(self) -> Iterator[tuple[ModelVersion, tuple[Approval, ...]]]:
        after = 0
        while True:
            self.model, versions, approvals = piece(
                self.store, self.name, after, VERSIONS_AT_A_TIME
            )
            for version in versions:
                yield version, approvals.get(version.version, ())
            if len(versions) < VERSIONS_AT_A_TIME:
                return
            after = versions[-1].version

    def _events(self) -> Iterator[Event]:
        oldest_first = EventQuery(
            name=self.name, newest_first=False, max_results=EVENTS_MAX_RESULTS
        )
        return histories.iterate(self.store, oldest_first)


@attrs.define
class _Collected:
    """Versions and events that were read: in memory, or if there are many of them, in a file."""

    versions: list[tuple[ModelVersion, tuple[Approval, ...]]] = attrs.field(factory=list)
    events: list[Event] = attrs.field(factory=list)
    writer: SpoolWriter | None = None
    oldest: Event | None = None
    newest: Event | None = None
    highest: int = 0
    """The highest number of a version."""
    next_version: int = FIRST_VERSION
    """The number that follows those that the history names."""

    def see(self, event: Event) -> Event:
        self.oldest = self.oldest or event
        self.newest = event
        self.next_version = max(self.next_version, snapshots.next_version_of((event,)))
        return event

    def snapshot(self, model: ModelFields, model_id: str) -> ModelSnapshot | SpooledSnapshot:
        if self.writer is not None:
            empty = snapshots.model_of(model, (), next_version=self.next_version, model_id=model_id)
            return self.writer.finish(empty.document)
        return snapshots.model_of(
            model,
            (version for version, _ in self.versions),
            next_version=self.next_version,
            model_id=model_id,
            events=self.events,
            approvals={each.version: given for each, given in self.versions if given},
        )


def _collected(
    name: str,
    versions: Iterable[tuple[ModelVersion, tuple[Approval, ...]]],
    events: Iterable[Event],
) -> _Collected:
    """Read versions, then events."""
    collected = _Collected()
    for version, approvals in versions:
        collected.highest = version.version
        if collected.writer is None and len(collected.versions) < snapshot_pieces.PIECE_ROWS:
            collected.versions.append((version, approvals))
        else:
            _spooling(name, collected).add_version(version, approvals)
    for event in map(collected.see, events):
        if collected.writer is None and len(collected.events) < snapshot_pieces.PIECE_ROWS:
            collected.events.append(event)
        else:
            _spooling(name, collected).add_event(event)
    return collected


def _spooling(name: str, collected: _Collected) -> SpoolWriter:
    """The file for what was read, which has all of it from now on."""
    if collected.writer is None:
        collected.writer = SpoolWriter(name)
        for version, approvals in collected.versions:
            collected.writer.add_version(version, approvals)
        for event in collected.events:
            collected.writer.add_event(event)
        collected.versions, collected.events = [], []
    return collected.writer


def piece(store: Store, name: str, after: int, most: int) -> Parts:
    """Return a part of a model's snapshot; see `GivesPieces`."""
    if isinstance(store, GivesPieces):
        return store.snapshot_piece(name, after, most)
    versions = versions_after(store, name, after, most=most)
    return store.get_registered_model(name), versions, approvals_of(store, name)


def _place(event: Event | None) -> tuple[str, int] | None:
    return None if event is None else (event.model_id, event.sequence)


def _without_history(store: Store, name: str) -> ModelSnapshot | SpooledSnapshot:
    model = store.get_registered_model(name)
    for _ in range(ATTEMPTS):
        pointed: list[ModelVersion] = []
        versions = _versions_without_history(store, model, pointed)
        collected = _collected(name, versions, ())
        again = store.get_registered_model(name)
        if again == model:
            # The number of a version that was deleted last is not known; nobody can see it.
            collected.next_version = collected.highest + 1
            return collected.snapshot(without_dangling(model, pointed), "")
        model = again
    raise ConflictError(f"Model '{name}' was changed each time that it was read")


def _versions_without_history(
    store: Store, model: ModelFields, pointed: list[ModelVersion]
) -> Iterator[tuple[ModelVersion, tuple[Approval, ...]]]:
    """Yield the versions of a model; those that aliases point at are put into `pointed`."""
    aliased = frozenset(model.aliases.values())
    for version in versions_of(store, model.name, model.tags):
        if version.version in aliased:
            pointed.append(version)
        yield _located(store, version), ()


def _located(store: Store, version: ModelVersion) -> ModelVersion:
    """The version with the place of its files, which a search does not say."""
    if isinstance(store, Locates) and uris.is_model_uri(version.source):
        return store.located(version)
    return version


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
