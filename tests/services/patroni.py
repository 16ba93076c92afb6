"""Three PostgreSQL servers under Patroni, which agree by etcd who is the leader.

Replication is synchronous, and a proxy leads every connection to the leader, as Patroni's REST API
says. Everything is Debian's: postgresql, patroni, etcd-server, haproxy. A test that needs it is
skipped where a program is missing.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from services.haproxy import Proxy
from services.ports import free_port
from services.postgres import USER, _as_nobody, _give_away
from services.processes import Process

NODES = 3

TTL_SECONDS, LOOP_SECONDS, RETRY_SECONDS = 20, 2, 3
"""How long the lock of a leader that says nothing is kept: 20 seconds are the least that Patroni
takes. How often a node looks, and how long it tries to reach etcd."""

CLUSTER: Mapping[str, Any] = {
    "ttl": TTL_SECONDS,
    "loop_wait": LOOP_SECONDS,
    "retry_timeout": RETRY_SECONDS,
    "synchronous_mode": True,
    "postgresql": {
        "use_pg_rewind": True,
        "parameters": {"max_connections": 100, "wal_log_hints": "on"},
    },
}
"""What all nodes have in common, as docs/guides/high-availability.md says."""

START_SECONDS = 300.0

REJOIN_SECONDS = 60.0
"""How long a node that comes back may take to follow the leader before it gets a new copy."""

_TELLING = re.compile(r" (INFO|WARNING|ERROR|FATAL|LOG|PANIC):? ")

PROGRAMS = ("patroni", "etcd", "haproxy")


class Node:
    """One server with its Patroni."""

    def __init__(self, name: str, directory: Path, etcd: str) -> None:
        self.name = name
        self.port, self.rest = free_port(), free_port()
        self._directory = directory
        home = directory / name
        home.mkdir()
        _give_away(home)
        self._write(home / "patroni.json", etcd)
        command = [_program("patroni"), str(home / "patroni.json")]
        self.process = Process(command, directory / f"{name}.log", **_as_nobody())

    def _write(self, path: Path, etcd: str) -> None:
        """Its configuration, which docs/guides/high-availability.md shows."""
        path.write_text(json.dumps(self._configuration(etcd, path.parent), indent=1))

    def _configuration(self, etcd: str, home: Path) -> Mapping[str, Any]:
        trusted = {"username": USER}
        return {
            "scope": "registry",
            "name": self.name,
            "restapi": {
                "listen": f"127.0.0.1:{self.rest}",
                "connect_address": f"127.0.0.1:{self.rest}",
            },
            # Not etcd3, whose view of the lock Patroni 3.0 keeps: once its process was frozen, it may
            # find for ever that somebody else has changed it, and name no synchronous standby.
            "etcd": {"host": etcd},
            "bootstrap": {
                "dcs": CLUSTER,
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(home / "data"),
                "bin_dir": str(_binaries()),
                "pgpass": str(home / "pgpass"),
                "authentication": {
                    "superuser": trusted,
                    "replication": trusted,
                    "rewind": trusted,
                },
                "parameters": {"unix_socket_directories": str(home)},
                "pg_hba": [
                    "local all all trust",
                    "host all all 127.0.0.1/32 trust",
                    "host replication all 127.0.0.1/32 trust",
                ],
            },
        }

    def answers(self, path: str) -> bool:
        """Whether its Patroni says yes to a question such as `/primary`."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}{path}", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def copy_anew(self) -> bool:
        """Have its Patroni copy the leader's data; whether it takes the request."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.rest}/reinitialize", data=b'{"force": true}', method="POST"
        )
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class PatroniCluster:
    """The nodes, etcd and the proxy, while the context lasts."""

    def __init__(self) -> None:
        for program in PROGRAMS:
            _program(program)
        self._directory = Path(tempfile.mkdtemp(prefix="registry-patroni-"))
        self._directory.chmod(0o755)
        etcd_home = self._directory / "etcd"
        self._etcd_port, peer = free_port(), free_port()
        self._etcd = Process(_etcd(etcd_home, self._etcd_port, peer), self._directory / "etcd.log")
        address = f"127.0.0.1:{self._etcd_port}"
        self.nodes = [Node(f"pg{n}", self._directory, address) for n in range(1, NODES + 1)]
        self.proxy = Proxy(_before(self.nodes), self._directory / "haproxy")
        self.copied_anew = 0
        """How often a node needed a new copy to come back."""

    def __enter__(self) -> Self:
        try:
            self._etcd.start()
            for node in self.nodes:
                node.process.start()
            self.proxy.start()
            self.await_whole()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything, and remove its data."""
        self.proxy.kill()
        for node in self.nodes:
            node.process.signal(signal.SIGCONT)
            node.process.kill()
        self._etcd.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def url(self) -> str:
        """The URL that leads to the leader."""
        return f"postgresql://{USER}@127.0.0.1:{self.proxy.port}/postgres"

    def leader(self, *, but: Node | None = None) -> Node | None:
        """The node that is the leader now; None while there is none."""
        found = (node for node in self.nodes if node is not but and node.answers("/primary"))
        return next(found, None)

    def await_leader(self, *, but: Node) -> float:
        """When another node than one became the leader, in seconds of the monotonic clock."""
        deadline = time.monotonic() + START_SECONDS
        while self.leader(but=but) is None:
            assert time.monotonic() < deadline, self._logs()
            time.sleep(0.1)
        return time.monotonic()

    def await_whole(self) -> None:
        """Return when every node is there, and one of them is the synchronous standby.

        A node that does not follow the leader by itself gets a new copy, as an operator would do:
        one that was killed while it was made the leader may wait for ever for a timeline that the
        others never began ("highest timeline of the primary is behind recovery timeline").
        """
        deadline = time.monotonic() + START_SECONDS
        patience = time.monotonic() + REJOIN_SECONDS
        while not self._is_whole():
            assert time.monotonic() < deadline, self._logs()
            if time.monotonic() > patience and (leader := self.leader()) is not None:
                for node in self._astray(leader):
                    self.copied_anew += node.copy_anew()
                patience = time.monotonic() + REJOIN_SECONDS
            time.sleep(0.2)

    def _is_whole(self) -> bool:
        leader = self.leader()
        return (
            leader is not None
            and any(node.answers("/synchronous") for node in self.nodes)
            and not self._astray(leader)
        )

    def _astray(self, leader: Node) -> list[Node]:
        """The nodes that do not follow the leader."""
        others = [node for node in self.nodes if node is not leader]
        try:
            with psycopg.connect(
                f"postgresql://{USER}@127.0.0.1:{leader.port}/postgres", connect_timeout=2
            ) as admin:
                rows = admin.execute(
                    "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'"
                ).fetchall()
        except psycopg.Error:
            return others
        return [node for node in others if (node.name,) not in rows]

    def _logs(self) -> str:
        """Why the cluster is not whole: what servers and Patroni say, but for statements."""
        said = []
        for node in self.nodes:
            lines = [line for line in node.process.log.splitlines() if _TELLING.search(line)]
            said.append("\n".join([f"{node.name}:", *lines[-40:]]))
        return "\n".join(said)


def _before(nodes: list[Node]) -> str:
    """The proxy leads to the node that says it is the primary, and ends what leads elsewhere."""
    servers = "\n".join(
        f"    server {node.name} 127.0.0.1:{node.port} check port {node.rest}" for node in nodes
    )
    return f"""\
defaults
    mode tcp
    timeout connect 3s
    timeout client 1h
    timeout server 1h
    timeout check 2s
frontend database
    bind 127.0.0.1:{{port}}
    default_backend leader
backend leader
    option httpchk GET /primary
    http-check expect status 200
    default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


def _etcd(home: Path, port: int, peer: int) -> list[str]:
    client, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    return [
        _program("etcd"),
        f"--data-dir={home}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--enable-v2=true",
        "--log-level=warn",
        "--logger=zap",
    ]


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is missing: apt-get install patroni etcd-server haproxy postgresql")
    return found


def _binaries() -> Path:
    """The newest PostgreSQL of the machine's packages, which has pg_rewind."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    if not found:
        pytest.skip("PostgreSQL's programs are missing: apt-get install postgresql")
    return found[-1]


@contextlib.contextmanager
def patroni_cluster() -> Iterator[PatroniCluster]:
    """A cluster that is whole."""
    with PatroniCluster() as cluster:
        yield cluster
