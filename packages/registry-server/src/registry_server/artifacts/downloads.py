"""A file, or a range of it, as an answer (RFC 9110, section 14)."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import TypeAlias
from urllib.parse import quote

import attrs
from litestar.types import Receive, Scope, Send

from registry_core.artifacts import FileInfo, Reading
from registry_server.http.responses import Response

_PIECES_MAX = 4
"""Pieces that a quick client gets at a time."""

_QUICK_SECONDS = 0.01
"""In which a quick client takes a piece: 25 MB/s."""

Pieces: TypeAlias = deque[bytes]
Headers: TypeAlias = list[tuple[bytes, bytes]]

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z", re.ASCII)


@attrs.frozen
class Span:
    """The bytes from `start` up to `stop` of a file of `size` bytes."""

    start: int
    stop: int
    size: int

    @property
    def is_empty(self) -> bool:
        """Whether there is no such byte."""
        return self.start >= self.stop


def wanted_span(header: str | None, if_range: str | None, info: FileInfo) -> Span | None:
    """Return the range that a request asks for, possibly empty; None if it is for the whole file.

    Several ranges, another unit, and a condition that does not hold, mean the whole file.
    """
    match = _RANGE.match(header or "")
    if match is None or match.groups() == ("", "") or not _holds(if_range, info):
        return None
    size = info.size or 0
    first, last = match.groups()
    if first == "":
        return Span(max(0, size - int(last)), size, size)
    return Span(int(first), min(size, int(last) + 1) if last else size, size)


def not_satisfiable(info: FileInfo) -> Response:
    """Return the answer for a range in which the file has no byte."""
    content_range = (b"content-range", b"bytes */%d" % (info.size or 0))
    return Response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", (content_range,))


def file_headers(info: FileInfo) -> Headers:
    """Return the headers of a file, apart from its length."""
    headers = [
        (b"content-type", _content_type(info.path)),
        (b"content-disposition", _disposition(info.path.rpartition("/")[2])),
        (b"accept-ranges", b"bytes"),
    ]
    if info.etag is not None:
        headers.append((b"etag", b'"%s"' % info.etag.encode()))
    if info.modified is not None:
        headers.append((b"last-modified", formatdate(info.modified / 1000, usegmt=True).encode()))
    return headers


class HeadOfFile:
    """An ASGI application that sends the headers of a file, and not its bytes."""

    def __init__(self, info: FileInfo) -> None:
        self._headers = [*file_headers(info), (b"content-length", b"%d" % (info.size or 0))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 ASGI
        """Send the headers."""
        start = {"type": "http.response.start", "status": HTTPStatus.OK, "headers": self._headers}
        await send(start)  # type: ignore[arg-type]  # a dict, as ASGI has it
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Download:
    """An ASGI application that streams an open file, and closes it.

    Strategy: pieces are read when the client has taken nearly all of the last ones. What the system
    has not sent yet keeps the connection busy meanwhile. A slow client holds one piece; a quick one
    gets several at a time, since each visit to a thread costs as much as reading a piece.
    """

    def __init__(
        self,
        run: Callable[[Callable[[], Pieces]], Awaitable[Pieces]],
        reading: Reading,
        span: Span | None,
    ) -> None:
        self._run = run
        self._reading = reading
        self.status = HTTPStatus.OK if span is None else HTTPStatus.PARTIAL_CONTENT
        size = reading.info.size or 0
        self._length = size if span is None else span.stop - span.start
        self._small: Pieces | None = None
        self._headers = [*file_headers(reading.info), (b"content-length", b"%d" % self._length)]
        if span is not None:
            content_range = b"bytes %d-%d/%d" % (span.start, span.stop - 1, span.size)
            self._headers.append((b"content-range", content_range))

    async def take_small(self) -> bool:
        """Close the file; whether all that is to be sent was in one piece, and is kept."""
        pieces = await self._run(partial(self._read, 1))
        await self._run(self._close)
        if sum(map(len, pieces)) == self._length:
            self._small = pieces
        return self._small is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 ASGI
        """Send the headers, then the pieces as the client takes them."""
        disconnected = asyncio.ensure_future(_disconnected(receive))
        try:
            await send(
                {"type": "http.response.start", "status": self.status, "headers": self._headers}
            )
            async for piece in self._pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                del piece
                # A server sends something when the client has taken what was sent before.
                await send({"type": "http.response.body", "body": b"", "more_body": True})
                if disconnected.done():
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            disconnected.cancel()
            await self._run(self._close)

    async def _pieces(self) -> AsyncIterator[bytes]:
        if self._small is not None:
            for piece in self._small:
                yield piece
            return
        clock = asyncio.get_running_loop().time
        count = 1
        while pieces := await self._run(partial(self._read, count)):
            began, sent = clock(), len(pieces)
            while pieces:
                yield pieces.popleft()
            is_quick = clock() - began < _QUICK_SECONDS * sent
            count = min(2 * count, _PIECES_MAX) if is_quick else 1

    def _read(self, count: int) -> Pieces:
        return deque(islice(self._reading, count))

    def _close(self) -> Pieces:
        self._reading.close()
        return deque()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _holds(if_range: str | None, info: FileInfo) -> bool:
    return if_range is None or (info.etag is not None and if_range == f'"{info.etag}"')


def _content_type(path: str) -> bytes:
    guessed = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return guessed.encode()


def _disposition(name: str) -> bytes:
    """A download under the file's name (RFC 6266): ASCII, and UTF-8 for clients that know it."""
    plain = re.sub(r'[^\x20-\x7e]|["\\;]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}".encode()
