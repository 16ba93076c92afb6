"""What clients may take: time, connections, and memory. On real sockets, with short limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time

import pytest

from registry_core.wire.snapshots import SNAPSHOTS_PATH
from registry_server.process.limits import Limits
from services.processes import wait_for
from services.serving import serving_app

PATIENT = {"head_seconds": 30, "keep_alive_seconds": 30, "stall_seconds": 30}
"""What a test sets that is not about time."""

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
BIG = 8 * 1024 * 1024
BIG_BODY = b"x" * BIG


class App:
    """Answers at once with the length of the body; what is asked for by the path, otherwise."""

    def __init__(self):
        self.held = 0
        self.go_on = threading.Event()
        self.gone = []

    async def __call__(self, scope, receive, send):
        path = scope["path"]
        if path == "/holding":
            self.held += 1
            await asyncio.to_thread(self.go_on.wait)
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                self.gone.append(path)
                return
            size += len(message["body"])
            more = message["more_body"]
        body = BIG_BODY if path == "/big" else b"%d" % size
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def app():
    return App()


@contextlib.contextmanager
def serving(app, **limits):
    with serving_app(app, Limits(**{**PATIENT, **limits})) as served:
        try:
            yield served
        finally:
            if isinstance(app, App):
                app.go_on.set()


def ask(client, request=GET):
    """The status and body of the answer to a request."""
    client.sendall(request)
    return answer_of(client)


def answer_of(client):
    """The status and body of the next answer; None at the end of the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (piece := client.recv(1)):
            assert received == b""
            return None
        received += piece
    head, _, _ = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    body = bytearray()
    while left := int(fields[b"content-length"]) - len(body):
        piece = client.recv(min(left, 65_536))
        assert piece, "the answer is not complete"
        body += piece
    return int(head.split()[1]), bytes(body)


def is_open(client):
    """Whether the server has not closed a connection on which nothing is to be read."""
    client.settimeout(0)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    finally:
        client.settimeout(30)


def drip(client, data, *, seconds, until=30):
    """Sends a byte at a time; how long the server took part in that, in seconds."""
    began = time.monotonic()
    with contextlib.suppress(ConnectionError):
        for byte in data:
            if not is_open(client) or time.monotonic() - began > until:
                break
            client.sendall(bytes([byte]))
            time.sleep(seconds)
    return time.monotonic() - began


# Time


def test_client_that_sends_nothing_is_left(app):
    """From the moment on at which it was accepted, without an answer that nobody asked for."""
    with serving(app, head_seconds=1) as served, served.connect() as client:
        assert client.recv(100) == b""


@pytest.mark.parametrize("before", [b"", GET])
def test_client_that_does_not_finish_a_head_is_told_so(app, before):
    """Also in a later request; and one that sends it byte by byte has no more time."""
    with serving(app, head_seconds=1) as served:
        with served.connect() as client:
            if before:
                assert ask(client, before)[0] == 200
            status, body = ask(client, GET[:-2])
            assert (status, json.loads(body)["error_code"]) == (408, "BAD_REQUEST")
            assert client.recv(1) == b""
        with served.connect() as client:
            if before:
                assert ask(client, before)[0] == 200
            assert drip(client, GET[:-2] + b"x: y\r\n" * 1_000, seconds=0.05) < 20
        with served.connect() as client:
            assert ask(client)[0] == 200


def test_idle_connection_ends_after_a_while(app):
    """Without a word; one that is used does not."""
    with (
        serving(app, keep_alive_seconds=2) as served,
        served.connect() as idle,
        served.connect() as used,
    ):
        assert ask(idle)[0] == 200
        for _ in range(50):
            assert ask(used)[0] == 200
            time.sleep(0.1)
            if not is_open(idle):
                break
        assert not is_open(idle)


@pytest.mark.parametrize("sent", [b"", b"abc", b"x" * 100_000])
def test_client_that_stops_in_a_body_is_told_so(app, sent):
    """And the application learns that the rest will not come."""
    with serving(app, stall_seconds=1) as served, served.connect() as client:
        status, body = ask(client, POST % 200_000 + sent)
        assert (status, json.loads(body)["error_code"]) == (408, "BAD_REQUEST")
        assert client.recv(1) == b""
        wait_for(lambda: app.gone == ["/"])


def test_client_that_sends_a_body_too_slowly_is_told_so(app):
    """What counts is the rate, not that something comes."""
    with serving(app, stall_seconds=1, bytes_per_second=1_000) as served:
        with served.connect() as client:
            client.sendall(POST % 100_000)
            assert drip(client, b"x" * 100_000, seconds=0.05) < 20
        with served.connect() as client:
            client.sendall(POST % 100_000)
            for _ in range(25):
                time.sleep(0.1)
                client.sendall(b"x" * 4_000)
            assert answer_of(client) == (200, b"100000")


def test_client_that_waits_to_be_asked_for_its_body_is_not_slow(app):
    """It is the server's turn, until it says that the client may go on."""
    question = b"POST /holding HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
    with serving(app, stall_seconds=1) as served, served.connect() as client:
        client.sendall(question + b"content-length: 3\r\n\r\n")
        wait_for(lambda: app.held)
        time.sleep(3)
        app.go_on.set()
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        assert ask(client, b"abc") == (200, b"3")


def test_client_may_wait_for_its_answer(app):
    """However short its time for a request is."""
    with (
        serving(app, head_seconds=1, keep_alive_seconds=1, stall_seconds=1) as served,
        served.connect() as client,
    ):
        client.sendall(GET.replace(b"/", b"/holding", 1))
        time.sleep(3)
        app.go_on.set()
        assert answer_of(client)[0] == 200


def test_client_that_does_not_take_its_answer_is_left(app):
    """One that takes it slowly is not."""
    big = GET.replace(b"/", b"/big", 1)
    with serving(app, stall_seconds=1, bytes_per_second=100_000) as served:
        with served.connect(receives=65_536) as silent:
            silent.sendall(big)
            wait_for(lambda: served.connections.waiting > 0)
            wait_for(lambda: len(served.connections) == 0)
            assert served.connections.waiting == 0
        with served.connect(receives=65_536) as slow:
            slow.sendall(big)
            received = 0
            while received < BIG:
                time.sleep(0.05)
                piece = slow.recv(262_144)
                assert piece
                received += len(piece)


def test_client_that_does_not_take_its_last_answer_is_left(app):
    """Where the connection ends with it."""
    closing = b"GET /big HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    with serving(app, stall_seconds=1) as served, served.connect(receives=65_536) as client:
        client.sendall(closing)
        wait_for(lambda: served.connections.waiting > 0)
        wait_for(lambda: len(served.connections) == 0)


def test_client_has_one_answer_at_a_time(app):
    """The next one is not made before it has taken the last one, and it is made then."""
    big = GET.replace(b"/", b"/big", 1)
    with serving(app) as served, served.connect(receives=65_536) as client:
        client.sendall(big * 3 + GET)
        wait_for(lambda: served.connections.waiting > 0)
        time.sleep(0.5)
        assert BIG // 2 < served.connections.waiting <= BIG
        for _ in range(3):
            assert answer_of(client) == (200, BIG_BODY)
        assert answer_of(client) == (200, b"0")
        assert ask(client) == (200, b"0")
        assert served.connections.waiting == 0


def test_body_after_its_answer_has_an_end(app):
    """Nobody reads it any more, and the next request comes behind it."""

    async def refuse(scope, receive, send):
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    with serving(refuse, head_seconds=2) as served:
        with served.connect() as client:
            assert ask(client, POST % 300_000 + b"x" * 100_000)[0] == 413
            assert ask(client, b"x" * 200_000 + GET)[0] == 413
        with served.connect() as client:
            assert ask(client, POST % 10**12)[0] == 413
            assert drip(client, b"x" * 1_000, seconds=0.02) < 20


# Connections

KINDS = {"silent": b"", "half a head": GET[:-2], "idle": GET}


@pytest.mark.parametrize("kind", KINDS)
def test_longest_idle_connections_make_room(app, caplog, kind):
    """Nobody is kept out by connections of which nothing comes; a client that asks stays."""
    with (
        serving(app, connections=40) as served,
        contextlib.ExitStack() as stack,
        served.connect() as regular,
    ):
        others = []
        for number in range(200):
            client = stack.enter_context(served.connect())
            client.sendall(KINDS[kind])
            others.append(client)
            if number % 10 == 0:
                assert ask(regular)[0] == 200
                with served.connect() as new:
                    assert ask(new)[0] == 200
        wait_for(lambda: served.connections.count <= 40)
        assert ask(regular)[0] == 200
        wait_for(lambda: "made room for others" in caplog.text)


def test_clients_that_are_being_answered_are_not_ended(app):
    """The next one is told to come again."""
    holding = GET.replace(b"/", b"/holding", 1)
    with serving(app, connections=16) as served, contextlib.ExitStack() as stack:
        busy = [stack.enter_context(served.connect()) for _ in range(16)]
        for client in busy:
            client.sendall(holding)
        wait_for(lambda: app.held == 16)
        with served.connect() as refused:
            status, body = answer_of(refused)
            assert (status, json.loads(body)["error_code"]) == (429, "TEMPORARILY_UNAVAILABLE")
        app.go_on.set()
        for client in busy:
            assert answer_of(client)[0] == 200
        with served.connect() as new:
            assert ask(new)[0] == 200


def test_slow_clients_make_room_when_nobody_is_idle(app):
    """They could keep all others out, each at the lowest rate that is allowed."""
    with serving(app, connections=16) as served, contextlib.ExitStack() as stack:
        for number in range(16):
            client = stack.enter_context(served.connect(receives=65_536))
            body = POST % 10_000 + b"abc"
            client.sendall(body if number % 2 else GET.replace(b"/", b"/big", 1))

        def is_answered():
            with served.connect() as new, contextlib.suppress(ConnectionError):
                return ask(new)[0] == 200

        wait_for(is_answered)


# Memory


def test_requests_that_wait_have_a_bound(app, caplog):
    """The slowest ones are told to come again; others are served meanwhile."""
    bound = 1024 * 1024
    with serving(app, waiting_bytes=bound) as served, contextlib.ExitStack() as stack:
        most = 0
        stalled = []
        for _ in range(30):
            client = stack.enter_context(served.connect())
            client.sendall(POST % 10**9 + b"x" * 120_000)
            stalled.append(client)
            with served.connect() as new:
                assert ask(new, POST % 200_000 + b"x" * 200_000) == (200, b"200000")
            most = max(most, served.connections.waiting)
        assert most <= bound + 262_144
        wait_for(lambda: served.connections.count < 20)
        answers = [answer_of(client) for client in stalled if not is_waiting(client)]
        assert {status for status, _ in answers} == {429}
        wait_for(lambda: "too many bytes" in caplog.text)


def test_large_models_that_come_are_not_kept(app):
    """What has been read of them does not count, however slowly they come."""
    piece, count = b"x" * 32_768, 64
    post = POST.replace(b"/", SNAPSHOTS_PATH.encode(), 1) % (count * len(piece))
    with serving(app, waiting_bytes=1024 * 1024) as served, served.connect() as client:
        client.sendall(post)
        for _ in range(count):
            client.sendall(piece)
            with served.connect() as other:
                assert ask(other)[0] == 200
        assert answer_of(client) == (200, b"%d" % (count * len(piece)))


def test_answers_that_wait_have_a_bound(app):
    """Clients that take theirs are served meanwhile."""
    big = GET.replace(b"/", b"/big", 1)
    with serving(app, waiting_bytes=2 * BIG) as served, contextlib.ExitStack() as stack:
        for _ in range(8):
            silent = stack.enter_context(served.connect(receives=65_536))
            silent.sendall(big)
            with served.connect() as new:
                assert ask(new, big) == (200, BIG_BODY)
            assert served.connections.waiting <= 2 * BIG
        wait_for(lambda: len(served.connections) <= 2)


def test_heads_that_wait_have_a_bound(app):
    """A URL may be long."""
    with serving(app, waiting_bytes=1024 * 1024) as served, contextlib.ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(served.connect())
            with contextlib.suppress(ConnectionError):
                client.sendall(b"GET /" + b"x" * 500_000)
        wait_for(lambda: served.connections.count <= 3)
        with served.connect() as new:
            assert ask(new)[0] == 200


def test_what_was_held_is_counted_once(app):
    """However a connection ends, or goes on."""
    with serving(app) as served:
        for _ in range(3):
            with served.connect() as client:
                for size in (10, 100_000, 1_000_000, 20_000):
                    assert ask(client, POST % size + b"x" * size) == (200, b"%d" % size)
                assert ask(client, GET.replace(b"/", b"/big", 1))[0] == 200
                client.sendall(POST % 10**6 + b"x" * 500_000)
                wait_for(lambda: served.connections.waiting > 0)
            wait_for(lambda: served.connections.count == 0)
            assert served.connections.waiting == 0
            assert not served.connections._holders


def is_waiting(client):
    """Whether nothing has come, and the connection is open."""
    client.settimeout(0)
    try:
        client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        client.settimeout(30)
    return False
