"""What is read from a connection, and what is written to it and in how many pieces."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
import uvicorn
from uvicorn.lifespan.off import LifespanOff
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from registry_server.process.connections import Connections
from registry_server.process.load_table import LoadTable
from registry_server.process.protocol import MAX_PIPELINED, RegistryProtocol

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
CLOSING = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
UPLOAD = b"PUT / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"


_ROUNDS = 8
"""Of the event loop, in which an application does what it can with what it has."""


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

    def get_write_buffer_size(self):
        return 0

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def abort(self):
        self.is_closed = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


def answered(app, *requests):
    """What is written in answer to requests on one connection, and whether it was closed.

    They may come in pieces: the application has each as far as it has come.
    """

    async def main():
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        config.load()
        state = ServerState()
        state.connections = Connections(LoadTable().take())
        protocol = RegistryProtocol(
            config=config, server_state=state, app_state=LifespanOff(config).state
        )
        transport = RecordingTransport()
        protocol.connection_made(transport)
        for request in requests:
            protocol.data_received(request)
            for _ in range(_ROUNDS):
                await asyncio.sleep(0)
        while tasks := protocol.tasks:
            await asyncio.wait(tasks, timeout=10)
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


HEAD_OF_2 = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD_OF_2 + b"OK"],
        [HEAD_OF_2, b"OK"],
        [HEAD_OF_2, b"O", b"K"],
        [HEAD_OF_2[:17], HEAD_OF_2[17:], b"OK"],
        [HEAD_OF_2[:17], HEAD_OF_2[17:] + b"OK"],
        [[HEAD_OF_2, b"OK"]],
        [[HEAD_OF_2], [b"OK"]],
        [CHUNKED + b"2\r\nOK\r\n0\r\n\r\n"],
        [CHUNKED + b"2\r\nOK\r\n", b"0\r\n\r\n"],
        [b"HTTP/1.1 204 No Content\r\n\r\n"],
    ],
)
@pytest.mark.parametrize("requests", [1, 3])
def test_all_of_an_answer_is_written_however_it_is_cut(monkeypatch, pieces, requests):
    """Releases of uvicorn may write head and body at once, or no body where it is empty."""

    async def send(cycle, _):
        cycle.response_started = True
        for piece in pieces:
            if isinstance(piece, list):
                cycle.transport.writelines(piece)
            else:
                cycle.transport.write(piece)
        cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()

    monkeypatch.setattr(RequestResponseCycle, "send", send)

    async def app(_, __, send):
        await send({})

    written, is_closed = answered(app, GET * requests)
    whole = b"".join(b"".join(piece) if isinstance(piece, list) else piece for piece in pieces)
    assert b"".join(written) == whole * requests
    assert not is_closed


def test_a_body_that_comes_with_its_head_does_not_wait_for_the_next_piece(monkeypatch):
    """Which may be long in coming."""
    first = CHUNKED + b"2\r\nOK\r\n"
    before_the_next = []

    async def send(cycle, _):
        cycle.response_started = True
        cycle.transport.write(first)
        before_the_next.extend(cycle.transport._transport.written)
        cycle.transport.write(b"0\r\n\r\n")
        cycle.response_complete = True
        cycle.on_response()

    monkeypatch.setattr(RequestResponseCycle, "send", send)

    async def app(_, __, send):
        await send({})

    answered(app, GET)
    assert before_the_next == [first]


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
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert seen == [[], [interim]]
    assert written[0] == interim
    assert [body_of(answer) for answer in written[1:]] == [b"text"]


# Reading

OFFERS = {
    "h2c": b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
    "websocket": b"Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\nsec-websocket-key: x\r\n",
    "TLS": b"Upgrade: TLS/1.2\r\nConnection: Upgrade\r\n",
}
BODY = b"GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
FRAMINGS = {
    "length": b"content-length: %d\r\n\r\n%s" % (len(BODY), BODY),
    "chunks": b"transfer-encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"
    % (BODY[:5], len(BODY) - 5, BODY[5:]),
    "nothing": b"\r\n",
}


async def echo(scope, receive, send):
    """An application that answers with what it was sent."""
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        more = message["more_body"]
    request = {"path": scope["path"], "method": scope["method"], "body": body.decode()}
    request["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    content = json.dumps(request).encode()
    headers = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def echoed(*requests):
    """What the application was sent with each of the requests, as it came in these pieces."""
    written, _ = answered(echo, *requests)
    return [json.loads(body_of(answer)) for answer in written]


def statuses(written):
    """The statuses of the answers on a connection, in order."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", b"".join(written))]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("offer", OFFERS)
def test_offer_to_upgrade_changes_nothing(offer, framing):
    """Wherever the packets end; and the next request is the next one (RFC 9110, section 7.8)."""
    request = b"POST /a HTTP/1.1\r\nhost: localhost\r\n" + OFFERS[offer] + FRAMINGS[framing]
    stream = request + GET + request
    expected = "" if framing == "nothing" else BODY.decode()
    for packets in (
        [stream],
        [request, GET, request],
        *([stream[:end], stream[end:]] for end in range(1, len(stream), 7)),
        [stream[at : at + 1] for at in range(len(stream))],
    ):
        first, second, third = echoed(*packets)
        assert (first["method"], first["path"], first["body"]) == ("POST", "/a", expected)
        assert (second["method"], second["path"], second["body"]) == ("GET", "/", "")
        assert third == first
        assert "upgrade" not in dict(first["headers"])


def test_offer_keeps_the_other_headers():
    """In their order, each as often as it came; with a connection that ends, where that is asked."""
    head = (
        b"POST /a?q=1 HTTP/1.1\r\nhost: localhost\r\nx-one: 1\r\nx-two: \r\nx-one: 2\r\n"
        b"connection: close, upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nab"
    )
    written, is_closed = answered(echo, head)
    request = json.loads(body_of(written[0]))
    assert [field for field in request["headers"] if field[0].startswith("x-")] == [
        ["x-one", "1"],
        ["x-two", ""],
        ["x-one", "2"],
    ]
    assert is_closed


def test_offer_with_a_question_is_told_to_go_on():
    offer = b"\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    written, _ = answered(echo, UPLOAD.replace(b"\r\n\r\n", offer), b"ab")
    assert written[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert json.loads(body_of(written[1]))["body"] == "ab"


def test_connect_is_refused_and_what_follows_is_no_request():
    """It would be for whoever the tunnel leads to."""
    for target in (b"localhost:80", b"/a"):
        written, is_closed = answered(
            echo, b"CONNECT " + target + b" HTTP/1.1\r\nhost: localhost\r\n\r\n" + GET, GET
        )
        assert (statuses(written), is_closed) == ([400], True)


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [
        (b"1.1", 0, 400),
        (b"1.1", 1, 200),
        (b"1.1", 2, 400),
        (b"1.0", 0, 200),
        (b"1.0", 1, 200),
        (b"1.0", 2, 400),
    ],
)
def test_request_names_one_host(version, hosts, status):
    """RFC 9112, section 3.2."""
    request = b"GET / HTTP/%s\r\n%s\r\n" % (version, b"Host: localhost\r\n" * hosts)
    written, is_closed = answered(echo, request)
    assert statuses(written) == [status]
    assert is_closed == (status == 400 or version == b"1.0")


def test_blanks_around_a_value_are_not_part_of_it():
    (request,) = echoed(b"GET / HTTP/1.1\r\nHost: \t localhost \t\r\nX: a b \r\n\r\n")
    assert request["headers"] == [["host", "localhost"], ["x", "a b"]]


def test_what_follows_chunks_is_no_header():
    """RFC 9110, section 6.5.1: it would get past whoever looked at the head."""
    (request,) = echoed(
        b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n0\r\nauthorization: Bearer x\r\nhost: other\r\n\r\n"
    )
    assert request["body"] == "ab"
    assert dict(request["headers"]).keys() == {"host", "transfer-encoding"}


@pytest.mark.parametrize("broken", [b"nonsense\r\n\r\n", GET.replace(b"host: localhost\r\n", b"")])
def test_refusal_waits_for_its_turn(broken):
    """Else the client would take it for the answer to an earlier request, which it did not get."""
    for packets in ([GET + HEAD + broken + GET], [GET + HEAD, broken, GET]):
        written, is_closed = answered(echo, *packets)
        assert (statuses(written), is_closed) == ([200, 200, 400], True)


def test_request_whose_body_is_broken_is_refused():
    """The application hears that no more will come; what came before is answered."""
    seen = []

    async def app(scope, receive, send):
        if scope["method"] == "GET":
            await sending(b"text", length=4)(scope, receive, send)
            return
        while (message := await receive())["type"] == "http.request":
            seen.append(message["body"])
        seen.append(message["type"])

    broken = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n"
    written, is_closed = answered(app, broken, b"nonsense\r\n")
    assert (statuses(written), is_closed) == ([400], True)
    assert seen == [b"ab", "http.disconnect"]
    written, is_closed = answered(app, GET + broken + b"nonsense\r\n")
    assert (statuses(written), is_closed) == ([200, 400], True)
    assert seen == [b"ab", "http.disconnect"]


def test_requests_that_wait_on_one_connection_have_a_bound():
    """The first ones are answered, and the client is told to send the others again."""
    written, is_closed = answered(sending(b"text", length=4), GET * (MAX_PIPELINED + 1))
    assert (statuses(written), is_closed) == ([200] * (MAX_PIPELINED + 1), False)
    written, is_closed = answered(sending(b"text", length=4), GET * (MAX_PIPELINED + 2))
    assert (statuses(written), is_closed) == ([200] * (MAX_PIPELINED + 1) + [429], True)
