"""A bare HTTP client for the registry's wire protocol: what was sent and what came back, no more.

It does not retry, so a test sees every answer. One connection each; not for use by two threads.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import attrs

API = "/api/2.0/mlflow"

TIMEOUT_SECONDS = 60.0
"""Seconds for an answer; a stuck server must not hang the tests."""

IDLE_SECONDS = 2.0
"""Seconds without a request after which a connection is opened anew; uvicorn closes it after 5."""


@attrs.frozen
class Response:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed body; None when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def error_code(self) -> str | None:
        """MLflow's error code, of an error in its shape."""
        parsed = self.json
        return parsed.get("error_code") if isinstance(parsed, dict) else None


class WireClient:
    """Calls one server, over one kept connection."""

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=timeout_seconds
        )
        self._used = 0.0

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer to one request; `body` is sent as JSON unless it is bytes.

        Raises:
            OSError: the server cannot be reached, or hung up.
        """
        target = quote(path)
        if query:
            target += f"?{urlencode(query)}"
        sent = dict(headers or {})
        data = body if isinstance(body, bytes) else None
        if body is not None and data is None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        return self.send(method, target, data, sent)

    def send(
        self, method: str, target: str, data: bytes | None, headers: Mapping[str, str]
    ) -> Response:
        """The answer to exactly this: `target` is percent-encoded and relative to the API.

        Raises:
            OSError: the server cannot be reached, or hung up.
        """
        # Nothing is ever sent twice, so a connection that the server may be closing is not used.
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._connection.close()
        try:
            self._connection.request(method, f"{API}{target}", data, headers)
            response = self._connection.getresponse()
            body = response.read()
        except http.client.HTTPException as error:
            self._connection.close()
            raise ConnectionError(f"{method} {target}: {error!r}") from error
        except OSError:
            self._connection.close()
            raise
        self._used = time.monotonic()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Response(response.status, received, body)

    def get(self, path: str, **query: str) -> Response:
        """The answer to a GET with these parameters."""
        return self.call("GET", path, query=list(query.items()))

    def post(self, path: str, **body: object) -> Response:
        """The answer to a POST of these fields."""
        return self.call("POST", path, body)

    def delete(self, path: str, **body: object) -> Response:
        """The answer to a DELETE with these fields."""
        return self.call("DELETE", path, body)

    def patch(self, path: str, **body: object) -> Response:
        """The answer to a PATCH with these fields."""
        return self.call("PATCH", path, body)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
