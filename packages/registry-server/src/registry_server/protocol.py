"""HTTP as the server speaks it: uvicorn's protocol on httptools, with four edges made smooth.

- A request that is no HTTP is answered with a JSON error like every other.
- A URL may be longer than the 65,535 bytes that the parser's URL splitter takes: filters are part
  of the query. URLs and headers still have bounds, which uvicorn leaves open.
- A client that does not read its answer cannot keep the server from stopping.
- Head and body of an answer are written together: each piece would be a system call and a packet.
"""

from __future__ import annotations

import asyncio
from http import HTTPMethod, HTTPStatus
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from registry_core.wire import CODES, dumps

MAX_URL_BYTES = 1024 * 1024
"""The longest URL. A filter of 64 KiB, percent-encoded and repeated, fits several times."""

MAX_HEADERS_BYTES = 256 * 1024
"""The most that the headers of a request may hold, names and values."""

_SPLITTABLE_BYTES = 65_535

_ABORT_LEAD_SECONDS = 0.1
"""How long before the end of a graceful stop the connections that are left are cut."""

_SHORT_BYTES = 64 * 1024
"""Of a body that is copied behind its head. A longer one is written by itself."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""What uvicorn writes before the head of an answer when the client has asked whether to go on."""


class TooLongError(Exception):
    """A URL or the headers of a request exceed their bound; the parser turns it into its own."""


class RegistryProtocol(HttpToolsProtocol):
    """One connection."""

    def on_message_begin(self) -> None:
        """Called by the parser at the first byte of a request."""
        self._headers_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Called by the parser with a piece of the URL."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            raise TooLongError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser with a header."""
        self._headers_bytes += len(name) + len(value)
        if self._headers_bytes > MAX_HEADERS_BYTES:
            raise TooLongError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Called by the parser when a request can be started."""
        before = self.cycle
        self._start()
        if self.cycle is not before and self.scope["method"] != HTTPMethod.HEAD:
            self.cycle.transport = cast("asyncio.Transport", _InOnePiece(self.transport))

    def _start(self) -> None:
        if len(self.url) <= _SPLITTABLE_BYTES:
            super().on_headers_complete()
            return
        # Start it with the short part of its URL, and put the query in before it first runs.
        self.url, _, query = self.url.partition(b"?")
        super().on_headers_complete()
        self.scope["query_string"] = query.partition(b"#")[0]

    def shutdown(self) -> None:
        """Called by the server when it stops: the connection ends with the request in flight.

        A client that takes nothing would keep it open for ever, and with it the event loop.
        """
        super().shutdown()
        seconds = self.config.timeout_graceful_shutdown
        if seconds is not None:
            self.loop.call_later(max(0, seconds - _ABORT_LEAD_SECONDS), self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, and hangs up."""
        body = dumps(CODES["BAD_REQUEST"].body(msg))
        self.transport.write(
            b"HTTP/1.1 %d Bad Request\r\ncontent-type: application/json\r\n"
            b"x-content-type-options: nosniff\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (HTTPStatus.BAD_REQUEST, len(body), body)
        )
        self.transport.close()


class _InOnePiece:
    """What one answer needs of a transport. Its head waits for the beginning of its body.

    So the ASGI specification wants it: nothing is sent before the first event of the body.
    """

    __slots__ = ("_has_head", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._has_head = False
        self._head = b""

    def write(self, data: bytes) -> None:
        if not self._has_head and data != _CONTINUE:
            self._has_head = True
            self._head = data
        elif len(data) <= _SHORT_BYTES:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        else:
            self._send_head()
            self._transport.write(data)

    def close(self) -> None:
        self._send_head()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _send_head(self) -> None:
        # The client may have gone away meanwhile.
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""
