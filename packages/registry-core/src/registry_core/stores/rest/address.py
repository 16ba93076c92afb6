"""Where a server is and how to log in to it, from a store URL and the environment."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping

import attrs

from registry_core.credentials import basic_authorization, bearer_authorization
from registry_core.errors import InvalidUrlError
from registry_core.redaction import redacted

USERNAME_VARIABLE = "MLFLOW_TRACKING_USERNAME"
PASSWORD_VARIABLE = "MLFLOW_TRACKING_PASSWORD"  # noqa: S105 the name of a variable
TOKEN_VARIABLE = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 the name of a variable

_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
"""Characters over which URL parsers disagree; some drop them without a word."""


@attrs.frozen
class Address:
    """A server's URL without credentials, and the header that carries them, if any."""

    url: str
    authorization: str | None = attrs.field(repr=False)


def parse_address(store_url: str, environ: Mapping[str, str]) -> Address:
    """Return the server that a store URL names: `http(s)://[user:password@]host[:port][/prefix]`.

    Credentials in the URL win over user name and password from MLflow's variables, and those over
    a token (contract 1.5).

    Raises:
        InvalidUrlError: the URL names no host or says more.
        BackendError: credentials hold what no header can. Neither error repeats them.
    """
    parts = _split(store_url.strip())
    userinfo, _, host = parts.netloc.rpartition("@")
    url = f"{parts.scheme}://{_ascii(host)}{parts.path.rstrip('/')}"
    user, colon, password = userinfo.partition(":")
    if colon:
        unquoted = urllib.parse.unquote(user), urllib.parse.unquote(password)
        return Address(url, basic_authorization(*unquoted, origin="the URL of the store"))
    return Address(url, _from_environment(environ))


def _split(store_url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(store_url)
        is_plain = not parts.query and not parts.fragment and "@" not in parts.path
        if parts.hostname and parts.port != 0 and is_plain and not _NOT_IN_A_URL.search(store_url):
            return parts
    except ValueError:  # a port that is not a number, a bracket that is not closed
        pass
    raise _no_address(store_url)


def _no_address(url: str) -> InvalidUrlError:
    return InvalidUrlError(
        f"Not the address of a server: '{redacted(url)}' must be "
        "http(s)://host[:port][/prefix], without a query or fragment; in a user name or password, "
        "write %40, %3A, %2F, %3F and %23 for @, :, /, ? and #"
    )


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        raise _no_address(host) from None


def _from_environment(environ: Mapping[str, str]) -> str | None:
    user, password = environ.get(USERNAME_VARIABLE, ""), environ.get(PASSWORD_VARIABLE, "")
    if user.strip() and password.strip():
        origin = f"{USERNAME_VARIABLE} and {PASSWORD_VARIABLE}"
        return basic_authorization(user, password, origin=origin)
    token = environ.get(TOKEN_VARIABLE, "")
    return bearer_authorization(token, origin=TOKEN_VARIABLE) if token.strip() else None
