"""What the texts of settings mean: one function for each kind of value.

Each takes the text of a flag or a variable, and raises a `ValueError` whose words finish a sentence
that begins with the setting's name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def number(low: int, high: int) -> Callable[[str], int]:
    """Return the parser of numbers from `low` to `high`, both included."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"must be a number from {low} to {high}")
        return int(text)

    return parse


def words(text: str) -> tuple[str, ...]:
    """Return the words between commas, without spaces around them."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def address(text: str) -> tuple[str, int]:
    """Return a host, of IPv6 in brackets, and a port."""
    host, colon, port = text.rpartition(":")
    is_v6 = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host) != is_v6:
        raise ValueError("must be an address and a port, as 127.0.0.1:9090")
    return host.strip("[]"), number(0, 65_535)(port)


def address_text(host: str, port: int) -> str:
    """Return host and port as `address` takes them, and as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/?#@\[\]\s]+)(?::(?:\d{1,5}|\*))?")
"""A name or an address, and possibly a port."""


def hosts(text: str) -> tuple[str, ...]:
    """Return the names of hosts as a Host header has them, lower case and without a port.

    Each may be written as `name:port` or as a URL, and with a dot at its end.
    """
    return tuple(map(_host, words(text)))


def _host(word: str) -> str:
    place = re.split(r"[/?#]", word.partition("://")[2])[0] if "://" in word else word
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(place))
    match = _HOST.fullmatch(place)
    name = match[1].strip("[]").rstrip(".").lower() if match else ""
    if not name:
        raise ValueError("must be names of hosts, separated by commas")
    return name


def networks(text: str) -> tuple[Network, ...]:
    """Return addresses and networks."""
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for word in words(text))
    except ValueError:
        raise ValueError("must be addresses or networks, separated by commas") from None


def flag(text: str) -> bool:
    """Return whether something is on."""
    if text.lower() not in ("1", "true", "yes", "0", "false", "no", ""):
        raise ValueError("must be true or false")
    return text.lower() in ("1", "true", "yes")


def schemes(text: str) -> tuple[str, ...]:
    """Return the schemes of URLs that webhooks may have."""
    names = words(text.lower())
    if not names or not set(names) <= {"http", "https"}:
        raise ValueError("must be https, http or both, separated by a comma")
    return names


def url(text: str) -> str:
    """Return the URL of a server, which every client may learn."""
    with contextlib.suppress(ValueError):  # whose words may repeat a password
        parts = urllib.parse.urlsplit(text)
        is_http = parts.scheme in ("http", "https") and parts.port != 0
        # Every client gets this URL.
        if is_http and parts.hostname and not re.search(r"[@?#]", text):
            return text
    raise ValueError("must be an http or https URL, without a user name or a password")


def choice(*allowed: str) -> Callable[[str], str]:
    """Return the parser of one of these words, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text.lower()

    return parse
