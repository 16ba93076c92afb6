"""Files of a push while they are open, in pieces that are read only where their bytes are needed.

Strategy: a piece says where its bytes are. A connection lets the system send them, and this process
never has them; a digest reads them into one buffer again and again, since memory that a process
touches for the first time costs about as much as the bytes that come into it. Both may find other
bytes in a file that somebody writes meanwhile: who sends a file compares the digests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import attrs

from registry_core.artifacts.manifest import ManifestFile
from registry_core.errors import InvalidArgumentError

PIECE_BYTES = 1024 * 1024
"""Bytes of a piece. Larger ones save time of the processor, and nobody holds them in memory."""


class OpenFile:
    """A file of a tree; it is closed once nobody has it or a piece of it."""

    def __init__(self, descriptor: int, file: ManifestFile) -> None:
        self.descriptor = descriptor
        self.file = file

    def __del__(self) -> None:
        os.close(self.descriptor)

    def pieces(self, start: int) -> Iterator[FilePiece]:
        """Yield the file from `start` on, as long as its manifest says.

        Raises:
            InvalidArgumentError: at the end, if it is shorter or longer by then.
        """
        size = self.file.size
        for position in range(start, size, PIECE_BYTES):
            yield FilePiece(self, position, min(position + PIECE_BYTES, size))
        if os.fstat(self.descriptor).st_size != size:
            raise changed(self.file)


@attrs.frozen(eq=False)
class FilePiece:
    """The bytes of an open file from `start` up to `stop`; it has a length and parts, as bytes."""

    opened: OpenFile
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, part: slice) -> FilePiece:
        first, last, _ = part.indices(len(self))
        return FilePiece(self.opened, self.start + first, self.start + max(first, last))

    def read(self, buffer: bytearray) -> Iterator[memoryview]:
        """Yield the bytes, at most as many at a time as the buffer has; the next overwrite them.

        Raises:
            InvalidArgumentError: the file has become shorter, or cannot be read.
        """
        position, room = self.start, memoryview(buffer)
        while position < self.stop:
            part = room[: self.stop - position]
            with readable(self.opened.file.path):
                count = os.preadv(self.opened.descriptor, [part], position)
            if not count:
                raise changed(self.opened.file)
            yield part[:count]
            position += count


Piece: TypeAlias = bytes | FilePiece
"""Some of the bytes of a file, or where they are."""


@contextmanager
def readable(what: object) -> Iterator[None]:
    """Turn what the system says of a file that cannot be read into our error."""
    try:
        yield
    except OSError as error:
        raise InvalidArgumentError(f"'{what}' cannot be read: {error.strerror}") from error


def changed(file: ManifestFile) -> InvalidArgumentError:
    """Return the error for a file that somebody writes while it is pushed."""
    return InvalidArgumentError(f"'{file.path}' changed while it was uploaded")
