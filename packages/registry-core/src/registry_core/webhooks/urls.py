"""Which URLs a webhook may have: the server will send requests there, from inside its network.

Strategy: a caller who may create a webhook makes this process open any connection. So a
URL has an allowed scheme, no credentials, and a host all of whose addresses are public. The
addresses are looked at again at every delivery, a connection is made to the very addresses that
passed, and the address at its other end is looked at once more: a name that resolves to something
else a moment later gains nothing. Nor does a redirection, which is not followed.
"""

from __future__ import annotations

import re
import socket
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeAlias

import attrs

from registry_core import validation
from registry_core.errors import InvalidArgumentError
from registry_core.webhooks.addresses import why_not_public

RESOLUTION_TIMEOUT_SECONDS = 5.0
"""Seconds a name may take to resolve (contract 6.2); the C library has no limit of its own."""

_CONCURRENT_LOOKUPS = 8
"""Names resolved at a time. A lookup cannot be stopped, so those given up on must be bounded."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""The addresses of a host, as texts; raises `OSError` or `UnicodeError` when there are none."""

_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")
"""Characters over which URL parsers disagree, so that what is checked may not be what is opened."""


class UnresolvedHostError(InvalidArgumentError):
    """The host of a URL has no address now, which may pass."""


@attrs.frozen(kw_only=True)
class Target:
    """Where a webhook's requests go: a parsed URL, and the addresses it may be reached at."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query as they go into the request line."""
    addresses: tuple[str, ...]


@attrs.frozen
class SystemResolver:
    """The machine's resolver, given up on after `timeout_seconds`."""

    timeout_seconds: float = RESOLUTION_TIMEOUT_SECONDS
    _slots: threading.Semaphore = attrs.field(
        factory=lambda: threading.Semaphore(_CONCURRENT_LOOKUPS), repr=False
    )

    def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host, in the order in which they should be tried."""
        answer: Future[list[str]] = Future()
        if not self._slots.acquire(timeout=self.timeout_seconds):
            raise TimeoutError("too many other names are being resolved")
        # A daemon, and not of a pool: nothing ends a look-up, and an exit would wait for it.
        threading.Thread(
            target=self._look_up, args=(host, port, answer), name="webhook-resolver", daemon=True
        ).start()
        try:
            return answer.result(self.timeout_seconds)
        except FutureTimeoutError:
            raise TimeoutError(f"no answer within {self.timeout_seconds:g} seconds") from None

    def _look_up(self, host: str, port: int, answer: Future[list[str]]) -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)
        else:
            answer.set_result(list(dict.fromkeys(str(address[0]) for *_, address in infos)))
        finally:
            self._slots.release()


@attrs.frozen(kw_only=True)
class UrlPolicy:
    """What the URL of a webhook must be like. The default is safe on any network."""

    schemes: tuple[str, ...] = attrs.field(
        default=("https",),
        validator=attrs.validators.deep_iterable(attrs.validators.in_(_DEFAULT_PORTS)),
    )
    """Of `https` and `http`, those that are allowed."""
    allow_private_addresses: bool = False
    """Also loopback, link-local, private and multicast ones: for development, or where everyone
    who may create a webhook may reach the whole network anyway."""
    resolve: Resolve = attrs.field(factory=SystemResolver, repr=False)

    def check(self, url: str) -> str:
        """Accept the URL, if a webhook may have it. Where any address is allowed none is looked up.

        Raises:
            InvalidArgumentError: the URL, or an address its host has now, is not allowed.
        """
        parts = self._parse(url)
        if not self.allow_private_addresses:
            self._addresses(parts)
        return url

    def target(self, url: str) -> Target:
        """Return where to connect for a URL that passed `check` before: it is checked anew.

        Raises:
            InvalidArgumentError: as `check`; `UnresolvedHostError` when the host has no address.
        """
        parts = self._parse(url)
        path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        if parts.query:
            path += "?" + urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
        return Target(
            scheme=parts.scheme,
            host=_host(parts),
            port=_port(parts),
            path=path,
            addresses=self._addresses(parts),
        )

    def _parse(self, url: str) -> urllib.parse.SplitResult:
        if not url.strip():
            raise InvalidArgumentError(f"Webhook URL cannot be empty or just whitespace: {url!r}")
        validation.text(url, parameter="url", max_length=validation.SOURCE_MAX_LENGTH)
        parts = _split(url)
        if parts.scheme not in self.schemes:
            raise InvalidArgumentError(
                f"Invalid webhook URL scheme: {parts.scheme!r}. "
                f"Allowed schemes are: {', '.join(self.schemes)}."
            )
        if not parts.hostname:
            raise InvalidArgumentError(f"Webhook URL must include a hostname: {url!r}")
        return parts

    def _addresses(self, parts: urllib.parse.SplitResult) -> tuple[str, ...]:
        host = _host(parts)
        try:
            addresses = self.resolve(host, _port(parts))
        except (OSError, UnicodeError) as error:
            raise _unresolvable(host, error) from None
        for address in addresses:
            if not self.allow_private_addresses and (reason := why_not_public(address)):
                raise InvalidArgumentError(
                    "Webhook URL must not resolve to a non-public IP address. "
                    f"{host!r} resolves to {address}. Reason: {reason}."
                )
        return tuple(addresses)


def _split(url: str) -> urllib.parse.SplitResult:
    odd = _NOT_IN_A_URL.search(url)
    if odd:
        raise InvalidArgumentError(
            f"Invalid webhook URL {url!r}: it contains {odd.group()!r} at position {odd.start()}."
        )
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidArgumentError(f"Invalid webhook URL {url!r}: {error}") from None
    if "@" in parts.netloc:
        # Not shown: it would put a password into a log.
        raise InvalidArgumentError(
            "Invalid webhook URL: it must not contain a user name or a password. Sign deliveries "
            "with a secret instead."
        )
    if port == 0:
        raise InvalidArgumentError(f"Invalid webhook URL {url!r}: Port out of range 1-65535")
    return parts


def _host(parts: urllib.parse.SplitResult) -> str:
    host = parts.hostname or ""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise _unresolvable(host, error) from None


def _unresolvable(host: str, error: Exception) -> UnresolvedHostError:
    return UnresolvedHostError(f"Cannot resolve Webhook URL hostname {host!r}: {error}")


def _port(parts: urllib.parse.SplitResult) -> int:
    return parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
