"""Uploads and downloads that are under way: as many as there are places for.

Strategy: a transfer that has begun holds a file or a connection to a bucket, and some memory, but
no thread while it waits for its client. When no place is left, the slowest transfer ends in favour
of one that waits, if its client is slow; no client can keep places by doing little with them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from registry_server.http.responses import RequestRefusedError
from registry_server.process.connection import Connection

PATIENCE_SECONDS = 20.0
"""How long a transfer waits for a place before its client is asked to try again."""

_LOOK_SECONDS = 0.5
"""Between two looks for a transfer that may end in favour of another one."""


class Places:
    """So many transfers at a time; the others wait in line. For one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken: set[Connection] = set()

    @property
    def has_room(self) -> bool:
        """Whether a place is free."""
        return self._free > 0

    @property
    def taken(self) -> int:
        """How many transfers are under way."""
        return self._limit - self._free

    @asynccontextmanager
    async def place(self, connection: Connection | None) -> AsyncIterator[None]:
        """Hold a place for as long as the context lasts.

        Raises:
            RequestRefusedError: none was free for too long.
        """
        await self._take()
        if connection is not None:
            self._taken.add(connection)
        try:
            yield
        finally:
            if connection is not None:
                self._taken.discard(connection)
            self._give_back()

    async def _take(self) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await self._turn(turn)
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._give_back()
            else:
                self._waiting.remove(turn)
            raise

    async def _turn(self, turn: asyncio.Future[None]) -> None:
        clock = asyncio.get_running_loop().time
        patient_until = clock() + PATIENCE_SECONDS
        while clock() < patient_until:
            self._end_slow()
            done, _ = await asyncio.wait([turn], timeout=_LOOK_SECONDS)
            if done:
                return
        raise RequestRefusedError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "TEMPORARILY_UNAVAILABLE",
            "As many files, or large models, are moved as the server takes at a time.",
            headers=((b"retry-after", b"1"),),
        )

    def _end_slow(self) -> None:
        for connection in self._taken:
            connection.connections.drop_slow(self._taken)
            return

    def _give_back(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
