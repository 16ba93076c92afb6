"""Files on their way to a server: the system sends them where it can, and they arrive all the same."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry_core.artifacts.open_files import PIECE_BYTES, FilePiece, Piece
from registry_core.artifacts.trees import open_tree
from registry_core.errors import InvalidArgumentError, StoreUnavailableError
from registry_core.stores.rest import connections, transport
from registry_core.stores.rest.address import parse_address
from registry_core.stores.rest.transport import Transport
from services.certificates import self_signed_certificate
from services.receivers import Receiver, raw_receiver

SIZE = 5 * PIECE_BYTES + 7
SECONDS = 60.0


class Sendfile:
    """The system's `sendfile`: how much it has sent, and whether it has ever found no room."""

    def __init__(self, sendfile: Callable[[int, int, int, int], int]) -> None:
        self._sendfile = sendfile
        self.sent = 0
        self.had_no_room = threading.Event()

    def __call__(self, out: int, descriptor: int, offset: int, count: int) -> int:
        try:
            sent = self._sendfile(out, descriptor, offset, count)
        except BlockingIOError:
            self.had_no_room.set()
            raise
        self.sent += sent
        return sent


@pytest.fixture(autouse=True)
def sendfile(monkeypatch: pytest.MonkeyPatch) -> Sendfile:
    """What is sent without being read; and no proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    watched = Sendfile(os.sendfile)
    monkeypatch.setattr(os, "sendfile", watched)
    return watched


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of some pieces."""
    path = tmp_path / "model" / "weights"
    path.parent.mkdir()
    path.write_bytes(os.urandom(SIZE))
    return path


def send(url: str, path: Path, start: int = 0, how: Callable[..., Iterable[Piece]] = iter) -> None:
    """Send a file from `start` on; `how` passes its pieces on."""
    with open_tree(path.parent) as tree:
        (file,) = tree.manifest.files
        http = Transport(parse_address(url.removesuffix("/hook?a=1"), {}))
        headers = {"Content-Length": str(file.size - start)}
        try:
            body = how(tree.read_rest(file, start))
            http.stream("POST", "/hook", headers, body=body).drain_conn()
        finally:
            http.close()


@contextmanager
def receiving(tls: Path | None = None) -> Iterator[Receiver]:
    """A server; with a certificate of its own that is to be written to a path."""
    context = None
    if tls is not None:
        certificate, key = self_signed_certificate("127.0.0.1")
        tls.write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
    with Receiver(tls=context) as receiver:
        yield receiver


@pytest.mark.parametrize("start", [0, 1, PIECE_BYTES + 3, SIZE])
def test_system_sends_a_file(sendfile: Sendfile, path: Path, start: int) -> None:
    with receiving() as receiver:
        send(receiver.url, path, start)
        assert receiver.next().body == path.read_bytes()[start:]
    assert sendfile.sent == SIZE - start


def test_what_is_encrypted_is_read(
    sendfile: Sendfile, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate"))
    with receiving(tls=tmp_path / "certificate") as receiver:
        send(receiver.url, path, 5)
        assert receiver.next().body == path.read_bytes()[5:]
    assert not sendfile.sent


def test_system_without_sendfile_reads(
    sendfile: Sendfile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_HAS_SENDFILE", False)
    with receiving() as receiver:
        send(receiver.url, path)
        assert receiver.next().body == path.read_bytes()
    assert not sendfile.sent


@pytest.mark.parametrize("taken", [0, PIECE_BYTES // 3])
def test_file_system_without_sendfile_is_read(
    taken: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where it refuses."""
    original = os.sendfile

    def refuse(out: int, descriptor: int, offset: int, count: int) -> int:
        if offset % PIECE_BYTES < taken:
            return original(out, descriptor, offset, taken - offset % PIECE_BYTES)
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(os, "sendfile", refuse)
    with receiving() as receiver:
        send(receiver.url, path)
        assert receiver.next().body == path.read_bytes()


@pytest.mark.parametrize("size", [0, 2 * PIECE_BYTES + 10])
@pytest.mark.parametrize("has_sendfile", [True, False])
def test_file_that_is_cut_while_it_is_sent_is_given_up(
    size: int, has_sendfile: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_HAS_SENDFILE", has_sendfile)

    def cut(pieces: Iterable[FilePiece]) -> Iterator[FilePiece]:
        for piece in pieces:
            if piece.start == 2 * PIECE_BYTES:
                os.truncate(path, size)
            yield piece

    with (
        receiving() as receiver,
        pytest.raises(InvalidArgumentError, match="'weights' changed while it was uploaded"),
    ):
        send(receiver.url, path, how=cut)
    assert receiver.got_nothing_more()


def test_file_that_cannot_be_read_on_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is at fault, and not the server, which would be asked again and again."""

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "sendfile", fail)
    monkeypatch.setattr(os, "preadv", fail)
    with (
        receiving() as receiver,
        pytest.raises(InvalidArgumentError, match=f"'weights' cannot be read: {os.strerror(5)}"),
    ):
        send(receiver.url, path)


# Receivers that are slow, deaf or in a hurry


@contextmanager
def connected() -> Iterator[tuple[connections._HttpConnection, socket.socket]]:
    """Both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = connections._HttpConnection("127.0.0.1", listener.getsockname()[1])
        connection.connect()
        receiver, _ = listener.accept()
        with receiver:
            yield connection, receiver
            connection.close()


def send_all(connection: connections._HttpConnection, path: Path) -> None:
    with open_tree(path.parent) as tree:
        for piece in tree.read_rest(tree.manifest.files[0], 0):
            connection.send(piece)


def large(path: Path) -> Path:
    """A file that no buffers of a connection hold."""
    os.truncate(path, 64 * PIECE_BYTES)
    return path


def test_receiver_that_comes_late_gets_everything(sendfile: Sendfile, path: Path) -> None:
    digest, late = hashlib.sha256(), list[bool]()
    with connected() as (connection, receiver):

        def take() -> None:
            late.append(sendfile.had_no_room.wait(SECONDS))
            while data := receiver.recv(PIECE_BYTES):
                digest.update(data)

        taking = threading.Thread(target=take)
        taking.start()
        connection.sock.settimeout(SECONDS)
        send_all(connection, large(path))
        connection.sock.shutdown(socket.SHUT_WR)
        taking.join()
    assert late == [True]
    assert sendfile.sent == path.stat().st_size
    assert digest.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("has_sendfile", [True, False])
def test_receiver_that_stops_ends_in_a_timeout(
    has_sendfile: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_HAS_SENDFILE", has_sendfile)
    with connected() as (connection, _):
        connection.sock.settimeout(0.2)
        with pytest.raises(TimeoutError, match="timed out"):
            send_all(connection, large(path))


def test_server_that_stops_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.2)
    ends = threading.Event()
    with raw_receiver(lambda _: ends.wait(SECONDS)) as url:
        try:
            with pytest.raises(StoreUnavailableError, match="no answer"):
                send(url.removesuffix("/hook"), large(path))
        finally:
            ends.set()


@pytest.mark.parametrize("has_sendfile", [True, False])
def test_answer_before_the_end_counts(
    has_sendfile: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server refuses a file when it has seen its head, and reads no more."""
    monkeypatch.setattr(connections, "_HAS_SENDFILE", has_sendfile)
    body = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "not so large"}'
    head = (
        f"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with (
        raw_receiver(lambda connection: connection.sendall(head.encode() + body)) as url,
        pytest.raises(InvalidArgumentError, match="not so large"),
    ):
        send(url.removesuffix("/hook"), large(path))
