"""How often secrets may be guessed: one name's from one address, from one address, one name's.

Strategy: a guess takes a token from a bucket of each of the three, and a right one gives it back.
The first bucket is the smallest, so that one address can neither empty the bucket of a name, which
would keep its owner out, nor its own with a single name, which would keep out those who share it. A
guess that is refused takes nothing: a user who waits is let in, however often others try. The
buckets belong to one process.

A bucket is kept as the time at which it will be full again (the generic cell rate algorithm), and a
full one is not kept at all.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus

import attrs

from registry_server.http.responses import RequestRefusedError

BUCKETS_MOST = 10_000
"""Buckets of a kind that are kept; of more, those that were used longest ago are forgotten. An
address takes a token a second at most, so it needs hundreds of addresses to have one forgotten
before it would be full by itself."""

_IPV6_PREFIX = 64
"""Bits of an IPv6 address that count: the rest is the subscriber's to choose."""


@attrs.frozen
class Limit:
    """So many guesses at once, and then so many per second."""

    burst: int
    per_second: float


OF_NAME_AT_ADDRESS = Limit(10, 1 / 6)
"""Guesses at one name's secret from one address. Enough for somebody who mistypes; with it, trying
the 10,000 commonest passwords takes most of a day."""

OF_ADDRESS = Limit(20, 1.0)
"""Guesses from one address at whatever names, bearer tokens included. With scrypt at its usual cost
they take up to a sixth of one core."""

OF_NAME = Limit(100, 1.0)
"""Guesses at one name's secret from wherever. The larger it is, the more addresses it takes to lock
out the owner, who can be refused by it; the smaller, the less a network of machines can guess."""


class TooManyGuessesError(RequestRefusedError):
    """A guess that is not looked at; the same credentials may be right a little later."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            HTTPStatus.TOO_MANY_REQUESTS,
            "RESOURCE_EXHAUSTED",
            "There were too many wrong credentials of late: these were not looked at.",
            headers=((b"retry-after", b"%d" % max(1, math.ceil(seconds))),),
        )


class Guesses:
    """The buckets of one process. Belongs to one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_address = Buckets(OF_NAME_AT_ADDRESS, clock)
        self._of_address = Buckets(OF_ADDRESS, clock)
        self._of_name = Buckets(OF_NAME, clock)

    def take(self, name: str | None, address: str) -> None:
        """Count a guess from an address at the secret of a name, or of nobody in particular.

        Raises:
            TooManyGuessesError: it may not be made now; nothing was counted.
        """
        buckets = self._buckets(name, address)
        seconds = max(kind.wait(key) for kind, key in buckets)
        if seconds > 0:
            raise TooManyGuessesError(seconds)
        for kind, key in buckets:
            kind.take(key)

    def give_back(self, name: str | None, address: str) -> None:
        """Take back what `take` has counted: the credentials were right."""
        for kind, key in self._buckets(name, address):
            kind.give_back(key)

    def _buckets(self, name: str | None, address: str) -> list[tuple[Buckets, bytes]]:
        place = _network(address).encode()
        buckets = [(self._of_address, place)]
        if name is not None:
            # A name can be as long as a header, and thousands are kept.
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
            buckets += [(self._of_name, digest), (self._at_address, digest + place)]
        return buckets


class Buckets:
    """Token buckets by key, all of one size."""

    def __init__(self, limit: Limit, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1 / limit.per_second
        self._slack = (limit.burst - 1) * self._interval
        self._clock = clock
        self._full_at: OrderedDict[bytes, float] = OrderedDict()

    def wait(self, key: bytes) -> float:
        """Return the seconds until there is a token; 0 if there is one."""
        full_at = self._full_at.get(key)
        return 0.0 if full_at is None else max(0.0, full_at - self._clock() - self._slack)

    def take(self, key: bytes) -> None:
        """Take a token, of which there has to be one."""
        now = self._clock()
        self._full_at[key] = max(now, self._full_at.pop(key, now)) + self._interval
        while len(self._full_at) > BUCKETS_MOST or self._full_at[next(iter(self._full_at))] <= now:
            self._full_at.popitem(last=False)

    def give_back(self, key: bytes) -> None:
        """Put a token back."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            self._full_at[key] = full_at - self._interval


def _network(address: str) -> str:
    """What counts as one address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""  # of no Internet socket: all of them are one
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((int(ip), _IPV6_PREFIX), strict=False))
