"""The events of a model as its document keeps them: the newest ones, each as a line of JSON.

Strategy. A document has the newest events itself, so that a change and its events are one write.
From `INLINE_MAX_EVENTS` on, the oldest ones go to objects of their own, in chunks of exactly
`CHUNK_EVENTS`: chunk n holds the events n * 32 + 1 to n * 32 + 32. A chunk is written before the
document that no longer has its events, and only events that a document in the bucket has had go
there. So what is in a chunk never depends on who writes it, or when: writing it twice, or late, or
before a write that fails, does no harm.

Where a history was pruned, a new beginning takes the place of the oldest events, in an object of
its own: see `pruning`. The first chunk after it is shorter if it begins within a chunk.

Lines are carried along as they are. A document is read far more often than its history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

INLINE_MAX_EVENTS = 64
"""Events that a document may have before its next write moves the oldest ones out. A change that
does more at once, such as archiving hundreds of versions, leaves all of its events there until
then."""

CHUNK_EVENTS = 32
"""Events of one chunk. Part of the format: chunks are found by it."""


@attrs.frozen
class Span:
    """The times of some events: milliseconds since the epoch, both ends included."""

    earliest: int
    latest: int

    @classmethod
    def of(cls, times: Iterable[int]) -> Span:
        """Return the span of some times, of which there is one at least."""
        listed = tuple(times)
        return cls(min(listed), max(listed))

    def joined(self, other: Span | None) -> Span:
        """Return the span of both."""
        if other is None:
            return self
        return Span(min(self.earliest, other.earliest), max(self.latest, other.latest))


@attrs.frozen(kw_only=True)
class EventLines:
    """Events that follow one another, as lines of JSON."""

    first: int = 1
    """The number of the first one."""
    lines: tuple[str, ...] = ()
    times: tuple[int, ...] = ()
    """Of each, milliseconds since the epoch."""

    @property
    def end(self) -> int:
        """The number after the last one."""
        return self.first + len(self.lines)

    @property
    def span(self) -> Span:
        """Their times. There must be one event at least."""
        return Span.of(self.times)

    def part(self, first: int, end: int) -> EventLines:
        """Return those from `first` to before `end`, as far as they are among these."""
        start, stop = (min(max(each - self.first, 0), len(self.lines)) for each in (first, end))
        return EventLines(
            first=self.first + start, lines=self.lines[start:stop], times=self.times[start:stop]
        )


@attrs.frozen(kw_only=True)
class Beginning:
    """The oldest events of a history that was pruned, which are in an object of their own."""

    first: int
    """The number of the first one, with which the history begins."""
    last: int
    span: Span
    object_id: str
    """What tells the object from those of other prunings."""

    @property
    def end(self) -> int:
        """The number after the last one."""
        return self.last + 1


@attrs.frozen(kw_only=True)
class EventLog(EventLines):
    """The events of a model: the newest ones as lines, and when those in chunks were."""

    spilled: Span | None = None
    """The times of the events in chunks; None if there are none. They are those before `first`, but
    for the `beginning`."""
    beginning: Beginning | None = None
    """What a pruning has put in the place of the oldest events, if there was one."""

    @property
    def last(self) -> int:
        """The number of the newest event; 0 before there is any."""
        return self.end - 1

    @property
    def begins(self) -> int:
        """The number of the oldest event."""
        return 1 if self.beginning is None else self.beginning.first

    @property
    def chunked_from(self) -> int:
        """The number of the oldest event that is in a chunk, or will be."""
        return 1 if self.beginning is None else self.beginning.end

    def then(self, lines: Iterable[tuple[int, str]]) -> EventLog:
        """Return the log with more events, each given as its time and its line."""
        added = tuple(lines)
        return attrs.evolve(
            self,
            lines=(*self.lines, *(line for _, line in added)),
            times=(*self.times, *(time for time, _ in added)),
        )

    def full_chunks(self) -> list[EventLines]:
        """Return the chunks that are to be moved out before the next write."""
        if len(self.lines) < INLINE_MAX_EVENTS:
            return []
        bounds = chunk_bounds(self.first, self.end - CHUNK_EVENTS)
        return [self.part(*each) for each in bounds if each[1] <= self.end - CHUNK_EVENTS]

    def without(self, chunks: Iterable[EventLines]) -> EventLog:
        """Return the log without these chunks, the oldest of it, which lie beside it by now."""
        log = self
        for chunk in chunks:
            count = len(chunk.lines)
            log = attrs.evolve(
                log,
                first=chunk.end,
                lines=log.lines[count:],
                times=log.times[count:],
                spilled=chunk.span.joined(log.spilled),
            )
        return log


NO_EVENTS = EventLog()
"""The log of a model that nobody has changed since events are kept."""


def chunk_start(sequence: int) -> int:
    """Return the number that the chunk begins with which an event is in, or will be.

    The first chunk after a beginning may begin later.
    """
    return sequence - (sequence - 1) % CHUNK_EVENTS


def chunk_end(sequence: int) -> int:
    """Return the number after the last event of the chunk that an event is in, or will be."""
    return chunk_start(sequence) + CHUNK_EVENTS


def chunk_bounds(first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where the chunks begin and end that have the events from `first` to before `end`."""
    while first < end:
        yield first, chunk_end(first)
        first = chunk_end(first)
