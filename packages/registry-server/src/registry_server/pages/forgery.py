"""Forms belong to the browser that asked for them: nobody else's page can send one.

Strategy: a browser holds a secret in a cookie that no script reads and that goes to no other site.
Each form has the secret in it, under a pad of its own, so that equal secrets do not look alike in
compressed pages. A form is taken if it brings the secret of its cookie, and if the browser says
that a page of this server sent it: a neighbour on the same host could set the cookie, but not that.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from http import HTTPStatus

from registry_server.http.responses import RequestRefusedError

COOKIE = "registry_forms"
"""The cookie that has the secret."""

FIELD = "form_token"
"""The field of each form that has it, too."""

_SECRET_BYTES = 16


def secret_of(cookie: str | None) -> bytes | None:
    """Return the secret in a cookie; None if the cookie has no secret."""
    try:
        secret = bytes.fromhex(cookie or "")
    except ValueError:
        return None
    return secret if len(secret) == _SECRET_BYTES else None


def new_secret() -> bytes:
    """Return a secret for a browser that has none."""
    return secrets.token_bytes(_SECRET_BYTES)


def token(secret: bytes) -> str:
    """Return the field of a form for the browser with this secret; another one each time."""
    pad = secrets.token_bytes(_SECRET_BYTES)
    return (pad + _xor(pad, secret)).hex()


def check(
    headers: Mapping[bytes, bytes], secret: bytes | None, token: str | None, origin: str | None
) -> None:
    """Accept a form that a page of this server sent.

    `origin` is the server's own, if the settings name it; a proxy may have replaced the Host.

    Raises:
        RequestRefusedError: it may come from elsewhere.
    """
    if not _is_own_page(headers, origin):
        raise _refused("This form was sent by a page of another site.")
    if secret is None or not _fits(token, secret):
        raise _refused(
            "This form has expired: it was made for another browser, or cookies are switched off. "
            "Open the page again and repeat what you did."
        )


def _is_own_page(headers: Mapping[bytes, bytes], own: str | None) -> bool:
    site = headers.get(b"sec-fetch-site")
    if site is not None and site not in (b"same-origin", b"none"):
        return False
    origin = headers.get(b"origin")
    if origin is None:
        return True
    text = origin.decode("latin-1")
    host = headers.get(b"host", b"").decode("latin-1")
    return text == own or (host != "" and text in (f"http://{host}", f"https://{host}"))


def _fits(token: str | None, secret: bytes) -> bool:
    try:
        raw = bytes.fromhex(token or "")
    except ValueError:
        return False
    if len(raw) != 2 * _SECRET_BYTES:
        return False
    return hmac.compare_digest(_xor(raw[:_SECRET_BYTES], raw[_SECRET_BYTES:]), secret)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _refused(message: str) -> RequestRefusedError:
    return RequestRefusedError(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", message)
