"""A new beginning of the history of a model in a bucket; see `registry_core.pruning`.

Strategy. The new beginning is written to an object of its own, of which nobody knows until the
document refers to it. That one PUT is the commit: from then on the history begins there. What it
has taken the place of is removed afterwards. So a crash leaves an object that nothing refers to,
either the new one or the old ones, which `fsck` finds and removes.

Where the last event that goes is in a chunk, the rest of that chunk becomes a part of the
beginning, so that the chunk goes, too: nothing that was pruned stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from registry_core.documents import present
from registry_core.errors import RegisteredModelNotFoundError
from registry_core.history import Event
from registry_core.pruning import NewBeginning
from registry_core.stores.s3.blobs import Blobs
from registry_core.stores.s3.event_format import event_of, lines_of
from registry_core.stores.s3.event_log import Beginning, EventLines, EventLog, chunk_start
from registry_core.stores.s3.journal import Entry
from registry_core.stores.s3.making import model_of
from registry_core.stores.s3.outbox import S3Outbox
from registry_core.stores.s3.prefix import Prefix
from registry_core.stores.s3.record import Model


class Pruner:
    """Prunes the histories of one registry."""

    def __init__(
        self,
        prefix: Prefix,
        values: Blobs,
        outbox: S3Outbox,
        webhook_ids: Callable[[], Iterable[str]],
    ) -> None:
        self._journal = prefix.journal
        self._renames = prefix.renames
        self._chunks = prefix.chunks
        self._layout = prefix.layout
        self._values = values
        self._outbox = outbox
        self._webhook_ids = webhook_ids

    def replace(self, beginning: NewBeginning) -> None:
        """See `pruning.ReplacesBeginnings`.

        A GET and two PUTs, a GET for each of the two ends that is beside the document, two LISTs
        for each webhook, a LIST per thousand objects with events, and what
        `EventChunks.remove_pruned` takes, with a GET for each of its looks.
        """
        key, tried, there = self._layout.model(beginning.name), list[Beginning](), list[str]()

        def pruned(entry: Entry) -> Model:
            model = self._checked(entry, beginning)
            # Before the document is written: what comes later is not what it has replaced.
            there[:] = self._chunks.keys(model.model_id)
            log = self._begun(model, beginning)
            tried.extend(filter(None, [log.beginning]))
            return attrs.evolve(model, log=log)

        with self._journal.queued(key):
            written = self._journal.commit(key, pruned, settle=self._renames.settle)
        model = model_of(written)
        assert model is not None, "only a model was written"
        gone = [each for each in there if self._chunks.is_pruned(each, model.log)]
        gone += [
            self._layout.beginning(model.model_id, each.first, each.object_id)
            for each in tried
            if each != model.log.beginning
        ]
        self._chunks.remove_pruned(gone, lambda: self._is_pruned(key, model))

    def _is_pruned(self, key: str, model: Model) -> bool:
        """Whether the history of a model begins where this pruning, or a later one, has put it."""
        now = model_of(self._journal.read(key))
        return (
            now is not None
            and now.model_id == model.model_id
            and now.log.begins >= model.log.begins
        )

    def _checked(self, entry: Entry, beginning: NewBeginning) -> Model:
        """The model that a key holds, if its history can have the beginning."""
        model = model_of(entry)
        if model is None:
            raise RegisteredModelNotFoundError(beginning.name)
        log, newest = model.log, beginning.newest.sequence
        if not log.begins <= newest <= log.last:
            raise beginning.overtaken()
        ends = (self._event(model, each) for each in (log.begins, newest))
        beginning.check(model.model_id, ((each.sequence, each.time) for each in ends))
        if self._outbox.awaits(self._webhook_ids(), model.model_id, newest):
            raise beginning.awaited()
        return model

    def _begun(self, model: Model, beginning: NewBeginning) -> EventLog:
        """The log of the model with a beginning, whose object is in the bucket by now."""
        # Of its own for each attempt, since the texts depend on the document that was read.
        operation = self._journal.new_operation()
        log, end = model.log, beginning.newest.sequence + 1
        document = present(model.document, beginning.name)
        _, events = self._values.spill(document, document, beginning.events, operation=operation)
        lines = lines_of(events)
        if end < log.first and (end < log.chunked_from or not _begins_chunk(log, end)):
            rest = self._chunks.with_event(model.model_id, log, end)
            lines = _joined(lines, rest.part(end, rest.end))
        kept = log.part(lines.end, log.end)
        return EventLog(
            first=max(log.first, lines.end),
            lines=kept.lines,
            times=kept.times,
            spilled=log.spilled if lines.end < log.first else None,
            beginning=self._chunks.write_beginning(model.model_id, lines, operation),
        )

    def _event(self, model: Model, sequence: int) -> Event:
        lines = self._chunks.with_event(model.model_id, model.log, sequence)
        return event_of(lines.lines[sequence - lines.first], model.model_id)


def _begins_chunk(log: EventLog, sequence: int) -> bool:
    return sequence in (log.chunked_from, chunk_start(sequence))


def _joined(one: EventLines, other: EventLines) -> EventLines:
    return EventLines(
        first=one.first, lines=(*one.lines, *other.lines), times=(*one.times, *other.times)
    )
