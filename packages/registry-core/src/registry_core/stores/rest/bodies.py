"""Bodies of answers: bytes of which there are not too many, and JSON that does not unfold to more.

Strategy: anybody may have sent the answer. So nothing is decompressed past a limit, nothing is read
to its end only because it goes on, and JSON becomes objects only when they cannot be too many.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import urllib3

    from registry_core.wire import Json

ANSWER_MAX_BYTES = 64 * 1024 * 1024
"""Bytes of an answer, decompressed. A page of 1,000 versions takes half a megabyte, of long prompts
a hundred times that; a search that meets the limit asks for smaller pages."""

ANSWER_MAX_ELEMENTS = 4_000_000
"""Values of lists and objects in an answer. Each takes up to 200 bytes of memory, and as few as two
of the answer; the largest page that MLflow gives, 200,000 versions, has 3 million."""

ERROR_MAX_BYTES = 2 * 1024 * 1024
"""Bytes of an answer that is an error; of a longer one only the status counts. One that says what a
tag is instead of what was expected repeats up to 100,000 characters, which are 1.2 MB in JSON."""

_PIECE = 64 * 1024
"""Bytes read at a time."""

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class TooLargeError(Exception):
    """There are more bytes or elements than allowed; the connection is of no further use."""


class UnreadableError(Exception):
    """The bytes are not what the answer says they are; the message says what they are."""


def read_body(response: urllib3.BaseHTTPResponse, *, most: int) -> bytes:
    """Return the body of an answer, decompressed.

    Raises:
        TooLargeError: it has more than `most` bytes.
        UnreadableError: it is compressed in a way that nobody asked for, or damaged.
        urllib3.exceptions.HTTPError: the connection broke, or it took too long.
    """
    try:
        return _decompressed(response, most)
    except BaseException:
        # What was not read would be taken for the next answer.
        response.close()
        raise


def _decompressed(response: urllib3.BaseHTTPResponse, most: int) -> bytes:
    coding = response.headers.get("content-encoding", "").strip().lower()
    inflate = None if coding in ("", "identity") else _Inflation(coding)
    pieces: list[bytes] = []
    room = most
    while piece := response.read(_PIECE, decode_content=False):
        part = piece if inflate is None else inflate.feed(piece, room + 1)
        room -= len(part)
        if room < 0:
            raise TooLargeError
        pieces.append(part)
    if inflate is not None:
        inflate.check_end()
    return b"".join(pieces)


class _Inflation:
    """The decompression of gzip or zlib, which stops at a limit."""

    def __init__(self, coding: str) -> None:
        if coding not in _CODINGS:
            raise UnreadableError(f"a body in the coding '{coding[:50]}'")
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)

    def feed(self, piece: bytes, most: int) -> bytes:
        """Return what a piece unfolds to, or the first `most` bytes of it."""
        if self._inflate.eof:
            raise UnreadableError("more than one compressed body")
        try:
            return self._inflate.decompress(piece, most)
        except zlib.error:
            raise UnreadableError("a body that cannot be decompressed") from None

    def check_end(self) -> None:
        """Refuse a body that ends in the middle, or goes on after its end."""
        if not self._inflate.eof:
            raise UnreadableError("a compressed body that was cut off")
        if self._inflate.unused_data:
            raise UnreadableError("more than one compressed body")


def json_object(body: bytes, content_type: str | None) -> Json:
    """Return the JSON object that a body is.

    Raises:
        TooLargeError: it unfolds to too many objects.
        UnreadableError: it is something else.
    """
    if not body:
        raise UnreadableError("an empty body")
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnreadableError(f"the content type '{media_type[:100]}'")
    if len(body) > ANSWER_MAX_ELEMENTS and _most_elements(body) > ANSWER_MAX_ELEMENTS:
        raise TooLargeError
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableError("a body that is not JSON") from None
    if not isinstance(value, dict):
        raise UnreadableError("JSON that is not an object")
    return cast("Json", value)


def _most_elements(body: bytes) -> int:
    # Characters inside texts are counted too: to tell them apart would cost as much as to read it.
    return body.count(b",") + body.count(b"[") + body.count(b"{")
