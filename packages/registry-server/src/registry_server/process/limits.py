"""What a worker lets its clients have: connections, time, and bytes that wait."""

from __future__ import annotations

import sys
from enum import IntEnum

import attrs

from registry_server.process.settings import Settings, SettingsError

MOST_CONNECTIONS = 4_096
"""The most connections of a worker, unless an operator says otherwise. Each takes some 12 KiB."""

FEWEST_CONNECTIONS = 16
"""The fewest connections with which a server starts."""

FREE_BYTES = 16 * 1024
"""Bytes of a request, and as many of an answer, that a connection may hold without being counted.
Nearly all requests and answers are shorter, so they cost no accounting."""

PRESSURE_BYTES_PER_SECOND = 64 * 1024
"""What a client has to send or take, once others wait for what it holds."""

_DESCRIPTORS = 48
"""Files that a worker has open anyway, and connections that are being taken or given up."""

_DESCRIPTORS_OF_A_THREAD = 3
"""Files of a thread that calls the store: an SQLite database and its journals, or a socket."""

_DESCRIPTORS_OF_ARTIFACTS = 40
"""Sockets to a bucket."""

_SHARE_OF_TRANSFERS = 8
"""Of the files that are left, one in so many may be an upload's, and one a download's."""

_UNLIMITED = 1_048_576


class Phase(IntEnum):
    """What a connection waits for."""

    HEAD = 0
    """The client has to send the rest of a request's head, or all of its first one."""
    IDLE = 1
    """The client may send another request."""
    REST = 2
    """The client sends the rest of a body whose request has been answered."""
    BODY = 3
    """The client has to send a body."""
    ANSWER = 4
    """The client has to take an answer."""
    CLOSING = 5
    """The client has to take what was written before the connection ends."""
    WORKING = 6
    """The server has to do something."""


@attrs.frozen(kw_only=True)
class Limits:
    """The limits of one worker; `Settings` says what each means."""

    connections: int = MOST_CONNECTIONS
    transfers: int = 128
    head_seconds: float = 20
    keep_alive_seconds: float = 75
    stall_seconds: float = 30
    bytes_per_second: int = 1_024
    waiting_bytes: int = 64 * 1024 * 1024

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the limits that settings and this process's limit of open files give together.

        Raises:
            SettingsError: the process may not open as many files as the connections take.
        """
        files = open_files() - _reserved(settings)
        transfers = max(1, min(settings.max_transfers, files // _SHARE_OF_TRANSFERS))
        room = files - 2 * transfers
        if room < max(FEWEST_CONNECTIONS, settings.max_connections):
            raise SettingsError(
                f"this process may open {open_files()} files, which is enough for "
                f"{max(0, room)} connections of a worker: raise the limit (ulimit -n), or lower "
                "--max-connections and --threads"
            )
        return cls(
            connections=settings.max_connections or min(room, MOST_CONNECTIONS),
            transfers=transfers,
            head_seconds=settings.head_seconds,
            keep_alive_seconds=settings.keep_alive_seconds,
            stall_seconds=settings.stall_seconds,
            bytes_per_second=settings.min_bytes_per_second,
            waiting_bytes=settings.max_waiting_bytes,
        )


def open_files() -> int:
    """Return how many files this process may have open."""
    if sys.platform == "win32":
        return _UNLIMITED
    import resource  # noqa: PLC0415 not everywhere

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def _reserved(settings: Settings) -> int:
    """Files that are not for clients."""
    return (
        _DESCRIPTORS
        + settings.threads * (_DESCRIPTORS_OF_A_THREAD + 1)
        + settings.webhook_threads
        + _DESCRIPTORS_OF_ARTIFACTS
    )
