"""What every request passes before any handler: who may ask, from where, and what is counted.

Strategy: a registry on a loopback or private address is reachable from the browser of anyone who
can reach it. A page of a foreign site can make that browser send requests; a name of the attacker's
that resolves to the address can even read the answers. So the Host must be a name that is known to
be ours, and requests that change something may not come from a foreign page (contract 1.6).
"""

from __future__ import annotations

import ipaddress
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from http import HTTPStatus

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from registry_core.wire import prefixes
from registry_server.access.callers import Caller
from registry_server.access.rules import Access
from registry_server.http import request_ids
from registry_server.http.access_log import AccessLog
from registry_server.http.metrics import Metrics
from registry_server.http.paths import API_PREFIXES, merge_slashes
from registry_server.http.request_ids import RequestIds
from registry_server.http.responses import RequestRefusedError, Response, failure
from registry_server.http.tracing import Trace
from registry_server.process.setting_values import Network
from registry_server.process.settings import is_loopback

PROBES = frozenset({"/health", "/ready", "/version"})
"""Paths that answer without credentials: a load balancer has no credentials and any Host."""

METRICS = "/metrics"
"""The path of the metrics, which may have an address of their own."""

SERVER_INFO = frozenset({prefixes.SERVER_INFO, "/ajax-api/3.0/mlflow/server-info"})
"""Paths that clients ask before they know anything about the server."""

SIGN_IN = frozenset({"/signin", "/signin/start", "/signin/callback", "/signout"})
"""Paths by which a browser comes to have shown who its user is, and no longer to have."""

_STATIC = "/static/"
"""What every page is made of, the one for signing in included."""

OPERATION = "operation"
"""Where the state of a request has what it is counted as, if the route does not say."""

RECEIVED = "received"
"""Where the state of a request that moves an artifact has how many bytes of it have come."""

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ARTIFACT_PREFIXES = ("/api/2.0/mlflow-artifacts/", "/ajax-api/2.0/mlflow-artifacts/")
_NEARLY_ARTIFACTS = re.compile(r"/(?:ajax-)?api/2[^.]0/mlflow-artifacts")
"""Litestar takes the path of a mount for a regular expression, and then fails to find what such a
path is of."""
_HOST = re.compile(rb"[0-9A-Za-z._~!$&'()*+,;=%:\[\]-]*")
"""What a Host header is made of: a name or an address, and a port (RFC 9110, section 7.2)."""
_LOCAL_NAMES = frozenset({"localhost", "0.0.0.0"})  # noqa: S104 a name in a header, not a bind

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"vary", b"Origin"),
)
_CREDENTIALS = (b"access-control-allow-credentials", b"true")

_PREFLIGHT = Response(
    HTTPStatus.NO_CONTENT,
    b"",
    (
        (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS"),
        (b"access-control-allow-headers", b"Authorization, Content-Type, X-MLflow-Client-Version"),
        (b"access-control-max-age", b"600"),
    ),
)
"""The answer to a browser that asks before it sends a request for a page."""


class Middleware:
    """The outermost ASGI application: refuses, counts, and adds the headers of every answer.

    `readable` turns a refusal into a response that the client can read.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        access: Access | None = None,
        allowed_hosts: tuple[str, ...] = (),
        allowed_origins: tuple[str, ...] = (),
        local_origins: bool = False,
        trusted_proxies: Sequence[Network] = (),
        metrics_port: int | None = None,
        readable: Callable[[HTTPScope, Response], Response] = lambda _, refusal: refusal,
    ) -> None:
        self._app = app
        self._readable = readable
        self._metrics = metrics
        self._access = access
        self._proxies = trusted_proxies
        self._metrics_port = metrics_port
        self._ids = RequestIds()
        self._access_log = AccessLog(trusted_proxies)
        self.trace: Trace | None = None
        """Makes a span of each request, from when it is set."""
        self._knows_host = lru_cache(1024)(_host_rule(allowed_hosts))
        self._knows_origin = lru_cache(1024)(_origin_rule(allowed_origins, local=local_origins))
        # An operator who lets every page call does not mean its visitors' credentials.
        self._credentials = () if "*" in allowed_origins else (_CREDENTIALS,)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == ScopeType.HTTP:
            await self._guard(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _guard(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        if "//" in scope["path"]:
            merge_slashes(scope)
        headers = _headers(scope)
        request_id = self._ids.of(headers.get(request_ids.HEADER))
        request_ids.note(scope, request_id)
        added = (*_HEADERS, *self._shared(headers), (request_ids.HEADER, request_id))
        answer = _Counted(scope, send, added, started, self._count)
        try:
            app = await self._admit(scope, receive, headers)
            await app(scope, receive, answer.send)
        finally:
            answer.count()

    def _count(self, scope: HTTPScope, status: int, sent: int, seconds: float) -> None:
        name = scope["state"].get(OPERATION) or getattr(scope.get("route_handler"), "name", None)
        self._metrics.record(name, status, seconds)
        if self.trace is not None:
            self.trace(scope, operation=name, status=status, seconds=seconds)
        received = scope["state"].get(RECEIVED)
        if received is not None:
            self._metrics.moved(received=received, sent=sent)
        if self._access_log.is_on:
            self._access_log.write(scope, operation=name, status=status, sent=sent, seconds=seconds)

    async def _admit(
        self, scope: HTTPScope, receive: Receive, headers: Mapping[bytes, bytes]
    ) -> ASGIApp:
        """The application that answers: the guarded one, or a refusal."""
        try:
            await self._check(scope, receive, headers)
        except Exception as error:  # noqa: BLE001 no handler of the application sees it
            return self._readable(scope, failure(error, scope))
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            return _PREFLIGHT
        return self._app

    async def _check(
        self, scope: HTTPScope, receive: Receive, headers: Mapping[bytes, bytes]
    ) -> None:
        path, method = scope["path"], scope["method"]
        if path in PROBES or self._is_for_metrics(scope):
            return
        self._check_host(headers)
        if method in _CHANGING or (method == "OPTIONS" and path.startswith(API_PREFIXES)):
            self._check_origin(headers)
        _check_path(path)
        _check_codings(headers)
        if path in SERVER_INFO or method == "OPTIONS":
            return
        if self._access is not None and not self._is_open(path):
            caller = Caller(scope, receive, self._proxies)
            is_page = not path.startswith(API_PREFIXES)
            identity = await self._access.identify(headers, caller, is_page=is_page)
            scope["user"], scope["auth"] = identity.name, identity.rights
        if headers.get(b"x-mlflow-workspace", b"").strip():
            raise RequestRefusedError(
                HTTPStatus.BAD_REQUEST,
                "FEATURE_DISABLED",
                "Workspace APIs are not available: workspaces are not enabled on this server",
            )

    def _is_for_metrics(self, scope: HTTPScope) -> bool:
        """Whether a request has come by the address of the metrics, where it needs no credentials.

        Raises:
            RequestRefusedError: it asks for something that is not at the address it came by.
        """
        if self._metrics_port is None:
            return False
        server = scope.get("server")
        is_there = server is not None and server[1] == self._metrics_port
        if is_there != (scope["path"] == METRICS):
            raise _no_endpoint(scope["path"])
        return is_there

    def _is_open(self, path: str) -> bool:
        """Whether browsers need the path to sign in."""
        assert self._access is not None, "there is something to ask for"
        return self._access.has_sessions and (path in SIGN_IN or path.startswith(_STATIC))

    def _shared(self, headers: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
        """The headers that let the page that asks read the answer, if it may."""
        origin = headers.get(b"origin")
        if origin is None or not self._knows_origin(origin, headers.get(b"host")):
            return ()
        return ((b"access-control-allow-origin", origin), *self._credentials)

    def _check_host(self, headers: Mapping[bytes, bytes]) -> None:
        host = headers.get(b"host")
        if host is not None and not self._knows_host(host):
            raise RequestRefusedError(
                HTTPStatus.FORBIDDEN,
                "PERMISSION_DENIED",
                "Invalid Host header - possible DNS rebinding attack detected. If this is the "
                "server's name, start the server with --allowed-hosts and the name.",
            )

    def _check_origin(self, headers: Mapping[bytes, bytes]) -> None:
        origin = headers.get(b"origin")
        if origin is not None and not self._knows_origin(origin, headers.get(b"host")):
            raise RequestRefusedError(
                HTTPStatus.FORBIDDEN,
                "PERMISSION_DENIED",
                "Cross-origin request blocked. Pages of other sites may call when their origin is "
                "in --allowed-origins.",
            )


class _Counted:
    """An answer as it goes out: it gets further headers, and is counted once."""

    __slots__ = (
        "_added",
        "_count",
        "_is_counted",
        "_scope",
        "_send",
        "_sent",
        "_started",
        "_status",
    )

    def __init__(
        self,
        scope: HTTPScope,
        send: Send,
        added: tuple[tuple[bytes, bytes], ...],
        started: float,
        count: Callable[[HTTPScope, int, int, float], None],
    ) -> None:
        self._scope = scope
        self._send = send
        self._added = added
        self._started = started
        self._count = count
        self._is_counted = False
        self._status = 0
        self._sent = 0

    async def send(self, message: Message) -> None:
        """Pass on one event of the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message["headers"], *self._added]
        elif message["type"] == "http.response.body":
            self._sent += len(message["body"])
            if not message.get("more_body", False):
                # Before the client has it: a client that got its answer finds the request counted.
                self.count()
        await self._send(message)

    def count(self) -> None:
        """Count the request, if it is not yet."""
        if not self._is_counted:
            self._is_counted = True
            seconds = time.perf_counter() - self._started
            self._count(self._scope, self._status, self._sent, seconds)


def _headers(scope: HTTPScope) -> dict[bytes, bytes]:
    # Of a repeated header the first counts: a client set it before a proxy added its own.
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name, value)
    return headers


def _check_codings(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body that would have to be decoded first (RFC 9110, sections 8.4 and 15.5.16)."""
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() not in (b"", b"identity"):
        raise RequestRefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "BAD_REQUEST",
            f"A body with the Content-Encoding '{coding.decode('latin-1')}' is not read: "
            "send it as it is.",
            headers=((b"accept-encoding", b"identity"),),
        )
    transfer = headers.get(b"transfer-encoding")
    if transfer is not None and transfer.strip().lower() != b"chunked":
        raise RequestRefusedError(
            HTTPStatus.NOT_IMPLEMENTED,
            "NOT_IMPLEMENTED",
            f"The Transfer-Encoding '{transfer.decode('latin-1')}' is not understood: "
            "send the body with its length, or in chunks.",
        )


def _check_path(path: str) -> None:
    """Refuse spellings of a path that a router would tidy up (contract 1.1)."""
    if path.startswith(_ARTIFACT_PREFIXES):
        return
    is_untidy = (path.endswith("/") and path != "/") or "//" in path
    if is_untidy or _NEARLY_ARTIFACTS.match(path):
        raise _no_endpoint(path)


def _no_endpoint(path: str) -> RequestRefusedError:
    return RequestRefusedError(
        HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", f"There is no endpoint at {path}"
    )


def _host_rule(allowed: tuple[str, ...]) -> Callable[[bytes], bool]:
    patterns = tuple(pattern.lower() for pattern in allowed)

    def knows(host: bytes) -> bool:
        if _HOST.fullmatch(host) is None:
            return False
        name = _hostname("//" + host.decode("latin-1"))
        # A dot at the end says that a name is complete, which each of ours is.
        name = None if name is None else name.rstrip(".")
        return name is not None and (
            _is_near(name) or any(fnmatchcase(name, pattern) for pattern in patterns)
        )

    return knows


def _origin_rule(allowed: tuple[str, ...], *, local: bool) -> Callable[[bytes, bytes | None], bool]:
    """Which pages may call, by their origin and the Host that they call.

    With `local` also those of the machine that the server is on. A browser elsewhere has another
    machine's pages under the same origins, so they may only call the server by such a name, too.
    """

    def knows(origin: bytes, host: bytes | None) -> bool:
        text, called = origin.decode("latin-1"), (host or b"").decode("latin-1")
        if any(fnmatchcase(text, pattern) for pattern in allowed):
            return True
        name = _hostname(text)
        if name is None:
            return False
        if text.partition("://")[2] == called:
            return True
        return local and is_loopback(name) and is_loopback(_hostname(f"//{called}") or "")

    return knows


def _hostname(url: str) -> str | None:
    """The host in a URL, lower case and without port; None if it has no host."""
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # raises for what is not a port
    except ValueError:
        return None
    return None if parts.path or parts.username is not None else parts.hostname


def _is_near(name: str) -> bool:
    """Whether a host is this machine or an address of a private network."""
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_private or address.is_loopback
