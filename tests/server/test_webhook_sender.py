"""One attempt to deliver: what is sent, where it may connect, and how long it may take."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from registry_core.errors import InvalidArgumentError
from registry_core.webhook_delivery.sender import ANSWER_MAX_BYTES, BlockedAddressError, Sender
from registry_core.webhooks import UrlPolicy
from services.receivers import Receiver, Script, raw_receiver

LOCAL = UrlPolicy(schemes=("https", "http"), allow_private_addresses=True)
HEADERS = {"Content-Type": "application/json", "X-A": "b"}


def test_post_sends_the_body_and_gives_the_answer():
    """Method, path, query, host and headers arrive as they should, and the answer comes back."""
    with Receiver(Script(status=202, body="zwölf".encode(), headers={"Retry-After": "7"})) as r:
        answer = Sender(LOCAL).post(r.url, b'{"a": 1}', HEADERS)
        got = r.next()
    assert (answer.status, answer.body, answer.retry_after) == (202, "zwölf", "7")
    assert (got.method, got.path, got.body) == ("POST", "/hook?a=1", b'{"a": 1}')
    assert got.headers["host"] == f"127.0.0.1:{r.port}"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["x-a"] == "b"


def test_post_connects_to_the_checked_address_and_names_the_host():
    """The name goes into the request only: it is not resolved a second time."""
    policy = UrlPolicy(
        schemes=("http",), allow_private_addresses=True, resolve=lambda *_: ["127.0.0.1"]
    )
    with Receiver() as receiver:
        url = f"http://receiver.example:{receiver.port}/x"
        assert Sender(policy).post(url, b"", HEADERS).status == 200
        assert receiver.next().headers["host"] == f"receiver.example:{receiver.port}"


def test_post_tries_every_address_of_the_host():
    """A host with a dead address is still reached, as by any client."""
    policy = UrlPolicy(
        schemes=("http",), allow_private_addresses=True, resolve=lambda *_: ["::1", "127.0.0.1"]
    )
    with Receiver() as receiver:
        assert Sender(policy).post(f"http://x:{receiver.port}/", b"", HEADERS).status == 200


@pytest.mark.parametrize("resolved", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], []])
def test_post_refuses_a_host_that_became_private(resolved):
    """The addresses are judged at every delivery, all of them, before any connection."""
    policy = UrlPolicy(schemes=("http",), resolve=lambda *_: resolved)
    with Receiver() as receiver:
        with pytest.raises((InvalidArgumentError, OSError)):
            Sender(policy).post(f"http://rebound.example:{receiver.port}/", b"", HEADERS)
        assert receiver.got_nothing_more()


def test_post_refuses_a_connection_that_leads_elsewhere(monkeypatch):
    """Even if the check of addresses were fooled, nothing is sent to a private peer."""
    policy = UrlPolicy(schemes=("http",), resolve=lambda *_: ["8.8.8.8"])
    connect = socket.create_connection
    with Receiver() as receiver:
        monkeypatch.setattr(
            socket,
            "create_connection",
            lambda _, timeout: connect(("127.0.0.1", receiver.port), timeout),
        )
        with pytest.raises(BlockedAddressError, match=r"127\.0\.0\.1 is not a public IP address"):
            Sender(policy).post("http://fooled.example/", b"", HEADERS)
        assert receiver.got_nothing_more()


@pytest.mark.parametrize(
    "peer", ["168.63.129.16", "100.100.100.200", "::ffff:169.254.169.254", "64:ff9b::a83f:8110"]
)
def test_post_breaks_off_at_the_metadata_of_a_cloud(monkeypatch, peer):
    """Whatever a name meant when it was checked, where the connection leads decides."""
    closed = []

    class Connected:
        def getpeername(self):
            return peer, 80

        def close(self):
            closed.append(peer)

    policy = UrlPolicy(schemes=("http",), resolve=lambda *_: ["93.184.215.14"])
    monkeypatch.setattr(socket, "create_connection", lambda *_: Connected())
    with pytest.raises(BlockedAddressError, match="is not a public IP address: "):
        Sender(policy).post("http://rebound.example/", b"", HEADERS)
    assert closed == [peer]


def test_post_ignores_proxies(monkeypatch):
    """A proxy would be the peer that is checked, and could go anywhere."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Receiver() as receiver:
        assert Sender(LOCAL).post(receiver.url, b"", HEADERS).status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_post_does_not_follow_redirects(status):
    """They lead to a place that nobody checked, and turn into a GET that still carries the signature."""
    with Receiver() as target, Receiver(Script(status, {"Location": target.url})) as receiver:
        assert Sender(LOCAL).post(receiver.url, b"", HEADERS).status == status
        assert target.got_nothing_more()


def test_post_reads_a_bounded_part_of_the_answer():
    """A receiver cannot fill the server's memory."""
    with Receiver(Script(body=b"x" * (ANSWER_MAX_BYTES + 10_000))) as receiver:
        assert Sender(LOCAL).post(receiver.url, b"", HEADERS).body == "x" * ANSWER_MAX_BYTES


def drip(connection: socket.socket, *parts: bytes) -> None:
    for part in parts:
        connection.sendall(part)
    for _ in range(6_000):
        connection.sendall(b"x")
        time.sleep(0.01)


@pytest.mark.parametrize(
    "parts", [[], [b"HTTP/1.1 200 OK\r\nX: "]], ids=["before the head", "in the head"]
)
def test_post_gives_up_on_a_receiver_that_drips(parts):
    """The limit is for all of it: a byte now and then does not extend it."""
    started = time.monotonic()
    with (
        raw_receiver(lambda connection: drip(connection, *parts)) as url,
        pytest.raises(TimeoutError),
    ):
        Sender(LOCAL, timeout_seconds=0.2).post(url, b"{}", HEADERS)
    assert time.monotonic() - started < 30  # and not for a minute


def test_post_knows_the_status_although_the_body_never_ends():
    """The delivery has arrived; what else the receiver says cannot undo it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    with raw_receiver(lambda connection: drip(connection, head)) as url:
        answer = Sender(LOCAL, timeout_seconds=0.2).post(url, b"{}", HEADERS)
    assert (answer.status, answer.body) == (200, "")


def test_post_reports_a_connection_that_breaks():
    """A receiver that hangs up without an answer did not get the delivery."""
    with raw_receiver(lambda _: None) as url, pytest.raises((OSError, http.client.HTTPException)):
        Sender(LOCAL).post(url, b"{}", HEADERS)


def test_post_reports_an_answer_that_is_not_http():
    """Something else listens there."""
    with (
        raw_receiver(lambda connection: connection.sendall(b"SSH-2.0-x\r\n\r\n")) as url,
        pytest.raises(http.client.HTTPException),
    ):
        Sender(LOCAL).post(url, b"{}", HEADERS)


def test_post_reports_a_port_that_nobody_listens_on():
    """The most common failure is an `OSError` like the others."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        Sender(LOCAL).post(f"http://127.0.0.1:{port}/", b"", HEADERS)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The path of a certificate for `receiver.example` and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("receiver.example"),
                    x509.IPAddress(ipaddress.ip_address("127.0.0.9")),
                ]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def tls_receiver(certificate):
    """A receiver that speaks TLS, and the names that clients asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with Receiver(tls=context) as receiver:
        yield receiver, asked


def loopback_policy() -> UrlPolicy:
    return UrlPolicy(allow_private_addresses=True, resolve=lambda *_: ["127.0.0.1"])


def test_post_over_tls_checks_the_name_and_not_the_address(tls_receiver, certificate):
    """Connecting to an address changes nothing about whom the certificate must name."""
    receiver, asked = tls_receiver
    sender = Sender(loopback_policy(), tls=ssl.create_default_context(cafile=certificate))
    answer = sender.post(f"https://receiver.example:{receiver.port}/x", b"{}", HEADERS)
    assert answer.status == 200
    assert asked == ["receiver.example"]
    assert receiver.next().headers["host"] == f"receiver.example:{receiver.port}"


@pytest.mark.parametrize(
    ("host", "trusted"), [("other.example", True), ("receiver.example", False)]
)
def test_post_over_tls_refuses_a_certificate_that_does_not_fit(
    tls_receiver, certificate, host, trusted
):
    """Of another name, or of nobody this machine knows: nothing is sent."""
    receiver, _ = tls_receiver
    tls = ssl.create_default_context(cafile=certificate) if trusted else None
    with pytest.raises(ssl.SSLCertVerificationError):
        Sender(loopback_policy(), tls=tls).post(f"https://{host}:{receiver.port}/", b"", HEADERS)
    assert receiver.got_nothing_more()


def test_host_header_leaves_out_the_default_port(certificate, monkeypatch):
    """Receivers route by it, and some compare it with their own name."""
    sent = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    connect = socket.create_connection
    with Receiver(tls=context) as receiver:
        monkeypatch.setattr(
            socket,
            "create_connection",
            lambda _, timeout: connect(("127.0.0.1", receiver.port), timeout),
        )
        tls = ssl.create_default_context(cafile=certificate)
        Sender(loopback_policy(), tls=tls).post("https://receiver.example/", b"", HEADERS)
        sent.append(receiver.next().headers["host"])
    assert sent == ["receiver.example"]
