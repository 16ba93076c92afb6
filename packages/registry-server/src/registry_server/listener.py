"""Connections shared out among workers.

Strategy: all workers listen on one socket, and the kernel wakes them all. Whoever comes first would
take every connection that waits, and clients keep theirs: eight clients that come at once would
all be with one worker, and the others idle. So workers tell each other how many connections they
have, and one that has clearly more than another leaves it some milliseconds to take the next.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import mmap
import socket
from collections.abc import Callable
from typing import Any

from uvicorn import Config, Server

from registry_server.protocol import RegistryProtocol

_WORKERS_MAX = 256
"""Workers that know of each other. Further ones take what comes."""

_NOBODY = -1
"""Where there is no worker, in place of how many connections it has."""

_TOLERANCE = 8
"""A worker takes connections while it has one more than another, and an eighth of its own: those
that are soon over do not matter, and of many that come at once few wait for each other's turn."""

_LOOKS = 20
"""How often a worker looks in each round of its loop whether it is its turn. Others that are idle
have come by then."""

_PAUSE_SECONDS = 0.001
"""Between two looks afterwards."""

_PATIENCE_SECONDS = 0.01
"""How long a connection is left to others. They may be busy, or hang."""

_AT_ONCE = 64
"""Connections that are taken before requests are looked at again."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_EXHAUSTED_SECONDS = 1.0
"""Until the next attempt, where no more files may be opened."""

_logger = logging.getLogger("registry_server")


class Shares:
    """How many connections each worker has, in memory that is shared with forked processes."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * _WORKERS_MAX)).cast("i")
        self._shares = [Share(self._counts, index) for index in range(_WORKERS_MAX)]
        self._free = self._shares[::-1]

    def take(self) -> Share:
        """The share of one more worker. It is for the parent to call, which has one thread."""
        return self._free.pop() if self._free else Share(self._counts, None)

    def give_back(self, share: Share) -> None:
        """Frees the share of a worker that has ended."""
        if share in self._shares and share not in self._free:
            share.leave()
            self._free.append(share)


class Share:
    """One worker's part."""

    def __init__(self, counts: memoryview[int], index: int | None) -> None:
        self._counts = counts
        self._index = index
        self.leave()

    def tell(self, count: int) -> None:
        """Lets the others know how many connections this worker has."""
        if self._index is not None:
            self._counts[self._index] = count

    def leave(self) -> None:
        """Lets the others know that this worker takes no connections."""
        self.tell(_NOBODY)

    def is_fair(self, count: int) -> bool:
        """Whether a worker that has so many may take one more."""
        fewest = min((other for other in self._counts.tolist() if other != _NOBODY), default=count)
        return count <= fewest + 1 + count // _TOLERANCE


class _Connections(set[Any]):
    """The open connections of a worker, of which the others know how many they are."""

    def __init__(self, share: Share) -> None:
        super().__init__()
        self._share = share
        self.beginning: set[object] = set()
        """What has been taken and is not added yet."""
        self.is_open = True

    def add(self, connection: object, /) -> None:
        super().add(connection)
        self._tell()

    def discard(self, connection: object, /) -> None:
        super().discard(connection)
        self._tell()

    def begin(self, connection: object) -> None:
        """Counts a connection that will be added."""
        self.beginning.add(connection)
        self._tell()

    def end(self, connection: object) -> None:
        """Counts it only if it has been added."""
        self.beginning.discard(connection)
        self._tell()

    def may_grow(self) -> bool:
        """Whether it is this worker's turn to take one more."""
        return self._share.is_fair(self._count)

    def open(self) -> None:
        """Others may leave connections to this worker."""
        self.is_open = True
        self._tell()

    def close(self) -> None:
        """Others do not leave connections to this worker."""
        self.is_open = False
        self._share.leave()

    @property
    def _count(self) -> int:
        return len(self) + sum(connection not in self for connection in self.beginning)

    def _tell(self) -> None:
        if self.is_open:
            self._share.tell(self._count)


class WorkerServer(Server):
    """Uvicorn's server, as one of several workers."""

    def __init__(self, config: Config, share: Share) -> None:
        super().__init__(config)
        self._share = share

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application, and to take connections."""
        connections = self.server_state.connections = _Connections(self._share)
        # It would take all connections by itself.
        await super().startup(sockets=[])

        def protocol() -> RegistryProtocol:
            return RegistryProtocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        for listening in sockets or []:
            server = Listener(listening, protocol, connections)
            self.servers.append(server)  # type: ignore[arg-type] # it has what uvicorn calls


class Listener:
    """Takes its share of the connections to one socket. What uvicorn needs of `asyncio.Server`."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], RegistryProtocol],
        connections: _Connections,
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._taking: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._is_closed = False
        listening.settimeout(0)
        connections.open()
        self._loop.add_reader(listening, self._begin)

    def close(self) -> None:
        """Takes no more."""
        self._is_closed = True
        self._connections.close()
        if self._taking is None:
            self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        """Returns when what was taken before is a connection."""
        if self._taking is not None:
            await self._taking
        await asyncio.gather(*self._serving)

    def _begin(self) -> None:
        self._loop.remove_reader(self._listening)
        self._taking = self._loop.create_task(self._take())

    async def _take(self) -> None:
        """Takes what waits, as far as it is this worker's, and has the rest waited for."""
        try:
            await self._take_what_waits()
        except Exception:
            # Whatever it was: a worker that takes nothing is worse than one that tries again.
            _logger.exception("connections could not be taken")
            await asyncio.sleep(_EXHAUSTED_SECONDS)
        finally:
            self._taking = None
            if not self._is_closed:
                self._loop.add_reader(self._listening, self._begin)

    async def _take_what_waits(self) -> None:
        patient_until = None
        looks = taken = 0
        while not self._is_closed:
            if self._connections.may_grow():
                patient_until = None
                looks = 0
            elif patient_until is None:
                patient_until = self._loop.time() + _PATIENCE_SECONDS
            if patient_until is not None and self._loop.time() < patient_until:
                looks += 1
                await asyncio.sleep(0 if looks < _LOOKS else _PAUSE_SECONDS)
                continue
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                await self._pause_after(error)
                continue
            self._begin_to_serve(connection)
            taken += 1
            if taken % _AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _pause_after(self, error: OSError) -> None:
        if error.errno not in _EXHAUSTED:
            # The connection went away, or the kernel is in trouble for a moment.
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        _logger.error("no more connections can be taken: %s", error)
        self._connections.close()
        await asyncio.sleep(_EXHAUSTED_SECONDS)
        if not self._is_closed:
            self._connections.open()

    def _begin_to_serve(self, taken: socket.socket) -> None:
        try:
            taken.settimeout(0)
            protocol = self._protocol()
        except BaseException:
            taken.close()
            raise
        self._connections.begin(protocol)
        task = self._loop.create_task(self._serve(taken, protocol))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, taken: socket.socket, protocol: RegistryProtocol) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, taken)
        except OSError:
            taken.close()
        except Exception:
            _logger.exception("a connection could not be served")
            taken.close()
        else:
            if self._is_closed:
                protocol.shutdown()
        finally:
            self._connections.end(protocol)
