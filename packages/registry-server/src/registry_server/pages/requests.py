"""What pages read of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, unquote

import attrs
from litestar.types import HTTPScope

from registry_core.access import Rights
from registry_server.http.responses import RequestRefusedError
from registry_server.pages import links

_FORM = b"application/x-www-form-urlencoded"
_MOST_FIELDS = 100
"""Fields of a query or form. No page has more than ten."""

_JSON, _HTML = "application/json", "text/html"
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\Z")


@attrs.frozen(kw_only=True)
class PageRequest:
    """A request for a page, or a form that was sent from one."""

    method: str
    segments: tuple[str, ...]
    """Its path, decoded piece by piece; empty for the root."""
    root: str
    """What leads from the page to the root of the server; see `links`."""
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    cookies: Mapping[str, str]
    user: str | None
    """The authenticated name, where the server authenticates."""
    rights: Rights | None
    """What the reader may do; None where everybody may do everything."""
    now: int
    """Milliseconds since the epoch."""
    form: Mapping[str, str] = attrs.field(factory=dict)
    problem: str | None = None
    """Why the form that was sent from this page was not taken."""

    @property
    def wants_json(self) -> bool:
        """Whether the data is wanted rather than the page."""
        return wants_json(self.headers.get(b"accept"))

    def text(self, field: str) -> str:
        """Return a field of the form, without blanks around it; empty if it is absent."""
        return self.form.get(field, "").strip()


def page_request(scope: HTTPScope, *, now: int) -> PageRequest:
    """Return the request without its form.

    Raises:
        RequestRefusedError: it cannot be read.
    """
    raw = raw_path(scope)
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name, value)
    try:
        segments = tuple(unquote(piece, errors="strict") for piece in raw.split("/")[1:] if piece)
        query = _fields(scope["query_string"])
    except ValueError:
        raise _unreadable("The address of the page is not UTF-8.") from None
    return PageRequest(
        method=scope["method"],
        segments=segments,
        root=links.root_of(raw),
        query=query,
        headers=headers,
        cookies=_cookies(headers.get(b"cookie", b"")),
        user=scope.get("user"),
        rights=scope.get("auth"),
        now=now,
    )


def raw_path(scope: HTTPScope) -> str:
    """Return the path as it was sent."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.partition(b"?")[0].decode("latin-1")


def with_form(request: PageRequest, body: bytes) -> PageRequest:
    """Return the request with the fields of its form; lines end as everywhere else.

    Raises:
        RequestRefusedError: the body is not a form.
    """
    kind = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != _FORM:
        raise RequestRefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "BAD_REQUEST",
            f"Pages take forms, as {_FORM.decode()}. The API takes JSON: see /openapi.json.",
        )
    try:
        fields = _fields(body)
    except ValueError:
        raise _unreadable("The form cannot be read.") from None
    return attrs.evolve(
        request, form={name: value.replace("\r\n", "\n") for name, value in fields.items()}
    )


def wants_json(accept: bytes | None) -> bool:
    """Return whether an Accept header prefers JSON to HTML. Without one, people read."""
    qualities = {_JSON: 0.0, _HTML: 0.0}
    for item in (accept or b"").decode("latin-1").split(","):
        kind, *parameters = (piece.strip().lower() for piece in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            if match := _QUALITY.match(parameter):
                quality = float(match.group(1))
        if kind in qualities:
            qualities[kind] = quality
    return qualities[_JSON] > qualities[_HTML]


def wants_html(accept: bytes | None) -> bool:
    """Return whether the client that sends this Accept header is a browser: only they name HTML."""
    return b"text/html" in (accept or b"").lower() and not wants_json(accept)


def _fields(raw: bytes) -> dict[str, str]:
    """The fields of a query or form; of a repeated one, the first."""
    pairs = parse_qsl(
        raw.decode("utf-8"),
        keep_blank_values=True,
        errors="strict",
        max_num_fields=_MOST_FIELDS,
    )
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def _cookies(header: bytes) -> dict[str, str]:
    try:
        parsed = SimpleCookie(header.decode("latin-1"))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in parsed.items()}


def _unreadable(message: str) -> RequestRefusedError:
    return RequestRefusedError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", message)
