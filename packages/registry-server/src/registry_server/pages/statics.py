"""The style sheet and the scripts: read and compressed once, kept by browsers forever.

Their addresses have a digest of what is in them, so that a new release is seen at once.
"""

from __future__ import annotations

import hashlib
from functools import cache
from http import HTTPStatus
from importlib import resources

import attrs

from registry_server.http.responses import RequestRefusedError, Response
from registry_server.pages.answers import Headers, gzipped

FOLDER = "static"
"""The first segment of their addresses."""

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3' fill='%230b6e6e'/%3E%3Cpath d='M4 11V5l4 3 4-3v6' "
    "fill='none' stroke='%23fff' stroke-width='1.6'/%3E%3C/svg%3E"
)
"""The icon of the pages, in each of them: a request less."""

_TYPES = {"style.css": "text/css; charset=utf-8", "pages.js": "text/javascript; charset=utf-8"}

_DIGEST_LENGTH = 12
_BEST = 9


@attrs.frozen
class _Static:
    plain: bytes
    compressed: bytes
    digest: str


def address(name: str) -> str:
    """Return the address of a file, below the root."""
    return f"{FOLDER}/{_static(name).digest}/{name}"


def file(name: str, *, accepts_gzip: bool) -> Response:
    """Return the answer with a file, whatever digest was asked for: an old page may still be open.

    Raises:
        RequestRefusedError: there is none of that name.
    """
    if name not in _TYPES:
        raise RequestRefusedError(
            HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", f"There is no file {name!r} here"
        )
    static = _static(name)
    headers: Headers = (
        (b"content-type", _TYPES[name].encode()),
        (b"cache-control", b"public, max-age=31536000, immutable"),
        (b"vary", b"Accept-Encoding"),
    )
    if accepts_gzip:
        headers = (*headers, (b"content-encoding", b"gzip"))
        return Response(HTTPStatus.OK, static.compressed, headers)
    return Response(HTTPStatus.OK, static.plain, headers)


@cache
def _static(name: str) -> _Static:
    plain = resources.files("registry_server.pages").joinpath(f"static/{name}").read_bytes()
    digest = hashlib.sha256(plain).hexdigest()[:_DIGEST_LENGTH]
    return _Static(plain, gzipped(plain, _BEST), digest)
