"""A server that speaks just enough HTTP to do harm, on loopback."""

from __future__ import annotations

import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.receivers import raw_receiver

Behaviour = Callable[[socket.socket], None]
"""What to do with a connection once it has sent a request."""

MIB = 1024 * 1024


@contextmanager
def hostile_server(behaviour: Behaviour) -> Iterator[str]:
    """The URL of a server that does this with each connection."""
    with raw_receiver(behaviour) as url:
        yield url.removesuffix("/hook")


def answering(body: bytes, *headers: str, status: str = "200 OK") -> Behaviour:
    """Answers at once, with these headers beside the length."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(_head(status, f"Content-Length: {len(body)}", *headers) + body)

    return behave


def gzip_bomb(size: int) -> bytes:
    """A gzip file of so many bytes, all zero: a thousandth of that."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    start = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return start + block * (size // MIB - 1)


def endless(head: str, piece: bytes, *, status: str = "200 OK") -> Behaviour:
    """Sends pieces for ever, as fast as they are taken."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(_head(status, head))
        while True:
            connection.sendall(piece)

    return behave


def dripping(start: bytes, drop: bytes, *, every_seconds: float = 0.02) -> Behaviour:
    """Sends a few bytes now and then, for ever."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            time.sleep(every_seconds)
            connection.sendall(drop)

    return behave


def _head(status: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode()
