"""Sends a stream to S3 in parts, a few at a time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeAlias

import attrs

from registry_core.artifacts.store import FileBytes
from registry_core.errors import InvalidArgumentError
from registry_core.thread_pool import ThreadPool

PART_SIZE = 6 * 1024 * 1024
"""Bytes in a part; a smaller file is sent in one request. S3 takes 5 MiB and more."""

PARTS_IN_FLIGHT = 2
"""Parts of one stream that are sent while the next is gathered: 18 MiB in all."""

CONCURRENT_PARTS = 12
"""Parts of all streams of a store that are sent at a time: their memory has a bound."""

_PARTS_MAX = 10_000
_GROW_EVERY = 1_000
"""S3 takes 10,000 parts: each further thousand is twice as large, which reaches its 5 TiB."""

Part: TypeAlias = bytearray
"""What is gathered, and sent as it is."""


def part_senders() -> ThreadPool:
    """Return the threads that send parts for all streams of a store."""
    return ThreadPool(CONCURRENT_PARTS, name="s3-part")


@attrs.frozen
class KeptParts:
    """The parts, numbered from 1, that an interrupted upload has sent."""

    upload_id: str
    etags: tuple[str, ...]
    size: int
    """Bytes of all of them."""


class PartStream:
    """Sends the parts of one upload; `send(number, body)` gives the part's ETag."""

    def __init__(
        self, senders: ThreadPool, send: Callable[[int, Part], str], kept: KeptParts | None = None
    ) -> None:
        self._senders = senders
        self._send = send
        self._flying: deque[Future[str]] = deque()
        self._etags = [] if kept is None else [*kept.etags]
        self._sent = len(self._etags)
        self.size = 0 if kept is None else kept.size

    def send(self, body: Part) -> None:
        """Send a part; wait while as many are under way as may be."""
        while len(self._flying) >= PARTS_IN_FLIGHT:
            self._land()
        self._sent += 1
        self.size += len(body)
        if self._sent > _PARTS_MAX:
            raise InvalidArgumentError("a file is larger than S3 can hold")
        number = self._sent
        self._flying.append(self._senders.submit(lambda: self._send(number, body)))

    def finish(self) -> Mapping[int, str]:
        """Return the ETags of all parts, by number, when they have arrived."""
        while self._flying:
            self._land()
        return dict(enumerate(self._etags, 1))

    def cancel(self) -> None:
        """Return when nothing is under way any more: it could arrive after the upload's end."""
        for future in self._flying:
            if not future.cancel():
                future.exception()

    def settle(self) -> None:
        """Return when what is under way has arrived, or failed, and nothing else will be sent."""
        for future in self._flying:
            future.exception()

    def _land(self) -> None:
        self._etags.append(self._flying.popleft().result())


class Parts:
    """Gathers chunks to parts of `PART_SIZE` bytes and more; the last may be smaller, or empty.

    Grown in place: chunks that are kept to be joined are there twice for a while. A part that was
    given is not held here: each would cost its size in memory for as long as the upload takes.
    """

    def __init__(self, taken: int = 0) -> None:
        self._part = bytearray()
        self._taken = taken

    def add(self, chunk: FileBytes) -> bool:
        """Return whether a part is complete with this chunk; it is to be taken then."""
        self._part += chunk
        return len(self._part) >= PART_SIZE << (self._taken // _GROW_EVERY)

    @property
    def is_empty(self) -> bool:
        """Whether all that was gathered has been taken."""
        return not self._part

    def take(self) -> Part:
        """Return what was gathered since the last part."""
        part, self._part = self._part, bytearray()
        self._taken += 1
        return part


def etag_of_parts(etags: Mapping[int, str]) -> str | None:
    """Return the ETag, without quotes, that S3 gives to the file made of these parts.

    None where it cannot be computed: the ETags of encrypted parts are no digests.
    """
    try:
        digests = b"".join(bytes.fromhex(etag.strip('"')) for _, etag in sorted(etags.items()))
    except ValueError:
        return None
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"
