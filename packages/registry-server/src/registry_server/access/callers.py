"""Who calls, as far as the connection and the proxies before it show."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from litestar.types import HTTPScope, Receive

from registry_server.process.setting_values import Network


class Caller:
    """The client behind one request.

    `proxies` are the networks of the proxies that are believed; see `address_of`.
    """

    __slots__ = ("_proxies", "_receive", "_scope")

    def __init__(self, scope: HTTPScope, receive: Receive, proxies: Sequence[Network] = ()) -> None:
        self._scope = scope
        self._receive = receive
        self._proxies = proxies

    @property
    def address(self) -> str:
        """The address that the request comes from; see `address_of`."""
        return address_of(self._scope, self._proxies)

    def has_hung_up(self) -> bool:
        """Return whether no client waits for the answer any more, as far as is known."""
        # ASGI says so by a message, which comes after the whole body. uvicorn knows it before: what
        # receives belongs to the object that answers.
        return bool(getattr(getattr(self._receive, "__self__", None), "disconnected", False))


def address_of(scope: HTTPScope, proxies: Sequence[Network] = ()) -> str:
    """Return the address that a request comes from; empty where it has no address.

    Every proxy adds the address that it was called from at the end of X-Forwarded-For, and what
    stands before may be forged. So it is read from its end, for as long as the address that wrote
    an entry is a proxy's.
    """
    client = scope.get("client")
    address = client[0] if client else ""
    hops = _hops(scope) if proxies else []
    while hops and _is_one_of(proxies, address):
        hop = hops.pop()
        if _parsed(hop) is None:
            break
        address = hop
    return address


def _hops(scope: HTTPScope) -> list[str]:
    values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [hop.strip() for hop in b",".join(values).decode("latin-1").split(",")]


def _is_one_of(networks: Sequence[Network], address: str) -> bool:
    ip = _parsed(address)
    return ip is not None and any(ip in network for network in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip
