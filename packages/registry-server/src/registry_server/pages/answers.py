"""What pages answer: a page with its data, or the way to another one."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import quote

import attrs

from registry_core.wire import Json
from registry_server.http import responses
from registry_server.http.responses import Response
from registry_server.pages import forgery

NOTICE_COOKIE = "registry_notice"
"""The cookie that has what was done, for the page that is shown next."""

NOTICE_MAX_LENGTH = 500
"""Characters of a notice."""

_NOTICE_SECONDS = 60

PIECE_SECONDS = 0.25
"""How long pieces of a page that is sent while it is made are gathered."""

_MIN_GZIP_BYTES = 1_024
"""A shorter page gains nothing from being compressed."""

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page may load and do: nothing but what this server sends, and no script in the page."""

_SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_OWN: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Accept, Accept-Encoding, Cookie"),
)
"""Nobody but the browser that asked keeps a page, and that asks again: others see another one."""

_HTML: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"text/html; charset=utf-8"),
    *_OWN,
    *_SECURITY,
)

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]


@attrs.frozen(kw_only=True)
class View:
    """A page to show: a template and what it is made of, and the same as data."""

    template: str
    context: Mapping[str, Any]
    data: Callable[[], Json]
    is_streamed: bool = False
    """Whether its pieces are sent as they are made, since that takes long."""


@attrs.frozen(kw_only=True)
class Redirect:
    """Another page to go to, by its address below the root, and what has been done."""

    to: str
    notice: str | None = None


class PageStream:
    """The head of a page, and its pieces, each of which takes a while to make."""

    def __init__(self, pieces: Iterator[str], headers: Headers) -> None:
        self.headers = headers
        self._pieces = pieces

    def next(self) -> bytes | None:
        """Return what comes next: as many pieces as are made in `PIECE_SECONDS`.

        None at the end.
        """
        made: list[str] = []
        end = time.monotonic() + PIECE_SECONDS
        for piece in self._pieces:
            made.append(piece)
            if time.monotonic() > end:
                break
        return "".join(made).encode("utf-8", "replace") if made else None

    def close(self) -> None:
        """Make no more of it."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


PageResponse: TypeAlias = View | Redirect


def html(
    body: str,
    *,
    status: int = HTTPStatus.OK,
    accepts_gzip: bool = False,
    headers: Headers = (),
) -> Response:
    """Return a page."""
    content = body.encode("utf-8", "replace")
    more = [*_HTML, *headers]
    if accepts_gzip and len(content) >= _MIN_GZIP_BYTES:
        content = gzipped(content)
        more.append((b"content-encoding", b"gzip"))
    return Response(status, content, tuple(more))


def data(value: Json) -> Response:
    """Return the data of a page, which is kept as little as the page."""
    answer = responses.success(value)
    return Response(answer.status, answer.body, (*answer.headers, *_OWN))


def stream(pieces: Iterator[str], *, headers: Headers = ()) -> PageStream:
    """Return a page that is sent while it is made. No proxy should gather it first."""
    unbuffered = (b"x-accel-buffering", b"no")
    return PageStream(pieces, (*_HTML, unbuffered, *headers))


def redirect(root: str, to: str, *, headers: Headers = ()) -> Response:
    """Return the answer to a form: the page that shows what it did (RFC 9110, section 15.4.4)."""
    location = (b"location", (root + to).encode("ascii"))
    quiet = (b"cache-control", b"no-store")
    return Response(HTTPStatus.SEE_OTHER, b"", (location, quiet, *_SECURITY, *headers))


def gzipped(content: bytes, level: int = 6) -> bytes:
    """Return the content, compressed as a gzip file."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def accepts_gzip(header: bytes | None) -> bool:
    """Return whether an Accept-Encoding header names gzip."""
    for item in (header or b"").lower().split(b","):
        coding, _, parameters = item.partition(b";")
        if coding.strip() == b"gzip":
            return parameters.strip() not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


def secret_cookie(secret: bytes, *, is_secure: bool) -> tuple[bytes, bytes]:
    """Return the header that has a browser keep its secret for forms."""
    return _cookie(forgery.COOKIE, secret.hex(), is_secure=is_secure)


def notice_cookie(notice: str, *, is_secure: bool) -> tuple[bytes, bytes]:
    """Return the header that has the next page say what was done."""
    value = quote(notice[:NOTICE_MAX_LENGTH], safe="")
    return _cookie(NOTICE_COOKIE, value, is_secure=is_secure, seconds=_NOTICE_SECONDS)


def spent_notice() -> tuple[bytes, bytes]:
    """Return the header that has a browser forget what was done."""
    return _cookie(NOTICE_COOKIE, "", is_secure=False, seconds=0)


def _cookie(
    name: str, value: str, *, is_secure: bool, seconds: int | None = None
) -> tuple[bytes, bytes]:
    text = f"{name}={value}; Path=/; HttpOnly; SameSite=Strict"
    if seconds is not None:
        text += f"; Max-Age={seconds}"
    return b"set-cookie", (text + ("; Secure" if is_secure else "")).encode("ascii")
