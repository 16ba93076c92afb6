"""Files that pass between a client and the artifact routes of its server, in pieces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote

import urllib3
from urllib3.exceptions import HTTPError

from registry_core.artifacts.store import CHUNK_SIZE
from registry_core.backoff import Backoff
from registry_core.errors import ArtifactNotFoundError, NotFoundError, StoreUnavailableError
from registry_core.stores.rest.transport import Transport

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
"""Where, below a server's URL, its artifact root begins (contract 1.1)."""

RETRY_SECONDS = 30.0
"""Seconds after its first failure within which a file is sent again: a server that restarts, or has
as many uploads as it takes, is back by then."""

_BACKOFF = Backoff(first_seconds=0.2, longest_seconds=3.0)


class Transfers:
    """Sends files to a server, and receives them."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def put(
        self,
        path: str,
        pieces: Callable[[], Iterable[bytes]],
        headers: Mapping[str, str],
        *,
        retreat: Callable[[], object],
    ) -> None:
        """Send a file; again from its beginning, after `retreat`, when the server was away."""
        pauses: Iterator[float] | None = None
        while True:
            try:
                response = self._http.stream("PUT", _target(path), headers, body=pieces())
            except StoreUnavailableError as error:
                # A time limit that begins with the first failure: files may be large.
                pauses = pauses or _BACKOFF.pauses(until=time.monotonic() + RETRY_SECONDS)
                pause = next(pauses, None)
                if pause is None:
                    raise
                retreat()
                time.sleep(max(pause, min(error.retry_after_seconds, RETRY_SECONDS)))
            else:
                # Empty, and its connection good for the next file.
                response.drain_conn()
                response.release_conn()
                return

    def get(
        self, path: str, *, start: int, stop: int | None
    ) -> tuple[urllib3.BaseHTTPResponse, int | None]:
        """Return an answer whose body is the file, or a part of it, and the size of the file.

        Raises:
            ArtifactNotFoundError: there is no such file.
        """
        headers = {}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        try:
            response = self._http.stream("GET", _target(path), headers)
        except NotFoundError:
            raise ArtifactNotFoundError(path) from None
        size = response.headers.get("content-range", "").rpartition("/")[2] or (
            response.headers.get("content-length", "")
        )
        return response, int(size) if size.isdecimal() else None

    @staticmethod
    def pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """Yield the body of an answer.

        Raises:
            StoreUnavailableError: the connection broke.
        """
        try:
            while piece := response.read(CHUNK_SIZE, decode_content=False):
                yield piece
        except HTTPError as error:
            raise StoreUnavailableError(f"the connection broke: {error}") from error
        response.release_conn()


def _target(path: str) -> str:
    return f"{ARTIFACTS}/{quote(path)}"
