"""Reading an object of a bucket on over as many connections as it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from botocore.exceptions import BotoCoreError

from registry_core.artifacts.backends.s3_failures import RangeError, unavailable
from registry_core.artifacts.store import CHUNK_SIZE, READ_ATTEMPTS
from registry_core.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    StoreUnavailableError,
)

Get: TypeAlias = Callable[[int, int | None, str | None], Any]
"""Asks for the bytes from a position up to another, of the object while it has an ETag."""


class Download:
    """The body of an object; a broken connection is made again, where it broke."""

    def __init__(self, get: Get, path: str, reply: Any, start: int) -> None:
        self._get = get
        self._path = path
        self._reply = reply
        self._position = start
        self._stop = start + reply["ContentLength"]

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes in pieces."""
        failures = 0
        while self._position < self._stop:
            try:
                for piece in self._reply["Body"].iter_chunks(CHUNK_SIZE):
                    self._position += len(piece)
                    yield piece
            except (BotoCoreError, OSError) as error:
                self.close()
                failures += 1
                if failures == READ_ATTEMPTS:
                    raise unavailable(type(error).__name__) from error
                self._open_again()
        self.close()

    def close(self) -> None:
        """Free the connection."""
        self._reply["Body"].close()

    def _open_again(self) -> None:
        try:
            self._reply = self._get(self._position, self._stop, self._reply["ETag"])
        except (ArtifactExistsError, ArtifactNotFoundError, RangeError) as error:
            raise StoreUnavailableError(f"'{self._path}' changed while it was read") from error
