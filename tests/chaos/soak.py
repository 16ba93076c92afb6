"""Half an hour at full load, in which nothing may grow: memory, latency, files, connections.

Clients without a pause between two requests lead model after model through its life, on a server
with several workers; what they create they delete, so that the data stays as large as it is. Every
few seconds the server is looked at from outside. The first third is for warming up, the second is
what the last one is held against.

Latency on a machine that others use too says as much about them as about the server. So the CPU time
that a request costs is measured as well, and how much of the machine was the others'.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import multiprocessing
import os
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

import attrs
import psycopg

from bench.load import cpu_seconds, family, pss_mib
from services.postgres import PostgresServer
from services.registry_server import RegistryServer
from services.wire_client import Response, WireClient

SAMPLE_SECONDS = 5.0
"""Between two looks at a server."""

STANDING_MODELS = 200
"""Models that are there throughout, for searches to find."""

VERSIONS = 4
"""Versions that each model has."""

MEMORY_TOLERANCE = 1.05
"""How much memory the last third may take of what the second took."""

COST_TOLERANCE = 1.10
"""How much CPU time a request in the last third may cost of what it cost in the second."""

LATENCY_TOLERANCE = 1.25
"""How long a request may take in the last third, in the median and as one of the slowest."""

START_SECONDS = 60.0
"""For the clients to begin."""

END_SECONDS = 30.0
"""For a client to finish the life that it is in."""

_STEP = 1.05
_BUCKETS = 300
_SHORTEST_SECONDS = 50e-6
"""Latencies are counted in buckets of 5 %, from 50 µs on."""


@attrs.frozen(kw_only=True)
class Load:
    """What a server has to bear."""

    seed: int
    minutes: float = 30.0
    workers: int = 2
    clients: int = 8
    """Client processes; each has one request under way at any time."""
    sample_seconds: float = SAMPLE_SECONDS


@attrs.frozen
class Sample:
    """A few seconds of a server."""

    requests: int
    """Per second."""
    p50_ms: float
    p99_ms: float
    memory_mib: float
    """Of all the server's processes, shared pages counted in part."""
    files: int
    """Open files of all the server's processes, sockets among them."""
    database_connections: int
    """As the database counts them; of SQLite, open files of the database."""
    cpu_us: float
    """Of the server's processes, for one request."""
    data_mib: float
    others_percent: float
    """Share of the machine that neither this server nor its clients and database used."""


@attrs.define
class Report:
    """All samples of one server, and what was left when the load ended."""

    store: str
    samples: list[Sample] = attrs.field(factory=list)
    failures: int = 0
    """Requests with an answer that they should not have."""
    files_before: int = 0
    files_after: int = 0
    """Without any client: the difference are connections to the database, which are kept."""
    database_connections_most: int = 0
    """As many as the server may keep."""

    def thirds(self) -> list[list[Sample]]:
        """The samples of the first, second and last third of the time."""
        size = len(self.samples) // 3
        return [self.samples[:size], self.samples[size : 2 * size], self.samples[2 * size :]]

    def median(self, third: int, figure: str) -> float:
        """The median of a figure over a third."""
        return statistics.median(getattr(sample, figure) for sample in self.thirds()[third])

    def most(self, third: int, figure: str) -> float:
        """The most of a figure in a third."""
        return max(getattr(sample, figure) for sample in self.thirds()[third])

    def findings(self) -> list[str]:
        """What grew; nothing, if all is well."""
        found = [
            f"{figure} grew from {self.median(1, figure):.1f} to {self.median(2, figure):.1f}"
            for figure, tolerance in (
                ("memory_mib", MEMORY_TOLERANCE),
                ("cpu_us", COST_TOLERANCE),
                ("p50_ms", LATENCY_TOLERANCE),
                ("p99_ms", LATENCY_TOLERANCE),
            )
            if self.median(2, figure) > tolerance * self.median(1, figure)
        ]
        found += [
            f"{figure} grew from {self.most(1, figure)} to {self.most(2, figure)}"
            for figure in ("files", "database_connections")
            if self.median(2, figure) > self.median(1, figure)
            and self.most(2, figure) > self.most(1, figure)
        ]
        if self.most(2, "database_connections") > self.database_connections_most:
            found.append("more connections to the database than the server may keep")
        if self.files_after > self.files_before + self.database_connections_most:
            found.append(f"{self.files_after} files are open without a client")
        if self.failures:
            found.append(f"{self.failures} requests had an answer that they should not have")
        return found

    def table(self) -> str:
        """The figures of each third, as a table in Markdown."""
        lines = [
            f"| {self.store} | first third | second | last |",
            "| --- | ---: | ---: | ---: |",
        ]
        for figure, name, digits in (
            ("requests", "requests per second", 0),
            ("p50_ms", "latency, median (ms)", 1),
            ("p99_ms", "latency, 99th percentile (ms)", 1),
            ("cpu_us", "CPU time of the server per request (µs)", 0),
            ("memory_mib", "memory of the server's processes (MiB)", 1),
            ("files", "open files and sockets", 0),
            ("database_connections", "connections to the database", 0),
            ("data_mib", "size of the database (MiB)", 1),
            ("others_percent", "of the machine, used by others (%)", 0),
        ):
            values = [f"{self.median(third, figure):.{digits}f}" for third in range(3)]
            lines.append(f"| {name} | {' | '.join(values)} |")
        return "\n".join(lines)


@attrs.frozen
class Database:
    """A store to soak: its URL, and how it is looked at."""

    name: str
    url: str
    connections: Callable[[RegistryServer], int]
    size_mib: Callable[[], float]
    pid: int | None = None


def soak(database: Database, load: Load) -> Report:
    """The samples of a server on that database under the load."""
    report = Report(database.name)
    with RegistryServer(database.url, workers=load.workers) as server:
        report.database_connections_most = load.workers * _CONNECTIONS_OF_A_WORKER[database.name]
        _furnish(server.url)
        report.files_before = _files(server.pid)
        with _Clients(server.url, load) as clients:
            _watch(server, database, clients, load, report)
        report.failures = clients.failures
        report.files_after = _settled_files(server.pid)
    return report


_CONNECTIONS_OF_A_WORKER = {"postgresql": 16, "sqlite": 3 * 16}
"""A connection of SQLite is up to three open files: the database, its log, its index."""


@contextlib.contextmanager
def postgresql() -> Iterator[Database]:
    """A PostgreSQL with the durability of production."""
    with PostgresServer(durable=True) as server:

        def ask(question: str) -> float:
            with psycopg.connect(server.url(), autocommit=True) as admin:
                row = admin.execute(question).fetchone()
            assert row is not None
            return float(row[0])

        counting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'registry'"
        sizing = "SELECT pg_database_size(current_database()) / 1048576.0"
        yield Database(
            "postgresql",
            server.url(),
            lambda _: int(ask(counting)),
            lambda: ask(sizing),
            server.pid,
        )


@contextlib.contextmanager
def sqlite() -> Iterator[Database]:
    """A database file."""
    directory = Path(mkdtemp(prefix="registry-soak-"))

    def size() -> float:
        return sum(file.stat().st_size for file in directory.iterdir()) / 2**20

    def connections(server: RegistryServer) -> int:
        return sum(target.startswith(str(directory)) for target in _open_files(server.pid))

    try:
        yield Database("sqlite", f"sqlite:///{directory}/registry.db", connections, size)
    finally:
        shutil.rmtree(directory)


def _furnish(url: str) -> None:
    with WireClient(url) as client:
        for number in range(STANDING_MODELS):
            name = f"standing-{number:03}"
            tags = [{"key": "team", "value": f"t{number % 20}"}]
            client.post("/registered-models/create", name=name, tags=tags)
            for _ in range(VERSIONS):
                client.post("/model-versions/create", name=name, source="s3://b/p")


# Looking


def _watch(
    server: RegistryServer, database: Database, clients: _Clients, load: Load, report: Report
) -> None:
    ends = time.monotonic() + 60 * load.minutes
    before = _Look.at(server, database, clients)
    while time.monotonic() < ends:
        time.sleep(load.sample_seconds)
        clients.check()
        now = _Look.at(server, database, clients)
        report.samples.append(_sample(before, now, server, database))
        before = now


@attrs.frozen
class _Look:
    """Counters that only grow."""

    at_seconds: float
    counts: tuple[int, ...]
    server_cpu: float
    our_cpu: float
    busy_cpu: float

    @classmethod
    def at(cls, server: RegistryServer, database: Database, clients: _Clients) -> _Look:
        server_cpu = cpu_seconds(server.pid)
        ours = server_cpu + cpu_seconds(database.pid)
        ours += sum(cpu_seconds(pid) for pid in clients.pids)
        return cls(time.monotonic(), clients.counts(), server_cpu, ours, _busy_seconds())


def _sample(before: _Look, now: _Look, server: RegistryServer, database: Database) -> Sample:
    seconds = now.at_seconds - before.at_seconds
    counts = [after - earlier for after, earlier in zip(now.counts, before.counts, strict=True)]
    requests = max(1, sum(counts))
    others = (now.busy_cpu - before.busy_cpu) - (now.our_cpu - before.our_cpu)
    return Sample(
        requests=round(requests / seconds),
        p50_ms=_percentile(counts, 0.50),
        p99_ms=_percentile(counts, 0.99),
        memory_mib=pss_mib(server.pid),
        files=_files(server.pid),
        database_connections=database.connections(server),
        cpu_us=(now.server_cpu - before.server_cpu) / requests * 1e6,
        data_mib=database.size_mib(),
        others_percent=max(0.0, 100 * others / seconds / (os.cpu_count() or 1)),
    )


def _busy_seconds() -> float:
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def _open_files(pid: int) -> list[str]:
    found = []
    for member in family(pid):
        for entry in Path(f"/proc/{member}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.append(str(entry.readlink()))
    return found


def _files(pid: int) -> int:
    return len(_open_files(pid))


def _settled_files(pid: int) -> int:
    # The server learns a little later than its clients that they are gone.
    found = _files(pid)
    for _ in range(50):
        time.sleep(0.1)
        found = min(found, _files(pid))
    return found


def _percentile(counts: Sequence[int], share: float) -> float:
    rank = share * sum(counts)
    for bucket, reached in enumerate(itertools.accumulate(counts)):
        if reached >= rank:
            return _SHORTEST_SECONDS * _STEP**bucket * 1_000
    return math.inf


# Clients


class _Clients:
    """Client processes, for as long as the context lasts, and what they have counted."""

    def __init__(self, url: str, load: Load) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["chaos.soak"])
        self._stop = context.Event()
        # One line each: buckets of latencies, and failures last.
        self._counts = [context.RawArray("q", _BUCKETS + 1) for _ in range(load.clients)]
        self._processes: list[BaseProcess] = [
            context.Process(
                target=_live, args=(url, f"{load.seed}/{number}", number, counts, self._stop)
            )
            for number, counts in enumerate(self._counts)
        ]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes if process.pid is not None]

    @property
    def failures(self) -> int:
        return sum(counts[_BUCKETS] for counts in self._counts)

    def counts(self) -> tuple[int, ...]:
        return tuple(
            sum(column) for column in zip(*(c[:_BUCKETS] for c in self._counts), strict=True)
        )

    def check(self) -> None:
        assert all(process.is_alive() for process in self._processes), "a client has died"

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        deadline = time.monotonic() + START_SECONDS
        while not all(map(any, self._counts)):
            assert time.monotonic() < deadline, "a client does not begin"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for process in self._processes:
            process.join(END_SECONDS)
            process.kill()


def _live(url: str, seed: str, number: int, counts: MutableSequence[int], stop: object) -> None:
    chance = random.Random(seed)
    for life in itertools.count():
        # A connection each, so that one that is not closed would show.
        with WireClient(url) as client:
            for expected, call in _life(client, f"passing-{number}-{life}", chance):
                began = time.perf_counter()
                answer = call()
                _count(counts, time.perf_counter() - began)
                counts[_BUCKETS] += answer.status != expected
        if stop.is_set():
            return


def _count(counts: MutableSequence[int], seconds: float) -> None:
    bucket = math.log(max(seconds, _SHORTEST_SECONDS) / _SHORTEST_SECONDS, _STEP)
    counts[min(_BUCKETS - 1, math.ceil(bucket))] += 1


def _life(
    client: WireClient, name: str, chance: random.Random
) -> Iterator[tuple[int, Callable[[], Response]]]:
    """The expected status and the call of everything that happens to a model."""
    models, versions, aliases = "/registered-models", "/model-versions", "/registered-models/alias"
    tags = [{"key": "team", "value": "passing"}, {"key": "note", "value": "n" * 2_000}]
    yield 200, lambda: client.post(f"{models}/create", name=name, tags=tags)
    yield 400, lambda: client.post(f"{models}/create", name=name)
    for number in map(str, range(1, VERSIONS + 1)):
        yield 200, lambda: client.post(f"{versions}/create", name=name, source="s3://b/p")
        of_version = {"name": name, "version": number}
        yield (
            200,
            lambda v=of_version: client.post(f"{versions}/set-tag", **v, key="k", value="v" * 50),
        )
        yield (
            200,
            lambda v=of_version: client.post(
                f"{versions}/transition-stage",
                **v,
                stage="Production",
                archive_existing_versions=True,
            ),
        )
        yield 200, lambda v=of_version: client.post(aliases, **v, alias="champion")
        for _ in range(3):
            standing = f"standing-{chance.randrange(STANDING_MODELS):03}"
            team = f"tags.team = 't{chance.randrange(20)}'"
            yield 200, lambda s=standing: client.get(f"{models}/get", name=s)
            yield 200, lambda v=of_version: client.get(f"{versions}/get", **v)
            yield 200, lambda: client.get(aliases, name=name, alias="champion")
            yield 200, lambda t=team: client.get(f"{models}/search", filter=t, max_results="10")
    yield 200, lambda: client.get(f"{versions}/search", filter=f"name = '{name}'")
    yield 400, lambda: client.get(f"{versions}/search", filter="name ~ 'x'")
    yield 404, lambda: client.get(f"{models}/get", name=f"{name}-absent")
    yield 200, lambda: client.post(f"{models}/rename", name=name, new_name=f"{name}-renamed")
    yield 200, lambda: client.delete(f"{versions}/delete", name=f"{name}-renamed", version="1")
    yield 200, lambda: client.delete(f"{models}/delete", name=f"{name}-renamed")
