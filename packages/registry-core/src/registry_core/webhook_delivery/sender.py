"""`Sender`: one attempt to POST a body to the URL of a webhook, safely (contract 6.3).

Strategy: the addresses that passed the check are the ones connected to, so no second lookup can
change the answer, while TLS and the Host header use the name. Redirects are not followed and
proxies not used: both would lead to an address that was not checked. One deadline covers the whole
attempt, because a receiver that sends a byte now and then would pass any limit per read.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any, cast

import attrs

from registry_core.webhooks import Target, UrlPolicy, why_not_public

ATTEMPT_TIMEOUT_SECONDS = 30.0
"""Seconds from the first packet to the end of the answer's head (contract 6.3)."""

ANSWER_MAX_BYTES = 65_536
"""Bytes of an answer's body that are read: it is shown by test deliveries and else ignored."""


class BlockedAddressError(OSError):
    """The connection led to an address that webhooks may not reach."""


@attrs.frozen(kw_only=True)
class ReceiverResponse:
    """What a receiver answered."""

    status: int
    retry_after: str | None
    body: str


class _Deadline:
    """A moment after which reading and writing fails with `TimeoutError`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {self._seconds:g} seconds")
        return left


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.remaining())
        return self._socket.recv_into(buffer)


class _TimedSocket:
    """The part of a socket that `http.client` uses, with one deadline for all of it."""

    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(self._deadline.remaining())
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._socket, self._deadline))

    def close(self) -> None:
        """Nothing: `http.client` closes its socket before it has read the answer."""


class Sender:
    """Sends requests to webhooks. Thread-safe: every attempt has a connection of its own."""

    def __init__(
        self,
        urls: UrlPolicy,
        *,
        timeout_seconds: float = ATTEMPT_TIMEOUT_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._urls = urls
        self._timeout_seconds = timeout_seconds
        self._tls = tls

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> ReceiverResponse:
        """Return the receiver's answer to one request.

        Raises:
            InvalidArgumentError: the URL is no longer allowed, or does not resolve.
            OSError: no connection, or none in time; `BlockedAddressError` when it was refused.
            http.client.HTTPException: the answer is not HTTP.
        """
        target = self._urls.target(url)
        deadline = _Deadline(self._timeout_seconds)
        with closing(self._connect(target, deadline)) as connected:
            return _exchange(target, _TimedSocket(connected, deadline), body, headers)

    def _connect(self, target: Target, deadline: _Deadline) -> socket.socket:
        connected = self._open(target, deadline)
        try:
            self._check_peer(connected)
            if target.scheme == "https":
                connected.settimeout(deadline.remaining())
                return self._context().wrap_socket(connected, server_hostname=target.host)
        except BaseException:
            connected.close()
            raise
        return connected

    def _open(self, target: Target, deadline: _Deadline) -> socket.socket:
        problem: OSError = OSError("the host has no address")
        for address in target.addresses:
            try:
                return socket.create_connection((address, target.port), deadline.remaining())
            except OSError as error:
                problem = error
        raise problem

    def _check_peer(self, connected: socket.socket) -> None:
        # The address was checked before; this holds even if that check and `connect` disagree.
        address = connected.getpeername()[0]
        if not self._urls.allow_private_addresses and (reason := why_not_public(address)):
            raise BlockedAddressError(f"{address} is not a public IP address: {reason}")

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:  # Reading the machine's certificates takes 20 ms: only when needed.
            self._tls = ssl.create_default_context()
        return self._tls


def _exchange(
    target: Target, connected: _TimedSocket, body: bytes, headers: Mapping[str, str]
) -> ReceiverResponse:
    connection = http.client.HTTPConnection(target.host, target.port)
    if target.scheme == "https":
        connection.default_port = http.client.HTTPS_PORT  # else Host would name the port
    connection.sock = cast("socket.socket", connected)
    connection.request("POST", target.path, body, {**headers, "Connection": "close"})
    with connection.getresponse() as response:
        return ReceiverResponse(
            status=response.status,
            retry_after=response.headers["Retry-After"],
            body=_start_of_body(response),
        )


def _start_of_body(response: http.client.HTTPResponse) -> str:
    try:
        return response.read(ANSWER_MAX_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""  # The status has said whether the delivery arrived.
