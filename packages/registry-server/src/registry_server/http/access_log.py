"""The access log: one record for each request, when it has been answered."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from litestar.types import HTTPScope

from registry_server.access.callers import address_of
from registry_server.http.paths import API_PREFIXES
from registry_server.http.request_ids import request_id_of
from registry_server.process.logs import ACCESS_LOGGER, fields
from registry_server.process.setting_values import Network

_MOST_CHARACTERS = 2_048
"""Of a target in the log: a filter may have a hundred thousand."""

_logger = logging.getLogger(ACCESS_LOGGER)


class AccessLog:
    """Logs who asked for what, and what they got."""

    def __init__(self, proxies: Sequence[Network] = ()) -> None:
        self._proxies = proxies

    @property
    def is_on(self) -> bool:
        """Whether requests are logged."""
        return _logger.isEnabledFor(logging.INFO)

    def write(
        self,
        scope: HTTPScope,
        *,
        operation: str | None,
        status: int,
        sent: int,
        seconds: float,
    ) -> None:
        """Log one request: `sent` is how many bytes its answer has; the status is 0 without one."""
        client = address_of(scope, self._proxies) or None
        user = scope.get("user")
        actor = None if user is None else str(user)
        target = _target(scope)
        milliseconds = round(seconds * 1000, 3)
        _logger.info(
            '%s %s "%s %s" %d %d bytes %.3f ms',
            client or "-",
            actor or "-",
            scope["method"],
            target,
            status,
            sent,
            milliseconds,
            extra=fields(
                client=client,
                actor=actor,
                method=scope["method"],
                target=target,
                operation=operation,
                status=status,
                bytes=sent,
                milliseconds=milliseconds,
                request_id=request_id_of(scope),
            ),
        )


def _target(scope: HTTPScope) -> str:
    """The path as it came, with the query of an operation: percent-encoded, so ASCII.

    Only the queries of an API name models and filters. Elsewhere, as where somebody signs in, a
    query may hold what nobody else may know, and is not logged.
    """
    path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
    query = scope.get("query_string", b"") if scope["path"].startswith(API_PREFIXES) else b""
    target = path + b"?" + query if query else path
    return target[:_MOST_CHARACTERS].decode("latin-1")
