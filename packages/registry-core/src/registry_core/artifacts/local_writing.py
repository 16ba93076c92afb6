"""Bytes on their way into a local file."""

from __future__ import annotations

from typing import IO

from registry_core.artifacts.store import FileBytes

_WRITE_BYTES = 64 * 1024
"""Bytes that the system is given at a time. Of more it makes larger pages in memory. In a virtual
machine that hands free memory back to its host, these are the ones that it no longer has: a large
file took up to six times as long to write."""


def write_whole(file: IO[bytes], piece: FileBytes) -> None:
    """Write all of a piece to an unbuffered file, which may take less than it is given."""
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest[:_WRITE_BYTES]) :]
