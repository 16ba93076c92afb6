"""Making a change: what the key of a registered model holds after it, events included."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import attrs

from registry_core.authors import Author, Origin
from registry_core.changes import (
    Change,
    RestoreDeletedModel,
    RestoreModel,
    SetModelTag,
    SetVersionTag,
)
from registry_core.documents import ModelDocument
from registry_core.history import Event
from registry_core.idempotency import KeptKey
from registry_core.store import Clock
from registry_core.stores.document_store import events_of, kept_of
from registry_core.stores.s3.blobs import Blobs
from registry_core.stores.s3.event_chunks import EventChunks
from registry_core.stores.s3.event_format import line_of, lines_of
from registry_core.stores.s3.event_log import NO_EVENTS, EventLog
from registry_core.stores.s3.journal import Entry
from registry_core.stores.s3.large_text import stands_for
from registry_core.stores.s3.queueing import Queueing
from registry_core.stores.s3.record import Content, Model, Tombstone, new_operation


@attrs.frozen(kw_only=True)
class Making:
    """One change, to be made to whatever its key turns out to hold; perhaps more than once."""

    change: Change[Any]
    by: Author
    operation: str
    """The operation that it is."""
    values: Blobs
    chunks: EventChunks
    queueing: Queueing
    clock: Clock

    def kept(self, entry: Entry) -> KeptKey | None:
        """Return what was made under the change's idempotency key before, if anything was."""
        return kept_of(self.change, self.by, entry.record.kept_key)

    def keeping(self, content: Content) -> KeptKey | None:
        """Return what to keep of the change under its idempotency key."""
        return self.change.kept(content.document, self.by) if isinstance(content, Model) else None

    def made(self, entry: Entry) -> Model | None:
        """Return the model after the change; None if nothing changes, or it was made before.

        Its large texts, its older events, and the events queued for webhooks are in the bucket
        by now.

        Raises:
            RegistryError: As the change.
        """
        if self.kept(entry) is not None:
            return None
        model, before, now = model_of(entry), document_of(entry), self.clock()
        after = self._made(before, now)
        assert after is not None, "the change does not delete the model"
        if after is before:
            return None
        if isinstance(self.change, RestoreModel):
            if model is not None:
                self.change.check_replaced(model.model_id, model.log.last)
            # It has nothing of the model whose place it takes: not even a text.
            model = before = None
        log = NO_EVENTS if model is None else self.chunks.spill(model.model_id, model.log)
        events = events_of(self.change, before, after, now=now, by=self.by, last=log.last)
        document, kept = self.values.spill(after, before, events, operation=self.operation)
        lines = list(map(line_of, kept))
        said = [line for _, line in lines]
        self.queueing.queue(self.change, document, events, said, self.operation)
        if kept and kept[0].sequence > log.end:
            log = self._begun(after.model_id, kept)
            lines = lines[log.end - kept[0].sequence :]
        return Model(document=document, log=log.then(lines))

    def _begun(self, model_id: str, events: Sequence[Event]) -> EventLog:
        """The log of a history that was pruned before it came here: what it begins with."""
        beginning = list(takewhile(lambda each: each.origin is Origin.BASELINE, events))
        written = self.chunks.write_beginning(
            model_id, lines_of(beginning), new_operation(self.clock)
        )
        return EventLog(first=written.end, beginning=written)

    def restored(self, change: RestoreDeletedModel, gone: Tombstone) -> Model:
        """Return the model that was deleted, with its history, which goes on after the deletion.

        All that it refers to is in the bucket by now.

        Raises:
            RegistryError: As the change.
        """
        now = self.clock()
        after = change.make(None, now, whole=self.values.whole)
        assert after is not None, "the change brings the model back"
        log = self.chunks.spill(change.model_id, gone.log)
        events = [each for each in change.history(now, self.by) if each.sequence > log.last]
        document, kept = self.values.spill(after, None, events, operation=self.operation)
        lines = list(map(line_of, kept))
        said = [line for _, line in lines]
        self.queueing.queue(change, document, events, said, self.operation)
        return Model(document=document, log=log.then(lines))

    def gone(self, entry: Entry) -> Tombstone:
        """Return what is left of the model when the change deletes it: its events.

        Raises:
            RegistryError: As the change.
        """
        model, before, now = model_of(entry), document_of(entry), self.clock()
        after = self._made(before, now)
        assert model is not None, "only an existing model can be deleted"
        log = self.chunks.spill(model.model_id, model.log)
        events = events_of(self.change, before, after, now=now, by=self.by, last=log.last)
        lines = list(map(line_of, events))
        said = [line for _, line in lines]
        self.queueing.queue(self.change, model.document, events, said, self.operation)
        return Tombstone(name=model.document.name, model_id=model.model_id, log=log.then(lines))

    def _made(self, before: ModelDocument | None, now: int) -> ModelDocument | None:
        change = self.change if before is None else _with_known_text(self.change, before)
        return change.make(before, now, whole=self.values.whole)


def model_of(entry: Entry) -> Model | None:
    """Return the model, with its events, that a settled entry holds, if any."""
    return entry.content if isinstance(entry.content, Model) else None


def document_of(entry: Entry) -> ModelDocument | None:
    """Return the model that a settled entry holds, if any."""
    model = model_of(entry)
    return None if model is None else model.document


def _with_known_text(change: Change[Any], document: ModelDocument) -> Change[Any]:
    """The change with the reference to a large text that a tag has already.

    A document does not have the text to compare with, and the tag would seem to change.
    """
    match change:
        case SetModelTag(key=key, value=value):
            known = document.tags.get(key)
        case SetVersionTag(key=key, value=value, version=version):
            owner = document.versions.get(version)
            known = None if owner is None else owner.tags.get(key)
        case _:
            return change
    if known is None or not stands_for(known, value):
        return change
    return attrs.evolve(change, value=known)
