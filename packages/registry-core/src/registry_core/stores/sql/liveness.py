"""Whether the server at the other end of a silent connection lives, and is still the same one.

Strategy: the silent connection itself says nothing, so another one asks the server. First
at its front door, where even a server without a free connection answers at once. But a proxy or an
address may lead to another server since: one that was promoted, while the old one hangs and its
connections with it. So the session of the silent connection is looked for on the server that
answers. It is missed only where the server is certain not to have it: a pooler gives its clients
numbers of its own, which a connection to the same place shows.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import psycopg
from psycopg.pq.abc import PGconn

SIGN_OF_LIFE_SECONDS = 1.4
"""For the answer at the door, and for the one about the session."""

_CONNECT_SECONDS = 2
"""For the connection that looks for the session; psycopg knows no shorter time."""

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""The question that a server answers with one byte before it knows who asks."""

_SESSIONS = (
    "SELECT pg_catalog.pg_backend_pid(), EXISTS "
    "(SELECT FROM pg_catalog.pg_stat_activity WHERE pid = %s)"
)


def has_server(pgconn: PGconn) -> bool:
    """Return whether a server answers where the connection leads."""
    with contextlib.suppress(OSError), _dial(pgconn) as door:
        door.settimeout(SIGN_OF_LIFE_SECONDS)
        door.sendall(_SSL_REQUEST)
        return bool(door.recv(1))
    return False


def parameters(pgconn: PGconn) -> dict[str, Any]:
    """Return what another connection to the same place is made with."""
    options = {
        option.keyword.decode(): option.val.decode()
        for option in pgconn.info
        if option.val is not None
    }
    # Whatever answers there is to be looked at.
    return options | {"connect_timeout": _CONNECT_SECONDS, "target_session_attrs": "any"}


def has_session(observer: psycopg.Connection[Any], pid: int) -> bool:
    """Return whether the server of the observer may run the session of that number."""
    row = observer.execute(_SESSIONS, [pid]).fetchone()
    assert row is not None
    own, is_there = row
    return bool(is_there) or own != observer.info.backend_pid


def _dial(pgconn: PGconn) -> socket.socket:
    """A connection to where another one is connected to."""
    host, port = pgconn.host.decode(), int(pgconn.port)
    if host.startswith("/"):
        local = socket.socket(socket.AF_UNIX)
        local.settimeout(SIGN_OF_LIFE_SECONDS)
        local.connect(f"{host}/.s.PGSQL.{port}")
        return local
    address = pgconn.hostaddr.decode() or host
    return socket.create_connection((address, port), SIGN_OF_LIFE_SECONDS)
