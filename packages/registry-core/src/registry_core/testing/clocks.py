"""Clocks that a test moves: the one that a store goes by, and those of the process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

START = 1_700_000_000_000
"""Milliseconds since the epoch at which every `ManualClock` starts."""


class ManualClock:
    """A `registry_core.store.Clock` under a test's control."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, milliseconds: int = 1) -> int:
        """The new present, so much later."""
        self.now += milliseconds
        return self.now


class WallClock:
    """How far the wall clock of this process is ahead of the machine's, in milliseconds."""

    def __init__(self) -> None:
        self.ahead = 0

    def advance(self, milliseconds: int) -> None:
        """Sets it forward, or back."""
        self.ahead += milliseconds


@contextmanager
def moving_wall_clock() -> Iterator[WallClock]:
    """During the block, `time.time` and `time.time_ns` of this process go by the `WallClock`.

    A store should not look at them but at the clock it is given, and one that does is noticed. The
    monotonic clocks, which measure how long a call takes, and `datetime.now` are left alone.
    """
    moved = WallClock()
    seconds, nanoseconds = time.time, time.time_ns
    with ExitStack() as patches:
        for name, read in (
            ("time", lambda: seconds() + moved.ahead / 1_000),
            ("time_ns", lambda: nanoseconds() + moved.ahead * 1_000_000),
        ):
            patches.enter_context(patch.object(time, name, read))
        yield moved
