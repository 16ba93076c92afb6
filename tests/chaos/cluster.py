"""Several servers past one machine: on PostgreSQL under Patroni, and on a bucket of many servers.

A proxy shares the requests out among three registry servers. What is behind them and beside them is
killed and frozen in turn: the leader or a server of volumes, a registry server, the proxies. Each
comes back before the next one goes, as somebody's supervisor would see to. Writes and reads go on
meanwhile, as in `chaos.sql`: nothing acknowledged may be lost, nothing made twice.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import attrs
import pytest

from chaos.sql import Fault, Plan, Prober, Result, endure_faults
from services.haproxy import Proxy
from services.patroni import PatroniCluster
from services.processes import Process, descendants
from services.registry_server import RegistryServer
from services.s3 import store_url
from services.seaweed_cluster import SeaweedCluster
from services.wire_client import WireClient

SERVERS = 3

WRITING_SECONDS = 30.0
"""After a leader's death within which writes succeed again, Patroni's own time included."""

READ_GAP_SECONDS = 5.0
"""The longest time for which a bucket may not be read."""

FROZEN_SECONDS = 3.0
"""How long a proxy that comes back is frozen."""

VOLUME_FROZEN_SECONDS = 10.0
"""How long a server of volumes is frozen. Most writes wait for it as long: the filer asks all that
keep a copy."""

_READ_EVERY_SECONDS = 0.05

_FRONT = """\
defaults
    mode http
    timeout connect 2s
    timeout client 75s
    timeout server 75s
    timeout check 1s
    option redispatch 1
frontend registry
    bind 127.0.0.1:{{port}}
    default_backend servers
backend servers
    option httpchk GET /ready
    default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


class Front:
    """Registry servers over one store, and the proxy before them."""

    def __init__(self, store: str, *, servers: int = SERVERS) -> None:
        self._stack = contextlib.ExitStack()
        self._store, self._count = store, servers
        self.servers: list[RegistryServer] = []

    def __enter__(self) -> Self:
        with self._stack as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-front-")))
            self.servers = [
                stack.enter_context(RegistryServer(self._store)) for _ in range(self._count)
            ]
            lines = (
                f"    server s{number} 127.0.0.1:{server.port} check"
                for number, server in enumerate(self.servers)
            )
            self.proxy = Proxy(_FRONT.format(servers="\n".join(lines)), home)
            stack.callback(self.proxy.kill)
            self.proxy.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.__exit__(None, None, None)

    @property
    def url(self) -> str:
        """Where clients call."""
        return f"http://127.0.0.1:{self.proxy.port}"


@attrs.define
class Mending:
    """What is away, and how it comes back: before the next fault, and at the end."""

    whole: Callable[[], object]
    """Returns when nothing is missing behind the servers."""
    _undone: list[Callable[[], object]] = attrs.field(factory=list)

    def later(self, undo: Callable[[], object]) -> None:
        """Bring something back that way."""
        self._undone.append(undo)

    def mend(self) -> None:
        """Bring back what is away."""
        while self._undone:
            self._undone.pop()()
            self.whole()


class Reader:
    """A thread that reads one model all the time, and knows the longest time without an answer."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._answered = time.monotonic()
        self._longest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def longest(self) -> float:
        """The longest gap since this was asked for last, in seconds."""
        gap = max(self._longest, time.monotonic() - self._answered)
        self._longest = 0.0
        return gap

    def _run(self) -> None:
        while not self._stop.wait(_READ_EVERY_SECONDS):
            with WireClient(self._url, timeout_seconds=2 * READ_GAP_SECONDS) as client:
                try:
                    answer = client.get("/registered-models/get", name=self._name)
                except OSError:
                    continue
            if answer.status == 200:
                now = time.monotonic()
                self._longest = max(self._longest, now - self._answered)
                self._answered = now


@attrs.define
class ClusterResult(Result):
    """What a run on several machines showed."""

    elections: dict[str, list[float]] = attrs.field(factory=lambda: defaultdict(list))
    """Seconds from each strike until the cluster itself had a new leader."""
    gaps: dict[str, list[float]] = attrs.field(factory=lambda: defaultdict(list))
    """The longest time without a read around each fault."""
    copied_anew: int = 0
    """How often a node of PostgreSQL came back only with a new copy of the leader's data."""

    def notes(self) -> Iterator[str]:
        """What the table does not say."""
        for what, figures in (("a new leader", self.elections), ("the next read", self.gaps)):
            for kind, seconds in sorted(figures.items()):
                middle = sorted(seconds)[len(seconds) // 2]
                yield f"{kind}: {what} after {middle:.1f} s, at most {max(seconds):.1f} s"
        if self.copied_anew:
            yield f"nodes that needed a new copy of the leader's data to come back: {self.copied_anew}"


def endure_patroni(plan: Plan, directory: Path) -> ClusterResult:
    """Run the plan on three servers of PostgreSQL, whose leader is killed and frozen, too."""
    result = ClusterResult(plan, "patroni")
    with PatroniCluster() as cluster, Front(cluster.url) as front:
        mending = Mending(cluster.await_whole)

        def lose(kind: str, number: signal.Signals) -> float:
            leader = cluster.leader()
            assert leader is not None, "a whole cluster has a leader"
            struck = time.monotonic()
            _lose(leader.process, number, mending)
            elected = cluster.await_leader(but=leader)
            result.elections[kind].append(elected - struck)
            return elected

        faults: dict[str, Fault] = {
            "leader-killed": lambda _: lose("leader-killed", signal.SIGKILL),
            "leader-frozen": lambda _: lose("leader-frozen", signal.SIGSTOP),
            **_of_servers(front, mending),
            **_of_proxy("database-proxy", cluster.proxy),
            **_of_proxy("front-proxy", front.proxy),
        }
        _endure(result, front, faults, mending, directory)
        result.copied_anew = cluster.copied_anew
    for kind, seconds in result.elections.items():
        totals = [a + b for a, b in zip(seconds, result.recoveries[kind], strict=False)]
        result.findings += [
            f"writing again only {total:.1f} s after: {kind}"
            for total in totals
            if total > WRITING_SECONDS
        ]
    return result


def endure_seaweed(plan: Plan, directory: Path) -> ClusterResult:
    """Run the plan on a bucket whose servers of volumes are killed and frozen, too."""
    result = ClusterResult(plan, "seaweed")
    with (
        SeaweedCluster() as cluster,
        _credentials(cluster),
        Front(store_url(cluster.endpoint_url, "registry")) as front,
    ):
        mending = Mending(cluster.await_whole)

        def kill(chance: random.Random) -> float:
            _lose(chance.choice(cluster.volumes), signal.SIGKILL, mending)
            return time.monotonic()

        def freeze(chance: random.Random) -> float:
            return _frozen(chance.choice(cluster.volumes), VOLUME_FROZEN_SECONDS)

        faults: dict[str, Fault] = {
            "volume-killed": kill,
            "volume-frozen": freeze,
            **_of_servers(front, mending),
            **_of_proxy("front-proxy", front.proxy),
        }
        _endure(result, front, faults, mending, directory)
    for kind, gaps in result.gaps.items():
        result.findings += [
            f"not read for {gap:.1f} s: {kind}" for gap in gaps if gap > READ_GAP_SECONDS
        ]
    return result


def _endure(
    result: ClusterResult,
    front: Front,
    faults: dict[str, Fault],
    mending: Mending,
    directory: Path,
) -> None:
    """Run the plan, each fault on something that is whole."""
    with WireClient(front.url) as once:
        assert once.post("/registered-models/create", name="read").status == 200
    with Reader(front.url, "read") as reader:
        kinds: list[str] = []

        def counted(kind: str, fault: Fault) -> Fault:
            def strike(chance: random.Random) -> float:
                if kinds:
                    result.gaps[kinds[-1]].append(reader.longest())
                mending.mend()
                reader.longest()
                kinds.append(kind)
                return fault(chance)

            return strike

        striking = {kind: counted(kind, fault) for kind, fault in faults.items()}
        endure_faults(result, front.url, striking, directory, Prober(front.url))
        result.gaps[kinds[-1]].append(reader.longest())
        mending.mend()


def _lose(process: Process, number: signal.Signals, mending: Mending) -> None:
    """Kill or freeze something that is brought back later."""
    if number is signal.SIGKILL:
        process.kill()
        mending.later(process.start)
    else:
        process.signal(number)
        mending.later(lambda: process.signal(signal.SIGCONT))


def _of_servers(front: Front, mending: Mending) -> dict[str, Fault]:
    def kill(chance: random.Random) -> float:
        server = chance.choice(front.servers)
        server.kill()
        mending.later(server.start)
        return time.monotonic()

    def freeze(chance: random.Random) -> float:
        server = chance.choice(front.servers)
        _signal(server, signal.SIGSTOP)
        mending.later(lambda: _signal(server, signal.SIGCONT))
        return time.monotonic()

    return {"registry-killed": kill, "registry-frozen": freeze}


def _signal(server: RegistryServer, number: signal.Signals) -> None:
    for pid in descendants(server.pid):
        os.kill(pid, number)


def _of_proxy(name: str, proxy: Proxy) -> dict[str, Fault]:
    def kill(_: random.Random) -> float:
        proxy.kill()
        proxy.start()
        return time.monotonic()

    def freeze(_: random.Random) -> float:
        return _frozen(proxy, FROZEN_SECONDS)

    return {f"{name}-killed": kill, f"{name}-frozen": freeze}


def _frozen(process: Process | Proxy, seconds: float) -> float:
    process.signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.signal(signal.SIGCONT)
    return time.monotonic()


@contextlib.contextmanager
def _credentials(cluster: SeaweedCluster) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for key, value in cluster.environment().items():
            monkeypatch.setenv(key, value)
        yield


def reads_by_servers(store: str, *, seconds: int = 5) -> dict[int, float]:
    """Reads a second through the proxy, with one, two and three servers."""
    figures = {}
    for servers in range(1, SERVERS + 1):
        with Front(store, servers=servers) as front:
            with WireClient(front.url) as once:
                once.post("/registered-models/create", name="read")
            figures[servers] = _rate(front.url, seconds)
    return figures


def _rate(url: str, seconds: int) -> float:
    address = f"{url}/api/2.0/mlflow/registered-models/get?name=read"
    done = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", address], capture_output=True, text=True, check=True
    ).stdout
    assert "Non-2xx" not in done, done
    return float(done.partition("Requests/sec:")[2].split()[0])
