"""What credentials may hold, wherever they come from: what a header can carry.

Credentials often come from a file, with the line break that ends it: what surrounds a token, and a
line break behind a name or password, is not part of them. What else does not fit into a header is
refused here, by a message that repeats none of it: a library below would print it with its error.
"""

from __future__ import annotations

import base64
import re

from registry_core.errors import BackendError

_NOT_IN_BASIC = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""RFC 7617, section 2, allows no control characters; the rest of Unicode is sent as UTF-8."""

_NOT_IN_A_TOKEN = re.compile(r"[^\x21-\x7e]")
"""RFC 6750, section 2.1, allows less; what is printable ASCII fits into a header."""


def basic_authorization(user: str, password: str, *, origin: str) -> str:
    """Return the Authorization header of a user name and a password that come from some `origin`.

    Raises:
        BackendError: a header cannot carry one of them.
    """
    user, password = user.rstrip("\r\n"), password.rstrip("\r\n")
    if ":" in user:
        raise BackendError(f"The user name from {origin} cannot be sent: a ':' would end it")
    _check(_NOT_IN_BASIC, user, f"The user name from {origin}")
    _check(_NOT_IN_BASIC, password, f"The password from {origin}")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def bearer_authorization(token: str, *, origin: str) -> str:
    """Return the Authorization header of a token that comes from some `origin`.

    Raises:
        BackendError: a header cannot carry it.
    """
    token = token.strip()
    check_token(token, what=f"The token from {origin}")
    return f"Bearer {token}"


def check_token(token: str, *, what: str) -> None:
    """Return if a header can carry a token or key as it is.

    Raises:
        BackendError: it holds a blank, a line break, or what is not ASCII. It is not repeated.
    """
    _check(_NOT_IN_A_TOKEN, token, what)


def _check(unfit: re.Pattern[str], secret: str, what: str) -> None:
    if match := unfit.search(secret):
        raise BackendError(
            f"{what} cannot be sent: its character {match.start() + 1} is "
            f"U+{ord(match.group()):04X}, which a header cannot carry"
        )
