"""Models that were read before it was their turn."""

from __future__ import annotations

import tempfile
import time
from typing import IO

from registry_core import snapshot_pieces
from registry_core.snapshot_pieces import AnySnapshot, SpooledSnapshot

FRESH_SECONDS = 60.0
"""Seconds after which a model that nobody has taken has to be read again: a copy may take hours to
bring the files of the models before it."""


class SnapshotBuffer:
    """Models that were read before it was their turn; those that wait long are in a file.

    A server lists names in the order of its database, which may be that of a language.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, AnySnapshot]] = {}
        self._stored: dict[str, tuple[float, int]] = {}
        self._file: IO[bytes] | None = None

    def put(self, snapshot: AnySnapshot) -> None:
        """Keep a model."""
        self._held[snapshot.name] = time.monotonic(), snapshot

    def take(self, name: str) -> AnySnapshot | None:
        """Return a model and keep it no longer; None if it was not kept, or for too long."""
        oldest = time.monotonic() - FRESH_SECONDS
        if name in self._held:
            since, snapshot = self._held.pop(name)
            return snapshot if since >= oldest else None
        since, offset = self._stored.pop(name, (oldest - 1, 0))
        if since < oldest or self._file is None:
            return None
        self._file.seek(offset)
        return snapshot_pieces.read(self._file.readline(), iter(self._file))

    def make_room(self) -> None:
        """Keep none in memory, and none in a file of its own: a process has few of those."""
        for name, (since, snapshot) in self._held.items():
            self._stored[name] = since, self._store(snapshot)
        self._held = {}

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()

    def _store(self, snapshot: AnySnapshot) -> int:
        """Where a model begins in the file."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="registry-")  # noqa: SIM115 see `close`
        offset = self._file.seek(0, 2)
        if isinstance(snapshot, SpooledSnapshot):
            # It stays in pieces, also if an export has all of it in one line.
            self._file.writelines(snapshot.lines())
        else:
            self._file.writelines(snapshot_pieces.lines_of(snapshot))
        return offset
