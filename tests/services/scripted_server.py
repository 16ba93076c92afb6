"""A server that answers each request as a test says, over a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import attrs


@attrs.frozen
class Response:
    """What to answer: a status, and a body, as JSON unless it is bytes.

    With `then_close` the connection is closed afterwards, without a word about it.
    """

    status: int
    body: Any = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    then_close: bool = False


class HangUp:
    """Closes the connection instead of answering."""


@attrs.frozen
class Received:
    """A request as the server got it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class ScriptedServer:
    """Answers the first request with the first answer, and so on; the last one again and again."""

    def __init__(self, *answers: Response | HangUp, port: int = 0) -> None:
        self._answers = list(answers)
        self.received: list[Received] = []
        self.connections = 0
        self._open = 0
        self._lock = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def port(self) -> int:
        """The loopback port it listens on."""
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait_for_connections(self, number: int) -> None:
        """Returns when so many connections are open."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._open == number, timeout=60)

    def _opened(self) -> None:
        with self._lock:
            self.connections += 1
            self._open += 1

    def _closed(self) -> None:
        with self._lock:
            self._open -= 1
            self._lock.notify_all()

    def _next(self, received: Received) -> Response | HangUp:
        with self._lock:
            self.received.append(received)
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                server._opened()
                super().handle()

            def finish(self) -> None:
                super().finish()
                self.connection.close()
                server._closed()

            def handle_any(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                answer = server._next(
                    Received(
                        self.command,
                        self.path,
                        {name.lower(): value for name, value in self.headers.items()},
                        self.rfile.read(length),
                    )
                )
                if isinstance(answer, HangUp):
                    self.close_connection = True
                    return
                body = (
                    answer.body
                    if isinstance(answer.body, bytes)
                    else json.dumps(answer.body).encode()
                )
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = answer.then_close

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 http.server's names

            def log_message(self, *_: object) -> None:
                pass

        return Handler
