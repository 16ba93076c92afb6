"""A TCP proxy that cuts, delays and silences the connections that pass through it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

PIECE_BYTES = 65_536

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TcpProxy:
    """Forwards a loopback port of its own to another, for as long as `running` lasts.

    What it does to the connections may be changed by any thread at any time.
    """

    def __init__(self, port: int) -> None:
        self.delay_seconds = 0.0
        """How long each piece is held, in either direction."""
        self.is_deaf = False
        """Requests arrive, and replies are swallowed."""
        self.is_closed = False
        """New connections are hung up at once."""
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    @contextlib.contextmanager
    def running(self) -> Iterator[TcpProxy]:
        """Serves until the block is left; then nothing of it is open any more."""
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        thread.start()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop)
            thread.join()
            self._loop.close()

    def switch(self, port: int) -> None:
        """Forwards new connections to another port; those that are open stay where they are."""
        self._upstream = port

    def cut(self) -> None:
        """Resets every connection that is open now."""
        done = threading.Event()

        def reset() -> None:
            for writer in self._open:
                _reset(writer)
            done.set()

        self._loop.call_soon_threadsafe(reset)
        done.wait()

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._forward, sock=self._listener)
        await self._ended.wait()
        server.close()
        for writer in self._open:
            _reset(writer)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    def _stop(self) -> None:
        self._ended.set()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_closed:
            _reset(writer)
            return
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            _reset(writer)
            return
        pair = {writer, upstream[1]}
        self._open |= pair
        try:
            await asyncio.gather(
                self._pump(reader, upstream[1], is_reply=False),
                self._pump(upstream[0], writer, is_reply=True),
            )
        finally:
            self._open -= pair
            for end in pair:
                end.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if self.delay_seconds and not self._ended.is_set():
                    await self._hold()
                if not (is_reply and self.is_deaf):
                    writer.write(piece)
                    await writer.drain()
        writer.close()

    async def _hold(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), self.delay_seconds)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
