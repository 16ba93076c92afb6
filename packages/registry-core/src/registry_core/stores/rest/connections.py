"""Connections to a server, on which no answer can last longer than its caller waits."""

from __future__ import annotations

import http.client
import io
import os
import socket
import time
import urllib.parse
import urllib.request
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.wait import wait_for_write

from registry_core.artifacts.open_files import FilePiece
from registry_core.artifacts.store import CHUNK_SIZE
from registry_core.credentials import basic_authorization
from registry_core.errors import BackendError
from registry_core.redaction import redacted

CONNECT_TIMEOUT_SECONDS = 3.0
"""Seconds that a server may take to accept a connection."""

READ_TIMEOUT_SECONDS = 30.0
"""Seconds that a server may be silent. MLflow needs seconds to delete a model of many versions."""

CONNECTIONS = 32
"""Idle connections kept for threads; more are opened as needed and closed after use."""

_HAS_SENDFILE = hasattr(os, "sendfile")


def open_pool(url: str) -> urllib3.PoolManager:
    """Return the connections to the server at a URL, through the proxy that the environment names.

    The read timeout of a request is the time for its whole answer, however it trickles in; within
    it, `READ_TIMEOUT_SECONDS` limits each silence.

    Raises:
        BackendError: the proxy cannot be used. What may be its password is not repeated.
    """
    pool = _direct_pool() if (proxy := _proxy_of(url)) is None else _proxied_pool(proxy)
    pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return pool


def _direct_pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(num_pools=1, maxsize=CONNECTIONS, retries=False)


def _proxied_pool(proxy: urllib.parse.SplitResult) -> urllib3.PoolManager:
    userinfo, _, host = proxy.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    authorization = basic_authorization(
        urllib.parse.unquote(user), urllib.parse.unquote(password), origin="the URL of the proxy"
    )
    try:
        return urllib3.ProxyManager(
            f"{proxy.scheme}://{host}",
            num_pools=1,
            maxsize=CONNECTIONS,
            retries=False,
            proxy_headers={"Proxy-Authorization": authorization} if userinfo else None,
        )
    except (urllib3.exceptions.HTTPError, ValueError):
        raise BackendError(
            f"The proxy '{redacted(proxy.geturl())}' of the environment cannot be used: it must be "
            "http(s)://[user:password@]host[:port]"
        ) from None  # its text repeats what may be the password


def _proxy_of(url: str) -> urllib.parse.SplitResult | None:
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme, "").strip()
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    try:
        return urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    except ValueError:
        raise BackendError(f"The variable {parts.scheme}_proxy holds no URL of a proxy") from None


class _TimedFile(io.RawIOBase):
    """What a connection receives; all of it has to be there by one moment."""

    def __init__(self, received: io.RawIOBase, connected: socket.socket, seconds: float) -> None:
        self._received = received
        self._socket = connected
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._socket.settimeout(min(left, READ_TIMEOUT_SECONDS))
        return self._received.readinto(buffer)

    def fileno(self) -> int:
        return self._received.fileno()

    def close(self) -> None:
        self._received.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """An answer whose head and body together may take what the socket's timeout is at first.

    A timeout alone limits each silence: a server that sends a byte now and then passes it forever.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        seconds = sock.gettimeout()
        if seconds is not None:
            self.fp = io.BufferedReader(_TimedFile(self.fp.detach(), sock, seconds))


class _HttpConnection(HTTPConnection):
    """Sends bytes, and pieces of files, which it does not read where it need not encrypt them."""

    response_class = _TimedResponse

    def send(self, data: Any) -> None:
        if not isinstance(data, FilePiece):
            super().send(data)
            return
        is_plain = _HAS_SENDFILE and type(self.sock) is socket.socket
        sent = _send_unread(self.sock, data) if is_plain else 0
        if sent < len(data):
            for part in data[sent:].read(bytearray(CHUNK_SIZE)):
                super().send(part)


class _HttpsConnection(_HttpConnection, HTTPSConnection):
    """As `_HttpConnection`, with TLS."""


def _send_unread(connected: socket.socket, piece: FilePiece) -> int:
    """Have the system send a piece from its file; return how many bytes it has sent.

    Whatever it does not send is to be read, which also shows why: a file may have become shorter,
    and not every file system takes part.

    Raises:
        TimeoutError: for as long as the socket's timeout there was no room for more.
    """
    sent = 0
    while sent < len(piece):
        try:
            count = os.sendfile(
                connected.fileno(),
                piece.opened.descriptor,
                piece.start + sent,
                len(piece) - sent,
            )
        except BlockingIOError:
            if not wait_for_write(connected, connected.gettimeout()):
                raise TimeoutError("timed out") from None
        except OSError:
            break
        else:
            if not count:
                break
            sent += count
    return sent


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection
