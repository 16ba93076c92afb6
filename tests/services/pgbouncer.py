"""A real PgBouncer between a store and its PostgreSQL.

It is Debian's `pgbouncer`: 1.18 in Debian 12, which does not follow prepared statements, so that in
transaction mode one client's name may mean another client's statement. A test that needs it is
skipped where the program is missing.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from services.ports import free_port
from services.postgres import _as_nobody, _give_away

START_SECONDS = 90
"""Seconds for the pooler to answer; it usually takes a tenth of one."""

_CONFIGURATION = """\
[databases]
* = host={host} port={port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {pool_size}
max_client_conn = {clients}
logfile = {log}
"""


@contextlib.contextmanager
def pgbouncer(
    url: str, *, mode: str = "transaction", pool_size: int = 2, clients: int = 500
) -> Iterator[str]:
    """The URL by which the database at `url` is reached through a pooler of its own.

    `mode` is PgBouncer's `pool_mode`, `pool_size` the number of its connections to the database,
    `clients` how many connections it takes.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    directory = Path(tempfile.mkdtemp(prefix="registry-pgbouncer-"))
    parts = urlsplit(url)
    listen = free_port()
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(
            host=parts.hostname,
            port=parts.port,
            user=parts.username,
            listen=listen,
            mode=mode,
            pool_size=pool_size,
            clients=clients,
            log=directory / "log",
        )
    )
    _give_away(directory)
    # It refuses to run as root.
    process = subprocess.Popen(
        [program, "-q", str(configuration)], stdin=subprocess.DEVNULL, **_as_nobody()
    )
    try:
        pooled = urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{listen}"))
        await_answer(pooled, process)
        yield pooled
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    """Returns when what the process leads to answers."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            assert process.poll() is None, f"{process.args[0]} has ended"
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
