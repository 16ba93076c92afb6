"""Where a server is and how to log in to it, from a store URL and the environment."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Mapping

import attrs

from registry_core.errors import InvalidUrlError
from registry_core.redaction import redacted

USERNAME_VARIABLE = "MLFLOW_TRACKING_USERNAME"
PASSWORD_VARIABLE = "MLFLOW_TRACKING_PASSWORD"  # noqa: S105 the name of a variable
TOKEN_VARIABLE = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 the name of a variable


@attrs.frozen
class Address:
    """A server's URL without credentials, and the header that carries them, if any."""

    url: str
    authorization: str | None = attrs.field(repr=False)


def parse_address(store_url: str, environ: Mapping[str, str]) -> Address:
    """The server that a store URL names: `http(s)://[user:password@]host[:port][/prefix]`.

    Credentials in the URL win over user name and password from MLflow's variables, and those over
    a token (contract 1.5).

    Raises:
        InvalidUrlError: the URL names no host or says more. Its credentials are not repeated.
    """
    parts = _split(store_url)
    userinfo, _, host = parts.netloc.rpartition("@")
    url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
    user, colon, password = userinfo.partition(":")
    if colon:
        return Address(url, _basic(urllib.parse.unquote(user), urllib.parse.unquote(password)))
    return Address(url, _from_environment(environ))


def _split(store_url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(store_url)
        is_plain = not parts.query and not parts.fragment and "@" not in parts.path
        if parts.hostname and parts.port != 0 and is_plain:
            return parts
    except ValueError:  # a port that is no number, a bracket that is not closed
        pass
    raise InvalidUrlError(
        f"Not the address of a server: '{redacted(store_url)}' must be "
        "http(s)://host[:port][/prefix], without a query or fragment; in a user name or password, "
        "write %40, %3A, %2F, %3F and %23 for @, :, /, ? and #"
    )


def _from_environment(environ: Mapping[str, str]) -> str | None:
    user, password = environ.get(USERNAME_VARIABLE), environ.get(PASSWORD_VARIABLE)
    if user and password:
        return _basic(user, password)
    token = environ.get(TOKEN_VARIABLE)
    return f"Bearer {token}" if token else None


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
