"""What the artifact routes read of a request: its path as it was sent, and its body as a stream."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, unquote, unquote_to_bytes

from litestar.types import Receive, Scope

from registry_core import InvalidArgumentError
from registry_core.wire import fields_of_body
from registry_server.replies import RequestRefusedError

PIECE_SIZE = 1024 * 1024
"""Bytes that pass between the event loop and a thread at a time."""

IDLE_SECONDS = 120
"""How long a client may be silent in the middle of a body; it holds a thread meanwhile."""

JSON_BODY_MAX_BYTES = 8 * 1024 * 1024
"""Bytes of a JSON body: ten thousand parts with their URLs and ETags fit."""

_ROUTES = (b"artifacts", b"presigned", b"mpu/create", b"mpu/complete", b"mpu/abort")
_METHODS = {"artifacts": b"GET, HEAD, PUT, DELETE", "presigned": b"GET, HEAD"}


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


class ArtifactRequest:
    """A request to one of the artifact routes."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method = str(scope.get("method"))
        self._scope = scope
        self._headers = {name.lower(): value for name, value in scope["headers"]}
        self.body = Body(receive)
        self.segments = _segments(scope)

    def header(self, name: str) -> str | None:
        """A header's value; None without it."""
        value = self._headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def query(self, name: str) -> str:
        """The first value of a query parameter, or an empty text."""
        try:
            values = parse_qs(self._scope["query_string"].decode("ascii"), errors="strict")
        except (UnicodeDecodeError, ValueError):
            raise InvalidArgumentError("Invalid path") from None
        return values.get(name, [""])[0]

    @property
    def content_length(self) -> int | None:
        """The length of the body that the client announced; None if it did not."""
        announced = self.header("content-length") or ""
        return int(announced) if announced.isdecimal() else None

    async def json(self) -> Mapping[str, Any]:
        """The JSON object in the body."""
        body = b""
        while piece := await self.body.read():
            body += piece
            if len(body) > JSON_BODY_MAX_BYTES:
                raise RequestRefusedError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    "INVALID_PARAMETER_VALUE",
                    f"The request body exceeds the maximum of {JSON_BODY_MAX_BYTES} bytes.",
                )
        return fields_of_body(body)

    def refused(self) -> RequestRefusedError:
        """The error for a route that does not exist, or not for this method."""
        path = unquote(_raw_path(self._scope).decode("latin-1"))
        message = f"There is no endpoint for {self.method} {path}"
        if not self.segments:
            return RequestRefusedError(HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", message)
        return RequestRefusedError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "ENDPOINT_NOT_FOUND",
            message,
            headers=((b"allow", _METHODS.get(self.segments[0], b"POST")),),
        )


class Body:
    """The body of a request, in pieces of `PIECE_SIZE` and a bit, the last one excepted.

    Strategy: a thread that stores a file asks for its next piece, and the event loop gathers it. A
    handler that is cancelled ends the body, so that its thread does not wait for ever.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._more = True
        self._ended = False
        self._asked: concurrent.futures.Future[bytes] | None = None

    async def read(self) -> bytes:
        """The next piece; empty at the end.

        Raises:
            ClientGoneError: the connection broke before the end.
            RequestRefusedError: nothing came for too long.
        """
        gathered = bytearray()
        while self._more and len(gathered) < PIECE_SIZE:
            gathered += await self._next()
        return bytes(gathered)

    def pieces(self, loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
        """The body, for a thread that is not the loop's; raises as `read` does."""
        while True:
            self._asked = asyncio.run_coroutine_threadsafe(self.read(), loop)
            if self._ended:
                self._asked.cancel()
            try:
                piece = self._asked.result()
            except concurrent.futures.CancelledError:
                raise ClientGoneError from None
            if not piece:
                return
            yield piece

    def end(self) -> None:
        """No further piece is given."""
        self._ended = True
        if self._asked is not None:
            self._asked.cancel()

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise RequestRefusedError(
                HTTPStatus.REQUEST_TIMEOUT, "BAD_REQUEST", "The rest of the body did not come."
            ) from None
        if message["type"] != "http.request":
            raise ClientGoneError
        self._more = message["more_body"]
        return message["body"]


def _raw_path(scope: Scope) -> bytes:
    """The path as it was sent, with the prefix, which a mounted application's `path` lacks."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.partition(b"?")[0]


def _segments(scope: Scope) -> tuple[str, ...]:
    """The route below the prefix, and the decoded path that follows it, if any."""
    below = _raw_path(scope).partition(b"/mlflow-artifacts/")[2]
    for route in _ROUTES:
        if below == route:
            return (route.decode(),)
        if below.startswith(route + b"/"):
            return route.decode(), _decoded(below[len(route) + 1 :])
    return ()


def _decoded(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise InvalidArgumentError("Invalid path") from None
