"""Finished answers: bytes that are sent as they are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from litestar.types import Receive, Scope, Send

from registry_core import RegistryError, StoreCorruptedError, StoreUnavailableError
from registry_core.wire import CODES, JSON_CONTENT_TYPE, Json, code_of, dumps, error_body
from registry_server.http import outages
from registry_server.http.request_ids import request_id_of
from registry_server.process.logs import fields

_logger = logging.getLogger("registry_server")

_JSON = (b"content-type", JSON_CONTENT_TYPE.encode())

_PASSING = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""The statuses that say when to ask again."""

CORRUPTED_MESSAGE = "What is stored cannot be read; the server's log names what is damaged."
"""All that a client learns of damage: the reason repeats keys and pieces of what is stored."""


class Response:
    """An ASGI application that sends one finished answer."""

    __slots__ = ("body", "headers", "status", "store_seconds")

    def __init__(
        self, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = (_JSON,)
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.store_seconds: float | None = None
        """How long the call to the store took that it is the answer to, if it is one's."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 ASGI
        """Send the answer; to a HEAD request, without its body."""
        headers = list(self.headers)
        if self.status != HTTPStatus.NO_CONTENT:
            headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        body = b"" if scope.get("method") == "HEAD" else self.body
        await send({"type": "http.response.body", "body": body, "more_body": False})


class RequestRefusedError(Exception):
    """A request that no operation saw: the status, code and message of its answer."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        details: Mapping[str, object] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.headers = headers
        self.details = details or {}
        """Further fields of the answer's body."""
        super().__init__(message)

    def reply(self) -> Response:
        """Return the answer."""
        body = dumps({**CODES[self.code].body(str(self)), **self.details})
        return Response(self.status, body, (_JSON, *self.headers))


def success(value: Json) -> Response:
    """Return the answer 200 with that object."""
    return Response(HTTPStatus.OK, dumps(value))


def failure(error: Exception, scope: Scope | None = None) -> Response:
    """Return the answer to a request that failed. What is not our error is logged and not sent.

    What is logged names the request, as far as its scope is given.
    """
    if isinstance(error, RequestRefusedError):
        return error.reply()
    code = code_of(error)
    extra = fields(request_id=None if scope is None else request_id_of(scope))
    if not isinstance(error, RegistryError):
        _logger.error("a request failed: %r", error, exc_info=error, extra=extra)
    if isinstance(error, StoreCorruptedError):
        _logger.error("what is stored cannot be read: %s", error, extra=extra)
        return Response(code.status, dumps(code.body(CORRUPTED_MESSAGE)))
    headers: tuple[tuple[bytes, bytes], ...] = (_JSON,)
    if isinstance(error, StoreUnavailableError):
        _logger.warning("the store is unavailable: %s", error, extra=extra)
    if code.status in _PASSING:
        headers = (_JSON, (b"retry-after", b"%d" % outages.retry_after_seconds(error)))
    return Response(code.status, dumps(error_body(error)), headers)


def text(body: str, content_type: str = "text/plain; charset=utf-8") -> Response:
    """Return the answer 200 with a text."""
    return Response(HTTPStatus.OK, body.encode(), ((b"content-type", content_type.encode()),))
