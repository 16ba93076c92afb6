"""When to ask again, and when to give up."""

from __future__ import annotations

import time

import attrs

from registry_core.backoff import Backoff
from registry_core.errors import StoreBusyError, StoreUnavailableError

REQUEST_SECONDS = 8.0
"""Seconds in which one request is repeated while the service answers with 5xx or falls silent."""

UNREACHABLE_SECONDS = 3.0
"""Seconds in which a connection is tried again: less, since no server is there to recover."""

BACKOFF = Backoff(first_seconds=0.02, longest_seconds=1.0)
"""A lost race is over in about as long as the first pause lasts."""


class TransientError(Exception):
    """The service did not give an answer that says what happened.

    `reached` is False if no connection was made, so that nothing can have happened.
    """

    def __init__(self, message: str, *, reached: bool = True) -> None:
        self.reached = reached
        super().__init__(message)


@attrs.define
class RetryBudget:
    """Pauses between attempts, by `BACKOFF`, until there has been enough trouble.

    Trouble lasts from the first error on, or from the beginning of the request that is repeated.
    """

    _since: float | None = None
    _failures: int = 0

    @classmethod
    def from_now(cls) -> RetryBudget:
        """For a request that begins now."""
        return cls(since=time.monotonic())

    def after(self, error: TransientError, *, harmless: bool = False) -> None:
        """Pause before another attempt. `harmless`: the request changes nothing.

        Raises:
            StoreBusyError: it has gone on for too long, and the request has changed nothing.
            StoreUnavailableError: the same, and the request may have been carried out.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        limit = REQUEST_SECONDS if error.reached else UNREACHABLE_SECONDS
        if now - self._since > limit:
            has_done_nothing = harmless or not error.reached
            kind = StoreBusyError if has_done_nothing else StoreUnavailableError
            raise kind(f"The bucket does not answer: {error}") from error
        self.pause()

    def pause(self) -> None:
        """Wait a little, and longer each time."""
        self._failures += 1
        time.sleep(BACKOFF.pause(self._failures))

    def recovered(self) -> None:
        """Forget the trouble so far: the service has answered."""
        self._since = None
