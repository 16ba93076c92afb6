"""Receivers of webhooks on loopback, which answer as a script tells them."""

from __future__ import annotations

import contextlib
import http.server
import json
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import attrs

from registry_core.webhooks import sign

ARRIVAL_SECONDS = 60
"""Seconds for a delivery to arrive; it takes milliseconds on an idle machine, and on a busy one many."""


@attrs.frozen
class Received:
    """One request that a receiver got; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def event(self) -> str:
        """The event, as `entity.action`."""
        return f"{self.told['entity']}.{self.told['action']}"

    def is_signed_with(self, secret: str) -> bool:
        """Whether the signature is that of the body, its id and its time."""
        expected = sign(
            secret,
            delivery_id=self.headers["x-mlflow-delivery-id"],
            timestamp=self.headers["x-mlflow-timestamp"],
            body=self.body,
        )
        return self.headers.get("x-mlflow-signature") == expected


@attrs.frozen
class Script:
    """An answer: its status, headers, body, and what happens before it is sent."""

    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)
    body: bytes = b"done"
    before: Callable[[], object] = lambda: None


class Receiver:
    """An HTTP server on loopback: notes each request, answers with the next script, or 200."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: queue.Queue[Received] = queue.Queue()
        self._scripts = iter(scripts)
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_port
        scheme = "http"
        if tls is not None:
            scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self.port}/hook?a=1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def next(self) -> Received:
        """The next request, waiting for it."""
        return self.requests.get(timeout=ARRIVAL_SECONDS)

    def got_nothing_more(self) -> bool:
        """Whether every request was asked for; of use once whoever sends has finished."""
        return self.requests.empty()

    def answer(self, request: Received) -> Script:
        """Notes the request and gives what to answer."""
        script = next(self._scripts, Script())
        self.requests.put(request)
        script.before()
        return script

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Says nothing: a sender that breaks off is what some tests are about."""


def _handler(receiver: Receiver) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version: ClassVar[str] = "HTTP/1.1"

        def do_GET(self) -> None:
            """A request that only a followed redirect would make."""
            receiver.answer(Received(self.command, self.path, {}, b""))
            self.send_error(405)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # The sender was killed: nobody was told anything.
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            script = receiver.answer(Received(self.command, self.path, headers, body))
            self.send_response(script.status)
            for name, value in script.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(script.body)))
            self.end_headers()
            self.wfile.write(script.body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def raw_receiver(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a listener that does as told with each connection, after the request's head."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            answer(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [acceptor, *threads]:
            thread.join(ARRIVAL_SECONDS)
