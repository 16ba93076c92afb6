"""The id of a request: what its client calls it, or else what this server does.

It stands in the answer and in every record that the log has of the request, so that the two, and
the logs of the proxies on the way, can be put together.
"""

from __future__ import annotations

import itertools
import re
import secrets

from litestar.types import Scope

HEADER = b"x-request-id"
"""The header that has the id, in a request and in its answer."""

MOST_CHARACTERS = 128
"""Of a client's id; a longer one is cut. It is repeated in the answer and in the log."""

_STATE = "request_id"
"""Where the state of a request has its id."""

_OTHERS = re.compile(rb"[^A-Za-z0-9._:/+=@-]")
"""What no id has: it would have to be escaped in the log, and could end a header."""


class RequestIds:
    """Gives ids that no other process gives: a random beginning, and a number."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._beginning = b""

    def of(self, sent: bytes | None) -> bytes:
        """Return the id of a request whose header says this: that, cleaned, or else a new one."""
        if sent:
            cleaned = _OTHERS.sub(b"", sent[:MOST_CHARACTERS])
            if cleaned:
                return cleaned
        # Made at the first request: workers are forked with what their parent has.
        self._beginning = self._beginning or secrets.token_hex(6).encode()
        return b"%s-%x" % (self._beginning, next(self._numbers))


def note(scope: Scope, request_id: bytes) -> None:
    """Keep the id with the request."""
    scope.setdefault("state", {})[_STATE] = request_id


def request_id_of(scope: Scope) -> str | None:
    """Return the id of a request; None of one that did not come through the server's middleware."""
    noted: bytes | None = scope.get("state", {}).get(_STATE)
    return None if noted is None else noted.decode("ascii")
