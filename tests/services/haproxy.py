"""A real HAProxy that forwards TCP between a store and its PostgreSQL.

A test that needs it is skipped where the program is missing.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from services.pgbouncer import await_answer
from services.ports import free_port
from services.processes import wait_for

_CONFIGURATION = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client {idle_ms}ms
    timeout server {idle_ms}ms

frontend database
    bind 127.0.0.1:{listen}
    default_backend primary

backend primary
    server primary {host}:{port}
"""


class Proxy:
    """An HAProxy of one's own configuration, in which `{port}` is where it listens.

    It keeps its port when it is killed and started again.
    """

    def __init__(self, configuration: str, home: Path) -> None:
        self.port = free_port()
        self._home = home
        self._home.mkdir(exist_ok=True)
        self._configuration = self._home / "haproxy.cfg"
        self._configuration.write_text(configuration.format(port=self.port))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it listens when this returns."""
        command = [program(), "-db", "-q", "-f", str(self._configuration)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_for(self._listens)

    def kill(self) -> None:
        """End it at once, with every connection through it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as one to freeze it."""
        assert self._process is not None, "the proxy is not running"
        self._process.send_signal(number)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the proxy has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def program() -> str:
    """Where HAProxy is; a test is skipped where it is missing."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if found is None:
        pytest.skip("haproxy is not installed: apt-get install haproxy")
    return found


@contextlib.contextmanager
def haproxy(url: str, *, idle_ms: int = 50_000) -> Iterator[str]:
    """The URL by which the database at `url` is reached through a proxy of its own.

    `idle_ms` are the milliseconds after which it ends a connection on which nothing is said; HAProxy's
    documentation shows 50 seconds.
    """
    command = [program(), "-db", "-q", "-f"]
    parts = urlsplit(url)
    listen = free_port()
    with tempfile.TemporaryDirectory(prefix="registry-haproxy-") as directory:
        configuration = Path(directory) / "haproxy.cfg"
        configuration.write_text(
            _CONFIGURATION.format(
                host=parts.hostname, port=parts.port, listen=listen, idle_ms=idle_ms
            )
        )
        process = subprocess.Popen([*command, str(configuration)], stdin=subprocess.DEVNULL)
        try:
            proxied = urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{listen}"))
            await_answer(proxied, process)
            yield proxied
        finally:
            process.kill()
            process.wait()
