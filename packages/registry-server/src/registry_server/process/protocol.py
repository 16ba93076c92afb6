"""HTTP as the server speaks it: uvicorn's protocol on httptools, with its edges made smooth.

- A request that is not HTTP is answered with a JSON error like every other, in its turn.
- An offer to upgrade to another protocol is not taken, and changes nothing.
- A request names one host (RFC 9112, section 3.2). Blanks around a header's value are not part of
  it, and what follows a body in chunks is not a header.
- A URL may be longer than the 65,535 bytes that the parser's URL splitter takes: filters are part
  of the query. URLs and headers still have bounds, which uvicorn leaves open.
- A client that does not read its answer cannot keep the server from stopping.
- Head and body of an answer are written together: each piece would be a system call and a packet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from registry_core.wire import CODES, dumps
from registry_server.process.connection import CONNECTION, Connection, Tally
from registry_server.process.limits import Phase
from registry_server.process.long_bodies import LONG_BYTES, LongBody
from registry_server.process.pieces import Pieces

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

MAX_URL_BYTES = 1024 * 1024
"""The longest URL. A filter of 64 KiB, percent-encoded and repeated, fits several times."""

MAX_HEADERS_BYTES = 256 * 1024
"""The most that the headers of a request may hold, names and values."""

MAX_PIPELINED = 64
"""The most requests that may wait on one connection for the answer to an earlier one. Each takes
some KiB, and a packet brings thousands."""

PUT_WAITING_BYTES = 512 * 1024
"""Bytes of a file that may wait for the application before no more are taken from the connection.
With uvicorn's limit, each packet of a quick client would end and begin the reading again. The last
packet may bring half as many more."""

_SPLITTABLE_BYTES = 65_535

_FIRST_REQUEST_SECONDS = 1.0
"""How long a connection that has sent nothing may send its first request after the server began to
stop. To hang up on it would lose what its client has sent meanwhile."""

_ABORT_LEAD_SECONDS = 0.1
"""How long before the end of a graceful stop the connections that are left are cut."""

_SHORT_BYTES = 64 * 1024
"""Of a body that is copied behind its head. A longer one is written by itself."""

_BLANKS = b" \t"

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""What uvicorn writes before the head of an answer when the client has asked whether to go on."""

_END_OF_HEAD = b"\r\n\r\n"


class RefusedError(Exception):
    """The parser was given a request that is not served: the message and status of its answer."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status

    def answer(self) -> bytes:
        """Return the answer, the last one of its connection."""
        is_busy = self.status == HTTPStatus.TOO_MANY_REQUESTS
        body = dumps(CODES["TEMPORARILY_UNAVAILABLE" if is_busy else "BAD_REQUEST"].body(str(self)))
        return (
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\n"
            b"x-content-type-options: nosniff\r\ncontent-length: %d\r\n%s"
            b"connection: close\r\n\r\n%s"
        ) % (
            self.status,
            self.status.phrase.encode(),
            len(body),
            b"retry-after: 1\r\n" if is_busy else b"",
            body,
        )


class RegistryProtocol(Connection):
    """One connection."""

    __slots__ = ("_headers_bytes", "_hosts", "_is_answer_untaken", "_refusal")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._hosts = 0
        """Host headers of the request."""
        self._headers_bytes = 0
        self._refusal: bytes | None = None
        """What is written in place of a request that is not served, after earlier answers."""
        self._is_answer_untaken = False
        """Whether the client has to take the last answer before there can be another one."""

    # What comes

    def data_received(self, data: bytes) -> None:
        """Called by the transport with what a client has sent."""
        self._received += len(data)
        if self._refusal is not None:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._go_on_after(offer, data)
        except httptools.HttpParserError as error:
            self._refuse_what_came(error)
        if self._received > self._free_until:
            self._count_received()

    def _go_on_after(self, offer: httptools.HttpParserUpgrade, data: bytes) -> None:
        """Has the rest parsed, which the parser takes for another protocol."""
        rest = memoryview(data)
        try:
            while True:
                (end_of_head,) = offer.args
                rest = rest[end_of_head:]
                head = self._head_without_offer()
                self.parser = _new_parser(self)
                self.parser.feed_data(head)
                try:
                    self.parser.feed_data(rest)
                except httptools.HttpParserUpgrade as next_offer:
                    offer = next_offer
                else:
                    return
        except httptools.HttpParserError as error:
            self._refuse_what_came(error)

    def _refuse_what_came(self, error: httptools.HttpParserError) -> None:
        known = error.__context__
        if not isinstance(known, RefusedError):
            known = RefusedError("Invalid HTTP request received.")
        self._refuse(known)

    def _head_without_offer(self) -> bytes:
        """The head that has just been parsed, so that it offers nothing (RFC 9110, section 7.8)."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version.encode())]
        lines += [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_message_begin(self) -> None:
        """Called by the parser at the first byte of a request."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise RefusedError("Too many requests wait.", HTTPStatus.TOO_MANY_REQUESTS)
        self._is_in_head = True
        self._hosts = self._headers_bytes = 0
        super().on_message_begin()
        self.scope["state"][CONNECTION] = self.weak

    def on_url(self, url: bytes) -> None:
        """Called by the parser with a piece of the URL."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            raise RefusedError(f"The URL exceeds the maximum of {MAX_URL_BYTES} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser with a header, or with what follows a body in chunks."""
        self._headers_bytes += len(name) + len(value)
        if self._headers_bytes > MAX_HEADERS_BYTES:
            raise RefusedError(f"The headers exceed the maximum of {MAX_HEADERS_BYTES} bytes.")
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        self.headers.append((name, value.rstrip(_BLANKS)))

    def on_headers_complete(self) -> None:
        """Called by the parser when a request can be started."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise RefusedError("This server is not a proxy.")
            return  # this head comes again, without its offer
        if self._hosts != 1 and (self._hosts or self.parser.get_http_version() == "1.1"):
            raise RefusedError("A request must have one Host header.")
        self._is_in_head = False
        self.requests += 1
        before = self.cycle
        self._start()
        # What follows a body in chunks is for nobody (RFC 9110, section 6.5.1).
        self.headers = []
        if self.cycle is not before and self.scope["method"] != HTTPMethod.HEAD:
            self.cycle.transport = cast(
                "asyncio.Transport", _InOnePiece(self.transport, self.tally)
            )

    def on_body(self, body: bytes) -> None:
        """Called by the parser with a piece of a body."""
        request = self.cycle
        if self.scope["method"] != HTTPMethod.PUT or request.response_complete:
            super().on_body(body)
            return
        if not request.body:
            request.body = cast("bytearray", Pieces())
        request.body += body
        if len(request.body) > PUT_WAITING_BYTES:
            self.flow.pause_reading()
        request.message_event.set()

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a request."""
        if self._is_in_head:
            return  # as `on_headers_complete`
        request = self.cycle
        request.more_body = False
        if not request.response_complete:
            request.message_event.set()

    def long_body(self, left: int) -> LongBody | None:
        """See `Connection.long_body`."""
        request = self.cycle
        rest = left - len(request.body)
        is_coming = request.more_body and not request.disconnected and self._refusal is None
        # Behind the last request of a connection a new parser would see what is to be ignored.
        if rest < LONG_BYTES or not (is_coming and request.keep_alive):
            return None
        first, request.body = bytes(request.body), bytearray()
        return LongBody(self, first, rest, count=self._count_body, end=self._end_body)

    def _count_body(self, size: int) -> None:
        self._received += size

    def _end_body(self) -> None:
        self.parser = _new_parser(self)
        self.on_message_complete()

    def _start(self) -> None:
        if len(self.url) <= _SPLITTABLE_BYTES:
            super().on_headers_complete()
            return
        # Start it with the short part of its URL, and put the query in before it first runs.
        self.url, _, query = self.url.partition(b"?")
        super().on_headers_complete()
        self.scope["query_string"] = query.partition(b"#")[0]

    # What goes

    def on_response_complete(self) -> None:
        """Called when an answer has been written."""
        self.server_state.total_requests += 1
        head, self.tally.head = self.tally.head, b""
        if self.transport.is_closing():
            return
        if head:
            # No body was written, not even an empty one.
            self.transport.write(head)
        if self.flow.write_paused:
            # Another answer would have to be kept beside this one.
            self._is_answer_untaken = True
            self.flow.pause_reading()
        else:
            self._go_on()

    def resume_writing(self) -> None:
        """Called by the transport when the client has taken what was written."""
        super().resume_writing()
        if self._is_answer_untaken:
            self._is_answer_untaken = False
            if not self.transport.is_closing():
                self._go_on()

    def _go_on(self) -> None:
        """Begin with the next request, which may have come already."""
        if self.pipeline:
            request, app = self.pipeline.pop()
            self._start_asgi_task(request, app)
            if self.pipeline:
                return
        elif self._refusal is not None:
            self._write_refusal()
            return
        else:
            self._forget_received()
        self.flow.resume_reading()

    def expire(self) -> None:
        """End the connection of a client that has taken too long."""
        match self._phase():
            case Phase.BODY:
                self._refuse(_TIMEOUT)
            case Phase.HEAD if self._is_in_head:
                self._refuse(_TIMEOUT)
            case Phase.ANSWER | Phase.CLOSING:
                self.transport.abort()
            case _:
                self.transport.close()

    def drop(self) -> None:
        """End the connection in favour of others."""
        match self._phase():
            case Phase.BODY:
                self._refuse(_BUSY)
            case Phase.ANSWER | Phase.CLOSING:
                self.transport.abort()
            case _:
                self.transport.close()
        self._hold(0, 0)

    def shutdown(self) -> None:
        """Called by the server when it stops: the connection ends with the request in flight.

        A client that takes nothing would keep it open forever, and with it the event loop. One
        that has just connected has a request on its way, which is answered.
        """
        seconds = self.config.timeout_graceful_shutdown
        if seconds is not None:
            self.loop.call_later(max(0, seconds - _ABORT_LEAD_SECONDS), self.transport.abort)
        if self._received or (seconds is not None and seconds <= _FIRST_REQUEST_SECONDS):
            super().shutdown()
        else:
            self.loop.call_later(_FIRST_REQUEST_SECONDS, self._end_when_answered)

    def _end_when_answered(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, and hang up."""
        self._refuse(RefusedError(msg))

    def _refuse(self, refused: RefusedError) -> None:
        """Answer the request that is coming, after those that came before it, and hang up."""
        self._refusal = refused.answer()
        last = self._last
        if last is None or (last.response_complete and not last.more_body):
            self._write_refusal()
        elif last.more_body and not self._is_in_head:
            self._refuse_the_rest_of(last)

    def _refuse_the_rest_of(self, request: RequestResponseCycle) -> None:
        if self.pipeline and self.pipeline[0][0] is request:
            self.pipeline.popleft()
            return
        is_unanswered = not request.response_started
        # The application learns that the rest will not come, and writes nothing any more.
        request.disconnected = True
        request.message_event.set()
        if is_unanswered:
            self._write_refusal()
        else:
            self.transport.close()

    def _write_refusal(self) -> None:
        if self._refusal is not None and not self.transport.is_closing():
            self.transport.write(self._refusal)
            self.transport.close()


_TIMEOUT = RefusedError("The rest of the request did not come.", HTTPStatus.REQUEST_TIMEOUT)
_BUSY = RefusedError("The server is busy.", HTTPStatus.TOO_MANY_REQUESTS)


def _new_parser(protocol: RegistryProtocol) -> httptools.HttpRequestParser:
    """A parser as uvicorn makes it: what follows a request that ends its connection is ignored."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


class _InOnePiece:
    """What one answer needs of a transport. Its head waits for the beginning of its body.

    So the ASGI specification wants it: nothing is sent before the first event of the body. What
    is held is a head and nothing else; it goes with the next piece, when the connection is closed,
    or at the latest when the answer is complete (`RegistryProtocol.on_response_complete`).
    """

    __slots__ = ("_has_head", "_tally", "_transport")

    def __init__(self, transport: asyncio.Transport, tally: Tally) -> None:
        self._transport = transport
        self._tally = tally
        self._has_head = False

    def write(self, data: bytes) -> None:
        tally = self._tally
        tally.written += len(data)
        if not self._has_head and data != _CONTINUE:
            self._has_head = True
            if data.find(_END_OF_HEAD) == len(data) - len(_END_OF_HEAD):
                tally.head = data
            else:
                self._transport.write(data)  # the body is in it, or it is not all of the head
        elif len(data) <= _SHORT_BYTES:
            head, tally.head = tally.head, b""
            self._transport.write(head + data)
        else:
            self._send_head()
            self._transport.write(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def close(self) -> None:
        self._send_head()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send_head(self) -> None:
        head, self._tally.head = self._tally.head, b""
        # The client may have gone away meanwhile.
        if head and not self._transport.is_closing():
            self._transport.write(head)
