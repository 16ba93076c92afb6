"""Well-behaved clients that measure: a process of their own, so that no flood's work delays them.

Strategy: calls begin by the clock and not when the one before has been answered, and a call's time
counts from when it was due. A server that stands still for ten seconds has thereby ten seconds of
late answers, and not one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

import attrs

from hostile import wire
from hostile.clients import ClientProcess
from hostile.targets import CALM_FILE, Target, basic, calm_model, login
from hostile.wire import API, ARTIFACTS, Connection, Response

PATIENCE_SECONDS = 10.0
"""After which a call counts as not answered."""

_CLIENTS = 8
"""Of each kind; each has one call under way at a time."""

_NICENESS = -10
"""Clients stand for other machines: where it is allowed, they do not wait for the server's CPU."""


@attrs.frozen
class Sample:
    """One call: its kind, when it was due on the monotonic clock, and how long it took."""

    kind: str
    due: float
    seconds: float
    """Infinite for a call that was not answered with success."""


class Caller:
    """Makes the calls of one kind."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._idle: deque[Connection] = deque()
        self._numbers = itertools.count()
        self._unique = f"{os.getpid()}-{time.monotonic_ns()}"

    async def health(self) -> Response:
        """As a load balancer asks, on a new connection."""
        return await self._once(wire.request("GET", "/health", headers={"Connection": "close"}))

    async def read(self) -> Response:
        """A model by its name or by an alias, on a connection that is kept or on a new one."""
        number = next(self._numbers)
        name = calm_model(number // 4)
        path = f"/registered-models/get?name={name}"
        if number % 2:
            path = f"/registered-models/alias?name={name}&alias=champion"
        data = wire.request("GET", API + path, headers=self._target.headers)
        return await (self._once(data) if number % 4 < 2 else self._kept(data))

    async def write(self) -> Response:
        """A tag of a model that no flood has anything to do with."""
        number = next(self._numbers)
        fields = {"name": calm_model(number), "key": "k", "value": str(number)}
        path = "/registered-models/set-tag"
        return await self._kept(wire.post(path, fields, self._target.headers))

    async def file(self) -> Response:
        """A small artifact, taken from the server or brought to it."""
        number = next(self._numbers)
        headers = self._target.headers
        if number % 2:
            return await self._kept(
                wire.request("GET", f"{ARTIFACTS}/{CALM_FILE}", headers=headers)
            )
        path = f"{ARTIFACTS}/calm/{self._unique}/{number}"
        return await self._kept(wire.request("PUT", path, b"small" * 100, headers=headers))

    async def login(self) -> Response:
        """A name that shows its password for the first time."""
        path = f"{API}/registered-models/get?name={calm_model(0)}"
        data = wire.request("GET", path, headers=basic(*login(next(self._numbers))))
        return await self._once(data)

    def close(self) -> None:
        """Hangs up whatever is kept."""
        while self._idle:
            self._idle.pop().close()

    async def _once(self, data: bytes) -> Response:
        connection = await Connection.to(self._target.port)
        try:
            return await connection.ask(data)
        finally:
            connection.close()

    async def _kept(self, data: bytes) -> Response:
        """As clients with a pool do: a connection that has ended meanwhile is replaced."""
        while self._idle:
            connection = self._idle.popleft()
            with contextlib.suppress(OSError):
                return await self._ask(connection, data)
        return await self._ask(await Connection.to(self._target.port), data)

    async def _ask(self, connection: Connection, data: bytes) -> Response:
        answer = await connection.ask(data)
        if connection.is_open:
            self._idle.append(connection)
        return answer


@attrs.frozen(kw_only=True)
class Kind:
    """A kind of call: how often it is made, and within which time it has to be answered."""

    name: str
    what: str
    per_second: float
    bar_seconds: float
    call: Callable[[Caller], Awaitable[Response]]
    most: Callable[[Target], float] = lambda _: math.inf
    """Calls that can be made of a target."""


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="health",
            what="/health",
            per_second=20,
            bar_seconds=0.25,
            call=Caller.health,
        ),
        Kind(name="read", what="point reads", per_second=20, bar_seconds=0.25, call=Caller.read),
        Kind(name="write", what="writes", per_second=10, bar_seconds=1.0, call=Caller.write),
        Kind(name="file", what="artifacts", per_second=10, bar_seconds=1.0, call=Caller.file),
        Kind(
            name="login",
            what="logins",
            per_second=1,
            bar_seconds=1.0,
            call=Caller.login,
            most=lambda target: target.logins,
        ),
    )
}


class CalmClients:
    """A process of well-behaved clients of every kind, for as long as the context lasts."""

    def __init__(self, target: Target) -> None:
        self._process = ClientProcess("calm", target)

    def __enter__(self) -> Self:
        self._process.__enter__()
        assert self._process.has_begun, "the well-behaved clients do not begin"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()

    def end(self) -> Sequence[Sample]:
        """Every call that was due until now, when the last of them has been answered or not."""
        return [Sample(*found) for found in self._process.end()]


async def measure(
    target: Target, begun: Callable[[], None], ended: asyncio.Event
) -> Sequence[Sequence[object]]:
    """Calls of every kind until it has to end: the fields of their samples."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    samples: list[Sample] = []
    begun()
    async with asyncio.TaskGroup() as group:
        for kind in KINDS.values():
            group.create_task(_call_kind(kind, target, samples, ended, group))
    return [attrs.astuple(sample) for sample in samples]


async def _call_kind(
    kind: Kind,
    target: Target,
    samples: list[Sample],
    ended: asyncio.Event,
    group: asyncio.TaskGroup,
) -> None:
    caller, places = Caller(target), asyncio.Semaphore(_CLIENTS)
    began, number = time.monotonic(), 0
    while not ended.is_set() and number < kind.most(target):
        due = began + number / kind.per_second
        number += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), max(0.0, due - time.monotonic()))
        if not ended.is_set():
            group.create_task(_sampled(kind, due, caller, places, samples))


async def _sampled(
    kind: Kind, due: float, caller: Caller, places: asyncio.Semaphore, samples: list[Sample]
) -> None:
    seconds = math.inf
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout_at(loop.time() + PATIENCE_SECONDS), places:
            answer = await kind.call(caller)
            if answer.status < 400:
                seconds = time.monotonic() - due
    samples.append(Sample(kind.name, due, seconds))
