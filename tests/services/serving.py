"""Any ASGI application behind our HTTP server, in a thread of the tests' process."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import attrs

from registry_server.process.connections import Connections
from registry_server.process.limits import Limits
from registry_server.process.listener import WorkerConfig, WorkerServer

START_SECONDS = 90
"""Seconds for the server to start, and to end."""


@attrs.frozen
class Served:
    """A server that runs."""

    port: int
    server: WorkerServer

    @property
    def connections(self) -> Connections:
        """Its connections, to be looked at."""
        return self.server._connections

    def connect(self, *, receives: int | None = None) -> socket.socket:
        """A new connection, possibly one that takes only so many bytes before they are read."""
        client = socket.socket()
        client.settimeout(START_SECONDS)
        if receives is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        client.connect(("127.0.0.1", self.port))
        return client


@contextlib.contextmanager
def serving_app(
    app: Any,
    limits: Limits | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    loop: Literal["auto", "asyncio"] = "auto",
) -> Iterator[Served]:
    """The application, served on loopback."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1_000)
    config = WorkerConfig(
        app,
        http="registry_server.process.protocol:RegistryProtocol",
        ws="none",
        lifespan="auto",
        loop=loop,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    config.limits = limits or config.limits
    config.tls = tls
    server = WorkerServer(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < deadline, "the server did not start in time"
        time.sleep(0.01)
    try:
        yield Served(listening.getsockname()[1], server)
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
