"""Requests to a server and its answers, over pooled connections."""

from __future__ import annotations

import json
import random
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from registry_core import wire
from registry_core.errors import (
    BackendError,
    InvalidUrlError,
    NotPermittedError,
    StoreUnavailableError,
    UnsupportedBackendError,
)
from registry_core.redaction import redacted
from registry_core.stores.rest.address import (
    PASSWORD_VARIABLE,
    TOKEN_VARIABLE,
    USERNAME_VARIABLE,
    Address,
)

CONNECT_TIMEOUT_SECONDS = 3.0
"""How long a server may take to accept a connection."""

READ_TIMEOUT_SECONDS = 30.0
"""How long a server may be silent. MLflow needs seconds to delete a model of many versions."""

RETRY_SECONDS = 3.0
"""How long after its start a request may be repeated; then the store is unavailable."""

FIRST_PAUSE_SECONDS = 0.1
"""The pause before the first repetition, on average; each further one is twice as long."""

LONGEST_QUERY = 8_000
"""Bytes of a query string. Servers and proxies refuse longer ones; they go into the body, which
MLflow reads where there is no query (contract 1.2)."""

CONNECTIONS = 32
"""Idle connections kept for threads; more are opened as needed and closed after use."""

_BASE_PATH = "/api/2.0/mlflow"
_PASSING = frozenset({429, 502, 503, 504})
_NEVER_SENT = (NewConnectionError, ConnectTimeoutError, ProxyError)


class Transport:
    """A connection pool to one server.

    Strategy: what only reads is repeated for `RETRY_SECONDS` when the connection breaks or the
    server is busy. What writes is repeated only if the connection was never made: a write whose
    answer is lost may have happened, and MLflow has no way to say "the same one again". So it is
    reported as unavailable, and the caller, who can look, decides.
    """

    def __init__(self, address: Address) -> None:
        self.url = address.url
        self._pool = _pool(address.url)
        self._headers = {"Accept": wire.JSON_CONTENT_TYPE, "User-Agent": "registry-core"}
        if address.authorization is not None:
            self._headers["Authorization"] = address.authorization

    def close(self) -> None:
        """Closes idle connections."""
        self._pool.clear()

    def read(self, path: str, fields: Mapping[str, Any], *, name: str = "") -> wire.Json:
        """The answer to a GET. `name` is the registered model it is about, for errors."""
        query = urllib.parse.urlencode(fields, doseq=True)
        path = _BASE_PATH + path
        if len(query) > LONGEST_QUERY:
            return self._answer(self._request("GET", path, fields), name)
        return self._answer(self._request("GET", f"{path}?{query}" if query else path), name)

    def write(
        self, method: str, path: str, fields: Mapping[str, Any], *, name: str = ""
    ) -> wire.Json:
        """The answer to a request that changes something."""
        return self._answer(self._request(method, f"{_BASE_PATH}{path}", fields), name)

    def ping(self) -> None:
        """Returns when the server answers that it is well."""
        response = self._request("GET", "/health")
        if response.status != HTTPStatus.OK:
            raise self._unavailable(f"its health check answers {response.status}")

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> urllib3.BaseHTTPResponse:
        headers, payload = self._headers, None
        if body is not None:
            headers = {**headers, "Content-Type": wire.JSON_CONTENT_TYPE}
            payload = wire.dumps(body)
        last_moment = time.monotonic() + RETRY_SECONDS
        pause = FIRST_PAUSE_SECONDS
        while True:
            may_repeat = time.monotonic() + pause < last_moment
            try:
                response = self._pool.request(
                    method, self.url + path, body=payload, headers=headers, redirect=False
                )
            except HTTPError as error:
                sent = not isinstance(error, _NEVER_SENT)
                if not may_repeat or isinstance(error, SSLError) or (sent and method != "GET"):
                    self._raise_unavailable(error, unclear=sent and method != "GET")
            else:
                if method != "GET" or response.status not in _PASSING or not may_repeat:
                    return response
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 jitter, not a secret
            pause *= 2

    def _answer(self, response: urllib3.BaseHTTPResponse, name: str) -> wire.Json:
        body = _json(response.data)
        if response.status == HTTPStatus.OK:
            if isinstance(body, dict):
                return body
            raise UnsupportedBackendError(f"What answers at {self.url} is no MLflow registry.")
        if isinstance(body, dict) and "error_code" in body:
            error = wire.decode_error(response.status, body, name=name)
            if isinstance(error, StoreUnavailableError):
                error.retry_after_seconds = _retry_after(response)
            raise error
        raise self._plain_error(response)

    def _plain_error(self, response: urllib3.BaseHTTPResponse) -> Exception:
        """The error for an answer that no registry gave, but a proxy or a stranger."""
        status = response.status
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return NotPermittedError(
                f"{self.url} refuses the request (status {status}). Credentials are taken from the "
                f"URL, from {USERNAME_VARIABLE} and {PASSWORD_VARIABLE}, or from {TOKEN_VARIABLE}."
            )
        if "location" in response.headers:
            return BackendError(
                f"{self.url} is elsewhere: it redirects to {redacted(response.headers['location'])}"
            )
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return UnsupportedBackendError(
                f"What answers at {self.url} is no MLflow registry (status {status})."
            )
        error = wire.decode_error(status, None)
        if isinstance(error, StoreUnavailableError):
            return self._unavailable(f"it answers {status}", _retry_after(response))
        return error

    def _raise_unavailable(self, error: HTTPError, *, unclear: bool) -> NoReturn:
        reason = "no connection" if isinstance(error, _NEVER_SENT) else "no answer"
        if isinstance(error, SSLError):
            reason = f"no secure connection ({error})"
        if unclear:
            reason += "; whether the change was made is not known"
        raise self._unavailable(reason) from error

    def _unavailable(self, reason: str, retry_after_seconds: int = 1) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"The registry at {self.url} is unavailable: {reason}.",
            retry_after_seconds=retry_after_seconds,
        )


def _pool(url: str) -> urllib3.PoolManager:
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS)
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return urllib3.PoolManager(num_pools=1, maxsize=CONNECTIONS, timeout=timeout, retries=False)
    try:
        return _proxied(proxy, timeout)
    except (ValueError, HTTPError):
        # Their words repeat the URL, and its password.
        raise InvalidUrlError(
            f"'{redacted(proxy)}', the proxy of the environment, is not the URL of one"
        ) from None


def _proxied(proxy: str, timeout: urllib3.Timeout) -> urllib3.ProxyManager:
    userinfo = urllib.parse.urlsplit(proxy).netloc.rpartition("@")[0]
    return urllib3.ProxyManager(
        proxy,
        num_pools=1,
        maxsize=CONNECTIONS,
        timeout=timeout,
        retries=False,
        proxy_headers=urllib3.make_headers(proxy_basic_auth=urllib.parse.unquote(userinfo))
        if userinfo
        else None,
    )


def _json(data: bytes) -> object:
    if not data:
        return {}
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _retry_after(response: urllib3.BaseHTTPResponse) -> int:
    text = response.headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 1  # noqa: PLR2004
