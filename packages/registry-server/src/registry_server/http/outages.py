"""How long a client should wait before it asks again, while the store is away or busy.

Strategy: MLflow's client repeats a call seven times and, where the server names a time, waits
exactly that long before each. Always one second, and it gives up a database that is restarted
within seven. So the answer asks it to wait as long again as the store has been away by now: a short
outage is over soon, and a long one, as of a failover, is survived for a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from registry_core import StoreUnavailableError

MIN_RETRY_AFTER_SECONDS = 1
"""The shortest wait that a client is asked for; the header has whole seconds, and 0 means none."""

MAX_RETRY_AFTER_SECONDS = 30
"""The longest. A client that begins with an outage then asks for the last time after 62 seconds;
one that was asked so shortly before its end waits needlessly for as long."""

_LULL_SECONDS = 5.0
"""How long nothing must fail, after a change has succeeded or after a client should have come back,
for an outage to be over: a database that comes and goes is away."""


class Outage:
    """The time for which the store has been away, from the failures that are noted.

    What ends it is the success of a change: a read may succeed on a database that takes no writes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = self._until = float("-inf")

    def end(self) -> None:
        """Take into account that a change has succeeded."""
        if self._until > self._since:
            self._until = min(self._until, self._clock() + _LULL_SECONDS)

    def note(self) -> int:
        """Return the seconds to wait after a failure now."""
        now = self._clock()
        if now > self._until:
            self._since = now
        away = int(now - self._since)
        wait = max(MIN_RETRY_AFTER_SECONDS, min(away, MAX_RETRY_AFTER_SECONDS))
        self._until = max(self._until, now + wait + _LULL_SECONDS)
        return wait


_outage = Outage()
"""Of the store of this process."""


def end() -> None:
    """Take into account that a change has succeeded: the store is back, if it was away."""
    _outage.end()


def retry_after_seconds(error: Exception) -> int:
    """Return how long a client should wait that gets this error; noted if the store is away."""
    if not isinstance(error, StoreUnavailableError):
        return MIN_RETRY_AFTER_SECONDS
    return max(_outage.note(), min(error.retry_after_seconds, MAX_RETRY_AFTER_SECONDS))
