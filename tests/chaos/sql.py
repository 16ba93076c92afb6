"""A server on SQL under fire: its processes, its database, its connections, its disk.

Real clients write to a real server with several workers. One after the other, in an order that the
seed decides, faults strike; each is ended, and the server has to be well again by itself. A prober
tells when: it makes versions of a model of its own, each over a new connection, and what it was
told it made must be there in the end. The clients' history goes to the checker.

Everything random comes from the seed but what the scheduler adds, so a failed run keeps its history.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

import attrs

from chaos import history
from chaos.client import TIMEOUT_SECONDS, Client, line
from chaos.judging import Verdict, judge, reads
from chaos.wire_calls import attempt
from chaos.worker import Course
from services.postgres import PostgresServer
from services.registry_server import RegistryServer
from services.small_disk import Disk, small_disk
from services.tcp_proxy import TcpProxy
from services.wire_client import WireClient

PATIENCE_SECONDS = 60.0
"""After which a server that is not well is given up."""

PROBES_WELL = 6
"""Probes in a row that succeed on a server that is well; several, for they meet several workers."""

PROBE_EVERY_SECONDS = 0.05

PROBE_SECONDS = 10.0
"""For the answer to a probe."""

PROBE = "probe"
"""The prober's model."""

BITE_SECONDS = 20.0
"""Within which a full disk must have been noticed."""

_CHUNK = 100
"""Page size of the last look."""


@attrs.frozen(kw_only=True)
class Plan:
    """How hard it is going to be."""

    seed: int
    faults: int = 100
    """Of each kind."""
    kinds: tuple[str, ...] = ()
    """Of faults; none given is all that the store knows."""
    clients: int = 6
    workers: int = 2
    calls_per_family: int = 120
    families_at_once: int = 4
    pace_seconds: float = 0.05
    """Mean pause of a client between two calls."""
    pause_seconds: float = 0.3
    """Mean pause between the recovery from a fault and the next one."""
    recovery_seconds: float = 10.0
    """After the end of a fault within which the server has to be well."""

    @property
    def course(self) -> Course:
        return Course(
            seed=self.seed,
            families=10**6,
            calls_per_family=self.calls_per_family,
            families_at_once=self.families_at_once,
            families_per_group=1,
        )

    def order(self, known: Iterable[str]) -> list[str]:
        """All faults, in the order in which they strike, of the kinds that are known."""
        order = sorted(set(self.kinds or known).intersection(known)) * self.faults
        random.Random(f"{self.seed}/order").shuffle(order)
        return order


@attrs.define
class Result:
    """What a run showed."""

    plan: Plan
    store: str
    seconds: float = 0.0
    families: int = 0
    probes: int = 0
    recoveries: dict[str, list[float]] = attrs.field(factory=lambda: defaultdict(list))
    """Seconds from the end of each fault until the server was well, by kind."""
    verdict: Verdict | None = None
    findings: list[str] = attrs.field(factory=list)
    """What was wrong beside that."""

    @property
    def faults(self) -> Counter[str]:
        """Number by kind."""
        return Counter({kind: len(seconds) for kind, seconds in self.recoveries.items()})

    @property
    def good(self) -> bool:
        return self.verdict is not None and self.verdict.good and not self.findings

    def table(self) -> str:
        """Faults and recoveries, as a table in Markdown."""
        lines = [
            "| fault | times | recovery, median (s) | longest (s) |",
            "| --- | ---: | ---: | ---: |",
        ]
        for kind, seconds in sorted(self.recoveries.items()):
            ordered = sorted(seconds)
            middle, longest = ordered[len(ordered) // 2], ordered[-1]
            lines.append(f"| {MEANINGS[kind]} | {len(ordered)} | {middle:.2f} | {longest:.2f} |")
        return "\n".join(lines)


MEANINGS = {
    "server": "server with all its workers killed, and started again",
    "parent": "the workers' parent killed, and the server started again",
    "worker": "one worker killed",
    "database": "PostgreSQL killed with all its processes, and started again",
    "cut": "connections to PostgreSQL reset, some after a reply was lost",
    "delay": "connections to PostgreSQL slow or silent",
    "disk": "disk full",
    "killed": "primary killed, standby promoted",
    "frozen": "primary frozen, standby promoted",
    "fenced": "primary made read-only, standby promoted",
    "leader-killed": "leader killed with its Patroni",
    "leader-frozen": "leader frozen with its Patroni",
    "volume-killed": "a server of volumes killed",
    "volume-frozen": "a server of volumes frozen for ten seconds",
    "registry-killed": "one of three registry servers killed",
    "registry-frozen": "one of three registry servers frozen",
    "database-proxy-killed": "proxy before the database killed, and started again",
    "database-proxy-frozen": "proxy before the database frozen for three seconds",
    "front-proxy-killed": "proxy before the registry killed, and started again",
    "front-proxy-frozen": "proxy before the registry frozen for three seconds",
}
"""What the kinds of faults are."""

Fault = Callable[[random.Random], float]
"""Strikes, ends, and says when it ended, in seconds of the monotonic clock."""


def endure_postgresql(plan: Plan, directory: Path) -> Result:
    """Runs the plan on PostgreSQL with the durability of production."""
    with PostgresServer(durable=True) as database, TcpProxy(database.port).running() as proxy:
        url = database.url().replace(f":{database.port}/", f":{proxy.port}/")
        with RegistryServer(url, workers=plan.workers) as server:
            faults = faults_of_server(server) | {
                "database": lambda chance: _kill_database(database, chance),
                "cut": lambda chance: _cut(proxy, chance),
                "delay": lambda chance: _delay(proxy, chance),
            }
            result = Result(plan, "postgresql")
            return endure_faults(result, server.url, faults, directory, Prober(server.url))


def endure_sqlite(plan: Plan, directory: Path) -> Result:
    """Runs the plan on a SQLite file on a small disk."""
    with (
        tempfile.TemporaryDirectory(prefix="registry-chaos-disk-") as mount,
        small_disk(Path(mount)) as disk,
    ):
        path = disk.directory / "registry.db"
        with RegistryServer(f"sqlite:///{path}", workers=plan.workers) as server:
            prober = Prober(server.url)
            faults = faults_of_server(server) | {"disk": lambda _: _fill(disk, server, prober)}
            result = endure_faults(Result(plan, "sqlite"), server.url, faults, directory, prober)
        result.findings += _damage(path)
        return result


def endure_faults(
    result: Result,
    url: str,
    faults: dict[str, Fault],
    directory: Path,
    prober: Prober,
) -> Result:
    """Runs the plan with these faults on what answers at a URL."""
    plan = result.plan
    started = time.monotonic()
    chance = random.Random(f"{plan.seed}/faults")
    with prober, _Clients(url, plan, directory) as herd:
        for kind in plan.order(faults):
            time.sleep(chance.uniform(0, 2 * plan.pause_seconds))
            herd.check()
            ended = faults[kind](chance)
            well = prober.await_well()
            result.recoveries[kind].append(well - ended)
            if well - ended > plan.recovery_seconds:
                result.findings.append(f"well only {well - ended:.1f} s after: {MEANINGS[kind]}")
    _look(url, directory, result)
    result.findings += prober.findings()
    result.probes = len(prober.acknowledged)
    result.seconds = time.monotonic() - started
    result.verdict = judge(directory)
    return result


# Faults


def faults_of_server(server: RegistryServer) -> dict[str, Fault]:
    """What can be done to its processes."""
    return {
        "server": lambda chance: _kill_server(server, chance),
        "parent": lambda _: _kill_parent(server),
        "worker": lambda chance: _kill_worker(server, chance),
    }


def _kill_server(server: RegistryServer, chance: random.Random) -> float:
    server.kill()
    time.sleep(chance.uniform(0, 0.5))
    ended = time.monotonic()
    server.start()
    return ended


def _kill_parent(server: RegistryServer) -> float:
    server.kill_parent()
    ended = time.monotonic()
    # The workers end by themselves; until they have, another server has no port to listen on.
    while server.is_listening():
        assert time.monotonic() < ended + PATIENCE_SECONDS, "workers without a parent go on"
        time.sleep(0.01)
    server.start()
    return ended


def _kill_worker(server: RegistryServer, chance: random.Random) -> float:
    workers = server.workers()
    victim = chance.choice(workers)
    os.kill(victim, signal.SIGKILL)
    ended = time.monotonic()
    while len(set(server.workers()) - {victim}) < len(workers):
        assert time.monotonic() < ended + PATIENCE_SECONDS, "a killed worker is not replaced"
        time.sleep(0.01)
    return ended


def _kill_database(database: PostgresServer, chance: random.Random) -> float:
    database.kill()
    time.sleep(chance.uniform(0, 1.0))
    database.start()
    return time.monotonic()


def _cut(proxy: TcpProxy, chance: random.Random) -> float:
    # Some replies are lost first, so that commits are made which nobody hears of.
    proxy.is_deaf = chance.random() < 0.5
    time.sleep(0.1)
    proxy.is_closed = True
    proxy.cut()
    proxy.is_deaf = False
    time.sleep(chance.uniform(0, 0.5))
    proxy.is_closed = False
    return time.monotonic()


def _delay(proxy: TcpProxy, chance: random.Random) -> float:
    # The longest is more than the store waits for a sign of life.
    proxy.delay_seconds = chance.choice([0.05, 0.2, 5.0])
    time.sleep(chance.uniform(0.5, 2.0))
    proxy.delay_seconds = 0.0
    return time.monotonic()


def _fill(disk: Disk, server: RegistryServer, prober: Prober) -> float:
    refused = prober.refused
    disk.fill(server.pid)
    deadline = time.monotonic() + BITE_SECONDS
    while prober.refused == refused:
        assert time.monotonic() < deadline, "a full disk refuses no write"
        time.sleep(0.01)
    disk.free(server.pid)
    return time.monotonic()


# Probing


class Prober:
    """A thread that makes a version every few milliseconds, over a new connection each."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.acknowledged: list[tuple[int, str]] = []
        """Number and source of every version that was acknowledged."""
        self.refused = 0
        """Probes that were not."""
        self.last = ""
        """What the last of these was answered."""
        self._tried: set[str] = set()
        self._streak: list[tuple[float, float]] = []
        """When each probe since the last that failed was begun and answered."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        with WireClient(self._url) as once:
            assert once.post("/registered-models/create", name=PROBE).status == 200
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def await_well(self) -> float:
        """When the first of enough probes in a row succeeded that have begun after this call."""
        called = time.monotonic()
        while time.monotonic() < called + PATIENCE_SECONDS:
            since = [answered for began, answered in tuple(self._streak) if began > called]
            if len(since) >= PROBES_WELL:
                return since[0]
            time.sleep(0.005)
        raise AssertionError(f"the server did not recover at all: {self.last}")

    def findings(self) -> list[str]:
        """What is wrong with the versions that are there now, beside those acknowledged."""
        with WireClient(self._url) as reader:
            found = _all_versions(reader, PROBE)
        numbers = [number for number, _ in found]
        sources = Counter(source for _, source in found)
        wrong = [f"lost: {one}" for one in set(self.acknowledged) - set(found)]
        wrong += [f"made twice: {source}" for source, times in sources.items() if times > 1]
        wrong += [f"never asked for: {source}" for source in sources.keys() - self._tried]
        if numbers != list(range(1, len(numbers) + 1)):
            wrong.append(f"the versions of {PROBE} are not numbered from 1 without a gap")
        return wrong

    def _run(self) -> None:
        for number in itertools.count():
            if self._stop.wait(PROBE_EVERY_SECONDS):
                return
            source, began = f"s3://b/{number}", time.monotonic()
            self._tried.add(source)
            with WireClient(self._url, timeout_seconds=PROBE_SECONDS) as probe:
                try:
                    answer = probe.post("/model-versions/create", name=PROBE, source=source)
                except OSError as error:
                    answer, self.last = None, repr(error)
            if answer is None or answer.status != 200:
                self.refused += 1
                if answer is not None:
                    self.last = f"{answer.status} {answer.body[:200]!r}"
                self._streak = []
                continue
            self.acknowledged.append((int(answer.json["model_version"]["version"]), source))
            self._streak.append((began, time.monotonic()))


def _all_versions(reader: WireClient, name: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    token = ""
    while True:
        page = reader.get(
            "/model-versions/search",
            filter=f"name = '{name}'",
            order_by="version_number ASC",
            max_results=str(_CHUNK),
            page_token=token,
        ).json
        found += [(int(v["version"]), v["source"]) for v in page.get("model_versions", ())]
        token = page.get("next_page_token", "")
        if not token:
            return found


# Clients


class _Clients:
    """Client processes, for as long as the context lasts."""

    def __init__(self, url: str, plan: Plan, directory: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["chaos.client"])
        self._stop = context.Event()
        made: MutableSequence[int] = context.RawArray("q", plan.clients)
        clients = [
            Client(
                url=url,
                course=plan.course,
                pace_seconds=plan.pace_seconds,
                slot=slot,
                log=directory / f"{slot:02}.jsonl",
            )
            for slot in range(plan.clients)
        ]
        self._processes: list[BaseProcess] = [
            context.Process(target=client.run, args=(made, self._stop)) for client in clients
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for process in self._processes:
            process.join(3 * TIMEOUT_SECONDS)
            process.kill()

    def check(self) -> None:
        assert all(process.is_alive() for process in self._processes), "a client has died"


# Judging


def _look(url: str, directory: Path, result: Result) -> None:
    # Read everything once more, over a new connection.
    families = sorted({family for family, _ in history.recorded(directory)})
    result.families = len(families)
    with (
        (directory / "final.jsonl").open("w", encoding="utf-8") as lines,
        WireClient(url) as reader,
    ):
        for family in families:
            for name, arguments in reads(family):
                start = time.monotonic_ns()
                outcome = attempt(reader, family, name, arguments)
                lines.write(line(start, family, name, arguments))
                lines.write(line(time.monotonic_ns(), outcome))
                if name == "list":
                    result.findings += [f"{family}: {w}" for w in _dangling(reader, outcome)]


def _dangling(reader: WireClient, listed: Any) -> Iterator[str]:
    """Aliases on versions that do not exist."""
    for model, (_, aliases, _) in listed:
        numbers = {number for number, _ in _all_versions(reader, model)}
        for alias, number in aliases:
            if number not in numbers:
                yield f"alias {alias} of {model} is on version {number}, which does not exist"


def _damage(path: Path) -> list[str]:
    """What SQLite itself finds wrong with the file."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("PRAGMA integrity_check").fetchall()
        rows += database.execute("PRAGMA foreign_key_check").fetchall()
    return [f"the file: {row}" for row in rows if row != ("ok",)]
