"""Long bodies that are read past the parser: every byte, in order, and nothing behind them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import ssl
import threading
from collections import deque

import pytest

from registry_server.artifacts.uploading import Uploading
from registry_server.process.connection import connection_of
from registry_server.process.lanes import ClientGoneError
from registry_server.process.limits import Limits
from registry_server.process.long_bodies import BUFFER_BYTES, BUFFERS, LONG_BYTES, LongBody
from services.certificates import self_signed_certificate
from services.processes import wait_for
from services.serving import serving_app

SIZE = 5 * BUFFER_BYTES + 12_345
HEAD = b"PUT %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n%s\r\n"
GET = b"GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n"


class App:
    """Answers with the size and digest of a body, most of which it reads past the parser."""

    def __init__(self):
        self.past_parser = []
        """For each body whether it was read so."""
        self.pieces = 0
        self.gone = []
        """What had come when a client went away."""

    async def __call__(self, scope, receive, send):
        text = b"no body"
        if scope["method"] == "PUT":
            try:
                text = await self.read(scope, receive)
            except ClientGoneError:
                return
        fields = [(b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": text})

    async def read(self, scope, receive):
        first = (await receive())["body"]
        length = int(dict(scope["headers"])[b"content-length"])
        body = connection_of(scope).long_body(length - len(first))
        self.past_parser.append(body is not None)
        digest, size = hashlib.sha256(first), len(first)
        if body is None:
            while size < length:
                piece = (await receive())["body"]
                digest.update(piece)
                size += len(piece)
            return b"%d %s" % (size, digest.hexdigest().encode())
        held = []

        def take():
            nonlocal size
            most, taken = 2, body.taken(2)
            for piece in taken:
                self.pieces += 1
                digest.update(piece)
                size += len(piece)
                most -= 1
                assert most >= 0
                if scope["path"] == "/holding":
                    held.append(taken)
                    return

        try:
            while await body.comes():
                # In a thread, while the event loop goes on to receive.
                await asyncio.to_thread(take)
                if scope["path"] == "/part":
                    return b"enough"
        except ClientGoneError:
            self.gone.append(size)
            raise
        finally:
            body.discard()
        return b"%d %s" % (size, digest.hexdigest().encode())


@pytest.fixture
def app():
    return App()


def expected(body):
    return b"%d %s" % (len(body), hashlib.sha256(body).hexdigest().encode())


def put(body, path=b"/", *fields):
    return HEAD % (path, len(body), b"".join(field + b"\r\n" for field in fields)) + body


def answer_of(client):
    """The body of the next answer on a connection; None at its end."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (piece := client.recv(1)):
            return None
        received += piece
    head = received.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in head if line.startswith(b"content-length:"))
    body = b""
    while len(body) < length:
        body += client.recv(length - len(body))
    return body


@contextlib.contextmanager
def connected(app, kind, tmp_path):
    """A client of the application, by one of the ways that bytes can take."""
    if kind != "tls":
        with (
            serving_app(app, loop="asyncio" if kind == "asyncio" else "auto") as served,
            served.connect() as client,
        ):
            yield client
        return
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path, text in zip((cert, key), self_signed_certificate("127.0.0.1"), strict=True):
        path.write_bytes(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))
    with (
        serving_app(app, tls=context) as served,
        served.connect() as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        yield client


@pytest.mark.parametrize("kind", ["uvloop", "asyncio", "tls"])
def test_all_bytes_come_and_the_next_requests_are_served(app, kind, tmp_path):
    """Three bodies on one connection, and what follows each of them in the same packet."""
    with connected(app, kind, tmp_path) as client:
        for size in (SIZE, 4 * BUFFER_BYTES, 6 * BUFFER_BYTES):
            body = os.urandom(size)
            client.sendall(put(body) + GET % b"/next" + put(b"short"))
            assert answer_of(client) == expected(body)
            assert answer_of(client) == b"no body"
            assert answer_of(client) == expected(b"short")
    assert app.past_parser == [True, False] * 3


@pytest.mark.parametrize("seed", range(3))
def test_body_may_come_in_any_pieces(app, seed):
    chance = random.Random(seed)
    body = os.urandom(SIZE)
    request, sent = put(body), 0
    with serving_app(app) as served, served.connect() as client:
        while sent < len(request):
            size = chance.choice([1, 100, 5_000, 70_000, BUFFER_BYTES, 2 * BUFFER_BYTES])
            client.sendall(request[sent : sent + size])
            sent += size
        assert answer_of(client) == expected(body)
    assert app.past_parser == [True]


def test_client_that_asks_whether_to_go_on_is_told_once(app):
    body = os.urandom(SIZE)
    request = put(body, b"/", b"expect: 100-continue")
    with serving_app(app) as served, served.connect() as client:
        client.sendall(request[: -len(body)])
        assert client.recv(1_000).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        assert answer_of(client) == expected(body)


def test_rest_that_is_short_or_ends_its_connection_comes_by_the_parser(app):
    body = os.urandom(SIZE)
    with serving_app(app) as served, served.connect() as client:
        client.sendall(put(b"x" * (LONG_BYTES - 1)))
        assert answer_of(client) == expected(b"x" * (LONG_BYTES - 1))
        client.sendall(put(body, b"/", b"connection: close") + GET % b"/never")
        assert answer_of(client) == expected(body)
        assert answer_of(client) is None
    assert app.past_parser == [False, False]


def test_what_is_not_read_comes_for_nobody(app):
    """The answer comes before the body has, and the connection goes on behind it."""
    body = os.urandom(8 * SIZE)
    with serving_app(app) as served, served.connect() as client:
        sending = threading.Thread(target=client.sendall, args=(put(body, b"/part"),))
        sending.start()
        assert answer_of(client) == b"enough"
        sending.join(60)
        client.sendall(put(b"next"))
        assert answer_of(client) == expected(b"next")
    assert app.past_parser == [True, False]


def test_reader_that_gives_nothing_back_gets_no_more_than_there_is_room_for(app):
    body = os.urandom(16 * SIZE)
    with serving_app(app) as served, served.connect() as client:
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            client.sendall(put(body, b"/holding"))
        assert app.pieces <= BUFFERS + 1
        (connection,) = served.connections
        assert connection.flow.read_paused
    wait_for(lambda: app.gone)


def test_client_that_goes_away_leaves_what_has_come(app):
    body = os.urandom(SIZE)
    with serving_app(app) as served:
        with served.connect() as client:
            client.sendall(put(body)[:-100])
        wait_for(lambda: app.gone)
    assert app.gone == [SIZE - 100]


def test_client_that_stops_is_told_so(app):
    limits = Limits(head_seconds=30, keep_alive_seconds=30, stall_seconds=1)
    body = os.urandom(SIZE)
    with serving_app(app, limits) as served, served.connect() as client:
        client.sendall(put(body)[:-100])
        assert b"did not come" in answer_of(client)
        assert answer_of(client) is None
    assert app.gone == [SIZE - 100]


def test_connection_that_ends_in_favour_of_others_says_so(app):
    sent = put(os.urandom(SIZE))[:-100]
    with serving_app(app) as served, served.connect() as client:
        client.sendall(sent)
        wait_for(lambda: [len(sent)] == [each._received for each in served.connections])
        (connection,) = served.connections
        connection.loop.call_soon_threadsafe(connection.drop)
        assert b"busy" in answer_of(client)
        assert answer_of(client) is None


class Ready(LongBody):
    """A body of which every piece has come."""

    def __init__(self, pieces):
        self._full, self._rest, self.received = deque([b"piece"] * pieces), 0, 0


class Movers:
    """Threads that note how many pieces are written in each of their jobs."""

    def __init__(self, written):
        self.written, self.turns = written, []

    def run(self, job):
        before = len(self.written)
        job()
        self.turns.append(len(self.written) - before)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Writer:
    """Keeps what is written."""

    def __init__(self):
        self.written = []
        self.write = self.written.append

    def commit(self):
        return None


def test_upload_gives_way_to_others_after_a_while():
    """However quickly it comes: each job of a thread has 16 MiB of it at most."""
    writer = Writer()
    movers = Movers(writer.written)
    asyncio.run(Uploading(None, movers, None, None)._write(writer, b"first", Ready(100)))
    assert writer.written == [b"first", *[b"piece"] * 100]
    assert movers.turns == [1, 32, 32, 32, 4, 0]
    assert max(movers.turns) * BUFFER_BYTES == 16 * 1024 * 1024
