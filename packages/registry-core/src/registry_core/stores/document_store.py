"""The base class for stores that keep each registered model as one document.

`MappingStore` has every read and the writing side of `registry_core.store.Store`, for a store that
can say what it holds, as two mappings, for reading and for writing under a lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from contextlib import AbstractContextManager
from itertools import islice, takewhile
from operator import attrgetter
from typing import Any, TypeVar

import attrs

from registry_core import documents, history, pruning, webhook_records
from registry_core.authors import BASELINE_AUTHOR, Author
from registry_core.changes import Change, RestoreModel, in_memory
from registry_core.documents import ModelDocument
from registry_core.errors import AlreadyExistsError, WebhookNotFoundError
from registry_core.history import Event, EventQuery
from registry_core.idempotency import KEEP_SECONDS, KeptKey
from registry_core.metering import Amounts
from registry_core.models import (
    Approval,
    ModelVersion,
    NewWebhook,
    RegisteredModel,
    Webhook,
    WebhookChanges,
    WebhookStatus,
)
from registry_core.outbox import Outbox, QueuedDelivery
from registry_core.pruning import NewBeginning
from registry_core.search import Page, Query
from registry_core.search.evaluate import search
from registry_core.store import Clock, system_clock
from registry_core.stores.document_outbox import (
    DocumentOutbox,
    Key,
    awaits,
    deliveries_of,
    forget,
    forget_queued,
    forget_undone,
    key_of,
)

ResultT = TypeVar("ResultT")


@attrs.define
class Content:
    """Everything that a `MappingStore` holds."""

    models: MutableMapping[str, ModelDocument] = attrs.field(factory=dict)
    """By name."""
    events: MutableMapping[str, MutableSequence[Event]] = attrs.field(factory=dict)
    """Of each model, by its id, in the order of their numbers; of deleted ones, too."""
    webhooks: MutableMapping[str, Webhook] = attrs.field(factory=dict)
    """By id."""
    queued: MutableMapping[Key, QueuedDelivery] = attrs.field(factory=dict)
    """The queued deliveries of webhooks."""
    dead_letters: MutableMapping[Key, QueuedDelivery] = attrs.field(factory=dict)
    """Their dead letters."""
    kept_keys: MutableMapping[str, KeptKey] = attrs.field(factory=dict)
    """What was made under idempotency keys, by id, oldest first."""


class MappingStore(ABC):
    """A `Store` whose whole content can be read at once and written under one lock.

    A subclass implements `_read` and `_writing`, and where it has something to release or to
    reach, `close` and `ping`. A change applies to the content as a pure function, so that a method
    is as atomic and as durable as the subclass makes `_writing`.
    """

    keeps_idempotency_keys = True
    """See `registry_core.idempotency`."""
    applies_scopes = True
    """See `registry_core.access`."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._outbox = DocumentOutbox(self._read, self._writing, clock)

    @abstractmethod
    def _read(self) -> Content:
        """Return the content, for looking things up.

        Its values never change. Its mappings may be those that the next write changes in place.
        """

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Content]:
        """Return a context that excludes other writers, entered with the content.

        What the block makes of the content is kept durably when it ends, and dropped when it
        raises.
        """

    def apply(self, change: Change[ResultT], *, by: Author) -> ResultT:
        """See `Store`."""
        change = in_memory(change)
        with self._writing() as content:
            now = self._clock()
            before = content.models.get(change.model)
            if (kept := kept_of(change, by, content.kept_keys.get)) is not None:
                return change.repeated(kept, before)
            gone: set[str] = set()
            if isinstance(change, RestoreModel):
                gone = _make_room(change, content, before)
            after = commit(change, content.models, now)
            if after is not before:
                events = events_of(
                    change, before, after, now=now, by=by, last=_last(content.events, before)
                )
                record(content.events, events)
                for model_id in gone:
                    forget_undone(content, model_id, content.events.get(model_id, ()))
                keep(content.kept_keys, change, after, by=by, now=now)
                hooks = content.webhooks.values()
                for delivery in deliveries_of(change, after or before, events, hooks):
                    content.queued[key_of(delivery)] = delivery
        if after is before:
            self._outbox.unchanged(change)
        return change.result(after)

    def replace_beginning(self, beginning: NewBeginning) -> None:
        """See `pruning.ReplacesBeginnings`."""
        with self._writing() as content:
            model_id = documents.present(
                content.models.get(beginning.name), beginning.name
            ).model_id
            events = pruning.replaced(content.events.get(model_id, ()), beginning)
            if awaits(content, model_id, beginning.newest.sequence):
                raise beginning.awaited()
            content.events[model_id] = events

    def events(self, query: EventQuery) -> list[Event]:
        """See `Store`."""
        content = self._read()
        if query.name is not None:
            model_id = self._document(query.name).model_id
            return _page(query, content.events.get(model_id, ()))
        if query.model_id is not None:
            return _page(query, content.events.get(query.model_id, ()))
        listed = tuple(content.events.values())
        return query.page([event for events in listed for event in tuple(events)])

    def get_registered_model(self, name: str) -> RegisteredModel:
        """See `Store`."""
        return documents.registered_model(self._document(name))

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        """See `Store`."""
        return search_models(query, dict(self._read().models))

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `Store`."""
        return documents.model_version(self._document(name, version), version)

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """See `Store`."""
        return search_versions(query, dict(self._read().models))

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `Store`."""
        return documents.by_alias(self._document(name), alias)

    def approvals(self, name: str) -> Mapping[int, tuple[Approval, ...]]:
        """See `store.KeepsApprovals`."""
        return self._document(name).approvals

    def snapshot_piece(
        self, name: str, after: int, most: int
    ) -> tuple[ModelDocument, list[ModelVersion], Mapping[int, tuple[Approval, ...]]]:
        """See `snapshot_reading.GivesPieces`."""
        document = self._document(name)
        return document, documents.versions_after(document, after, most), document.approvals

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """See `Store`."""
        with self._writing() as content:
            if new.webhook_id in content.webhooks:
                raise AlreadyExistsError(new.name)
            created = webhook_records.create_webhook(new, self._clock())
            content.webhooks[new.webhook_id] = created
        return created

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `Store`."""
        return _webhook(self._read(), webhook_id)

    def list_webhooks(self) -> list[Webhook]:
        """See `Store`."""
        return webhook_records.newest_first(self._read().webhooks.values())

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """See `Store`."""
        with self._writing() as content:
            before = _webhook(content, webhook_id)
            after = webhook_records.apply_changes(before, changes, self._clock())
            content.webhooks[webhook_id] = after
            if after.status is not WebhookStatus.ACTIVE:
                forget_queued(content, webhook_id)
        return after

    def delete_webhook(self, webhook_id: str) -> None:
        """See `Store`."""
        with self._writing() as content:
            del content.webhooks[_webhook(content, webhook_id).webhook_id]
            forget(content, webhook_id)

    def outbox(self) -> Outbox:
        """See `registry_core.outbox.outbox_of`."""
        return self._outbox

    def amounts(self) -> Amounts:
        """See `metering.amounts_of`."""
        content = self._read()
        return Amounts(
            models=len(content.models),
            versions=sum(len(each.versions) for each in list(content.models.values())),
            queued=len(content.queued),
            dead_letters=len(content.dead_letters),
        )

    def ping(self) -> None:
        """See `Store`."""
        self._read()

    def close(self) -> None:  # noqa: B027 most have nothing to release
        """See `Store`."""

    def _document(self, name: str, version: int | None = None) -> ModelDocument:
        return documents.present(self._read().models.get(name), name, version)


def commit(
    change: Change[Any], models: MutableMapping[str, ModelDocument], now: int
) -> ModelDocument | None:
    """Apply a change to a mapping of documents by name, and return the model's document after it.

    A change that raises has changed nothing.
    """
    before = models.get(change.model)
    after = change.make(before, now)
    if after is before:
        return after
    moves = before is not None and after is not None and after.name != before.name
    if moves and after is not None and after.name in models:
        raise AlreadyExistsError(after.name)
    if after is None or moves:
        del models[change.model]
    if after is not None:
        models[after.name] = after
    return after


def events_of(
    change: Change[Any],
    before: ModelDocument | None,
    after: ModelDocument | None,
    *,
    now: int,
    by: Author,
    last: int,
) -> list[Event]:
    """Return the events of a change that has made one document into another.

    Their numbers follow `last`. Without any before them, as in a model of an earlier release, they
    begin with what there was.
    """
    if isinstance(change, RestoreModel):
        return change.history(now, by)
    model = before or after
    assert model is not None, "a change has a model before or after it"
    effects = [*change.decided(before), *change.effects(before, after)]
    done = [(effect, by) for effect in effects]
    if before is not None and not last:
        listed = before.versions.values()
        there = history.baseline(
            before, listed, next_version=before.next_version, approvals=before.approvals
        )
        done = [*((effect, BASELINE_AUTHOR) for effect in there), *done]
    return [
        Event.of(
            effect, model_id=model.model_id, name=model.name, sequence=number, time=now, by=who
        )
        for number, (effect, who) in enumerate(done, last + 1)
    ]


def _make_room(change: RestoreModel, content: Content, before: ModelDocument | None) -> set[str]:
    """Forget the history that a restored model replaces, if it may be restored; return its ids."""
    change.make(before, 0)
    if before is not None:
        change.check_replaced(before.model_id, _last(content.events, before))
    if any(
        other.model_id == change.model_id and other.name != change.model
        for other in content.models.values()
    ):
        raise change.id_taken()
    if before is None or before.model_id != change.model_id:
        kept = content.events.get(change.model_id, ())
        change.check_kept(kept[-1].sequence if kept else 0)
    replaced = {change.model_id, change.model_id if before is None else before.model_id}
    for gone in replaced:
        content.events.pop(gone, None)
    return replaced


def kept_of(
    change: Change[Any], by: Author, kept_keys: Callable[[str], KeptKey | None]
) -> KeptKey | None:
    """Return what was kept of the change, if it has been made under its idempotency key before."""
    if change.idempotency is None:
        return None
    return kept_keys(change.idempotency.id(model=change.model, by=by))


def keep(
    kept_keys: MutableMapping[str, KeptKey],
    change: Change[Any],
    after: ModelDocument | None,
    *,
    by: Author,
    now: int,
) -> None:
    """Keep what a change has made under its idempotency key, and forget what was kept too long."""
    kept = None if after is None else change.kept(after, by)
    if kept is None:
        return
    oldest = now - KEEP_SECONDS * 1000
    # The oldest are first: no creation looks at more than it forgets, however many there are.
    for each in list(takewhile(lambda each: each.time < oldest, kept_keys.values())):
        del kept_keys[each.id]
    kept_keys[kept.id] = kept


def _last(kept: Mapping[str, MutableSequence[Event]], document: ModelDocument | None) -> int:
    events = None if document is None else kept.get(document.model_id)
    return events[-1].sequence if events else 0


def record(kept: MutableMapping[str, MutableSequence[Event]], events: Sequence[Event]) -> None:
    """Add events to those of their model."""
    for event in events:
        kept.setdefault(event.model_id, []).append(event)


def _page(query: EventQuery, events: Sequence[Event]) -> list[Event]:
    """The page from the events of one model, which are in the order of their numbers.

    Others may append to them meanwhile. What is beyond the page is not looked at.
    """
    start, stop = 0, len(events)
    if query.after is not None:
        _, _, sequence = query.after
        if query.newest_first:
            stop = bisect_left(events, sequence, hi=stop, key=_sequence)
        else:
            start = bisect_right(events, sequence, hi=stop, key=_sequence)
    places = range(start, stop)
    listed = (events[place] for place in (reversed(places) if query.newest_first else places))
    return list(islice(filter(query.matches, listed), query.max_results))


_sequence = attrgetter("sequence")


def search_models(query: Query, models: Mapping[str, ModelDocument]) -> Page[RegisteredModel]:
    """Search the registered models among documents by name."""
    rows = (documents.registered_model(document) for document in models.values())
    return search(query, rows, is_prompt=lambda name: models[name].is_hidden_prompt)


def search_versions(query: Query, models: Mapping[str, ModelDocument]) -> Page[ModelVersion]:
    """Search the model versions among documents by name."""
    rows: Iterable[ModelVersion] = (
        version for document in models.values() for version in document.versions.values()
    )
    return search(query, rows, is_prompt=lambda name: models[name].is_hidden_prompt)


def _webhook(content: Content, webhook_id: str) -> Webhook:
    webhook = content.webhooks.get(webhook_id)
    if webhook is None:
        raise WebhookNotFoundError(webhook_id)
    return webhook
