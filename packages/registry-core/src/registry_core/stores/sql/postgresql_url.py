"""A PostgreSQL URL as the connection parameters of libpq, or a sentence that says what is wrong.

Strategy: libpq knows what its parameters are called and which values they take, so it is asked,
before anything is connected to. But its words quote what it did not understand, and where a
character of a password was not percent-encoded that is a piece of the password, even as the name of
a host or a database. So such URLs are refused here, and libpq's words about a URL are never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo, PGconn

from registry_core.errors import InvalidUrlError
from registry_core.redaction import parameter_name, redacted

_FORM = "postgresql://user:password@host:port/database?parameter=value"

_NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
"""The parameters that are looked at only once libpq, or psycopg, has begun to connect."""

_NOWHERE = {"host": "/nonexistent", "hostaddr": "", "port": "1"}
"""What libpq gives up on only after it has looked at everything else."""

_BY_SOCKET = "/nonexistent/.s.PGSQL"


def parameters(url: str) -> dict[str, Any]:
    """Return the connection parameters that a URL gives, whatever driver its scheme names.

    Raises:
        InvalidUrlError: libpq would not understand it, or take it for something else.
    """
    rest = url.partition(":")[2]
    _check_form(url, rest)
    try:
        options = conninfo_to_dict(f"postgresql:{rest}")
    except psycopg.Error:
        raise _malformed(url, _reason(rest)) from None
    _check_values(url, options)
    return options


def _check_form(url: str, rest: str) -> None:
    if not rest.startswith("//"):
        raise _malformed(url, "it has no // after the scheme")
    if rest.count("@") > 1:
        raise _malformed(url, "it has more than one @; in a user name or password, write %40")
    userinfo, at, place = rest[2:].rpartition("@")
    if at and re.search(r"[/?#]", userinfo):
        raise _malformed(
            url,
            "there is a /, ? or # before the @; in a user name or password, write %2F, %3F or %23, "
            "and for the @ of a parameter %40",
        )
    named = place.partition("?")[0]
    for host in named.partition("/")[0].split(","):
        if not re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(:\d{0,5})?", host):
            raise _malformed(url, "what should be a port is not a number")
    if re.search(r"[;&=#]", named):
        raise _malformed(
            url,
            "there is a ;, &, = or # in the name of the database; parameters begin with a ?, and "
            "in a name, write %3B, %26, %3D or %23",
        )


def _reason(rest: str) -> str:
    """What libpq found wrong, by a message that repeats only the name of a parameter."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", rest):
        return "a % is not followed by two hexadecimal digits; for a % itself, write %25"
    if "%00" in rest:
        return "%00 stands for no character that a parameter may have"
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    for pair in rest.partition("?")[2].split("&"):
        name, equals, value = pair.partition("=")
        if not equals:
            return "a parameter after the ? has no value"
        if name not in known:
            return f"it has a parameter {parameter_name(name, value)}, which libpq does not know"
    return "libpq does not understand it"


def _check_values(url: str, options: Mapping[str, Any]) -> None:
    for name in _NUMBERS:
        if not re.fullmatch(r"-?\d{1,9}", str(options.get(name, 0))):
            raise _malformed(url, f"'{name}' takes a number")
    try:
        attempt = PGconn.connect_start(make_conninfo(**{**options, **_NOWHERE}).encode())
    except psycopg.Error:
        raise _malformed(url, "libpq does not understand it") from None
    said = attempt.get_error_message()
    attempt.finish()
    if _BY_SOCKET in said:
        return
    words = set(re.findall(r"[a-z_]+", said))
    names = sorted(words & {option.keyword.decode() for option in Conninfo.get_defaults()})
    named = " and ".join(f"'{name}'" for name in names) or "a parameter"
    raise _malformed(url, f"libpq does not take the value of {named}")


def _malformed(url: str, reason: str) -> InvalidUrlError:
    return InvalidUrlError(
        f"'{redacted(url)}' is not a PostgreSQL URL: {reason}. It has the form {_FORM}"
    )
