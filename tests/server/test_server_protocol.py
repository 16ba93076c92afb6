"""What is written to a connection, and in how many pieces."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.lifespan.off import LifespanOff
from uvicorn.server import ServerState

from registry_server.protocol import RegistryProtocol

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
CLOSING = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
UPLOAD = b"PUT / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"


class RecordingTransport(asyncio.Transport):
    """A stand-in for the connection: what was written to it, call by call."""

    def __init__(self):
        super().__init__()
        self.written = []
        self.is_closed = False

    def write(self, data):
        assert not self.is_closed
        self.written.append(bytes(data))

    def close(self):
        self.is_closed = True

    def is_closing(self):
        return self.is_closed

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


def answered(app, *requests):
    """What is written in answer to requests on one connection, and whether it was closed."""

    async def main():
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        config.load()
        protocol = RegistryProtocol(
            config=config, server_state=ServerState(), app_state=LifespanOff(config).state
        )
        transport = RecordingTransport()
        protocol.connection_made(transport)
        for request in requests:
            protocol.data_received(request)
            while tasks := protocol.tasks:
                await asyncio.wait(tasks)
        is_closed = transport.is_closed
        protocol.connection_lost(None)
        return transport.written, is_closed

    return asyncio.run(main())


def sending(*pieces, length=None):
    """An application that answers with a body in these pieces."""

    async def app(scope, receive, send):
        headers = [] if length is None else [(b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, piece in enumerate(pieces, 1):
            more = number < len(pieces)
            await send({"type": "http.response.body", "body": piece, "more_body": more})

    return app


def body_of(answer):
    """The body of an answer that has a head."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert separator
    return body


def test_answer_is_written_at_once():
    """Head and body together, on each request of a connection."""
    written, is_closed = answered(sending(b"text", length=4), GET, GET)
    assert [body_of(answer) for answer in written] == [b"text", b"text"]
    assert not is_closed


def test_pipelined_answers_come_in_order():
    written, _ = answered(sending(b"text", length=4), GET + GET + HEAD + GET)
    assert [body_of(answer) for answer in written] == [b"text", b"text", b"", b"text"]


def test_answer_without_a_body_is_written():
    """To HEAD, or because it is empty."""
    assert [body_of(one) for one in answered(sending(b"text", length=4), HEAD)[0]] == [b""]
    assert [body_of(one) for one in answered(sending(b"", length=0), GET)[0]] == [b""]


def test_long_body_is_not_copied():
    """Its head goes first."""
    text = b"x" * 100_000
    (head, body), _ = answered(sending(text, length=len(text)), GET)
    assert (body_of(head), body) == (b"", text)


def test_streamed_body_begins_with_its_head():
    """Later pieces go out as they come."""
    (first, *others), _ = answered(sending(b"a", b"b", b""), GET)
    assert body_of(first) == b"1\r\na\r\n"
    assert others == [b"1\r\nb\r\n", b"0\r\n\r\n"]


def test_stream_that_begins_with_nothing_sends_its_head():
    (first, *others), _ = answered(sending(b"", b"b", length=1), GET)
    assert body_of(first) == b""
    assert others == [b"b"]


def test_connection_that_ends_with_the_answer_is_closed_after_it():
    written, is_closed = answered(sending(b"text", length=4), CLOSING)
    assert [body_of(answer) for answer in written] == [b"text"]
    assert is_closed


@pytest.mark.parametrize("begins", [False, True])
def test_application_that_fails_after_the_head_ends_the_connection(begins):
    """The client sees that the answer is not complete."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if begins:
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise RuntimeError

    written, is_closed = answered(app, GET)
    assert is_closed
    assert body_of(b"".join(written)) == (b"1\r\na\r\n" if begins else b"")


def test_nothing_is_written_to_a_client_that_has_gone():
    """Before the first piece of a body, where the application then fails."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        receive.__self__.transport._transport.close()
        raise RuntimeError

    assert answered(app, GET) == ([], True)


def test_client_that_asks_whether_to_go_on_is_told_at_once():
    """Before there is any answer."""

    async def app(scope, receive, send):
        seen.append(list(transport_of(receive).written))
        await receive()
        seen.append(list(transport_of(receive).written))
        await sending(b"text", length=4)(scope, receive, send)

    def transport_of(receive):
        return receive.__self__.transport._transport

    seen = []
    written, _ = answered(app, UPLOAD + b"ab")
    told = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert seen == [[], [told]]
    assert written[0] == told
    assert [body_of(answer) for answer in written[1:]] == [b"text"]
