"""Pages of events, from documents and the chunks beside them.

Strategy. The events of a model are pieces: those that its document has, and chunks, of which a
listing tells the numbers and times by their keys. Pieces are opened in the order of the page,
nearest first, until none that is left can have an event that belongs before the last one found. So
a page costs what it shows, wherever in a history it begins; only a filter that matches next to
nothing makes it read on, with more chunks side by side each time.

The events of one model are in the order of their numbers, and those of all models in the order of
their times. Times of one model may go back, with a clock: nothing here concludes from the times of
some events on those of others.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Protocol, TypeAlias

import attrs

from registry_core.errors import StoreCorruptedError
from registry_core.history import Event, EventQuery
from registry_core.stores.s3.blobs import Blobs, UnreadableTextsError
from registry_core.stores.s3.damage import DamageLog
from registry_core.stores.s3.event_chunks import ChunkKey
from registry_core.stores.s3.event_format import event_of, texts_in
from registry_core.stores.s3.event_log import (
    CHUNK_EVENTS,
    EventLines,
    EventLog,
    Span,
    chunk_bounds,
    chunk_end,
    chunk_start,
)
from registry_core.stores.s3.large_text import LargeText
from registry_core.stores.s3.objects import LIST_PAGE_KEYS
from registry_core.stores.s3.prefix import PARALLEL_REQUESTS, Prefix

LISTED_CHUNKS = 100
"""Chunks that are listed at a time for a page of one model's events. A listing takes longer the
more keys it gives, and most pages need a few chunks."""


class PrunedMeanwhileError(StoreCorruptedError):
    """Events that a log refers to are not there: pruned, most likely, after the log was read."""

    def __init__(self, message: str, *, model_id: str, begins: int) -> None:
        super().__init__(message)
        self.model_id = model_id
        self.begins = begins
        """The number that the history began with by that log."""


class HasLog(Protocol):
    """A model, or what is left of one."""

    @property
    def model_id(self) -> str:
        """The model's id."""
        ...

    @property
    def log(self) -> EventLog:
        """What was done to it."""
        ...


@attrs.frozen
class DeletedModel:
    """What is left of a model that was deleted."""

    model_id: str
    log: EventLog


@attrs.frozen(kw_only=True)
class _Piece:
    """Some events of a model that follow one another, not looked at yet."""

    model_id: str
    log: EventLog
    first: int
    end: int
    span: Span
    """When they were; of chunks not listed, of others too."""
    held: EventLines | None = None
    """They are at hand."""
    chunk: ChunkKey | None = None
    """They are in this chunk."""
    is_beginning: bool = False
    """They are what the history begins with since it was pruned."""
    missing: str | None = None
    """There is no chunk with a key that begins so. Otherwise their chunks have to be listed."""


_Opened: TypeAlias = EventLines | list[_Piece]


class EventPages:
    """The events of one registry, page by page."""

    def __init__(self, prefix: Prefix, values: Blobs, damage: DamageLog) -> None:
        self._chunks = prefix.chunks
        self._values = values
        self._layout = prefix.layout
        self._pool = prefix.pool
        self._damage = damage

    def page(
        self,
        models: Iterable[HasLog],
        query: EventQuery,
        *,
        read_anew: Mapping[str, int] | None = None,
    ) -> list[Event]:
        """Return the wanted events of these models.

        Of one model that is asked for by name, all must be readable. Of all models, what cannot be
        read is left out and logged, as a search does.

        Args:
            models: The models.
            query: What is wanted of their events.
            read_anew: By id, the numbers with which the histories of models began when their events
                could not be read. Of one that still begins so they are damaged, and not
                pruned. None: what cannot be read is damaged, whatever model it is of.

        Raises:
            PrunedMeanwhileError: A history may have been pruned after its model was read.
            StoreCorruptedError: Events of the model that is asked for cannot be read.
        """
        listed, lost = list(models), set[LargeText]()
        while True:
            events = self._found(listed, query, lost, read_anew)
            try:
                return self._values.load_events(events)
            except UnreadableTextsError as error:
                if query.is_of_one_model:
                    raise _of_events(events, error) from error
                for reference, why in error.reasons.items():
                    self._damage.note(reference, reference, why)
                lost.update(error.reasons)

    def _found(
        self,
        models: Sequence[HasLog],
        query: EventQuery,
        lost: set[LargeText],
        read_anew: Mapping[str, int] | None,
    ) -> list[Event]:
        waiting, nearest, rounds = _Waiting(_Order(query)), list[Event](), 0
        for model in models:
            waiting.add(_pieces(model, query))
        while taken := waiting.take(_side_by_side(query, nearest, rounds), nearest):
            pieces = self._open_all(taken, query, read_anew)
            for piece, opened in zip(taken, pieces, strict=True):
                if isinstance(opened, list):
                    waiting.add(opened)
                    continue
                events = self._events(piece, opened, query)
                kept = (each for each in events if lost.isdisjoint(texts_in(each)))
                nearest = query.page([*nearest, *kept])
            rounds += any(piece.chunk is not None for piece in taken)
        return nearest

    def _open_all(
        self, pieces: Sequence[_Piece], query: EventQuery, read_anew: Mapping[str, int] | None
    ) -> Iterator[_Opened]:
        apart = [piece for piece in pieces if piece.held is None]
        opened = iter(self._pool.map(lambda piece: self._open(piece, query, read_anew), apart))
        for piece in pieces:
            yield next(opened) if piece.held is None else piece.held

    def _open(
        self, piece: _Piece, query: EventQuery, read_anew: Mapping[str, int] | None
    ) -> _Opened:
        if piece.missing is None and piece.chunk is None and not piece.is_beginning:
            return self._listed(piece)
        try:
            return self._read(piece)
        except StoreCorruptedError as error:
            model_id, begins = piece.model_id, piece.log.begins
            may_be_pruned = read_anew is not None and read_anew.get(model_id) != begins
            if may_be_pruned and self._chunks.has_other_beginning(model_id, piece.log):
                raise PrunedMeanwhileError(str(error), model_id=model_id, begins=begins) from error
            key = piece.missing or (piece.chunk.key if piece.chunk else piece.model_id)
            self._left_out(key, str(error), query)
            return EventLines()

    def _read(self, piece: _Piece) -> EventLines:
        if piece.missing is not None:
            raise StoreCorruptedError(
                f"Events are missing: no object has a key that begins with '{piece.missing}-'"
            )
        if piece.chunk is not None:
            return self._chunks.read(piece.chunk)
        assert piece.log.beginning is not None, "the piece is the beginning"
        return self._chunks.read_beginning(piece.model_id, piece.log.beginning)

    def _listed(self, piece: _Piece) -> list[_Piece]:
        bounds = [*chunk_bounds(piece.first, piece.end)]
        listed = self._chunks.listed(piece.model_id, piece.first, piece.end, limit=len(bounds))
        by_number = {chunk.first: chunk for chunk in listed}
        return [self._part(piece, first, end, by_number.get(first)) for first, end in bounds]

    def _part(self, piece: _Piece, first: int, end: int, chunk: ChunkKey | None) -> _Piece:
        if chunk is None:
            key = self._layout.events_from(piece.model_id, first)
            return attrs.evolve(piece, first=first, end=end, missing=key)
        return attrs.evolve(piece, first=first, end=end, span=chunk.span, chunk=chunk)

    def _events(self, piece: _Piece, opened: EventLines, query: EventQuery) -> Iterator[Event]:
        """The wanted events of a piece; of one model no more than fill the page."""
        backwards = query.is_of_one_model and query.newest_first
        left = len(opened.lines) if not query.is_of_one_model else query.max_results
        for line in reversed(opened.lines) if backwards else opened.lines:
            try:
                event = event_of(line, piece.model_id)
            except StoreCorruptedError as error:
                self._left_out(f"{piece.model_id}/{line}", str(error), query)
                continue
            if query.page([event]):
                yield event
                left -= 1
            if left == 0:
                return

    def _left_out(self, key: str, why: str, query: EventQuery) -> None:
        if query.is_of_one_model:
            raise StoreCorruptedError(why)
        self._damage.note(key, why, why)


def _of_events(events: Sequence[Event], error: UnreadableTextsError) -> StoreCorruptedError:
    hurt = (each for each in events if not error.reasons.keys().isdisjoint(texts_in(each)))
    listed = ", ".join(str(each) for each in sorted(event.sequence for event in hurt))
    return StoreCorruptedError(f"Event {listed} is damaged. {error}")


def _pieces(model: HasLog, query: EventQuery) -> Iterator[_Piece]:
    log, begun = model.log, model.log.beginning
    of_model = partial(_Piece, model_id=model.model_id, log=log)
    if log.lines:
        yield of_model(first=log.first, end=log.end, span=log.span, held=log)
    if begun is not None:
        yield of_model(first=begun.first, end=begun.end, span=begun.span, is_beginning=True)
    if log.spilled is None:
        return
    first, end = log.chunked_from, log.first
    if query.is_of_one_model and query.after is not None:
        sequence = query.after[2]
        if query.newest_first:
            end = min(end, chunk_end(max(1, sequence - 1)))
        else:
            first = max(first, chunk_start(max(1, sequence + 1)))
    for start, stop in _windows(first, end, query):
        yield of_model(first=start, end=stop, span=log.spilled)


def _side_by_side(query: EventQuery, events: Sequence[Event], rounds: int) -> int:
    """How many pieces to read at a time: what would do if all matched, and more when it did not."""
    chunks = max(1, -(-(query.max_results - len(events)) // CHUNK_EVENTS))
    # The first chunk may be one that the page begins in the middle of.
    doublings = min(max(0, rounds - 1), PARALLEL_REQUESTS)
    return min(chunks << doublings, PARALLEL_REQUESTS)


def _windows(first: int, end: int, query: EventQuery) -> Iterator[tuple[int, int]]:
    """The numbers to list chunks of at a time, from the side where the page begins."""
    size = CHUNK_EVENTS * (LIST_PAGE_KEYS if not query.is_of_one_model else LISTED_CHUNKS)
    if query.newest_first:
        for stop in range(end, first, -size):
            yield max(first, stop - size), stop
    else:
        for start in range(chunk_start(first), end, size):
            yield max(first, start), min(end, start + size)


@attrs.frozen
class _Order:
    """Where pieces stand in the order of a query."""

    query: EventQuery

    def may_match(self, piece: _Piece) -> bool:
        """Return whether one of its events may be wanted, by their numbers and times."""
        query, span = self.query, piece.span
        if query.since is not None and span.latest < query.since:
            return False
        if query.until is not None and span.earliest >= query.until:
            return False
        if query.after is None:
            return True
        time, _, sequence = query.after
        if not query.is_of_one_model:
            return span.earliest <= time if query.newest_first else span.latest >= time
        return piece.first < sequence if query.newest_first else piece.end - 1 > sequence

    def nearness(self, piece: _Piece) -> int:
        """Return how early its first event can be in the order; the least is the nearest."""
        if not self.query.is_of_one_model:
            return -piece.span.latest if self.query.newest_first else piece.span.earliest
        return -(piece.end - 1) if self.query.newest_first else piece.first

    def may_precede(self, nearness: int, event: Event) -> bool:
        """Return whether a piece may have an event that belongs before this one."""
        place = event.time if not self.query.is_of_one_model else event.sequence
        return nearness <= (-place if self.query.newest_first else place)


class _Waiting:
    """The pieces that have not been opened, nearest first."""

    def __init__(self, order: _Order) -> None:
        self._order = order
        self._heap: list[tuple[int, int, _Piece]] = []
        self._numbers = count()

    def add(self, pieces: Iterable[_Piece]) -> None:
        """Add those of the pieces that may have wanted events."""
        for piece in filter(self._order.may_match, pieces):
            heapq.heappush(self._heap, (self._order.nearness(piece), next(self._numbers), piece))

    def take(self, most: int, events: Sequence[Event]) -> list[_Piece]:
        """Take the nearest pieces that are needed, given the best events so far.

        They are all at hand, or at most `most`, which are not: what is at hand may be enough.
        """
        full = len(events) >= self._order.query.max_results
        taken: list[_Piece] = []
        while self._heap:
            nearness, _, nearest = self._heap[0]
            at_hand = nearest.held is not None
            if full and not self._order.may_precede(nearness, events[-1]):
                break
            if taken and at_hand != (taken[0].held is not None):
                break
            if len(taken) == (PARALLEL_REQUESTS if at_hand else most):
                break
            taken.append(heapq.heappop(self._heap)[2])
        return taken
