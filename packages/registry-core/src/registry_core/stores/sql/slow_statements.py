"""What an event loop does not try again for a while, because a moment ago it had to give it up.

To try costs time as well: the event loop's own, or a connection's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from registry_core.inloop import TooLargeError, WouldBlockError
from registry_core.stores.sql.compiling import Statement

PATIENT_SECONDS = 5.0
"""How long a statement that was too slow, or gave too much, is left to threads."""

MOST_REMEMBERED = 512
"""How many such statements are remembered; each has few texts."""

PAUSE_FACTOR = 20
"""How long no search is tried, in times of what the last one took of the loop in vain: so one
twentieth of the loop's time is lost at most, however many different searches are slow."""


class SlowStatements:
    """What is left to threads. Belongs to the thread of the event loop."""

    def __init__(self) -> None:
        self._until: dict[object, float] = {}
        self._no_search_until = 0.0
        self._nothing_after = 0.0
        """When nothing is left to threads any more."""
        self.is_tried = False
        """Whether anything may be left to threads, so that it is worth while to `check`."""

    def check(self, statement: Statement, values: Mapping[str, Any]) -> None:
        """Accept a statement that may be tried.

        Raises:
            WouldBlockError: it is left to threads.
        """
        now = time.monotonic()
        if now > self._nothing_after:
            self._until.clear()
            self.is_tried = False
            return
        if self._until.get(statement.text, 0.0) > now:
            raise WouldBlockError("It has taken too long a moment ago")
        if self._until.get(_with(statement, values), 0.0) > now:
            raise TooLargeError("It has been too large a moment ago")
        if statement.is_search and self._no_search_until > now:
            raise WouldBlockError("Searches have taken too much of the loop's time")

    def too_slow(self, statement: Statement) -> WouldBlockError:
        """Return the error for a statement that took too long."""
        self._remember(statement.text)
        return WouldBlockError("It cannot be done at once")

    def too_large(self, statement: Statement, values: Mapping[str, Any]) -> TooLargeError:
        """Return the error for one that gives too much with these values, if not with others."""
        self._remember(_with(statement, values))
        return TooLargeError("It is too large to be done at once")

    def pause_searches(self, seconds: float) -> None:
        """Try no search for a while, because one took so many seconds of the loop in vain."""
        self._no_search_until = time.monotonic() + PAUSE_FACTOR * seconds
        self._leave(self._no_search_until)

    def _remember(self, what: object) -> None:
        if len(self._until) > MOST_REMEMBERED:
            self._until.clear()
        until = time.monotonic() + PATIENT_SECONDS
        self._until[what] = until
        self._leave(until)

    def _leave(self, until: float) -> None:
        self._nothing_after = max(self._nothing_after, until)
        self.is_tried = True


def _with(statement: Statement, values: Mapping[str, Any]) -> int:
    return hash((statement.text, *map(str, values.values())))
