"""Which URLs a webhook may have, and where its deliveries connect."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time

import pytest

from registry_core.errors import InvalidArgumentError
from registry_core.webhooks import SystemResolver, Target, UrlPolicy, why_not_public
from registry_core.webhooks.addresses import NOT_PUBLIC

PUBLIC = "93.184.215.14"


def policy(*addresses: str, **settings) -> UrlPolicy:
    """A policy in whose world every host has these addresses."""
    return UrlPolicy(resolve=lambda _host, _port: addresses or (PUBLIC,), **settings)


def unreachable(_host: str, _port: int):
    raise AssertionError("nothing should be resolved")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/hook?a=1&b=%20",
        "HTTPS://EXAMPLE.com:8443/hook",
        "https://example.com:/x",
        "https://[2606:4700::1111]/x",
        "https://bücher.example/ü",
        "https://example.com/x#fragment",
    ],
)
def test_url_of_a_public_https_host_is_accepted_as_written(url):
    """A legal URL is kept exactly as it was given."""
    assert policy().check(url) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "Webhook URL cannot be empty or just whitespace: ''"),
        (" \t", "Webhook URL cannot be empty or just whitespace: ' \\t'"),
        ("http://example.com", "Invalid webhook URL scheme: 'http'. Allowed schemes are: https."),
        ("example.com/x", "Invalid webhook URL scheme: ''. Allowed schemes are: https."),
        ("ftp://example.com", "Invalid webhook URL scheme: 'ftp'. Allowed schemes are: https."),
        ("file:///etc/passwd", "Invalid webhook URL scheme: 'file'. Allowed schemes are: https."),
        ("https:///x", "Webhook URL must include a hostname: 'https:///x'"),
        ("https://:443/x", "Webhook URL must include a hostname: 'https://:443/x'"),
        ("https://[::1", "Invalid webhook URL 'https://[::1': Invalid IPv6 URL"),
        (
            "https://example.com:99999/",
            "Invalid webhook URL 'https://example.com:99999/': Port out of range 0-65535",
        ),
        (
            "https://example.com:0/",
            "Invalid webhook URL 'https://example.com:0/': Port out of range 1-65535",
        ),
        (
            "https://example.com/a b",
            "Invalid webhook URL 'https://example.com/a b': it contains ' ' at position 21.",
        ),
        (
            "https://example.com/\r\nX-Evil: 1",
            "Invalid webhook URL 'https://example.com/\\r\\nX-Evil: 1': it contains '\\r' at position 20.",
        ),
        (
            "https://127.0.0.1\\.example.com/",
            "Invalid webhook URL 'https://127.0.0.1\\\\.example.com/': it contains '\\\\' at position 17.",
        ),
    ],
)
def test_url_that_is_illegal_is_refused_before_anything_is_resolved(url, message):
    """What is wrong with the text of a URL is said without asking a name server."""
    with pytest.raises(InvalidArgumentError) as caught:
        UrlPolicy(resolve=unreachable).check(url)
    assert str(caught.value) == message


@pytest.mark.parametrize("url", ["https://user:hunter2@example.com/", "https://user@example.com/"])
def test_url_with_credentials_is_refused_without_repeating_them(url):
    """A password in a URL would be shown to everyone who may list webhooks."""
    with pytest.raises(InvalidArgumentError, match="must not contain a user name") as caught:
        UrlPolicy(resolve=unreachable).check(url)
    assert "hunter2" not in str(caught.value)


def test_url_too_long_to_store_is_refused():
    """The limit is the one of other URIs in a registry."""
    with pytest.raises(InvalidArgumentError, match="'url' exceeds the maximum length of 4096"):
        policy().check("https://example.com/" + "x" * 4096)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "192.0.0.8",
        "192.88.99.1", "224.0.0.1", "239.1.2.3",
        "::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fec0::1", "ff02::1", "ff0e::1",
        "2001:db8::1", "3fff::1", "5f00::1", "2001::1", "64:ff9b:1::1",
        "::ffff:127.0.0.1", "::7f00:1", "2002:7f00:1::", "64:ff9b::10.0.0.1",
        "::ffff:224.0.0.1",
        # Where clouds answer their machines: Azure, most of them, Alibaba, Oracle, Amazon, Google, IBM.
        "168.63.129.16", "169.254.170.2", "100.100.100.200", "192.0.0.192", "fd00:ec2::254",
        "fd20:ce::254", "161.26.0.10", "166.9.228.73",
        # The same in other clothes: mapped, compatible, NAT64, 6to4, ISATAP, translated, link-local.
        "::ffff:168.63.129.16", "::a83f:8110", "64:ff9b::a83f:8110", "2002:a83f:8110::1",
        "2a00:1450:4001::5efe:a83f:8110", "2a00:1450:4001::200:5efe:a9fe:a9fe",
        "::ffff:0:168.63.129.16", "fe80::a9fe:a9fe", "64:ff9b::100.100.100.200",
        "::ffff:100.100.100.200", "2002:6464:64c8::",
    ],
)  # fmt: skip
def test_address_that_is_not_public_is_refused(address):
    """Also when it is an IPv4 address written as an IPv6 one."""
    reason = why_not_public(address)
    assert reason
    with pytest.raises(InvalidArgumentError) as caught:
        policy(PUBLIC, address).check("https://example.com/")
    assert str(caught.value) == (
        "Webhook URL must not resolve to a non-public IP address. "
        f"'example.com' resolves to {address}. Reason: {reason}."
    )


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8", "1.1.1.1", "192.0.1.1", "223.255.255.254", "2606:4700::1111",
        "2a00:1450:4001::200e", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
        "168.63.129.15", "168.63.129.17", "100.63.255.255", "100.128.0.0", "2a00:1450:4001::5efe:808:808",
    ],
)  # fmt: skip
def test_address_that_is_public_is_accepted(address):
    """Also when it is an IPv4 address written as an IPv6 one."""
    assert why_not_public(address) is None
    assert policy(address).target("https://example.com/").addresses == (address,)


def test_table_leaves_nothing_to_chance():
    """It holds every special network of IPv4, and of IPv6 all that is not handed out to hosts."""
    special = [network for network, _ in NOT_PUBLIC if network.version == 6]
    unicast = ipaddress.ip_network("2000::/3")
    outside = ipaddress.collapse_addresses(
        network for network in special if not network.subnet_of(unicast)
    )
    everything = ipaddress.collapse_addresses([*outside, unicast])
    assert list(everything) == [ipaddress.ip_network("::/0")]
    assert all(reason for _, reason in NOT_PUBLIC)
    for network, _ in NOT_PUBLIC:
        for address in (network[0], network[-1]):
            mapped = [f"::ffff:{address}", f"64:ff9b::{address}"] if network.version == 4 else []
            assert all(why_not_public(text) for text in (str(address), *mapped)), network


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "017700000001", "localhost"])
def test_host_that_is_loopback_in_disguise_is_refused(host):
    """The machine's own resolver says what a host means, so no spelling slips past."""
    with pytest.raises(InvalidArgumentError, match="non-public IP address"):
        UrlPolicy().check(f"https://{host}/")


def test_host_that_does_not_resolve_is_refused():
    """The message is MLflow's up to the reason."""

    def nowhere(_host, _port):
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(InvalidArgumentError) as caught:
        UrlPolicy(resolve=nowhere).check("https://no.example/")
    assert str(caught.value) == (
        "Cannot resolve Webhook URL hostname 'no.example': [Errno -2] Name or service not known"
    )


@pytest.mark.parametrize("host", [f"{'ü' * 70}.example", f"{'a' * 70}.example", "a..b"])
def test_host_that_is_no_legal_name_is_refused(host):
    """A label that the domain name system cannot hold is the caller's fault, not ours."""
    with pytest.raises(InvalidArgumentError, match="Cannot resolve Webhook URL hostname"):
        UrlPolicy().check(f"https://{host}/")


def test_private_addresses_can_be_allowed_and_then_nothing_is_resolved():
    """For development: a host that is not up yet may be named."""
    relaxed = UrlPolicy(
        schemes=("https", "http"), allow_private_addresses=True, resolve=unreachable
    )
    assert relaxed.check("http://receiver.internal:9000/x") == "http://receiver.internal:9000/x"


def test_private_addresses_allowed_still_refuse_what_is_no_url():
    """The other rules hold whatever the network."""
    with pytest.raises(InvalidArgumentError, match="Invalid webhook URL"):
        UrlPolicy(allow_private_addresses=True).check("https://a:b@example.com/")


def test_policy_knows_only_the_schemes_it_can_speak():
    """A scheme that nothing could deliver to is a mistake in the settings."""
    with pytest.raises(ValueError, match="ftp"):
        UrlPolicy(schemes=("https", "ftp"))


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.com", "example.com", 443, "/"),
        ("https://EXAMPLE.com:8443/a/%20?q=ü#x", "example.com", 8443, "/a/%20?q=%C3%BC"),
        ("http://example.com?x", "example.com", 80, "/?x"),
        ("https://bücher.example/ü", "xn--bcher-kva.example", 443, "/%C3%BC"),
        ("https://[2606:4700::1111]:8/x", "2606:4700::1111", 8, "/x"),
    ],
)
def test_target_is_what_goes_into_the_request(url, host, port, path):
    """The request line holds only what HTTP allows, and never the fragment."""
    found = policy(schemes=("https", "http")).target(url)
    assert found == Target(
        scheme=url.partition(":")[0], host=host, port=port, path=path, addresses=(PUBLIC,)
    )


def test_target_checks_the_addresses_anew():
    """A host that resolves to something else at delivery than at creation is refused."""
    answers = iter([(PUBLIC,), ("127.0.0.1",)])
    rebinding = UrlPolicy(resolve=lambda _host, _port: next(answers))
    rebinding.check("https://example.com/")
    with pytest.raises(InvalidArgumentError, match="non-public"):
        rebinding.target("https://example.com/")


def test_resolver_finds_each_address_once():
    """Addresses come without the duplicates that socket types make."""
    assert SystemResolver()("127.0.0.1", 80) == ["127.0.0.1"]


def test_resolver_gives_up_and_bounds_what_it_gave_up_on(monkeypatch):
    """A name server that does not answer holds neither the caller nor ever more threads."""
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(30) and [])
    resolver = SystemResolver(timeout_seconds=0.01)
    started = time.monotonic()
    for _ in range(8):
        with pytest.raises(TimeoutError, match=r"no answer within 0\.01 seconds"):
            resolver("slow.example", 443)
    with pytest.raises(TimeoutError, match="too many other names"):
        resolver("slow.example", 443)
    assert time.monotonic() - started < 5
    answer.set()
    SystemResolver(timeout_seconds=5)("slow.example", 443)
