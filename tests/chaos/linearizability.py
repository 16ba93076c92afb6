"""Whether a history of calls could have happened one after the other.

A call takes effect at one moment between its start and its end; one that never ended, or ended
without saying what happened, at any moment after its start, or never. A history is linearizable if
moments can be chosen so that every call returns what the specification returns. Lost writes, stale
reads, half-done changes and numbers handed out twice all show as histories for which none can be.

Strategy: depth first, as Wing and Gong, with the visited pairs of calls done and state remembered,
as Lowe. The next call must be one that started before any other remaining one ended. Calls that must
have happened are tried first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

UNKNOWN = "unknown"
"""The outcome of a call that did not end, or did not say what happened."""

MOST_STATES = 3_000_000
"""Visited states after which a history counts as too tangled to decide."""

Apply = Callable[[Any, str, tuple[Any, ...]], tuple[Any, Any]]
"""The specification: state, call and arguments to outcome and state afterwards."""


IsIdle = Callable[[str, Any], bool]
"""Whether a call with a name and an outcome changes nothing, whenever it happens."""


@attrs.frozen
class Operation:
    """One call in a history; times are nanoseconds of one clock."""

    start: int
    end: int | None
    name: str
    arguments: tuple[Any, ...]
    outcome: Any
    process: str = ""
    seen: int | None = None
    """When a call ended that shows what this one did, whatever its own outcome."""

    @property
    def known(self) -> bool:
        return self.outcome != UNKNOWN

    @property
    def needed(self) -> bool:
        """Whether it must have taken effect."""
        return self.known or self.seen is not None

    @property
    def deadline(self) -> float:
        """When it must have taken effect, if it must."""
        end = self.end if self.known else self.seen
        return math.inf if end is None else end


@attrs.frozen
class Violation:
    """A history that cannot have happened: how far it could, and what did not fit any more."""

    explained: int
    total: int
    stuck: tuple[Operation, ...]
    state: Any


class UndecidedError(Exception):
    """The history has too many calls at the same time."""


def violation(
    calls: Sequence[Operation], apply: Apply, state: Any, *, is_idle: IsIdle
) -> Violation | None:
    """Why the history is not linearizable, or None if it is."""
    return _Search(sorted(calls, key=lambda call: call.start), apply, is_idle).run(state)


class _Search:
    def __init__(self, calls: list[Operation], apply: Apply, is_idle: IsIdle) -> None:
        self._calls = calls
        self._idle = [call.known and is_idle(call.name, call.outcome) for call in calls]
        self._apply = apply
        self._needed = sum(1 << i for i, call in enumerate(calls) if call.needed)
        self._seen: set[tuple[int, Any]] = set()
        self._best: tuple[int, int, Any] = (-1, 0, None)

    def run(self, state: Any) -> Violation | None:
        stack = [self._branches(0, 0, state)]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                continue
            if step[0] & self._needed == self._needed:
                return None
            stack.append(self._branches(*step))
            if len(self._seen) > MOST_STATES:
                raise UndecidedError(f"{len(self._calls)} calls, {MOST_STATES} states")
        return self._violation()

    def _branches(self, done: int, first: int, state: Any) -> Iterator[tuple[int, int, Any]]:
        while first < len(self._calls) and done >> first & 1:
            first += 1
        explained = (done & self._needed).bit_count()
        if explained > self._best[0]:
            self._best = (explained, done, state)
        possible = [*self._possible(done, first, state)]
        # What fits, and would change nothing later either, can as well happen now.
        idle = [(index, after) for index, after in possible if self._idle[index]]
        for index, after in idle[:1] or possible:
            key = (done | 1 << index, after)
            if key not in self._seen:
                self._seen.add(key)
                yield key[0], first, after

    def _possible(self, done: int, first: int, state: Any) -> Iterator[tuple[int, Any]]:
        """The calls that can be next, each with the state after it."""
        for index in self._candidates(done, first):
            call = self._calls[index]
            outcome, after = self._apply(state, call.name, call.arguments)
            if call.known and outcome != call.outcome:
                continue
            if not call.known and after == state:
                continue  # as good as not having happened
            yield index, after

    def _candidates(self, done: int, first: int) -> list[int]:
        found: list[int] = []
        limit = math.inf
        for index in range(first, len(self._calls)):
            call = self._calls[index]
            if call.start > limit:
                break
            if not done >> index & 1:
                found.append(index)
                limit = min(limit, call.deadline)
        found = [index for index in found if self._calls[index].start <= limit]
        return sorted(found, key=lambda index: self._calls[index].deadline)

    def _violation(self) -> Violation:
        explained, done, state = self._best
        first = 0
        while first < len(self._calls) and done >> first & 1:
            first += 1
        stuck = tuple(self._calls[index] for index in self._candidates(done, first))
        return Violation(explained, self._needed.bit_count(), stuck, state)
