"""Files that pass between a client and the artifact routes of its server, in pieces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import urllib3
from urllib3.exceptions import HTTPError

from registry_core.artifacts.open_files import Piece
from registry_core.artifacts.store import (
    CHUNK_SIZE,
    READ_ATTEMPTS,
    RESUMABLE_BYTES,
    FileInfo,
    Reading,
)
from registry_core.backoff import Backoff
from registry_core.errors import (
    ArtifactNotFoundError,
    ConflictError,
    NotFoundError,
    RegistryError,
    StoreBusyError,
    StoreUnavailableError,
    UnexpectedAnswerError,
)
from registry_core.stores.rest.bodies import (
    ANSWER_MAX_BYTES,
    TooLargeError,
    UnreadableError,
    json_object,
    read_body,
)
from registry_core.stores.rest.transport import Transport
from registry_core.wire import Json
from registry_core.wire.digest_fields import digest_field
from registry_core.wire.uploads import OFFSET_HEADER

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
"""Where, below a server's URL, its artifact root begins (contract 1.1)."""

RETRY_SECONDS = 30.0
"""Seconds after its first failure within which a request is sent again: a server that restarts, or
has as many uploads as it takes, is back by then."""

RESUMPTIONS = 3
"""How often a file is continued where somebody else is at it, before it is sent anew."""

ResultT = TypeVar("ResultT")

_BACKOFF = Backoff(first_seconds=0.2, longest_seconds=3.0)


class Transfers:
    """Sends files to a server, and receives them."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def put(
        self,
        path: str,
        pieces: Callable[[int], Iterable[Piece]],
        *,
        size: int,
        sha256: str,
        retreat: Callable[[], object],
    ) -> None:
        """Send a file; again, after `retreat`, when the server was away.

        A large one goes on where the server says that an interrupted upload has left it.
        """
        resumptions = RESUMPTIONS if size >= RESUMABLE_BYTES else 0

        def send() -> urllib3.BaseHTTPResponse:
            nonlocal resumptions
            start = self._kept(path, sha256, size) if resumptions else 0
            headers = {**body_headers(size - start), **_digest(sha256, start)}
            try:
                return self._http.stream("PUT", target(path), headers, body=pieces(start))
            except ConflictError as error:
                if not start:
                    raise
                # What the server writes for a push that has just died, it has soon written. But
                # pushes of the same bytes that live do not wait for each other.
                resumptions -= 1
                raise StoreUnavailableError(str(error)) from error

        response = patiently(send, retreat=retreat)
        # Empty, and its connection good for the next file.
        response.drain_conn()
        response.release_conn()

    def _kept(self, path: str, sha256: str, size: int) -> int:
        """How many bytes of a file the server has already; 0 if it does not say.

        More than the file has are others than it has: it is sent anew.
        """
        try:
            response = self._http.stream(
                "HEAD", target(path), {"Repr-Digest": digest_field(sha256)}
            )
        except RegistryError:
            return 0  # An answer to this method has no body that says why.
        response.release_conn()
        offset = response.headers.get(OFFSET_HEADER, "")
        return int(offset) if offset.isdecimal() and int(offset) <= size else 0

    def read(self, path: str, *, start: int = 0, stop: int | None = None) -> Reading:
        """Open a file, or a part of it, with the file's size; it goes on where a connection broke.

        Raises:
            ArtifactNotFoundError: there is no such file.
        """
        download = _Download(self._http, path, start, stop)
        return Reading(
            FileInfo(path=path, size=download.size), download.pieces(), close=download.close
        )

    def post_lines(self, target: str, lines: Callable[[], Iterable[bytes]], *, size: int) -> Json:
        """Send lines of JSON, `size` bytes in all, and return the answer.

        They are sent again while the server says that it has no room for them.

        Raises:
            StoreUnavailableError: there was no answer; what was sent may have been written.
        """
        headers = {"Content-Type": "application/x-ndjson", "Content-Length": str(size)}
        pauses = _BACKOFF.pauses(until=time.monotonic() + RETRY_SECONDS)
        response: urllib3.BaseHTTPResponse | None = None
        while response is None:
            try:
                response = self._http.stream("POST", target, headers, body=lines())
            except StoreBusyError:
                pause = next(pauses, None)
                if pause is None:
                    raise
                time.sleep(pause)
        try:
            body = read_body(response, most=ANSWER_MAX_BYTES)
            answer = json_object(body, response.headers.get("content-type"))
        except HTTPError as error:
            raise StoreUnavailableError(f"the connection broke: {error}") from error
        except (TooLargeError, UnreadableError) as error:
            raise UnexpectedAnswerError(f"The answer is not a registered model: {error}") from None
        response.release_conn()
        return answer


class _Download:
    """A file that comes in as many answers as there are connections that break."""

    def __init__(self, http: Transport, path: str, start: int, stop: int | None) -> None:
        self._http = http
        self._path = path
        self._position = start
        self._stop = stop
        self._response = self._ask({})
        self._tag = self._response.headers.get("etag", "")
        self.size = _size(self._response)

    def pieces(self) -> Iterator[bytes]:
        """Yield what was asked for.

        Raises:
            StoreUnavailableError: the connection broke again and again, or it was another file's.
        """
        failures = 0
        while True:
            try:
                while piece := self._response.read(CHUNK_SIZE, decode_content=False):
                    self._position += len(piece)
                    yield piece
            except HTTPError as error:
                self.close()
                failures += 1
                if failures == READ_ATTEMPTS or not self._is_known:
                    raise StoreUnavailableError(f"the connection broke: {error}") from error
                self._go_on()
            else:
                self._response.release_conn()
                return

    @property
    def _is_known(self) -> bool:
        """Whether the server can tell that the rest is the same file's."""
        return self._tag.startswith('"')

    def close(self) -> None:
        """Free the connection."""
        self._response.close()

    def _go_on(self) -> None:
        is_whole = self._position == 0
        condition = {} if is_whole else {"If-Range": self._tag}
        self._response = patiently(lambda: self._ask(condition))
        is_same = self._response.headers.get("etag", "") == self._tag
        if not is_same or (not is_whole and self._response.status != HTTPStatus.PARTIAL_CONTENT):
            self.close()
            raise StoreUnavailableError(f"'{self._path}' changed while it was read")

    def _ask(self, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        if self._position or self._stop is not None:
            last = "" if self._stop is None else self._stop - 1
            headers = {**headers, "Range": f"bytes={self._position}-{last}"}
        try:
            return self._http.stream("GET", target(self._path), headers)
        except NotFoundError:
            raise ArtifactNotFoundError(self._path) from None


def patiently(
    send: Callable[[], ResultT], *, retreat: Callable[[], object] = lambda: None
) -> ResultT:
    """Return what a request gives; it is sent again, after `retreat`, when the server was away."""
    pauses: Iterator[float] | None = None
    while True:
        try:
            return send()
        except StoreUnavailableError as error:
            # A time limit that begins with the first failure: files may be large.
            pauses = pauses or _BACKOFF.pauses(until=time.monotonic() + RETRY_SECONDS)
            pause = next(pauses, None)
            if pause is None:
                raise
            retreat()
            time.sleep(max(pause, min(error.retry_after_seconds, RETRY_SECONDS)))


def _size(response: urllib3.BaseHTTPResponse) -> int | None:
    size = response.headers.get("content-range", "").rpartition("/")[2] or (
        response.headers.get("content-length", "")
    )
    return int(size) if size.isdecimal() else None


def _digest(sha256: str, start: int) -> dict[str, str]:
    """The digest of the whole file: of what is sent, or where that is a part, of what it is of."""
    if not start:
        return {"Content-Digest": digest_field(sha256)}
    return {"Repr-Digest": digest_field(sha256), OFFSET_HEADER: str(start)}


def body_headers(size: int) -> Mapping[str, str]:
    """Return what goes before so many bytes."""
    return {"Content-Length": str(size), "Content-Type": "application/octet-stream"}


def target(path: str) -> str:
    """Return where the file at a path below the artifact root is asked for."""
    return f"{ARTIFACTS}/{quote(path)}"
