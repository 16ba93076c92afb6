"""A short form of `nox -s hostile`: everybody else is answered while the floods go on.

How fast is for the long run to measure, on a machine that does nothing else. Here a flood lasts
until well-behaved clients have been answered, each call within seconds, or the test fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hostile import report
from hostile.calm import KINDS, Caller, Sample
from hostile.floods import FLOODS, flooding
from hostile.servers import FloodedServer, MemoryWatch, filled_store
from hostile.verdicts import Phases, judge, recovery

ANSWER_SECONDS = 20.0
"""For one call: many times its bar, and far less than what a flood holds up where it can."""

ROUNDS = 3
"""Calls of each kind during a flood."""

GROWTH_MIB = 512
"""Of a server's memory: twice the bar."""

LOGINS = 6
OPEN_FILES = 256


class Servers:
    """A server that is started when it is first wanted, and anew when a flood has broken it."""

    def __init__(self, kind: str, *, access: bool) -> None:
        self._access = access
        self._stack = ExitStack()
        self._store, self._directory = self._stack.enter_context(filled_store(kind))
        self._server: FloodedServer | None = None

    def get(self) -> FloodedServer:
        if self._server is None:
            server = FloodedServer(
                self._store,
                self._directory,
                open_files=OPEN_FILES,
                logins=LOGINS,
                access=self._access,
            )
            self._server = server.start()
        return self._server

    def discard(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        with self._stack:
            if self._server is not None:
                ends = self._server.ends_in_order()
                self.discard()
                assert ends, "SIGTERM did not end the server after the floods"


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Servers]:
    servers = Servers("sqlite", access=True)
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Servers]:
    servers = Servers("postgresql", access=False)
    yield servers
    servers.close()


def endure(servers: Servers, name: str) -> None:
    """Has a flood go on until everybody else has been answered, and looks whether it left traces."""
    server, flood = servers.get(), FLOODS[name]
    kinds = [kind for kind in KINDS if kind != "login" or flood.logins]
    try:
        with MemoryWatch(server) as memory:
            with flooding(flood, server.target) as seen:
                asyncio.run(answered(server, kinds))
            asyncio.run(answered(server, [kind for kind in kinds if kind != "login"]))
    except BaseException:
        servers.discard()
        raise
    assert sum(seen.values()), "the flood did nothing"
    assert memory.growth < GROWTH_MIB * 2**20


async def answered(server: FloodedServer, kinds: list[str]) -> None:
    """Makes some calls of each kind, each of which has to succeed in time."""
    callers = {kind: Caller(server.target) for kind in kinds}
    for _ in range(ROUNDS):
        for kind, caller in callers.items():
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await KINDS[kind].call(caller)
            assert answer.status < 400, f"{KINDS[kind].what}: {answer.status}"
    for caller in callers.values():
        caller.close()


@pytest.mark.parametrize(
    "flood",
    # Thousands of connections are for a machine that has nothing else to do.
    [name for name, flood in FLOODS.items() if "sqlite" in flood.stores and name != "thousands"],
)
def test_a_flood_keeps_nobody_else_out(sqlite: Servers, flood: str) -> None:
    """On SQLite, where everything happens in the server's own process, with an access file."""
    endure(sqlite, flood)


def test_a_locked_row_keeps_nobody_else_out(postgresql: Servers) -> None:
    """Which only a database of its own can have."""
    endure(postgresql, "locked-row")


# The judgement


def samples(kind: str, since: float, until: float, seconds: float) -> list[Sample]:
    return [Sample(kind, since + step / 20, seconds) for step in range(round((until - since) * 20))]


def verdict(flooded: float, after: float, *, grown: float = 0.0, ends: bool = True):
    """Of a flood from second 5 to 15, in which calls took so long, and after which until 18."""
    found = [
        *samples("health", 0, 5, 0.01),
        *samples("health", 5, 15, flooded),
        *samples("health", 15, 18, after),
        *samples("health", 18, 25, 0.01),
    ]
    memory = {"before": 100 * 2**20, "most": (100 + grown) * 2**20, "after": 100 * 2**20}
    return judge(
        found,
        Phases(quiet=0, quiet_end=5, flood=5, flood_end=15, over=25),
        memory,
        flood="silent",
        store="sqlite",
        is_killed=False,
        ends=ends,
        seen={},
    )


def test_what_holds_is_no_finding() -> None:
    """And quiet is apart from the flood."""
    found = verdict(0.2, 0.2, grown=200)
    assert found.holds
    assert found.quiet["health"].p99 == 0.01
    assert found.flooded["health"].p99 == 0.2
    assert found.recovery_seconds == 0


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (verdict(0.3, 0.01), "/health: p99 300 ms, not 250 ms"),
        (verdict(float("inf"), 0.01), "/health: p99 none, not 250 ms"),
        (verdict(0.01, 0.01, grown=300), "memory grew by 300 MiB, not 256"),
        (verdict(0.01, 0.01, ends=False), "SIGTERM did not end the server"),
    ],
)
def test_what_does_not_hold_is_said(found, what: str) -> None:
    """One bar each."""
    assert found.broken == [what]


def test_recovery_counts_from_the_end_of_the_flood() -> None:
    """Until the last call that was late; never, where there is no end to them."""
    assert verdict(0.01, 0.3).recovery_seconds == 3.0
    assert verdict(0.01, 0.3).holds
    late = [*samples("health", 0, 5, 0.01), *samples("health", 5, 15, 0.3)]
    assert recovery(late, 5, 15) == float("inf")
    assert recovery([*late, *samples("health", 15, 25, 0.01)], 5, 25) == 10.0


def test_verdicts_are_kept_and_shown(tmp_path) -> None:
    """Those of an earlier run in its place, and beside what was before there were bounds."""
    path = tmp_path / "results" / "floods.json"
    for found in (verdict(0.3, 0.3), verdict(float("inf"), 0.01, grown=100)):
        report.save(report.Run(circumstances="today", verdicts=[found]), path)
    run = report.load(path)
    assert list(run.verdicts) == [verdict(float("inf"), 0.01, grown=100)]
    before = report.Run(circumstances="then", verdicts=[verdict(0.3, 0.3)])
    assert report.tables(run, before).splitlines() == [
        "| SQLite | /health | point reads | writes | artifacts | logins | memory | normal after |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| quiet | 10 | - | - | - | - | - | - |",
        "| 300 silent connections, 256 files | none | - | - | - | - | 100 | 0.0 |",
        "| - before there were bounds | 300 | - | - | - | - | 0 | 3.0 |",
    ]
    assert "BROKEN /health: p99 none, not 250 ms" in report.told(run.verdicts[0])
