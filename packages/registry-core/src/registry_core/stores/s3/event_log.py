"""The events of a model as its document keeps them: the newest ones, each as a line of JSON.

Strategy. A document has the newest events itself, so that a change and its events are one write.
From `INLINE_MAX_EVENTS` on, the oldest ones go to objects of their own, in chunks of exactly
`CHUNK_EVENTS`: chunk n holds the events n * 32 + 1 to n * 32 + 32. A chunk is written before the
document that no longer has its events, and only events that a document in the bucket has had go
there. So what is in a chunk never depends on who writes it, or when: writing it twice, or late, or
before a write that fails, does no harm.

Lines are carried along as they are. A document is read far more often than its history.
"""

from __future__ import annotations

from collections.abc import Iterable

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


@attrs.frozen(kw_only=True)
class EventLog(EventLines):
    """The events of a model: the newest ones as lines, and when those in chunks were."""

    spilled: Span | None = None
    """The times of the events before `first`, which are in chunks; None if there are none."""

    @property
    def last(self) -> int:
        """The number of the newest event; 0 before there is any."""
        return self.end - 1

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
        starts = range(0, len(self.lines) - 2 * CHUNK_EVENTS + 1, CHUNK_EVENTS)
        return [
            EventLines(
                first=self.first + start,
                lines=self.lines[start : start + CHUNK_EVENTS],
                times=self.times[start : start + CHUNK_EVENTS],
            )
            for start in starts
        ]

    def without(self, chunks: Iterable[EventLines]) -> EventLog:
        """Return the log without these chunks, the oldest of it, which lie beside it by now."""
        log = self
        for chunk in chunks:
            count = len(chunk.lines)
            log = EventLog(
                first=chunk.end,
                lines=log.lines[count:],
                times=log.times[count:],
                spilled=chunk.span.joined(log.spilled),
            )
        return log


NO_EVENTS = EventLog()
"""The log of a model that nobody has changed since events are kept."""


def chunk_start(sequence: int) -> int:
    """Return the number of the first event in the chunk that an event is in, or will be."""
    return sequence - (sequence - 1) % CHUNK_EVENTS
