"""A clock that stands still until a test moves it."""

from __future__ import annotations

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
