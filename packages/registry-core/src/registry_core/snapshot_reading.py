"""Reading a registered model as a snapshot, from any store, as of one moment.

Strategy. A store gives a model in parts: its fields, its versions page by page, its events page by
page. Every change is an event, so if the newest event is the same before the versions are read and
at the end of the events, all of them are of one moment; otherwise they are read again, and so they
are if the history was pruned meanwhile, so that its oldest event is another. What has more rows, or
more bytes, than one piece goes into a temporary file while it is read. A server of MLflow's keeps
no history: what it gives is read until two looks at the model agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import attrs
import msgspec

from registry_core import histories, snapshot_pieces, snapshots, uris, validation
from registry_core.documents import FIRST_VERSION
from registry_core.errors import ConflictError, NotFoundError, UnsupportedBackendError
from registry_core.history import EVENTS_MAX_RESULTS, Event, EventQuery
from registry_core.models import Approval, ModelFields, ModelVersion, RegisteredModel
from registry_core.search import (
    AttributeRef,
    Comparison,
    Entity,
    Op,
    Page,
    Query,
    TagRef,
)
from registry_core.search.ordering import parse_order_by
from registry_core.search.page_sizes import fitting_rows, row_bytes
from registry_core.snapshot_pieces import SpooledSnapshot, SpoolWriter
from registry_core.snapshots import ModelSnapshot
from registry_core.store import Store, approvals_of

ATTEMPTS = 10
"""How often a model is read before it is given up, because others change it all the time."""

VERSIONS_AT_A_TIME = 1_000
"""Versions of one page."""

IN_MEMORY_BYTES = 2 * 1024 * 1024
"""Bytes, as JSON, that the versions of a model in memory have; with more it is in a file, as one
with more versions than a piece has."""

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


@runtime_checkable
class SearchesVersionsAlone(Protocol):
    """A store that has to ask once more to say which aliases the versions of a page have."""

    def search_versions_alone(self, query: Query) -> Page[ModelVersion]:
        """As `Store.search_model_versions`; versions may come without their aliases.

        A page has fewer rows than were asked for where these are many bytes.
        """
        ...


@attrs.frozen
class Look:
    """What a registered model was like when it was listed."""

    digest: bytes
    is_prompt: bool
    size: int
    """About how many bytes it has in a list, with its newest versions."""

    @classmethod
    def at(cls, model: RegisteredModel) -> Look:
        """Return what a model is like."""
        fields = msgspec.json.encode(model, order="deterministic")
        digest = hashlib.blake2b(fields, digest_size=_DIGEST_BYTES).digest()
        return cls(digest, model.is_prompt, row_bytes(model))


_DIGEST_BYTES = 16
"""Of a model that was listed: no two states have one. A copy keeps it for each model."""

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
    return SnapshotReader(store).open(name)


@attrs.define
class SnapshotReader:
    """Opens the snapshots of many models of a store. Thread-safe.

    Once the store has said that it keeps no history, it is not asked for one again.
    """

    store: Store
    _keeps_history: bool = True

    def keeps_history(self, name: str) -> bool:
        """Return whether the store keeps histories; it is asked for that of a model."""
        if self._keeps_history:
            try:
                self.store.events(EventQuery(name=name, max_results=1))
            except UnsupportedBackendError:
                self._keeps_history = False
            except NotFoundError:
                pass  # the model has gone meanwhile
        return self._keeps_history

    def open(self, name: str, look: Look | None = None) -> ModelSnapshot | SpooledSnapshot:
        """See `open_snapshot`. A model that was just listed may be looked at once less."""
        if self._keeps_history:
            try:
                return _with_history(self.store, name)
            except UnsupportedBackendError:
                self._keeps_history = False
        return _without_history(self.store, name, look)


def _with_history(store: Store, name: str) -> ModelSnapshot | SpooledSnapshot:
    for _ in range(ATTEMPTS):
        snapshot = _Reading(store, name).read()
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
        collected = collect(self.name, self._versions(), self._events())
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
class Collected:
    """Versions and events that were read: in memory, or if there are many of them, in a file."""

    versions: list[tuple[ModelVersion, tuple[Approval, ...]]] = attrs.field(factory=list)
    events: list[Event] = attrs.field(factory=list)
    writer: SpoolWriter | None = None
    size: int = 0
    """About how many bytes the versions have."""
    oldest: Event | None = None
    newest: Event | None = None
    highest: int = 0
    """The highest number of a version."""
    next_version: int = FIRST_VERSION
    """The number that follows those that the history names."""

    def see(self, event: Event) -> Event:
        """Note the next event."""
        self.oldest = self.oldest or event
        self.newest = event
        self.next_version = max(self.next_version, snapshots.next_version_of((event,)))
        return event

    def without_history(
        self, model: RegisteredModel, numbers: AbstractSet[int]
    ) -> ModelSnapshot | SpooledSnapshot:
        """Return the snapshot of a model with these versions, of which nobody keeps a history."""
        # The number of a version that was deleted last is not known; nobody can see it.
        self.next_version = self.highest + 1
        return self.snapshot(without_dangling(model, numbers), "")

    def snapshot(self, model: ModelFields, model_id: str) -> ModelSnapshot | SpooledSnapshot:
        """Return the snapshot of a model with these versions and events."""
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


def collect(
    name: str,
    versions: Iterable[tuple[ModelVersion, tuple[Approval, ...]]],
    events: Iterable[Event],
) -> Collected:
    """Read the versions of a model, in the order of their numbers, then its events."""
    collected = Collected()
    for version, approvals in versions:
        collected.highest = version.version
        collected.size += row_bytes(version)
        is_small = collected.size <= IN_MEMORY_BYTES
        is_small &= len(collected.versions) < snapshot_pieces.PIECE_ROWS
        if collected.writer is None and is_small:
            collected.versions.append((version, approvals))
        else:
            _spooling(name, collected).add_version(version, approvals)
    for event in map(collected.see, events):
        if collected.writer is None and len(collected.events) < snapshot_pieces.PIECE_ROWS:
            collected.events.append(event)
        else:
            _spooling(name, collected).add_event(event)
    return collected


def _spooling(name: str, collected: Collected) -> SpoolWriter:
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


def _without_history(store: Store, name: str, look: Look | None) -> ModelSnapshot | SpooledSnapshot:
    """Read the versions between two looks at the model that agree.

    MLflow sets the time of a model's last update whenever a version comes or goes.
    """
    before = look or Look.at(store.get_registered_model(name))
    for _ in range(ATTEMPTS):
        numbers: set[int] = set()
        versions = _versions_without_history(store, name, numbers, is_prompt=before.is_prompt)
        collected = collect(name, versions, ())
        model = store.get_registered_model(name)
        now = Look.at(model)
        if now == before:
            return collected.without_history(model, numbers)
        before = now
    raise ConflictError(f"Model '{name}' was changed each time that it was read")


def _versions_without_history(
    store: Store, name: str, numbers: set[int], *, is_prompt: bool
) -> Iterator[tuple[ModelVersion, tuple[Approval, ...]]]:
    """Yield the versions of a model; their numbers are put into `numbers`."""
    for version in versions_of(store, name, is_prompt=is_prompt):
        numbers.add(version.version)
        yield with_location(store, version), ()


def with_location(store: object, version: ModelVersion) -> ModelVersion:
    """Return the version with the place of its files, which a search does not say."""
    if uris.is_model_uri(version.source) and isinstance(store, Locates):
        return store.located(version)
    return version


def without_dangling(model: FieldsT, numbers: AbstractSet[int]) -> FieldsT:
    """Return a model without aliases of versions that it does not have.

    MLflow 2.3 leaves the aliases of a deleted version behind; nobody can load anything by them.
    """
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


def versions_of(store: Store, name: str, *, is_prompt: bool) -> Iterator[ModelVersion]:
    """Yield the versions of a model by number, read page by page; aliases may be missing.

    The search is one that a server of MLflow's understands: it looks among prompts only when the
    filter says so.
    """
    query = _of_model(name, VERSIONS_AT_A_TIME)
    if is_prompt:
        among_prompts = Comparison(TagRef(validation.PROMPT_TAG), Op.EQ, "true")
        query = attrs.evolve(query, filter=(*query.filter, among_prompts))
    else:
        query = attrs.evolve(query, exclude_prompts=True)
    search = store.search_model_versions
    if isinstance(store, SearchesVersionsAlone):
        search = store.search_versions_alone
    try:
        yield from fitting_rows(search, query)
    except NotFoundError:
        return


def _of_model(name: str, most: int) -> Query:
    return Query(
        entity=Entity.MODEL_VERSION,
        filter=(Comparison(AttributeRef("name"), Op.EQ, name),),
        order_by=parse_order_by(("version_number ASC",), Entity.MODEL_VERSION),
        max_results=most,
    )
