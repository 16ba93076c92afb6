"""Connections shared out among workers.

Strategy: all workers listen on one socket, and the kernel wakes them all. The first one awake
would take every connection that waits, and clients keep theirs: eight clients that connect at once
would all be with one worker, and the others idle. So workers show each other how many connections
they have, and one that has clearly more than another leaves it some milliseconds to take the next.

`bench.sharing` compares this with simpler ways. With a socket for each worker (SO_REUSEPORT), and
with a parent that passes connections on, half of the clients wait for a worker that hangs. Where
the worker that comes first takes one at a time, one of four clients often has a worker for itself,
and the p99 of all of them is a tenth to a third longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from uvicorn import Config, Server

from registry_server.process.connections import Connections
from registry_server.process.hangups import HANGUPS
from registry_server.process.limits import Limits
from registry_server.process.load_table import LoadTable, WorkerLoad
from registry_server.process.protocol import RefusedError, RegistryProtocol

_LOOKS = 20
"""How often a worker looks in each round of its loop whether it is its turn. Others that are idle
have come by then."""

_PAUSE_SECONDS = 0.001
"""Between two looks afterwards."""

_PATIENCE_SECONDS = 0.01
"""How long a connection is left to others. They may be busy, or hang."""

_ACCEPT_BATCH = 32
"""Connections that are taken before requests are looked at again."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_EXHAUSTED_SECONDS = 1.0
"""Until the next attempt, where no more files may be opened."""

_UNSENT_BYTES = 256 * 1024
"""What the kernel keeps of an answer before it has been sent, for each connection. It would else
take megabytes from a server that writes faster than its client reads. More makes nothing faster."""

_BUSY = RefusedError(
    "The server has as many connections as it takes.", HTTPStatus.TOO_MANY_REQUESTS
).answer()

_logger = logging.getLogger("registry_server")


class WorkerConfig(Config):
    """Uvicorn's configuration, the limits of a worker, and what SIGHUP has it do."""

    limits = Limits()
    reload_files: Callable[[], object] = staticmethod(lambda: None)
    """Called in the event loop at SIGHUP."""
    watch: Callable[[Connections], object] = staticmethod(lambda _: None)
    """Called with the connections of the worker when it starts to serve."""
    tls: ssl.SSLContext | None = None
    """What is spoken with clients of the first socket; those of others have no TLS."""


class WorkerServer(Server):
    """Uvicorn's server, as the only worker or one of several."""

    listener: type[Listener]
    """What takes connections: the benchmark of listeners has others."""

    def __init__(self, config: Config, share: WorkerLoad | None = None) -> None:
        super().__init__(config)
        self._share = share or LoadTable().take()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and begin to take connections."""
        limits = self.config.limits if isinstance(self.config, WorkerConfig) else Limits()
        self._connections = Connections(self._share, limits)
        self.server_state.connections = cast("Any", self._connections)
        # It would take all connections by itself.
        await super().startup(sockets=[])

        def protocol() -> RegistryProtocol:
            return RegistryProtocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        for listening in sockets or []:
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                # Connections have it from their listener.
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
            server = self.listener(listening, protocol, self._connections)
            if listening is (sockets or [])[0] and isinstance(self.config, WorkerConfig):
                server.tls = self.config.tls
            self.servers.append(server)  # type: ignore[arg-type] # it has what uvicorn calls
        if isinstance(self.config, WorkerConfig):
            self.config.watch(self._connections)
            HANGUPS.obey(partial(_soon, asyncio.get_running_loop(), self.config.reload_files))
        self._share.beat()
        self._connections.on_sweep.append(self._share.beat)
        self._connections.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End when the requests in flight are answered, or at the latest when time is up."""
        try:
            await super().shutdown(sockets)
        finally:
            self._connections.stop()


class Listener:
    """Takes its share of the connections to one socket. What uvicorn needs of `asyncio.Server`."""

    tls: ssl.SSLContext | None = None
    """What is spoken with its clients, if not plain HTTP."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], RegistryProtocol],
        connections: Connections,
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._connections = connections
        # Few enough, so that what they send is read before it is found out which has to end.
        self._batch = min(_ACCEPT_BATCH, max(1, connections.limits.connections // 4))
        self._loop = asyncio.get_running_loop()
        self._taking: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._is_closed = False
        listening.settimeout(0)
        connections.open()
        self._loop.add_reader(listening, self._begin)

    def close(self) -> None:
        """Take no more."""
        self._is_closed = True
        self._connections.close()
        if self._taking is None:
            self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        """Return when what was taken before is a connection."""
        if self._taking is not None:
            await self._taking
        await asyncio.gather(*self._serving)

    def _begin(self) -> None:
        self._loop.remove_reader(self._listening)
        self._taking = self._loop.create_task(self._take())

    async def _take(self) -> None:
        """Take what waits, as far as it is this worker's, and have the rest waited for."""
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
            if self._connections.has_room():
                self._begin_to_serve(connection)
            else:
                _refuse(connection)
            taken += 1
            if taken % self._batch == 0:
                await self._settle()

    async def _settle(self) -> None:
        """Has requests looked at, and what was taken be there: one of it may have to end."""
        await asyncio.sleep(0)
        for _ in range(_LOOKS):
            if not (self._connections.is_full and self._connections.beginning):
                return
            await asyncio.sleep(0)

    async def _pause_after(self, error: OSError) -> None:
        if error.errno not in _EXHAUSTED:
            # The connection went away, or the kernel is in trouble for a moment.
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        if self._connections.make_room():
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
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                taken,
                ssl=self.tls,
                # A client may take as long for it as for a head, which it also has to send.
                ssl_handshake_timeout=self._connections.limits.head_seconds if self.tls else None,
            )
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


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Has an event loop call this, unless it has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


def _refuse(taken: socket.socket) -> None:
    """Say that there is no room, if that can be said at once, and hang up."""
    with taken, contextlib.suppress(OSError):
        taken.settimeout(0)
        taken.send(_BUSY)


WorkerServer.listener = Listener
