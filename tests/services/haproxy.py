"""A real HAProxy that forwards TCP between a store and its PostgreSQL.

A test that needs it is skipped where the program is missing.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from services.pgbouncer import await_answer
from services.postgres import _free_port

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


@contextlib.contextmanager
def haproxy(url: str, *, idle_ms: int = 50_000) -> Iterator[str]:
    """The URL by which the database at `url` is reached through a proxy of its own.

    `idle_ms` are the milliseconds after which it ends a connection on which nothing is said; HAProxy's
    documentation shows 50 seconds.
    """
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("haproxy is not installed: apt-get install haproxy")
    parts = urlsplit(url)
    listen = _free_port()
    with tempfile.TemporaryDirectory(prefix="registry-haproxy-") as directory:
        configuration = Path(directory) / "haproxy.cfg"
        configuration.write_text(
            _CONFIGURATION.format(
                host=parts.hostname, port=parts.port, listen=listen, idle_ms=idle_ms
            )
        )
        process = subprocess.Popen(
            [program, "-db", "-q", "-f", str(configuration)], stdin=subprocess.DEVNULL
        )
        try:
            proxied = urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{listen}"))
            await_answer(proxied, process)
            yield proxied
        finally:
            process.kill()
            process.wait()
