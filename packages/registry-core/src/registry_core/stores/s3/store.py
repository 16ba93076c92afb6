"""A registry in a plain bucket: the `Store` protocol on conditional writes.

What a change does to a model is written in `registry_core.changes`; where that is kept,
and how it is committed, in the modules beside this one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, TypeVar, cast

import attrs

from registry_core import documents, validation
from registry_core.authors import Author
from registry_core.changes import Change, RestoreModel, in_memory
from registry_core.documents import ModelDocument
from registry_core.errors import (
    InvalidArgumentError,
    RegisteredModelNotFoundError,
    StoreBusyError,
    StoreCorruptedError,
    StoreUnavailableError,
)
from registry_core.fsck import GRACE_SECONDS, Report
from registry_core.history import Event, EventQuery
from registry_core.history_fsck import DeletedHistory, check_histories
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
from registry_core.outbox import Outbox
from registry_core.pruning import NewBeginning
from registry_core.s3_location import METADATA, Location, connect, parse
from registry_core.search import Page, Query, TagRef
from registry_core.search.evaluate import names, search
from registry_core.store import Clock, system_clock
from registry_core.stores.s3.blobs import Blobs, UnreadableTextsError, refers_to
from registry_core.stores.s3.capabilities import Capabilities
from registry_core.stores.s3.damage import DamageLog
from registry_core.stores.s3.event_pages import EventPages, PrunedMeanwhileError
from registry_core.stores.s3.fsck import Fsck
from registry_core.stores.s3.large_text import LargeText
from registry_core.stores.s3.layout import Layout
from registry_core.stores.s3.listing import Lister, Listing
from registry_core.stores.s3.models import Models
from registry_core.stores.s3.objects import Objects, Observer
from registry_core.stores.s3.outbox import S3Outbox
from registry_core.stores.s3.prefix import Prefix
from registry_core.stores.s3.pruning import Pruner
from registry_core.stores.s3.queueing import Queueing
from registry_core.stores.s3.record import Deleted, Model
from registry_core.stores.s3.webhooks import Webhooks

VALUE_ATTEMPTS = 4
"""Reads begun anew because a large text went with the model it belonged to. This release keeps the
texts of a deleted model; those before it, and operators, remove them."""

PRUNED_ATTEMPTS = 8
"""Looks at all that a page of events is about. Each but the last may find that the history of one
more model was perhaps pruned after its document was read."""

DAMAGE_LOOKS = 2
"""How often a search finds a text missing before it takes it for lost. A text goes after the
document that referred to it, so that the second look finds neither.
"""

NAMES_READ_ONE_BY_ONE = 32
"""Names that a filter may list before a listing of everything costs less than a GET for each."""

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)
ResultT = TypeVar("ResultT")


def open_store(url: str, *, clock: Clock = system_clock) -> S3Store:
    """Return the store at `s3://bucket/prefix`, with options after `?`; see `s3_location.parse`.

    Nothing is sent before the first call.

    Raises:
        InvalidArgumentError: the URL is malformed or has credentials in it.
        BackendError: the SDK cannot be configured so.
    """
    return S3Store(parse(url, environ=os.environ), clock=clock)


class S3Store:
    """A `Store` in a bucket, for any number of processes at a time, with nothing else running."""

    keeps_idempotency_keys = True
    """See `registry_core.idempotency`."""

    applies_scopes = True
    """See `registry_core.access`."""

    def __init__(
        self,
        location: Location,
        *,
        clock: Clock = system_clock,
    ) -> None:
        self.location = location
        objects = Objects(connect(location, METADATA), location.bucket)
        self._prefix = Prefix.of(objects, Layout.under(location.prefix), clock)
        self._damage = DamageLog()
        self._bucket = Capabilities(objects, self._prefix.layout, clock)
        self._values = Blobs(self._prefix)
        self._webhooks = Webhooks(self._prefix, self._damage)
        self._index = Lister(self._prefix)
        self._outbox = S3Outbox(self._prefix, self._damage, lambda: self._index.all().models)
        self._queueing = Queueing(self._prefix, self._webhooks.all, self._values.whole)
        self._models = Models(
            self._prefix, self._values, self._queueing, self._outbox.unchanged, self._check_id
        )
        self._events = EventPages(self._prefix, self._values, self._damage)
        self._pruner = Pruner(
            self._prefix,
            self._values,
            self._outbox,
            lambda: (each.webhook_id for each in self._webhooks.all()),
        )
        self._fsck = Fsck(self._prefix, self._bucket, self._events.page, self._histories)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.location}>"

    def apply(self, change: Change[ResultT], *, by: Author) -> ResultT:
        """See `Store`."""
        self._bucket.ready_to_write()
        change = in_memory(change)
        if isinstance(change, RestoreModel):
            self._check_id(change)
        return self._complete(self._models.commit(change, by))

    def _check_id(self, change: RestoreModel) -> None:
        """Refuse a snapshot whose id another model has, or whose deleted model knows more of.

        One LIST per thousand models; and one more with a GET, if the model's tombstone is gone.
        """
        model_id = change.snapshot.document.model_id
        if not model_id:
            return
        listing = self._index.all()
        names = {each.document.name for each in listing.models if each.model_id == model_id}
        if names - {change.model}:
            raise change.id_taken()
        if not names:
            logs = (each.log for each in listing.deleted if each.model_id == model_id)
            log = next(logs, None) or self._prefix.chunks.find_deleted(model_id)
            change.check_kept(0 if log is None else log.last)

    def events(self, query: EventQuery) -> list[Event]:
        """See `Store`. Of all models, what cannot be read is left out and logged."""
        self._bucket.ready_to_read()
        read_anew: dict[str, int] = {}
        for _ in range(PRUNED_ATTEMPTS - 1):
            try:
                return self._events.page(self._asked_for(query), query, read_anew=read_anew)
            except PrunedMeanwhileError as error:
                # If the model begins as before, the next look takes it for what it is: damage.
                read_anew[error.model_id] = error.begins
        return self._events.page(self._asked_for(query), query, read_anew=None)

    def _asked_for(self, query: EventQuery) -> list[Model | Deleted]:
        """Those whose events a query is about."""
        if query.name is not None:
            model = self._models.find(query.name)
            if model is None:
                raise RegisteredModelNotFoundError(query.name)
            return [model]
        listed = self._with_events()
        if query.model_id is not None:
            of_id = listed.get(query.model_id)
            return [] if of_id is None else [of_id]
        return list(listed.values())

    def replace_beginning(self, beginning: NewBeginning) -> None:
        """See `pruning.ReplacesBeginnings`."""
        self._bucket.ready_to_write()
        self._pruner.replace(beginning)

    def _with_events(self) -> dict[str, Model | Deleted]:
        """All models by their ids, and those that were deleted."""
        # Before the documents: what leaves a document meanwhile is seen twice, and not never.
        aside = {each.model_id: each for each in self._prefix.chunks.deleted()}
        listing = self._listing(None)
        deleted = {each.model_id: each for each in listing.deleted}
        return {**aside, **deleted, **{each.model_id: each for each in listing.models}}

    def get_registered_model(self, name: str) -> RegisteredModel:
        """See `Store`."""
        return self._read(lambda: documents.registered_model(self._document(name)))

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        """See `Store`."""
        return self._search(query, lambda doc: (documents.registered_model(doc),))

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `Store`."""
        return self._read(lambda: documents.model_version(self._document(name, version), version))

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """See `Store`."""
        return self._search(query, lambda doc: doc.versions.values())

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `Store`."""
        return self._read(lambda: documents.by_alias(self._document(name), alias))

    def approvals(self, name: str) -> Mapping[int, tuple[Approval, ...]]:
        """See `registry_core.store.KeepsApprovals`."""
        return self._document(name).approvals

    def snapshot_piece(
        self, name: str, after: int, most: int
    ) -> tuple[RegisteredModel, list[ModelVersion], Mapping[int, tuple[Approval, ...]]]:
        """See `snapshot_reading.GivesPieces`. One GET, without a body if nothing has changed."""

        def read() -> tuple[
            RegisteredModel, list[ModelVersion], Mapping[int, tuple[Approval, ...]]
        ]:
            document = self._document(name)
            (model,) = self._values.load([documents.registered_model(document)])
            versions = self._values.load(documents.versions_after(document, after, most))
            return model, versions, document.approvals

        return self._whole(read)

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """See `Store`."""
        self._bucket.ready_to_write()
        created = self._webhooks.create(new)
        self._queueing.note(new.webhook_id, created)
        return created

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `Store`."""
        self._bucket.ready_to_read()
        return self._webhooks.get(webhook_id)

    def list_webhooks(self) -> list[Webhook]:
        """See `Store`."""
        self._bucket.ready_to_read()
        webhooks = self._webhooks.all()
        self._queueing.remember(webhooks)
        return webhooks

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """See `Store`."""
        self._bucket.ready_to_write()
        changed = self._webhooks.update(webhook_id, changes)
        self._queueing.note(webhook_id, changed)
        if changes.status is WebhookStatus.DISABLED:
            self._outbox.forget_queued(webhook_id)
        return changed

    def delete_webhook(self, webhook_id: str) -> None:
        """See `Store`."""
        self._bucket.ready_to_write()
        self._webhooks.delete(webhook_id)
        self._queueing.note(webhook_id, None)
        self._outbox.forget(webhook_id)

    def outbox(self) -> Outbox:
        """See `registry_core.outbox.outbox_of`."""
        return self._outbox

    def fsck(self, *, repair: bool = False, grace_seconds: float = GRACE_SECONDS) -> Report:
        """See `registry_core.fsck.Fsck`. Reads every document and event, and lists the rest."""
        return self._fsck.run(repair=repair, grace_seconds=grace_seconds)

    def _histories(self, names: Iterable[str], deleted: Iterable[DeletedHistory]) -> Report:
        return check_histories(self, names, deleted)

    def observe(self, observer: Observer | None) -> None:
        """Call `observer` with the operation and the key of every request before it is sent.

        What an operation costs is counted in requests; a test may also stop one by raising.
        """
        self._prefix.objects.observer = observer

    def amounts(self) -> Amounts:
        """See `metering.amounts_of`. It lists the bucket, and reads what has changed."""
        models = self._index.all().models
        versions = sum(len(each.document.versions) for each in models)
        return Amounts(models=len(models), versions=versions)

    def ping(self) -> None:
        """See `Store`. One GET."""
        self._bucket.ping()

    def close(self) -> None:
        """See `Store`."""
        self._prefix.close()

    # Documents

    def _document(self, name: str, version: int | None = None) -> ModelDocument:
        self._bucket.ready_to_read()
        model = self._models.find(name)
        return documents.present(None if model is None else model.document, name, version)

    # Entities: documents may hold references to large texts, entities never do.

    def _complete(self, written: ResultT) -> ResultT:
        if not isinstance(written, RegisteredModel | ModelVersion):
            return written
        try:
            entity: Any = written
            completed: Any = self._values.load([entity])[0]
            return cast("ResultT", completed)
        except UnreadableTextsError as error:
            if self._models.find(written.name) is None:
                # Somebody else has deleted it before all of it was read again.
                raise RegisteredModelNotFoundError(written.name) from error
            raise StoreCorruptedError(f"The change was made. {error}") from error
        except StoreBusyError as error:
            raise StoreUnavailableError(
                f"The change was made, and could not be read again: {error}"
            ) from error

    def _read(self, read: Callable[[], EntityT]) -> EntityT:
        return self._whole(lambda: self._values.load([read()])[0])

    # Searches leave out what cannot be read, unless that is what they are about.

    def _search(
        self, query: Query, rows_of: Callable[[ModelDocument], Iterable[EntityT]]
    ) -> Page[EntityT]:
        self._bucket.ready_to_read()
        listed = names(query.filter)
        lost: set[LargeText] = set()
        missed: Counter[LargeText] = Counter()
        while True:
            listing = self._listing(listed)
            models = [
                model.document for model in listing.models if _is_seen(model.document.name, query)
            ]
            rows = [row for doc in models for row in rows_of(doc) if not refers_to(row, lost)]
            # Of what may not be seen nobody learns that it is damaged.
            left_out = len(listing.damaged) if query.scope is None else 0
            if lost:
                left_out += sum(1 for doc in models for _ in rows_of(doc)) - len(rows)
            prompts = {doc.name for doc in models if doc.is_hidden_prompt}
            try:
                page = self._page(query, rows, prompts)
            except UnreadableTextsError as error:
                missed.update(list(error.reasons))
                lost |= self._judged(error, missed, named=listed is not None)
            else:
                return attrs.evolve(page, unreadable=left_out)

    def _listing(self, listed: frozenset[str] | None) -> Listing:
        """The models that can match; raises if one that is asked for by name cannot be read."""
        few = _few(listed)
        listing = self._index.all() if few is None else self._index.some(few)
        if listed is None:
            for entry in listing.damaged:
                self._damage.note(entry.key, str(entry.etag), str(entry.damage))
            return listing
        keys = {self._prefix.layout.model(name) for name in filter(_legal, listed)}
        for entry in listing.damaged:
            if entry.key in keys:
                raise StoreCorruptedError(str(entry.damage))
        return Listing(tuple(each for each in listing.models if each.document.name in listed))

    def _page(
        self, query: Query, rows: Iterable[EntityT], prompts: AbstractSet[str]
    ) -> Page[EntityT]:
        tags = frozenset(
            each.operand.key for each in query.filter if isinstance(each.operand, TagRef)
        )
        if tags:
            rows = self._values.load_tags(rows, tags)
        page = search(query, rows, is_prompt=prompts.__contains__)
        return Page(self._values.load(page.items), page.next_page_token)

    def _judged(
        self, error: UnreadableTextsError, missed: Mapping[LargeText, int], *, named: bool
    ) -> set[LargeText]:
        """The texts that are lost: they were missing more than once."""
        lost = {each for each in error.reasons if missed[each] >= DAMAGE_LOOKS}
        if lost and named:
            raise StoreCorruptedError(str(error)) from error
        for reference in lost:
            self._damage.note(reference, reference, error.reasons[reference])
        return lost

    def _whole(self, read: Callable[[], ResultT]) -> ResultT:
        # A text goes after the document that referred to it, so that a second look finds neither.
        for _ in range(VALUE_ATTEMPTS - 1):
            with suppress(UnreadableTextsError):
                return read()
        try:
            return read()
        except UnreadableTextsError as error:
            raise StoreCorruptedError(str(error)) from error


def _few(listed: frozenset[str] | None) -> frozenset[str] | None:
    """The names that are worth a look each, or None if a listing is better."""
    if listed is None or len(listed) > NAMES_READ_ONE_BY_ONE:
        return None
    return frozenset(filter(_legal, listed))


def _is_seen(name: str, query: Query) -> bool:
    return query.scope is None or name in query.scope


def _legal(name: str) -> bool:
    # A filter may name what no model can be called, and no key could hold.
    try:
        validation.model_name(name)
    except InvalidArgumentError:
        return False
    return True
