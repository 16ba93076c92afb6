"""HTTP/1.1 in as few steps as a client needs that has to be light: floods and measurements use it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping

import attrs

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"

_READ_BYTES = 256 * 1024
"""Bytes taken from a socket at a time."""


def request(
    method: str,
    path: str,
    body: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> bytes:
    """A whole request; `length` is what Content-Length says where that is not the truth."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or length is not None:
        lines += [
            "Content-Type: application/json",
            f"Content-Length: {len(body) if length is None else length}",
        ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def post(path: str, fields: object, headers: Mapping[str, str] | None = None) -> bytes:
    """A POST of these fields to a path of the API."""
    return request("POST", API + path, json.dumps(fields).encode(), headers=headers)


@attrs.frozen
class Response:
    """A status, and what else a client acts upon."""

    status: int
    retry_after: float | None = None


class Connection:
    """One connection of a client; it is closed when anything about it is not as it should be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_open = True

    @classmethod
    async def to(cls, port: int) -> Connection:
        """A new connection to a loopback port."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=_READ_BYTES))

    async def send(self, data: bytes) -> None:
        """Sends all of the bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def ask(self, data: bytes) -> Response:
        """The answer to a request, its body read and forgotten.

        Raises:
            OSError: there is none, or not a whole one; the connection is closed.
        """
        try:
            # Nobody waits until all is sent: a server may answer, and hang up, before.
            self._writer.write(data)
            return await self.answer()
        except BaseException:
            self.close()
            raise

    async def answer(self) -> Response:
        """The next answer; raises as `ask` does."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, headers = _parsed(head)
            left = int(headers.get("content-length", "0"))
            while left:
                piece = await self._reader.read(min(left, _READ_BYTES))
                if not piece:
                    raise ConnectionError("the answer ended early")
                left -= len(piece)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ConnectionError("no answer") from error
        if headers.get("connection") == "close":
            self.close()
        return Response(status, _seconds(headers.get("retry-after")))

    async def ended(self) -> None:
        """Returns when the server has hung up."""
        with contextlib.suppress(OSError):
            while await self._reader.read(_READ_BYTES):
                pass

    def close(self) -> None:
        """Hangs up at once, whatever is under way."""
        self.is_open = False
        self._writer.transport.abort()


def _parsed(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
