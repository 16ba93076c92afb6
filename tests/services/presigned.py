"""Requests to presigned URLs, by somebody without any credentials."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit


def request(method: str, url: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body of the answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body)
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


def put_part(url: str, body: bytes) -> str:
    """The ETag of a part that was sent to its URL."""
    status, headers, _ = request("PUT", url, body)
    assert status == 200
    return headers["ETag"]
