"""How long to wait between the attempts at one thing: capped exponential backoff, full jitter.

Every loop of the project that waits and tries again takes its pauses from a `Backoff`; what may be
repeated, how often and for how long is the loop's own. Two kinds of wait are no backoff: one for
something that wakes the waiting thread (a connection given back, a job that is due), and a look at
fixed intervals at what the same process supervises (workers, the listening socket).

The rule is "full jitter" of Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015: a pause is drawn evenly from zero up to a ceiling that doubles with each failure. Clients that
failed together, in a lost race or an outage, come back spread over the whole interval. Of the rules
compared there it needs the fewest attempts in all, and it completes about as early as any.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import attrs


@attrs.frozen(kw_only=True)
class Backoff:
    """The pauses of one kind of loop, in seconds.

    Pick `first_seconds` like the time in which a failure of the most common kind is over, and
    `longest_seconds` so that a recovery is noticed soon.
    """

    first_seconds: float = attrs.field(validator=attrs.validators.ge(0))
    """The ceiling of the first pause, which lasts half as long on average."""

    longest_seconds: float = attrs.field(validator=attrs.validators.ge(0))
    """The ceiling past which none grows."""

    def ceiling(self, failures: int) -> float:
        """Return the longest pause after so many failures in a row; 1 for the first of them."""
        try:
            return min(self.longest_seconds, self.first_seconds * 2.0 ** (failures - 1))
        except OverflowError:
            return self.longest_seconds

    def pause(self, failures: int) -> float:
        """Draw the seconds to wait after so many failures in a row."""
        return random.uniform(0, self.ceiling(failures))  # noqa: S311 jitter is not a secret

    def pauses(self, *, until: float) -> Iterator[float]:
        """Draw one pause after the other, until the monotonic clock has passed `until`.

        A pause may reach beyond that moment: so the last attempt comes after it, never long before.
        """
        failures = 0
        while time.monotonic() < until:
            failures += 1
            yield self.pause(failures)
