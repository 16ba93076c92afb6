"""What a server does, in Prometheus's text format.

Strategy: a scrape reaches one worker, whichever takes the connection, but asks about the server. So
each worker counts in a file of its own, mapped into memory, in a directory that the workers of one
server share, and the worker that is scraped adds up the files. Counters of dead workers stay, since
they may not fall. Gauges are written into the same file once a second, with the time, and count
while that is not long ago. Every worker has the same table, so the layout needs no format.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from registry_core import Page
from registry_server.http import exposition
from registry_server.http.exposition import Family, Sample

STATUSES = (
    *(200, 204, 206, 303, 304),
    *(400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 416, 429),
    *(500, 501, 503),
    0,
)
"""The statuses that are counted apart; 0 is any other."""

BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of the latency histograms, in seconds; what is slower than all is in +Inf. Reads
take some tenths of a millisecond."""

OTHER = "other"
"""The operation of requests that no handler saw, and its group."""

LIVE_SECONDS = 10.0
"""How old the gauges of a worker may be. It writes them each second while its loop goes on."""

DIRECTIONS = ("in", "out")
"""Of the bytes of artifacts, as the server sees them."""

_HISTOGRAM = len(BUCKETS) + 2
"""Numbers of a histogram: a count per bucket and +Inf, and nanoseconds."""

_COLUMNS = len(STATUSES) + _HISTOGRAM
"""Numbers per operation: a count per status, and a histogram."""


@attrs.frozen(kw_only=True)
class Gauge:
    """A number of each worker; the workers' are added up."""

    name: str
    help: str
    read: Callable[[], int]
    labels: Mapping[str, str] = attrs.field(factory=dict)


class Metrics:
    """The counters of one worker. `record` and `stored` belong to one thread; `observe` to any."""

    def __init__(
        self,
        operations: Mapping[str, str],
        *,
        works: Sequence[str] = (),
        gauges: Sequence[Gauge] = (),
        extra: Callable[[], Iterable[Family]] = tuple,
    ) -> None:
        """`operations` has the group of each, `works` the kinds of calls to the store.

        `extra` gives further families at a scrape, of the whole server.
        """
        self._groups = {**operations, OTHER: OTHER}
        self._rows = {name: i * _COLUMNS for i, name in enumerate(self._groups)}
        self._places: dict[tuple[str | None, int], tuple[int, int]] = {}
        """Of what has been counted before; there are as many as operations and statuses."""
        self._columns = {status: i for i, status in enumerate(STATUSES)}
        after = len(self._rows) * _COLUMNS
        self._works = {work: after + i * _HISTOGRAM for i, work in enumerate(works)}
        self._bytes = after + len(works) * _HISTOGRAM
        self._incomplete = self._bytes + len(DIRECTIONS)
        self._stamp = self._incomplete + 1
        self._length = self._stamp + 1 + len(gauges)
        self._gauges = gauges
        self._extra = extra
        self._directory: Path | None = None
        self._observing = threading.Lock()
        self._counters = memoryview(bytearray(self._length * 8)).cast("Q")

    def share(self, directory: Path) -> None:
        """Count from now on in a file of this process, for all that count in the directory."""
        self._directory = directory
        path = directory / f"{os.getpid()}.counters"
        with path.open("w+b") as file:
            file.truncate(self._length * 8)
            self._counters = memoryview(mmap.mmap(file.fileno(), self._length * 8)).cast("Q")

    # Counting

    def record(self, operation: str | None, status: int, seconds: float) -> None:
        """Count one answered request."""
        place = self._places.get((operation, status))
        if place is None:
            place = self._places[operation, status] = self._place(operation, status)
        self._counters[place[0]] += 1
        self._time(place[1], seconds)

    def moved(self, *, received: int, sent: int) -> None:
        """Count bytes of artifacts."""
        self._counters[self._bytes] += received
        self._counters[self._bytes + 1] += sent

    def stored(self, work: str, seconds: float) -> None:
        """Count one call to the store."""
        self._time(self._works[work], seconds)

    def observe(self, result: object) -> None:
        """Count the result of an operation if it is incomplete."""
        if isinstance(result, Page) and result.unreadable:
            with self._observing:
                self._counters[self._incomplete] += 1

    def sample(self) -> None:
        """Write down the gauges of this worker; to be called about once a second."""
        for place, gauge in enumerate(self._gauges, self._stamp + 1):
            self._counters[place] = max(0, gauge.read())
        self._counters[self._stamp] = time.monotonic_ns()

    def _place(self, operation: str | None, status: int) -> tuple[int, int]:
        """Where requests of an operation with a status are counted, and its histogram is."""
        row = self._rows.get(operation or OTHER, self._rows[OTHER])
        return row + self._columns.get(status, len(STATUSES) - 1), row + len(STATUSES)

    def _time(self, place: int, seconds: float) -> None:
        counters = self._counters
        counters[place + bisect_left(BUCKETS, seconds)] += 1
        if seconds > 0:
            counters[place + _HISTOGRAM - 1] += int(seconds * 1e9)

    # Showing

    def text(self) -> str:
        """Return the counters of all workers, added up."""
        self.sample()
        workers = list(self._workers())
        return exposition.text([*self._families(workers), *self._extra()])

    def _families(self, workers: Sequence[Sequence[int]]) -> Iterable[Family]:
        total = [sum(column) for column in zip(*workers, strict=True)]
        yield Family(
            "registry_requests_total", "counter", "Requests answered.", self._statuses(total)
        )
        yield Family(
            "registry_request_seconds",
            "histogram",
            "How long requests took.",
            self._histograms(total),
        )
        yield Family(
            "registry_store_seconds",
            "histogram",
            "How long calls to the store took, once they had their turn.",
            [
                sample
                for work, place in self._works.items()
                for sample in _histogram({"work": work}, total[place : place + _HISTOGRAM])
            ],
        )
        yield Family(
            "registry_artifact_bytes_total",
            "counter",
            "Bytes of artifacts that passed through the server.",
            [
                Sample({"direction": direction}, total[self._bytes + i])
                for i, direction in enumerate(DIRECTIONS)
            ],
        )
        yield Family(
            "registry_incomplete_searches_total",
            "counter",
            "Searches that left out damaged models.",
            [Sample({}, total[self._incomplete])],
        )
        yield from self._of_live_workers(workers)

    def _statuses(self, total: Sequence[int]) -> list[Sample]:
        return [
            Sample({**self._labels(name), "status": str(status or OTHER)}, total[row + column])
            for name, row in self._rows.items()
            for status, column in self._columns.items()
            if total[row + column]
        ]

    def _histograms(self, total: Sequence[int]) -> list[Sample]:
        return [
            sample
            for name, row in self._rows.items()
            for sample in _histogram(
                self._labels(name), total[row + len(STATUSES) : row + _COLUMNS]
            )
        ]

    def _labels(self, operation: str) -> dict[str, str]:
        return {"group": self._groups[operation], "operation": operation}

    def _of_live_workers(self, workers: Sequence[Sequence[int]]) -> Iterable[Family]:
        oldest = time.monotonic_ns() - int(LIVE_SECONDS * 1e9)
        live = [counters for counters in workers if counters[self._stamp] > oldest]
        count = Sample({}, len(live))
        yield Family("registry_workers", "gauge", "Workers whose event loop goes on.", [count])
        families: dict[str, Family] = {}
        for place, gauge in enumerate(self._gauges, self._stamp + 1):
            family = families.setdefault(
                gauge.name, Family(gauge.name, "gauge", gauge.help, samples=[])
            )
            family.samples.append(Sample(gauge.labels, sum(each[place] for each in live)))
        yield from families.values()

    def _workers(self) -> Iterable[Sequence[int]]:
        """The counters of each worker, dead ones included."""
        yield self._counters
        if self._directory is not None:
            for path in self._directory.glob("*.counters"):
                content = path.read_bytes()
                # Another release's file is not ours to read.
                if path.stem != str(os.getpid()) and len(content) == self._length * 8:
                    yield memoryview(content).cast("Q")


def _histogram(labels: Mapping[str, str], counters: Sequence[int]) -> list[Sample]:
    *buckets, nanoseconds = counters
    count = sum(buckets)
    if not count:
        return []
    samples, below = [], 0
    for bound, inside in zip((*BUCKETS, "+Inf"), buckets, strict=True):
        below += inside
        samples.append(Sample({**labels, "le": str(bound)}, below, "_bucket"))
    return [
        *samples,
        Sample(labels, nanoseconds / 1e9, "_sum"),
        Sample(labels, count, "_count"),
    ]
