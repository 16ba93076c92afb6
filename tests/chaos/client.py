"""A client process of a server under fire: it calls, waits and tries again, as MLflow's does.

It writes down what `worker` writes, one call for each attempt. An attempt has a value of its own,
so that a change that was made twice is not taken for two attempts that were made once each.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, MutableSequence
from pathlib import Path
from threading import Event
from typing import Any, TextIO

import attrs

from chaos.calls import NOTHING, choose
from chaos.linearizability import UNKNOWN
from chaos.wire_calls import attempt
from chaos.worker import Course, family_name
from services.wire_client import WireClient

ATTEMPTS = 8
"""Of one call: MLflow's client makes seven retries."""

FIRST_DELAY_SECONDS = 0.05
"""Before the first retry, doubled each time; MLflow's begins with seconds, but the run is short."""

LONGEST_DELAY_SECONDS = 1.0

TIMEOUT_SECONDS = 20.0
"""For an answer; longer than a server may take to say that its database does not answer."""


@attrs.frozen(kw_only=True)
class Client:
    """What one process does."""

    url: str
    course: Course
    pace_seconds: float
    """Mean pause between two calls."""
    slot: int
    log: Path

    def run(self, made: MutableSequence[int], stop: Event) -> None:
        """Makes calls until it is told to stop; `made[slot]` counts them.

        The calls are those of the seed, the process and their number, whatever becomes of the
        others; only the family depends on how far all of them are.
        """
        with (
            self.log.open("a", encoding="utf-8", buffering=1) as lines,
            WireClient(self.url, timeout_seconds=TIMEOUT_SECONDS) as wire,
        ):
            while not stop.is_set():
                seed = f"{self.course.seed}/{self.slot}/{made[self.slot]}"
                family = self.course.family(sum(made), random.Random(f"{seed}/family"))
                self._call(wire, seed, family_name(family), lines, stop)
                made[self.slot] += 1
                stop.wait(random.Random(f"{seed}/pace").uniform(0, 2 * self.pace_seconds))

    def _call(self, wire: WireClient, seed: str, family: str, lines: TextIO, stop: Event) -> None:
        for number, delay in enumerate(_delays()):
            name, arguments = choose(random.Random(seed), family, f"{seed}/{number}")
            lines.write(line(time.monotonic_ns(), family, name, arguments))
            outcome = attempt(wire, family, name, arguments)
            lines.write(line(time.monotonic_ns(), outcome))
            if outcome not in (UNKNOWN, NOTHING) or stop.wait(delay):
                return


def _delays() -> Iterator[float]:
    for number in range(ATTEMPTS):
        longest = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2**number)
        # Jitter, that nobody needs to replay.
        yield random.uniform(longest / 2, longest)


def line(*values: Any) -> str:
    """A line of a log."""
    return json.dumps(values) + "\n"
