"""Sessions of browsers: a signed cookie that says who has signed in, and until when.

Strategy: nothing is kept on the server, so that any worker, and any server with the same key, takes
a session. The server checks it anew for each request: the next reload signs out a user whose secret
was taken out of the file, and one who came by an issuer that is gone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable

import attrs

COOKIE = "registry_session"
"""The cookie that has the session."""

SESSION_SECONDS = 8 * 3_600
"""How long somebody stays signed in at most: a day's work."""

KEY_MIN_LENGTH = 32
"""Characters of a key that servers share. A user who has signed in has a signature by it, and could
try all keys that are much shorter, to sign in as somebody else."""

SESSION_MAX_LENGTH = 3_800
"""Characters of the cookie; browsers drop one of more than 4,096 bytes with its attributes."""


@attrs.frozen(kw_only=True)
class Session:
    """Who has signed in."""

    name: str
    groups: tuple[str, ...] = ()
    """Those that an issuer has proved; a user's own are in the file."""
    origin: str
    """The URL of the issuer, or what was shown of the user's secret: see `fingerprint`."""
    expires: int
    """Seconds since the epoch."""


class Sessions:
    """Signs sessions, and reads those that it has signed."""

    def __init__(self, key: bytes, *, now: Callable[[], float] = time.time) -> None:
        self._key = hashlib.blake2b(key, person=b"registry-session", digest_size=32).digest()
        self._now = now

    def cookie(self, session: Session) -> str | None:
        """Return the value of the cookie for a session; None if no browser would keep it."""
        fields = [session.name, list(session.groups), session.origin, session.expires]
        value = self.seal(fields)
        return value if len(value) <= SESSION_MAX_LENGTH else None

    def read(self, cookie: str) -> Session | None:
        """Return the session in a cookie; None if it is none of ours, or has ended."""
        match self.opened(cookie):
            case [str(name), list(groups), str(origin), int(expires)] if self._now() < expires:
                return Session(name=name, groups=tuple(groups), origin=origin, expires=expires)
        return None

    def seal(self, value: object) -> str:
        """Return a value of JSON with our signature, as a cookie may have it."""
        body = _encode(json.dumps(value, separators=(",", ":")).encode())
        return f"{body}.{_encode(self._signature(body))}"

    def opened(self, sealed: str) -> object:
        """Return what was sealed; None if it is not ours."""
        body, _, signature = sealed.partition(".")
        try:
            if len(sealed) > SESSION_MAX_LENGTH or not hmac.compare_digest(
                _decode(signature), self._signature(body)
            ):
                return None
            content: object = json.loads(_decode(body))
        except (ValueError, binascii.Error, UnicodeError):
            return None
        return content

    def fingerprint(self, secret: bytes) -> str:
        """Return what a session says of the secret that began it, so that both can end together."""
        return hmac.new(self._key, secret, hashlib.sha256).hexdigest()[:16]

    def ends(self) -> int:
        """Return when a session ends that begins now."""
        return int(self._now()) + SESSION_SECONDS

    def _signature(self, body: str) -> bytes:
        return hmac.new(self._key, body.encode("utf-8", "replace"), hashlib.sha256).digest()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
