"""Counts of requests by operation and status, and how long they took, in Prometheus's text format.

Strategy: a scrape reaches one worker, whichever takes the connection, but asks about the server. So
each worker counts in a file of its own, mapped into memory, in a directory that the workers of one
server share, and the worker that is scraped adds up the files. Files of dead workers stay: counters
may not fall. Every worker has the same operations, so the layout is known and needs no format.
"""

from __future__ import annotations

import mmap
import os
import threading
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from registry_core import Page

STATUSES = (
    *(200, 204, 206, 304),
    *(400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 416, 429),
    *(500, 501, 503),
    0,
)
"""The statuses that are counted apart; 0 is any other."""

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram, in seconds; a request slower than all is in +Inf."""

OTHER = "other"
"""The operation of requests that no handler saw."""

_COLUMNS = len(STATUSES) + len(BUCKETS) + 2
"""Numbers per operation: a count per status, a count per bucket and +Inf, and nanoseconds."""

_INCOMPLETE = -1
"""Where the searches are counted that left something out: after all operations."""


class Metrics:
    """The counters of one worker. `record` belongs to one thread; `observe` to any."""

    def __init__(self, operations: Sequence[str]) -> None:
        self._rows = {name: i * _COLUMNS for i, name in enumerate((*operations, OTHER))}
        self._columns = {status: i for i, status in enumerate(STATUSES)}
        self._directory: Path | None = None
        self._observing = threading.Lock()
        self._counters = memoryview(bytearray(self._size)).cast("Q")

    def share(self, directory: Path) -> None:
        """Count from now on in a file of this process, for all that count in the directory."""
        self._directory = directory
        path = directory / f"{os.getpid()}.counters"
        with path.open("w+b") as file:
            file.truncate(self._size)
            self._counters = memoryview(mmap.mmap(file.fileno(), self._size)).cast("Q")

    def record(self, operation: str | None, status: int, seconds: float) -> None:
        """Count one answered request."""
        row = self._rows.get(operation or OTHER, self._rows[OTHER])
        buckets = row + len(STATUSES)
        self._counters[row + self._columns.get(status, len(STATUSES) - 1)] += 1
        self._counters[buckets + bisect_left(BUCKETS, seconds)] += 1
        self._counters[row + _COLUMNS - 1] += max(0, int(seconds * 1e9))

    def observe(self, result: object) -> None:
        """Count the result of an operation if it is incomplete."""
        if isinstance(result, Page) and result.unreadable:
            with self._observing:
                self._counters[_INCOMPLETE] += 1

    def text(self) -> str:
        """The counters of all workers, added up."""
        total = self._total()
        lines = [
            "# HELP registry_requests_total Requests answered.",
            "# TYPE registry_requests_total counter",
        ]
        for name, row in self._rows.items():
            lines += [
                f'registry_requests_total{{operation="{name}",status="{status or OTHER}"}} '
                f"{total[row + column]}"
                for status, column in self._columns.items()
                if total[row + column]
            ]
        lines += [
            "# HELP registry_request_seconds How long requests took.",
            "# TYPE registry_request_seconds histogram",
        ]
        for name, row in self._rows.items():
            lines += _histogram(name, total[row + len(STATUSES) : row + _COLUMNS])
        lines += [
            "# HELP registry_incomplete_searches_total Searches that left out damaged models.",
            "# TYPE registry_incomplete_searches_total counter",
            f"registry_incomplete_searches_total {total[_INCOMPLETE]}",
        ]
        return "\n".join(lines) + "\n"

    @property
    def _size(self) -> int:
        return (len(self._rows) * _COLUMNS + 1) * 8

    def _total(self) -> list[int]:
        total = list(self._counters)
        if self._directory is not None:
            for path in self._directory.glob("*.counters"):
                content = path.read_bytes()
                if path.stem != str(os.getpid()) and len(content) == self._counters.nbytes:
                    others = memoryview(content).cast("Q")
                    total = [mine + theirs for mine, theirs in zip(total, others, strict=True)]
        return total


def _histogram(name: str, counters: Sequence[int]) -> list[str]:
    *buckets, nanoseconds = counters
    count = sum(buckets)
    if not count:
        return []
    lines, below = [], 0
    for bound, inside in zip((*BUCKETS, "+Inf"), buckets, strict=True):
        below += inside
        lines.append(f'registry_request_seconds_bucket{{operation="{name}",le="{bound}"}} {below}')
    return [
        *lines,
        f'registry_request_seconds_sum{{operation="{name}"}} {nanoseconds / 1e9:.9f}',
        f'registry_request_seconds_count{{operation="{name}"}} {count}',
    ]
