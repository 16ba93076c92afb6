"""Ports for servers that have to be told theirs before they start."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _USUAL_EPHEMERAL = 12_000, 32_768


def free_port() -> int:
    """A loopback port that nobody listens on, and that no connection is given by chance.

    A port that the system has given may be given again, to any connection that begins before the
    server is there: with many tests at once that happens.
    """
    below = _USUAL_EPHEMERAL
    if _EPHEMERAL.exists():
        below = max(int(_EPHEMERAL.read_text().split()[0]), _LOWEST + 1)
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(_LOWEST, below)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
