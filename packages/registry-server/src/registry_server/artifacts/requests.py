"""What the artifact routes read of a request: its path as it was sent, and its body as a stream."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, unquote, unquote_to_bytes

from litestar.types import Receive, Scope

from registry_core import InvalidArgumentError, validation
from registry_core.access import Rights
from registry_core.wire import fields_of_body
from registry_core.wire.digest_fields import sha256_of_field
from registry_core.wire.uploads import OFFSET_HEADER, UPLOADS_PATH
from registry_server.http.responses import RequestRefusedError
from registry_server.process.connection import connection_of
from registry_server.process.lanes import ClientGoneError
from registry_server.process.long_bodies import BUFFER_BYTES, BUFFERS, LongBody
from registry_server.process.pieces import Pieces

PIECE_SIZE = 256 * 1024
"""Bytes that pass from the event loop to a thread at a time; of a quick client all that wait."""

UPLOAD_BYTES = BUFFERS * BUFFER_BYTES + 3 * PIECE_SIZE
"""The most that is held of an upload beside its writer: what waited before it was known to be long,
and the buffers of a long one. Of others less waits, while as much is written."""

_TEXT_MAX_LENGTH = 4_096
"""Characters of a client's local path, an upload id or an ETag; no system has longer ones."""

MAX_PARTS = 10_000
"""S3's limit of parts in one upload."""

JSON_BODY_MAX_BYTES = 8 * 1024 * 1024
"""Bytes of a JSON body: ten thousand parts with their URLs and ETags fit."""

_OFFSET_DIGITS = 18
"""Of the largest file that anything can hold, and more."""

_ROUTES = (b"artifacts", b"presigned", b"mpu/create", b"mpu/complete", b"mpu/abort")
_UPLOADS = f"{UPLOADS_PATH}/".encode()
_METHODS = {
    "artifacts": b"GET, HEAD, PUT, DELETE",
    "presigned": b"GET, HEAD",
    "uploads": b"HEAD, PUT",
}


class ArtifactRequest:
    """A request to one of the artifact routes."""

    def __init__(self, scope: Scope, receive: Receive, held: AsyncExitStack) -> None:
        self.held = held
        """What the request holds until it has been answered."""
        self.method = str(scope.get("method"))
        self._scope = scope
        self._headers = {name.lower(): value for name, value in scope["headers"]}
        self.body = Body(receive)
        self._long: LongBody | None = None
        self.connection = connection_of(scope)
        self.segments = _segments(scope)
        self.rights: Rights | None = scope.get("auth")
        """What the caller may do; None where everybody may do everything."""

    def header(self, name: str) -> str | None:
        """Return a header's value; None without it."""
        value = self._headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def query(self, name: str) -> str:
        """Return the first value of a query parameter, or an empty text."""
        try:
            values = parse_qs(self._scope["query_string"].decode("ascii"), errors="strict")
        except (UnicodeDecodeError, ValueError):
            raise InvalidArgumentError("Invalid path") from None
        return values.get(name, [""])[0]

    @property
    def content_length(self) -> int | None:
        """The length of the body that the client announced; None if it did not."""
        length = self.header("content-length") or ""
        return int(length) if length.isdecimal() else None

    def long_body(self) -> LongBody | None:
        """Return what reads the rest of the body past the parser; see `Connection.long_body`."""
        length = self.content_length
        if length is not None and self.connection is not None:
            self._long = self.connection.long_body(length - self.body.received)
        return self._long

    @property
    def received(self) -> int:
        """Bytes of the body that were read."""
        return self.body.received + (0 if self._long is None else self._long.received)

    @property
    def content_sha256(self) -> str | None:
        """The digest of the body that the client announced, in hex; None if it did not.

        RFC 9530, section 2; digests by other algorithms than SHA-256 say nothing here.

        Raises:
            InvalidArgumentError: it is none.
        """
        return self._sha256("Content-Digest")

    @property
    def file_sha256(self) -> str | None:
        """The digest of the whole file that a request is about; see RFC 9530, section 3."""
        return self._sha256("Repr-Digest")

    @property
    def offset(self) -> int:
        """After how many bytes of its file the body begins.

        Raises:
            InvalidArgumentError: it is not a number.
        """
        text = self.header(OFFSET_HEADER.lower()) or "0"
        if not text.isdecimal() or not text.isascii() or len(text) > _OFFSET_DIGITS:
            raise InvalidArgumentError(f"Invalid {OFFSET_HEADER}")
        return int(text)

    def _sha256(self, header: str) -> str | None:
        try:
            return sha256_of_field(self.header(header.lower()) or "")
        except ValueError:
            raise InvalidArgumentError(f"Invalid {header}") from None

    async def json(self) -> Mapping[str, Any]:
        """Return the JSON object in the body."""
        body = await self.body.read(JSON_BODY_MAX_BYTES + 1)
        if len(body) > JSON_BODY_MAX_BYTES:
            raise RequestRefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "INVALID_PARAMETER_VALUE",
                f"The request body exceeds the maximum of {JSON_BODY_MAX_BYTES} bytes.",
            )
        return fields_of_body(body)

    def refused(self) -> RequestRefusedError:
        """Return the error for a route that does not exist, or not for this method."""
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
    """The body of a request, in pieces that it is worth to have a thread store.

    How long a client may take for it, is the business of its connection.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.received = 0
        """Bytes that have come."""
        self.is_complete = False
        """Whether all of it has been read."""

    async def read(self, size: int = PIECE_SIZE) -> bytes:
        """Return the next bytes, `size` of them and a bit, or the rest; empty at the end.

        Raises:
            ClientGoneError: the connection broke before the end.
        """
        gathered = Pieces()
        while not self.is_complete and len(gathered) < size:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGoneError
            gathered += message["body"]
            self.received += len(message["body"])
            self.is_complete = not message["more_body"]
        return bytes(gathered)


def _raw_path(scope: Scope) -> bytes:
    """The path as it was sent, with the prefix, which a mounted application's `path` lacks."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.partition(b"?")[0]


def _segments(scope: Scope) -> tuple[str, ...]:
    """The route below the prefix, and the decoded path that follows it, if any."""
    raw = _raw_path(scope)
    if (upload := raw.partition(_UPLOADS)[2]) and raw.startswith(_UPLOADS):
        return "uploads", _decoded(upload)
    below = raw.partition(b"/mlflow-artifacts/")[2]
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


def text_of(fields: Mapping[str, Any], key: str) -> str:
    """Return a text of a JSON body that has to be there."""
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidArgumentError(f"Missing value for required parameter '{key}'.")
    return _sendable(value, key)


def _sendable(value: str, parameter: str) -> str:
    """Accept what can be sent to a bucket: it goes into a URL or XML."""
    return validation.text(value, parameter=parameter, max_length=_TEXT_MAX_LENGTH)


def etags_of(fields: Mapping[str, Any]) -> Mapping[int, str]:
    """Return the ETags of the parts of an upload, by their numbers."""
    parts: object = fields.get("parts")
    etags: dict[int, str] = {}
    for part in parts if isinstance(parts, list) else ():
        match part:
            case {"part_number": int(number), "etag": str(etag)} if 1 <= number <= MAX_PARTS:
                etags[number] = _sendable(etag, "etag")
            case _:
                raise InvalidArgumentError("'parts' must hold objects with part_number and etag")
    if not etags:
        raise InvalidArgumentError("Missing value for required parameter 'parts'.")
    return etags
