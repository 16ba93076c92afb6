"""A URL as it may be shown: in a message, in a log line, in a `repr`.

Strategy: a password gets into every part of a URL in which it can be mistyped, so none is looked
for. Only what has the form of a scheme, a host, a port or a path is kept, and only where nothing
around it says that it may be the rest of a password; everything else becomes `***`.
"""

from __future__ import annotations

import re

HIDDEN = "***"
"""What stands for everything that may be a secret."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(//)?", re.IGNORECASE)

_PATH = r"[\w./~%+ -]*"
_HOST = r"(?:\[[0-9a-f:.]*\]|[\w.-]*)(?::\d{1,5})?"
_PLACE = re.compile(rf"{_HOST}(?:,{_HOST})*(?=[/?#]|\Z)(?:/{_PATH})?", re.IGNORECASE)
"""Hosts with their ports, and a path."""

_WORDS = re.compile(_PATH)

_NAME = re.compile(r"[a-z_]{1,32}")


def redacted(url: str) -> str:
    """Return the URL without anything that may be a password, a token or another secret.

    Never fails, whatever the text. Names of users and all parameters are hidden with the passwords.
    """
    start = _SCHEME.match(url)
    scheme = start.group() if start else ""
    rest = url[len(scheme) :]
    userinfo, at, place = rest.rpartition("@")
    if re.search(r"[?#]|;[^;]*=" if scheme else r"[?#=]", userinfo):
        # The last "@" is part of a parameter, or what is before it part of a password.
        return scheme + HIDDEN
    if at:
        return f"{scheme}{HIDDEN}@{_shown(place, _PLACE)}"
    if scheme and place and place[0] != "/" and not scheme.endswith("//"):
        # It may be a user name and a password instead.
        return scheme + HIDDEN
    return scheme + _shown(place, _PLACE if scheme.endswith("//") else _WORDS)


def parameter_name(name: str, value: str) -> str:
    """Return the name of a parameter in quotes, unless it may be a secret without a name."""
    return f"'{name}'" if value and _NAME.fullmatch(name) else "that is not shown"


def _shown(text: str, form: re.Pattern[str]) -> str:
    """The start of a text that has a form, and a sign for the rest."""
    match = form.match(text)
    shown = match.group() if match else ""
    rest = text[len(shown) :]
    if not rest:
        return shown
    if rest[0] in "?#":
        return f"{shown}{rest[0]}{HIDDEN}"
    # What goes on otherwise has another form, of which even the start may be secret.
    return HIDDEN
