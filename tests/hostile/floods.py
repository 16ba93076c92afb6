"""The floods: what hostile and clumsy clients do, each with plain connections on loopback.

Every flood is bounded in its clients and goes on until it is told to end. A client that the server
hangs up on comes back: nobody who means harm goes home after the first refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from urllib.parse import quote

import attrs

from hostile import wire
from hostile.clients import ClientProcess, Work
from hostile.targets import GUESSED, LARGE_MODELS, LOCKED, STORES, Target, basic
from hostile.wire import API, ARTIFACTS, Connection

_READY_SECONDS = 10.0
"""In which a flood has to be there, with as many clients as the server lets in."""

_AGAIN_SECONDS = 1.0
"""After which a client comes back that was refused or hung up on."""

_CONNECT_SECONDS = 1.0
_MIB = 2**20

SLOW_FILTER = " AND ".join(f"tags.bulk ILIKE '%dolor lorem%{'_' * n}%'" for n in range(1, 61))
"""True of every large model, and found out by reading each tag sixty times."""


class Attack:
    """What the clients of a flood share."""

    def __init__(self, target: Target, begun: Callable[[], None]) -> None:
        self.target = target
        self.counts: Counter[str] = Counter()
        self._begun: Callable[[], None] | None = begun

    def ready(self) -> None:
        """Says that the flood is there."""
        if self._begun is not None:
            self._begun()
            self._begun = None

    async def crowd(self, count: int, one: Callable[[int], Awaitable[None]]) -> None:
        """So many clients at a time, each of which comes back whenever it is done."""
        tried = 0

        async def client(number: int) -> None:
            nonlocal tried
            while True:
                visit = asyncio.create_task(self._visit(one, number))
                await asyncio.wait([visit], timeout=_CONNECT_SECONDS)
                tried += 1
                if tried >= count:
                    self.ready()
                await visit
                # Not all at once, as those do who know nothing of each other.
                await asyncio.sleep(_AGAIN_SECONDS * random.uniform(0.5, 1.5))

        await asyncio.gather(*(client(number) for number in range(count)))

    async def _visit(self, one: Callable[[int], Awaitable[None]], number: int) -> None:
        try:
            await one(number)
        except (OSError, TimeoutError) as error:
            self.counts[type(error).__name__] += 1

    async def connect(self) -> Connection:
        """A new connection."""
        connection = await Connection.to(self.target.port)
        self.counts["connections"] += 1
        return connection

    async def ask(self, data: bytes) -> wire.Response:
        """The answer to a request on a connection of its own."""
        connection = await self.connect()
        try:
            answer = await connection.ask(data)
        finally:
            connection.close()
        self.counts[str(answer.status)] += 1
        return answer

    async def stall(self, data: bytes) -> None:
        """Sends the beginning of something, and then waits until the server has had enough."""
        connection = await self.connect()
        try:
            await connection.send(data)
            await connection.ended()
            self.counts["hung up on"] += 1
        finally:
            connection.close()


# The floods


async def silent(attack: Attack) -> None:
    """300 connections on which nothing is ever sent."""
    await attack.crowd(300, lambda _: attack.stall(b""))


async def half_heads(attack: Attack) -> None:
    """300 connections with the first half of a request's head."""
    half = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
    await attack.crowd(300, lambda _: attack.stall(half))


async def thousands(attack: Attack) -> None:
    """8,492 silent connections."""
    await attack.crowd(8_492, lambda _: attack.stall(b""))


async def stalled_uploads(attack: Attack) -> None:
    """33 PUTs of an artifact of 1 MiB that stall after three bytes."""

    async def put(number: int) -> None:
        path = f"{ARTIFACTS}/stalled/{number}"
        head = wire.request("PUT", path, headers=attack.target.headers, length=_MIB)
        await attack.stall(head + b"abc")

    await attack.crowd(33, put)


async def many_elements(attack: Attack) -> None:
    """8 bodies of 31, 7 and 1 MiB of which every three bytes are an object, again and again.

    One of them is short enough for whatever bodies a server takes.
    """
    path = f"{API}/registered-models/create"

    def create(mib: int) -> bytes:
        body = b'{"name":"elements","tags":[' + b"{}," * (mib * _MIB // 3) + b"{}]}"
        return wire.request("POST", path, body, headers=attack.target.headers)

    bodies = [create(mib) for mib in (31, 7, 1)]

    async def post(number: int) -> None:
        await attack.ask(bodies[number % len(bodies)])

    await attack.crowd(8, post)


async def dripping_bodies(attack: Attack) -> None:
    """100 bodies of a megabyte that come one byte every half second."""
    path = f"{API}/registered-models/create"
    head = wire.request("POST", path, headers=attack.target.headers, length=_MIB)

    async def drip(_: int) -> None:
        connection = await attack.connect()
        ended = asyncio.create_task(connection.ended())
        try:
            await connection.send(head)
            while not ended.done():
                await connection.send(b" ")
                await asyncio.wait([ended], timeout=0.5)
        finally:
            ended.cancel()
            connection.close()

    await attack.crowd(100, drip)


async def slow_searches(attack: Attack) -> None:
    """16 clients that search, again and again, with a filter that takes seconds."""
    path = f"{API}/registered-models/search?max_results=1&filter={quote(SLOW_FILTER)}"
    data = wire.request("GET", path, headers=attack.target.headers)

    async def search(_: int) -> None:
        await attack.ask(data)

    await attack.crowd(16, search)


async def locked_row(attack: Attack) -> None:
    """40 clients that write to one model, whose row somebody keeps locked in PostgreSQL."""
    fields = {"name": LOCKED, "key": "k", "value": "v"}
    data = wire.post("/registered-models/set-tag", fields, attack.target.headers)

    async def write(_: int) -> None:
        await attack.ask(data)

    import psycopg  # in the one flood that needs it

    async with await psycopg.AsyncConnection.connect(attack.target.store) as connection:
        lock = "SELECT 1 FROM registered_models WHERE name = %s FOR UPDATE"
        await connection.execute(lock, [LOCKED])
        await attack.crowd(40, write)


async def unread_answers(attack: Attack) -> None:
    """60 clients that ask for 28 MiB and read nothing."""
    path = f"{API}/registered-models/search?max_results={LARGE_MODELS}&filter="
    data = wire.request("GET", path + quote("name LIKE 'large-%'"), headers=attack.target.headers)

    async def ask(_: int) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as unread:
            unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            unread.setblocking(False)
            await loop.sock_connect(unread, ("127.0.0.1", attack.target.port))
            attack.counts["connections"] += 1
            await loop.sock_sendall(unread, data)
            while not _is_over(unread):  # noqa: ASYNC110 nothing tells but looking
                await asyncio.sleep(0.25)

    await attack.crowd(60, ask)


def _is_over(connection: socket.socket) -> bool:
    """Whether the server has hung up, found out without reading."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0))


async def guesses(attack: Attack) -> None:
    """200 clients that guess one name's password; every other one hangs up without waiting."""
    path = f"{API}/registered-models/search?max_results=1"

    async def guess(number: int) -> None:
        # No guess twice, as whoever works through a list of passwords.
        secret = f"guess {number} {time.monotonic_ns()}"
        data = wire.request("GET", path, headers=basic(GUESSED, secret))
        if number % 2:
            await attack.ask(data)
            return
        connection = await attack.connect()
        await connection.send(data)
        await asyncio.sleep(0.2)
        connection.close()
        attack.counts["not waited for"] += 1

    await attack.crowd(200, guess)


async def churn(attack: Attack) -> None:
    """500 connections a second that are closed at once, half of them by a reset."""
    address = ("127.0.0.1", attack.target.port)
    inloop = struct.pack("ii", 1, 0)

    async def come_and_go(number: int) -> None:
        for round_number in range(100):
            with socket.socket() as connection:
                connection.setblocking(False)
                if (number + round_number) % 2:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, inloop)
                await asyncio.get_running_loop().sock_connect(connection, address)
                attack.counts["connections"] += 1
            await asyncio.sleep(0.02)

    await attack.crowd(15, come_and_go)


@attrs.frozen(kw_only=True)
class Flood:
    """What the clients do, and the server that they do it to."""

    attack: Callable[[Attack], Awaitable[None]]
    title: str
    """How the table names it."""
    open_files: int | None = None
    """What the server may open."""
    workers: int = 1
    logins: int = 0
    """Names that log in meanwhile, each for the first time."""
    stores: tuple[str, ...] = STORES

    @property
    def name(self) -> str:
        """How commands name it."""
        return self.attack.__name__.replace("_", "-")


FLOODS: Mapping[str, Flood] = {
    flood.name: flood
    for flood in (
        Flood(attack=silent, title="300 silent connections, 256 files", open_files=256),
        Flood(attack=half_heads, title="300 half-sent heads, 256 files", open_files=256),
        Flood(
            attack=thousands,
            title="8,492 silent connections, 4,096 files, 2 workers",
            open_files=4_096,
            workers=2,
        ),
        Flood(attack=stalled_uploads, title="33 uploads that stall after 3 bytes"),
        Flood(attack=many_elements, title="8 bodies of up to 31 MiB of empty tags"),
        Flood(attack=dripping_bodies, title="100 bodies that drip"),
        Flood(attack=slow_searches, title="16 slow searches"),
        Flood(
            attack=locked_row,
            title="40 writes that wait for one locked row",
            stores=("postgresql",),
        ),
        Flood(attack=unread_answers, title="60 answers of 28 MiB that nobody reads"),
        Flood(attack=guesses, title="200 clients that guess a password", logins=20),
        Flood(attack=churn, title="500 connections a second, closed at once"),
    )
}


@contextlib.contextmanager
def flooding(flood: Flood, target: Target) -> Iterator[Counter[str]]:
    """The flood goes on, from a process of its own, for as long as the context lasts.

    Gives what its clients saw, filled in at the end.
    """
    seen: Counter[str] = Counter()
    with ClientProcess(flood.name, target, patience_seconds=_READY_SECONDS) as process:
        yield seen
        seen.update(process.end())


def attacking(name: str) -> Work:
    """The work of a process that is a flood."""

    async def attack(
        target: Target, begun: Callable[[], None], ended: asyncio.Event
    ) -> Mapping[str, int]:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        flood = Attack(target, begun)
        attacking = asyncio.ensure_future(FLOODS[name].attack(flood))
        waiting = asyncio.ensure_future(ended.wait())
        await asyncio.wait([attacking, waiting], return_when=asyncio.FIRST_COMPLETED)
        if attacking.done():
            attacking.result()  # none ends by itself, so this says what went wrong
        return flood.counts

    return attack
