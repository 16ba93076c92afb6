"""A proxy in front of an S3 server, which loses, delays, repeats and forges what passes through.

A plan decides about each request: `plan(request)` gives a `Fault`, or None to let it pass. Plans are
called in one thread at a time, so that a seeded random plan is replayed by the same requests.
"""

from __future__ import annotations

import contextlib
import enum
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import attrs
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

LATE_SECONDS = 0.2
"""After how long a request arrives whose sender has given up: he has asked again by then."""

UPSTREAM_TIMEOUT_SECONDS = 30.0

_HOP_BY_HOP = {"connection", "keep-alive", "expect", "transfer-encoding", "content-length"}
_CONDITIONS = ("if-match", "if-none-match")


class Fault(enum.Enum):
    """What happens to a request on its way, or to its reply."""

    DROP_REQUEST = "the connection closes before the request arrives"
    DROP_REPLY = "the request is carried out, and the connection closes"
    LATE = "the connection closes, and the request is carried out some time later"
    TWICE = "the request is carried out twice, and the second reply is given"
    ERROR_500 = "500 InternalError, nothing is carried out"
    ERROR_500_DONE = "500 InternalError, although it is carried out"
    SLOW_DOWN = "503 SlowDown, nothing is carried out"
    CONFLICT = "409 ConditionalRequestConflict, nothing is carried out"
    FAILED_CONDITION = "412 PreconditionFailed, nothing is carried out"
    FAILED_CONDITION_DONE = "412 PreconditionFailed, although it is carried out"
    DELAY = "the request waits a little"
    HALF_REPLY = "the connection closes in the middle of the reply's body"
    FORBIDDEN = "403 AccessDenied, nothing is carried out"
    NOT_IMPLEMENTED = "501 NotImplemented, nothing is carried out"


REFUSALS = frozenset({Fault.FORBIDDEN, Fault.NOT_IMPLEMENTED})
"""Replies that are final: no client can make up for them."""

PASSING = tuple(fault for fault in Fault if fault not in REFUSALS)
"""Faults that a good client makes up for."""

CONDITIONAL_ONLY = frozenset({Fault.CONFLICT, Fault.FAILED_CONDITION, Fault.FAILED_CONDITION_DONE})
"""Replies that only a request with a condition can get."""

_FORGED = {
    Fault.ERROR_500: (500, "InternalError"),
    Fault.ERROR_500_DONE: (500, "InternalError"),
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.CONFLICT: (409, "ConditionalRequestConflict"),
    Fault.FAILED_CONDITION: (412, "PreconditionFailed"),
    Fault.FAILED_CONDITION_DONE: (412, "PreconditionFailed"),
    Fault.FORBIDDEN: (403, "AccessDenied"),
    Fault.NOT_IMPLEMENTED: (501, "NotImplemented"),
}
_CARRIED_OUT = frozenset(
    {Fault.DROP_REPLY, Fault.TWICE, Fault.ERROR_500_DONE, Fault.FAILED_CONDITION_DONE}
)


@attrs.frozen
class Request:
    """A request that arrived at the proxy."""

    method: str
    target: str
    headers: dict[str, str]
    """With names in lower case."""
    body: bytes

    @property
    def is_conditional_write(self) -> bool:
        return self.method in ("PUT", "DELETE") and any(c in self.headers for c in _CONDITIONS)

    @property
    def is_write(self) -> bool:
        return self.method in ("PUT", "POST", "DELETE")


@attrs.frozen
class _Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


Plan = Callable[[Request], Fault | None]


class S3Proxy:
    """A proxy on a port of its own, for as long as its `running` context lasts."""

    def __init__(
        self,
        endpoint_url: str,
        plan: Plan = lambda _: None,
        *,
        strip_conditions: Credentials | None = None,
        conditions: tuple[str, ...] = _CONDITIONS,
    ) -> None:
        """With `strip_conditions` the `conditions` are removed, and requests signed again."""
        self.plan = plan
        self.requests: list[tuple[str, str]] = []
        """Method and target of each request, in the order of arrival."""
        self._upstream = urlsplit(endpoint_url).netloc
        self._strip_conditions = strip_conditions
        self._conditions = conditions
        self._lock = threading.Lock()
        self._late: list[threading.Thread] = []
        self._connections = threading.local()
        proxy = self

        class Handler(_Handler):
            def handle_request(self, request: Request) -> None:
                proxy._handle(self, request)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[S3Proxy]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self.await_late()
            self._server.server_close()

    def await_late(self) -> None:
        """Returns when no delayed request is under way any more."""
        while self._late:
            self._late.pop().join()

    def _handle(self, handler: _Handler, request: Request) -> None:
        with self._lock:
            self.requests.append((request.method, request.target))
            fault = self.plan(request)
        if fault is Fault.DELAY:
            time.sleep(LATE_SECONDS / 4)
        if fault is Fault.LATE:
            late = threading.Thread(target=self._forward_late, args=(request,))
            late.start()
            self._late.append(late)
        if fault in _FORGED and fault not in _CARRIED_OUT:
            handler.answer(_forged(fault))
            return
        if fault in (Fault.DROP_REQUEST, Fault.LATE):
            handler.drop()
            return
        reply = self._forward(request)
        if fault is Fault.TWICE:
            reply = self._forward(request)
        if fault is Fault.DROP_REPLY or (fault is Fault.HALF_REPLY and not reply.body):
            handler.drop()
        elif fault is Fault.HALF_REPLY:
            handler.answer(reply, cut=len(reply.body) // 2)
        else:
            handler.answer(_forged(fault) if fault in _FORGED else reply)

    def _forward_late(self, request: Request) -> None:
        time.sleep(LATE_SECONDS)
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._forward(request)

    def _forward(self, request: Request) -> _Response:
        headers = {k: v for k, v in request.headers.items() if k not in _HOP_BY_HOP}
        if self._strip_conditions is not None:
            headers = self._signed_again(request, headers)
        connection = http.client.HTTPConnection(self._upstream, timeout=UPSTREAM_TIMEOUT_SECONDS)
        try:
            connection.putrequest(
                request.method, request.target, skip_host=True, skip_accept_encoding=True
            )
            for name, value in headers.items():
                connection.putheader(name, value)
            if request.body or request.method == "PUT":
                connection.putheader("content-length", str(len(request.body)))
            connection.endheaders(request.body or None)
            response = connection.getresponse()
            return _Response(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def _signed_again(self, request: Request, headers: dict[str, str]) -> dict[str, str]:
        kept = {
            name: value
            for name, value in headers.items()
            if name
            not in (*self._conditions, "authorization", "x-amz-date", "x-amz-content-sha256")
        }
        again = AWSRequest(
            method=request.method,
            url=f"http://{kept['host']}{request.target}",
            data=request.body,
            headers=kept,
        )
        S3SigV4Auth(self._strip_conditions, "s3", "us-east-1").add_auth(again)
        return {name.lower(): value for name, value in again.headers.items()}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed leave broken connections; that is the point of the exercise."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_request(self, request: Request) -> None:
        raise NotImplementedError

    def answer(self, reply: _Response, *, cut: int | None = None) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if reply.status not in (204, 304):
            length = len(reply.body)
            if self.command == "HEAD":
                length = int(dict(reply.headers).get("Content-Length", 0))
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[:cut])
        self.wfile.flush()
        if cut is not None:
            self.drop()

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        self.wfile.flush()  # the client waits a second for it before it sends the body
        return True

    def drop(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its name upstream
        """Says nothing."""

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            # Of a client that was killed: passed on with a length of its own, it would be whole.
            self.drop()
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.handle_request(Request(self.command, self.path, headers, body))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _any  # noqa: N815 their names upstream


def _forged(fault: Fault) -> _Response:
    status, code = _FORGED[fault]
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
        "<Message>injected</Message></Error>"
    )
    return _Response(status, [("Content-Type", "application/xml")], body.encode())
