"""Lanes: threads for each kind of work, so that none keeps the others waiting.

Strategy: a worker has few threads, and whatever runs in one keeps it: a search for seconds, a
change for as long as another has its model locked. So each kind of work has threads of its
own, and changes of one model may have but some of those for changes. What finds no thread waits in
the event loop, where it costs little: in one queue per model, which take turns, so that a hundred
changes of one model are not ahead of the one of another. A client that hangs up meanwhile is not
worked for. A call that runs in the event loop has a place as well, since it may need a thread.
"""

from __future__ import annotations

import asyncio
import enum
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from litestar.types import Receive

from registry_core import StoreBusyError
from registry_server.process.loop_runner import LoopRunner
from registry_server.process.threads import Threads

T = TypeVar("T")

MOST_WAITING = 512
"""Requests that wait for a lane. Further ones are refused at once: they would only be served when
their clients have given up."""

MOST_WAITING_BYTES = 32 * 1024 * 1024
"""Bytes of the requests that wait for a lane, as they came. Nearly all have less than a KiB, so it
is only about the long ones."""

WAITING_SECONDS = 10.0
"""How long a request waits for a lane."""


class _NoKey(enum.Enum):
    NO_KEY = enum.auto()


_NO_KEY = _NoKey.NO_KEY
"""No call that waits may begin; None is the key of calls without one."""


class ClientGoneError(Exception):
    """The client has hung up before its request was complete, or served."""


class HangUp:
    """Whether a client has hung up. Nobody looks until asked, since it costs a task."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        self.has_happened = False

    def watched(self) -> asyncio.Task[None]:
        """Return a task that ends when the client hangs up; it has sent all of its request."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch())
        return self._task

    def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_happened = True


class Lane(Threads):
    """Places for one kind of work, and threads for them. Belongs to one event loop.

    With `most_of_a_key`, no more than so many calls of one key are under way.
    """

    def __init__(self, limit: int, *, name: str, most_of_a_key: int | None = None) -> None:
        super().__init__(limit, name=name)
        self.has_keys = most_of_a_key is not None
        """Whether it matters which calls have the same key."""
        self._slots = limit
        self._most_of_a_key = most_of_a_key or limit
        self._under_way: dict[str | None, int] = {}
        """How many calls of each key."""
        self._keys: dict[int, str | None] = {}
        """Of the futures of the calls that are under way, by their identity."""
        self._queues: OrderedDict[str | None, deque[asyncio.Future[None]]] = OrderedDict()
        """By key, the one whose turn is next first."""
        self._waiting = 0
        self._waiting_bytes = 0

    @property
    def running(self) -> int:
        """How many calls are under way."""
        return sum(self._under_way.values())

    @property
    def waiting(self) -> int:
        """How many calls wait for one."""
        return self._waiting

    async def call(
        self,
        function: Callable[[], T],
        *,
        client: HangUp,
        size: int = 0,
        key: str | None = None,
        inloop: LoopRunner | None = None,
    ) -> T:
        """Return the function's result. Calls of one key begin in the order of their coming.

        `size` is how many bytes the request has that the call is about. With `inloop` the call runs
        in the event loop, and its thread does what would hold that up.

        Raises:
            StoreBusyError: there was no place for it for too long.
            ClientGoneError: the client has hung up before there was one.
        """
        if key in self._queues or not self._has_place(key):
            await self._turn(key, client, size)
        else:
            self._take_place(key)
        try:
            # A change that has begun in the loop must find one.
            self.have_one()
        except RuntimeError as error:
            self._give_back(key)
            raise _busy() from error
        if inloop is None:
            future = self.run(function)
            self._keys[id(future)] = key
        else:
            future = inloop.change(function, threads=self, done=partial(self._give_back, key))
        return await future

    def _finish(
        self, future: asyncio.Future[object], result: object, error: Exception | None
    ) -> None:
        super()._finish(future, result, error)
        if id(future) in self._keys:
            self._give_back(self._keys.pop(id(future)))

    def _has_place(self, key: str | None) -> bool:
        return self._slots > 0 and (
            key is None or self._under_way.get(key, 0) < self._most_of_a_key
        )

    def _take_place(self, key: str | None) -> None:
        self._slots -= 1
        self._under_way[key] = self._under_way.get(key, 0) + 1

    def _give_back(self, key: str | None) -> None:
        self._slots += 1
        self._under_way[key] -= 1
        if not self._under_way[key]:
            del self._under_way[key]
        self._hand_over()

    def _hand_over(self) -> None:
        """Give free places to the calls that wait."""
        while (key := self._next_key()) is not _NO_KEY:
            queue = self._queues[key]
            turn = queue.popleft()
            if queue:
                self._queues.move_to_end(key)
            else:
                del self._queues[key]
            if not turn.done():
                self._take_place(key)
                turn.set_result(None)

    def _next_key(self) -> str | _NoKey | None:
        return next((key for key in self._queues if self._has_place(key)), _NO_KEY)

    async def _turn(self, key: str | None, client: HangUp, size: int) -> None:
        """Return with a place."""
        has_many_bytes = self._waiting and self._waiting_bytes + size > MOST_WAITING_BYTES
        if has_many_bytes or self._waiting >= MOST_WAITING:
            raise _busy()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append(turn)
        # Those in the queue may all have given up.
        self._hand_over()
        self._waiting += 1
        self._waiting_bytes += size
        try:
            await asyncio.wait(
                (turn, client.watched()),
                timeout=WAITING_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            self._leave(turn, key)
            raise
        finally:
            self._waiting -= 1
            self._waiting_bytes -= size
        if client.has_happened or not turn.done():
            self._leave(turn, key)
            raise ClientGoneError if client.has_happened else _busy()

    def _leave(self, turn: asyncio.Future[None], key: str | None) -> None:
        """Wait no more; a place that it has been given meanwhile is for others."""
        if not turn.cancel():
            self._give_back(key)


def _busy() -> StoreBusyError:
    return StoreBusyError("The server has too much to do; nothing was written")
