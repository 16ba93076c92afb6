"""The rest of a long body, read straight into buffers.

Strategy: a body of known length needs no parser. What passes through it is copied by the event
loop, by the parser, and once more when its pieces are put together; that costs more than to receive
it. So the connection's transport gets another protocol for as long as the body lasts: it writes
into buffers that are large enough to be handed to a thread, and that are filled again once they are
stored. The thread takes the next one without asking the event loop. A new parser goes on with the
next request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from registry_server.process.lanes import ClientGoneError

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONG_BYTES = 1024 * 1024
"""Of a rest that is worth it."""

BUFFER_BYTES = 512 * 1024
"""Bytes that are handed over at a time."""

BUFFERS = 4
"""Of one body: one is filled, while one is stored and two may wait for the other side."""


class LongBody(asyncio.BufferedProtocol):
    """The rest of a body, while it comes.

    For one reader, which waits in the event loop and may take pieces in a thread; it discards what
    it does not take.
    """

    def __init__(
        self,
        connection: HttpToolsProtocol,
        first: bytes,
        rest: int,
        *,
        count: Callable[[int], None],
        end: Callable[[], None],
    ) -> None:
        """Read `rest` bytes from a connection, behind the `first`, which have come.

        Each time bytes have come, `count` is called with their number; and `end` once, when the
        connection has its transport back.
        """
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self.received = 0
        """Bytes that were taken."""
        self._rest = rest
        self._count = count
        self._end = end
        self._full: deque[bytes | memoryview] = deque([first] if first else ())
        self._free: list[bytearray] = []
        self._buffers = 0
        self._filling: bytearray | None = None
        self._filled = 0
        self._is_gone = False
        self._is_discarded = False
        self._arrived = asyncio.Event()
        self._fill_next()
        self._switch_to(self)
        connection.flow.resume_reading()

    # What the reader calls

    async def comes(self) -> bool:
        """Wait until there is a piece to take; False at the end.

        Raises:
            ClientGoneError: the connection broke before the end.
        """
        while not self._full:
            if not self._rest:
                return False
            if self._is_gone:
                raise ClientGoneError
            self._arrived.clear()
            await self._arrived.wait()
        return True

    def taken(self, most: int) -> Iterator[bytes | memoryview]:
        """Take what has come piece by piece, at most so many; in any thread.

        Each is lent until the next one is taken.
        """
        for _ in range(most):
            if not self._full:
                return
            piece = self._full.popleft()
            self.received += len(piece)
            yield piece
            if isinstance(piece, memoryview):
                self._give_back(piece)

    def _give_back(self, piece: memoryview) -> None:
        buffer = piece.obj
        assert isinstance(buffer, bytearray), "all pieces are of such buffers"
        self._free.append(buffer)
        # In this order: the event loop says that none is filled before it looks for a free one.
        if self._filling is None:
            self._loop.call_soon_threadsafe(self._go_on)

    def discard(self) -> None:
        """Let the rest come for nobody; without effect when all has come."""
        if self._rest and not self._is_gone:
            self._is_discarded = True
            self._filling, self._filled = self._filling or bytearray(BUFFER_BYTES), 0
            self._connection.flow.resume_reading()

    # What the transport calls

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 all that there is room for
        """Return where the next bytes belong, and nothing that follows the body."""
        assert self._filling is not None, "reading is paused while there is no buffer"
        return memoryview(self._filling)[self._filled : self._filled + self._rest]

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes that have come."""
        self._count(nbytes)
        self._rest -= nbytes
        if not self._is_discarded:
            self._filled += nbytes
            if self._filled == BUFFER_BYTES or not self._rest:
                self._hand_over()
        if not self._rest:
            self._switch_to(self._connection)
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the body; what has come of it can be read."""
        self._is_gone = True
        if self._filled and not self._is_discarded:
            self._hand_over()
        self._arrived.set()
        self._connection.connection_lost(exc)

    def eof_received(self) -> None:
        """Leave it to the connection, like what concerns writing."""
        self._connection.eof_received()

    def pause_writing(self) -> None:
        """As `eof_received`."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """As `eof_received`."""
        self._connection.resume_writing()

    def _go_on(self) -> None:
        # The buffer may be in use again by now.
        if self._filling is None and self._free and self._rest and not self._is_gone:
            self._fill_next()
            self._connection.flow.resume_reading()

    def _hand_over(self) -> None:
        assert self._filling is not None, "it was just filled"
        self._full.append(memoryview(self._filling)[: self._filled])
        self._filling, self._filled = None, 0
        self._arrived.set()
        if self._rest:
            self._fill_next()

    def _fill_next(self) -> None:
        if self._free:
            self._filling = self._free.pop()
        elif self._buffers < BUFFERS:
            self._buffers += 1
            self._filling = bytearray(BUFFER_BYTES)
        else:
            self._connection.flow.pause_reading()

    def _switch_to(self, protocol: asyncio.BaseProtocol) -> None:
        transport, is_reading = self._connection.transport, not self._connection.flow.read_paused
        # An event loop looks at the kind of protocol when it begins to read.
        if is_reading:
            transport.pause_reading()
        transport.set_protocol(protocol)
        if is_reading:
            transport.resume_reading()
