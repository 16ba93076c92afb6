"""Which IP addresses are some host's on the Internet: one table of those that are not, and why.

Strategy: the table is the whole rule, because what `ipaddress` calls global differs between
releases of Python and leaves out addresses that look public and lead to the cloud that a server
runs in. What `ipaddress` refuses beyond the table is refused as well.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import TypeAlias

_IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

NOT_PUBLIC: Sequence[tuple[_IPNetwork, str]] = tuple(
    (ipaddress.ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this host (RFC 6890)"),
        ("10.0.0.0/8", "private (RFC 1918)"),
        (
            "100.64.0.0/10",
            "behind a carrier's NAT (RFC 6598); 100.100.100.200 is Alibaba's metadata",
        ),
        ("127.0.0.0/8", "loopback"),
        ("161.26.0.0/16", "services inside IBM Cloud"),
        ("166.8.0.0/14", "private service endpoints inside IBM Cloud"),
        ("168.63.129.16/32", "Azure's platform: metadata, agent, name server"),
        ("169.254.0.0/16", "link-local (RFC 3927); 169.254.169.254 is most clouds' metadata"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "protocol assignments (RFC 6890); 192.0.0.192 is Oracle's metadata"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.88.99.0/24", "relays of 6to4 (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("198.18.0.0/15", "benchmarks (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, and broadcast"),
        # Of IPv6 only 2000::/3 is handed out to hosts; of what lies in it, not these.
        ("::/3", "loopback, unspecified and unassigned"),
        ("2001::/23", "protocol assignments (RFC 2928), among them Teredo"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("4000::/2", "unassigned, and segment routing (RFC 9602)"),
        ("8000::/2", "unassigned"),
        ("c000::/3", "unassigned"),
        ("e000::/4", "unassigned"),
        ("f000::/5", "unassigned"),
        ("f800::/6", "unassigned"),
        ("fc00::/7", "private (RFC 4193); fd00:ec2::254 and fd20:ce::254 are clouds' metadata"),
        ("fe00::/9", "unassigned"),
        ("fe80::/10", "link-local (RFC 4291)"),
        ("fec0::/10", "private once (RFC 3879)"),
        ("ff00::/8", "multicast"),
    )
)
"""Networks in which no host of the Internet is, and the reason for each."""

_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def why_not_public(address: str) -> str | None:
    """Why an IP address is not that of a host on the Internet; None if it is, in any notation.

    An IPv4 address inside an IPv6 one (mapped, compatible, 6to4, NAT64, ISATAP) leads to the IPv4
    host, and is judged as that.
    """
    for ip in _meanings(ipaddress.ip_address(address)):
        for network, reason in NOT_PUBLIC:
            if ip.version == network.version and ip in network:
                return reason
        if ip.is_multicast or not ip.is_global:
            return "not global by IANA's registry of special addresses"
    return None


def _meanings(ip: _IPAddress) -> Iterator[_IPAddress]:
    """The addresses that one stands for, all of which have to be public."""
    if isinstance(ip, ipaddress.IPv4Address):
        yield ip
        return
    number = int(ip)
    if ip.sixtofour is not None:
        yield ip.sixtofour
    elif ip.ipv4_mapped is not None or ip in _NAT64 or ip in _V4_COMPATIBLE:
        yield ipaddress.IPv4Address(number & 0xFFFF_FFFF)
    else:
        yield ip
        if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
            yield ipaddress.IPv4Address(number & 0xFFFF_FFFF)
