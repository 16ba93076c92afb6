"""Older events, in objects beside the documents; see `event_log` for what goes there, and when."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Generic, TypeVar

import attrs

from registry_core.errors import StoreCorruptedError
from registry_core.stores.s3 import codec
from registry_core.stores.s3.event_format import decode_chunk, encode_chunk, encode_deleted
from registry_core.stores.s3.event_log import (
    NO_EVENTS,
    Beginning,
    EventLines,
    EventLog,
    Span,
    chunk_end,
    chunk_start,
)
from registry_core.stores.s3.layout import Layout
from registry_core.stores.s3.objects import (
    ABSENT,
    Listed,
    LostRaceError,
    MissingObjectError,
    Objects,
)
from registry_core.stores.s3.record import Deleted, Tombstone
from registry_core.stores.s3.retry import RetryBudget, TransientError
from registry_core.thread_pool import ThreadPool

CACHED_CHUNKS = 512
"""Chunks that a process keeps, some 3 MB of usual events: they never change. It keeps the last
events of as many deleted models."""

CONTENT_TYPE = "application/json"

REMOVED_TOGETHER = 64
"""Objects of a pruned history that are removed between two looks at its document: some tens of
milliseconds. With more, a look says less; with fewer, a pruning takes longer."""

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class ChunkKey:
    """A chunk of events as a listing shows it."""

    key: str
    model_id: str
    first: int
    span: Span


class _Kept(Generic[T]):
    """What was read last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str) -> T | None:
        with self._lock:
            item = self._items.get(key)
            if item is not None:
                self._items.move_to_end(key)
            return item

    def put(self, key: str, item: T) -> None:
        with self._lock:
            self._items[key] = item
            while len(self._items) > CACHED_CHUNKS:
                self._items.popitem(last=False)


class EventChunks:
    """The older events of one registry."""

    def __init__(self, objects: Objects, layout: Layout, pool: ThreadPool) -> None:
        self._objects = objects
        self._layout = layout
        self._pool = pool
        self._chunks = _Kept[EventLines]()
        self._deleted = _Kept[EventLog]()

    def spill(self, model_id: str, log: EventLog) -> EventLog:
        """Return the log of a model in the bucket, with room for more.

        One PUT per chunk moved out.
        """
        chunks = log.full_chunks()
        self._pool.map(partial(self._write, model_id), chunks)
        return log.without(chunks)

    def keep_deleted(self, gone: Tombstone) -> None:
        """Put the events of a deleted model away, before its tombstone goes. One PUT, or none.

        What is written is that of a tombstone in the bucket, and so the same from every writer.
        What is there already stays: the model may have been restored from it.
        """
        if gone.model_id is None or not gone.log.lines:
            return
        body = encode_deleted(gone.name, gone.model_id, gone.log)
        key = self._layout.deleted_events(gone.model_id, gone.log.last)
        budget = RetryBudget.from_now()
        while True:
            try:
                self._objects.put(key, body, condition=ABSENT, content_type=CONTENT_TYPE)
            except LostRaceError:
                return
            except TransientError as error:
                budget.after(error)
            else:
                return

    def listed(self, model_id: str, first: int, end: int, *, limit: int) -> list[ChunkKey]:
        """Return the chunks with the events from `first` to before `end`, by number, if they exist.

        One LIST per thousand. `limit` is how many there should be.
        """
        before = self._layout.events_from(model_id, first)  # every key of that number is after it
        prefix = self._layout.events_of(model_id)
        # One more shows whether the last of them is there twice.
        page = self._objects.list_page(prefix, start_after=before, limit=limit + 1)
        objects = list(page.objects)
        while page.token is not None and self._begins_before(objects[-1], end):
            page = self._objects.list_page(prefix, token=page.token)
            objects.extend(page.objects)
        chunks = [
            (each.last_modified, chunk.span.latest, chunk)
            for each in objects
            if (chunk := self._chunk(each)) is not None
        ]
        # Of two that begin alike the older is from a past that a restored document has undone.
        chunks.sort(key=lambda each: each[:2])
        by_number = {chunk.first: chunk for _, _, chunk in chunks}
        return [by_number[each] for each in sorted(by_number) if first <= each < end]

    def read(self, chunk: ChunkKey) -> EventLines:
        """Return the events in a chunk. One GET, unless this process has read or written it.

        Raises:
            StoreCorruptedError: It is missing or damaged.
        """
        cached = self._chunks.get(chunk.key)
        if cached is not None:
            return cached
        events = decode_chunk(
            chunk.key,
            self._body(chunk.key),
            model_id=chunk.model_id,
            first=chunk.first,
            count=chunk_end(chunk.first) - chunk.first,
        )
        self._chunks.put(chunk.key, events)
        return events

    def write_beginning(self, model_id: str, lines: EventLines, object_id: str) -> Beginning:
        """Write what a history is to begin with, before the document says that it does. One PUT.

        `object_id` must be new: no object with a beginning is written twice.
        """
        beginning = Beginning(
            first=lines.first, last=lines.end - 1, span=lines.span, object_id=object_id
        )
        key = self._layout.beginning(model_id, beginning.first, object_id)
        self._objects.put_always(key, encode_chunk(model_id, lines), content_type=CONTENT_TYPE)
        return beginning

    def read_beginning(self, model_id: str, beginning: Beginning) -> EventLines:
        """Read the events that a history begins with. One GET, unless this process has read them.

        Raises:
            StoreCorruptedError: They are missing or damaged.
        """
        key = self._layout.beginning(model_id, beginning.first, beginning.object_id)
        if (cached := self._chunks.get(key)) is not None:
            return cached
        count = beginning.end - beginning.first
        lines = decode_chunk(
            key, self._body(key), model_id=model_id, first=beginning.first, count=count
        )
        self._chunks.put(key, lines)
        return lines

    def has_beginning(self, model_id: str, beginning: Beginning) -> bool:
        """Return whether there is the object that a history begins with. One LIST."""
        key = self._layout.beginning(model_id, beginning.first, beginning.object_id)
        return any(each.key == key for each in self._objects.list_page(key).objects)

    def with_event(self, model_id: str, log: EventLog, sequence: int) -> EventLines:
        """Return events among which that of a number is: the log itself, or some beside it.

        Raises:
            StoreCorruptedError: They are missing or damaged.
        """
        assert log.begins <= sequence < log.end, "the log has the event"
        if sequence >= log.first:
            return log
        if log.beginning is not None and sequence < log.chunked_from:
            return self.read_beginning(model_id, log.beginning)
        first = max(chunk_start(sequence), log.chunked_from)
        listed = self.listed(model_id, first, first + 1, limit=1)
        if not listed:
            raise StoreCorruptedError(f"Event {sequence} of model {model_id!r} is missing")
        return self.read(listed[0])

    def has_other_beginning(self, model_id: str, log: EventLog) -> bool:
        """Return whether a later beginning of the history than that of the log has been written.

        One LIST.

        Then what the log refers to may have gone meanwhile.
        """
        listed = self._objects.pages(self._layout.beginnings_of(model_id))
        keys = (each.key for page in listed for each in page.objects)
        beginnings = [parsed for key in keys if (parsed := self._layout.parse_beginning(key))]
        return any(first > log.begins for _, first, _ in beginnings)

    def keys(self, model_id: str) -> list[str]:
        """Return the keys of all objects with events of a model. One LIST per thousand."""
        pages = self._objects.pages(self._layout.events_of(model_id))
        return [item.key for page in pages for item in page.objects]

    def remove_pruned(self, keys: Iterable[str], is_so: Callable[[], bool]) -> None:
        """Remove objects with events that a pruning has replaced, while `is_so` says that it has.

        A snapshot may bring the whole history back meanwhile, under the same keys; what is there
        then stays. One DELETE each.
        """
        remaining = list(keys)
        while remaining and is_so():
            self._pool.map(self._objects.delete, remaining[:REMOVED_TOGETHER])
            del remaining[:REMOVED_TOGETHER]

    def is_pruned(self, key: str, log: EventLog) -> bool:
        """Return whether the object of a key has what the beginning of a log has replaced.

        A later beginning has not: it may be that of a pruning under way.
        """
        if log.beginning is None:
            return False
        if (chunk := self._layout.parse_chunk(key)) is not None:
            return chunk[1] < log.chunked_from
        beginning = self._layout.parse_beginning(key)
        return beginning is not None and beginning[1] < log.begins

    def find_deleted(self, model_id: str) -> EventLog | None:
        """Return the last events of a deleted model. One LIST and one GET.

        None where they are not beside the documents, or the model has been restored.

        Raises:
            StoreCorruptedError: They are damaged.
        """
        key = self._deleted_key(model_id)
        log = NO_EVENTS if key is None else self._log_in(key)
        return log if log.lines else None

    def _log_in(self, key: str) -> EventLog:
        """The last events of a deleted model, in the object of a key; none if it was restored."""
        match codec.decode(key, self._body(key)).content:
            case Tombstone(model_id=model_id) as gone if (
                model_id == self._layout.parse_deleted_events(key)
            ):
                return gone.log
        raise StoreCorruptedError(f"The object '{key}' holds what belongs under another key")

    def has_deleted(self, model_id: str) -> bool:
        """Return whether the last events of a deleted model are beside the documents. One LIST."""
        return self._deleted_key(model_id) is not None

    def deleted(self) -> Iterator[Deleted]:
        """Yield the deleted models whose last events are beside the documents.

        One LIST per thousand objects with events, and one GET per deleted model that this process
        has not read. A model may have been restored since. What cannot be read is left out.
        """
        newest: dict[str, Listed] = {}
        for page in self._objects.pages(self._layout.events):
            for each in page.objects:
                model_id = self._layout.parse_deleted_events(each.key)
                if model_id is not None:
                    newest[model_id] = each  # They come in the order of their numbers.
        bodies = self._pool.map(self._deleted_log, newest.values())
        for model_id, log in zip(newest, bodies, strict=True):
            if log is not None and log.lines:
                yield Deleted(model_id=model_id, log=log)

    def _deleted_log(self, item: Listed) -> EventLog | None:
        version = f"{item.key} {item.etag}"
        log = self._deleted.get(version)
        if log is None:
            try:
                log = self._log_in(item.key)
            except StoreCorruptedError:
                return None
            self._deleted.put(version, log)
        return log

    def _deleted_key(self, model_id: str) -> str | None:
        listed = self._objects.list_page(self._layout.deleted_from(model_id)).objects
        return max((each.key for each in listed), default=None)

    def _write(self, model_id: str, chunk: EventLines) -> None:
        # Also what was read or written before: a pruning may have removed it, and a snapshot may
        # have brought the whole history back.
        key = self._layout.chunk(model_id, chunk.first, chunk.span.earliest, chunk.span.latest)
        self._objects.put_always(key, encode_chunk(model_id, chunk), content_type=CONTENT_TYPE)
        self._chunks.put(key, chunk)

    def _body(self, key: str) -> bytes:
        try:
            fetched = self._objects.get(key)
        except MissingObjectError as error:
            raise StoreCorruptedError(f"The object '{key}' does not exist") from error
        assert fetched is not None, "an unconditional read gives the object"
        return fetched.body

    def _begins_before(self, item: Listed, end: int) -> bool:
        chunk = self._chunk(item)
        return chunk is not None and chunk.first < end

    def _chunk(self, item: Listed) -> ChunkKey | None:
        parsed = self._layout.parse_chunk(item.key)
        if parsed is None:
            return None
        model_id, first, earliest, latest = parsed
        return ChunkKey(key=item.key, model_id=model_id, first=first, span=Span(earliest, latest))
