"""In which order the servers that a URL names are tried."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs
from psycopg.pq.abc import PGconn

AVOID_SECONDS = 30.0
"""How long a host that hung, or did not accept writes, is tried after the others. It costs a
connection seconds to find out that it still does."""

HUNG_SECONDS = 5.0
"""How long a host that hung is not tried at all, where others are named. While a standby becomes
the primary, each attempt to reach the old one would cost `postgresql.CONNECT_SECONDS`, and the
standby, which refused a moment ago, may be ready long before."""

_TIMED_OUT = re.compile(
    r"^- host: '(?P<host>[^']*)', port: '(?P<port>[^']*)'.*: connection timeout expired$",
    re.MULTILINE,
)
"""A host in the text of psycopg's error, where several were tried and none could be reached."""

_DEFAULT_PORT = "5432"


@attrs.frozen
class _Host:
    """One of the hosts of a URL, as it stands there."""

    host: str
    address: str
    port: str

    def is_reached_by(self, pgconn: PGconn) -> bool:
        """Return whether a connection leads to it."""
        named = pgconn.host.decode() in (self.host, self.address)
        return named and pgconn.port.decode() == (self.port or _DEFAULT_PORT)

    def is_named(self, names: Collection[tuple[str, str]]) -> bool:
        """Return whether it is one of these hosts and ports."""
        port = self.port or _DEFAULT_PORT
        return (self.host or self.address, port) in names


class Hosts:
    """The hosts of a URL in their order, but those last that were of no use a moment ago.

    Libpq tries them as they stand in the URL, so that one that hangs would cost each new connection
    `postgresql.CONNECT_SECONDS`, and one that is fenced would be found by each. One that has just
    hung is left out; if all have, the one that was last. Thread-safe.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = dict(parameters)
        self._hosts = _hosts(parameters)
        self._avoided: dict[_Host, float] = {}
        """Until when, by the monotonic clock."""
        self._hung: dict[_Host, float] = {}
        """The same of those that are left out."""

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the next connection."""
        order = self._order()
        if order == self._hosts:
            return self._parameters
        lists = {
            "host": [host.host for host in order],
            "hostaddr": [host.address for host in order],
            "port": [host.port for host in order],
        }
        return self._parameters | {name: ",".join(one) for name, one in lists.items() if any(one)}

    def avoid(self, pgconn: PGconn) -> None:
        """Have the host of a connection tried last for a while."""
        self._avoid([host for host in self._hosts if host.is_reached_by(pgconn)])

    def avoid_hung(self, pgconn: PGconn) -> None:
        """Have the host of a connection that hangs left out for a moment, and then tried last."""
        self._avoid_hung([host for host in self._hosts if host.is_reached_by(pgconn)])

    def avoid_before(self, pgconn: PGconn) -> None:
        """The same for the hosts that were tried before the one of this connection."""
        order = self._order()
        self._avoid_hung([*itertools.takewhile(lambda host: not host.is_reached_by(pgconn), order)])

    def avoid_timed_out(self, error: str) -> None:
        """The same for the hosts that psycopg says of that they did not answer in time.

        They are named in the text of its error alone; without its words nothing is avoided.
        """
        named = {(each["host"], each["port"]) for each in _TIMED_OUT.finditer(error)}
        self._avoid_hung([host for host in self._hosts if host.is_named(named)])

    def _order(self) -> tuple[_Host, ...]:
        now = time.monotonic()
        hung, avoided = self._still(self._hung, now), self._still(self._avoided, now)
        if hung and len(hung) == len(self._hosts):
            # What hung first may have become the standby, and the primary, of what hung last.
            latest = max(hung.values())
            hung = {host: until for host, until in hung.items() if until == latest}
        tried = [host for host in self._hosts if host not in hung] or self._hosts
        return tuple(sorted(tried, key=lambda host: avoided.get(host, 0.0)))

    def _still(self, until: Mapping[_Host, float], now: float) -> dict[_Host, float]:
        # By the hosts, since other threads add to the mapping.
        return {host: until[host] for host in self._hosts if until.get(host, 0.0) > now}

    def _avoid(self, hosts: Sequence[_Host]) -> None:
        self._avoided |= dict.fromkeys(hosts, time.monotonic() + AVOID_SECONDS)

    def _avoid_hung(self, hosts: Sequence[_Host]) -> None:
        self._avoid(hosts)
        self._hung |= dict.fromkeys(hosts, time.monotonic() + HUNG_SECONDS)


def _hosts(parameters: Mapping[str, Any]) -> tuple[_Host, ...]:
    """The hosts of parameters of libpq; none where they do not fit, which libpq has to say."""
    hosts, addresses, ports = (
        str(parameters[name]).split(",") if parameters.get(name) else []
        for name in ("host", "hostaddr", "port")
    )
    count = max(len(hosts), len(addresses))
    if len(ports) == 1:
        ports *= count
    lists = [one or [""] * count for one in (hosts, addresses, ports)]
    if any(len(one) != count for one in lists):
        return ()
    return tuple(_Host(*one) for one in zip(*lists, strict=True))
