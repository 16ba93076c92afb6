"""Leases on paths: what processes are about to do, for each other to see in the artifact store.

A lease is a file with the paths in it. Its age is measured by the backend's clock alone, against a
file written now, so clocks of machines may differ. The rules that leases serve are in the package.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from registry_core.artifacts import ArtifactStore, FileInfo
from registry_core.artifacts.paths import RESERVED
from registry_core.artifacts.store import read_all
from registry_core.artifacts.versions.layout import overlap
from registry_core.backoff import Backoff
from registry_core.errors import (
    ArtifactNotFoundError,
    ConflictError,
    RegistryError,
    StoreCorruptedError,
)

WAIT_SECONDS = 60.0
"""How long a process waits for another's lease to end, before it gives up."""

DEAD_AFTER_SECONDS = 600.0
"""After how long without renewal a lease is a dead process's. Longer than a request to the backend
can take with all its repetitions."""

_MAX_BYTES = 64 * 1024 * 1024
"""Bytes of a lease: a collection names every folder that it is about to sweep."""

_COLLECTORS = f"{RESERVED}/collectors"
_WRITERS = f"{RESERVED}/writers"
_ADOPTIONS = f"{RESERVED}/adoptions"
_CLOCK = f"{RESERVED}/clock"

FOLDERS = (_COLLECTORS, _WRITERS, _ADOPTIONS, _CLOCK)
"""Folders in which nothing lasts."""

_LOOKS = Backoff(first_seconds=0.02, longest_seconds=1.0)
"""Between two looks: most leases are over in the time of a few requests to the backend."""


class Leases:
    """The leases of one kind of work; two kinds exclude each other on a path."""

    def __init__(self, artifacts: ArtifactStore, folder: str) -> None:
        self._artifacts = artifacts
        self._folder = folder

    @classmethod
    def of_collectors(cls, artifacts: ArtifactStore) -> Self:
        """Return the leases of collections, on what they are about to remove."""
        return cls(artifacts, _COLLECTORS)

    @classmethod
    def of_writers(cls, artifacts: ArtifactStore) -> Self:
        """Return the leases of changes to files that no version has, about to become visible."""
        return cls(artifacts, _WRITERS)

    @classmethod
    def of_adoptions(cls, artifacts: ArtifactStore) -> Self:
        """Return the leases of adoptions, on folders that versions are about to need."""
        return cls(artifacts, _ADOPTIONS)

    @contextmanager
    def hold(self, paths: Iterable[str]) -> Iterator[Lease]:
        """Hold a lease on the paths until the block ends."""
        lease = Lease(self._artifacts, f"{self._folder}/{secrets.token_hex(16)}")
        lease.renew(paths)
        try:
            yield lease
        finally:
            # What stays behind is found dead later.
            with suppress(RegistryError):
                lease.withdraw()

    def wait(self, path: str) -> None:
        """Return when no living lease is on the path, or on one that contains or is in it.

        Raises:
            ConflictError: Another process has held one for too long.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        for pause in _LOOKS.pauses(until=deadline):
            if not self.is_held(path):
                return
            time.sleep(pause)
        if self.is_held(path):
            raise ConflictError(f"'{path}' is being changed by somebody else; try again later")

    def is_held(self, path: str) -> bool:
        """Return whether a living lease is on the path, or on one that contains or is in it."""
        leases = [
            info
            for info in self._artifacts.list(self._folder)
            if any(overlap(path, other) for other in self._paths(info))
        ]
        if not leases:
            return False
        now = backend_now(self._artifacts)
        return not all(_is_dead(info, now) for info in leases)

    def held(self) -> list[str]:
        """Return the paths on which there are living leases; the empty one is every path."""
        leases = self._artifacts.list(self._folder)
        now = backend_now(self._artifacts) if leases else 0
        living = [info for info in leases if not _is_dead(info, now)]
        return [path for info in living for path in self._paths(info)]

    def _paths(self, info: FileInfo) -> list[str]:
        try:
            lease = json.loads(read_all(self._artifacts, info.path, most=_MAX_BYTES))
            return [str(path) for path in lease["paths"]]
        except ArtifactNotFoundError:
            return []
        except (StoreCorruptedError, ValueError, LookupError, TypeError, RecursionError):
            return [""]  # its process may be at work anywhere, until it counts as dead


class Lease:
    """One lease, for the process that holds it."""

    def __init__(self, artifacts: ArtifactStore, path: str) -> None:
        self._artifacts = artifacts
        self._path = path
        self._body = b""

    def renew(self, paths: Iterable[str]) -> None:
        """Extend the lease to these paths, and its life."""
        self._body = json.dumps({"paths": sorted(paths)}).encode()
        self._artifacts.write(self._path, [self._body])

    def keep(self) -> None:
        """Extend the life of the lease.

        Raises:
            ConflictError: Another process took it for a dead one's.
        """
        self.moment()
        self._artifacts.write(self._path, [self._body])

    def moment(self) -> int:
        """Return when it was last renewed: ms since the epoch, by the backend's clock.

        Raises:
            ConflictError: Another process took it for a dead one's.
        """
        try:
            return self._artifacts.stat(self._path).modified or 0
        except ArtifactNotFoundError:
            raise ConflictError("this process took so long that others stopped waiting") from None

    def withdraw(self) -> None:
        """End the lease."""
        self._artifacts.remove([self._path])


def backend_now(artifacts: ArtifactStore) -> int:
    """Return the time in ms since the epoch by the clock that says when files were written."""
    path = f"{_CLOCK}/{secrets.token_hex(16)}"
    artifacts.write(path, [b""])
    try:
        return artifacts.stat(path).modified or 0
    finally:
        artifacts.remove([path])


def _is_dead(info: FileInfo, now: int) -> bool:
    return (info.modified or 0) < now - DEAD_AFTER_SECONDS * 1000
