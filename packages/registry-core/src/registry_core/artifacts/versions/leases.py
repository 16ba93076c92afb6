"""What processes are about to do to paths, told to one another through the artifact store."""

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
"""How long somebody waits for another's announcement to go, before giving up."""

DEAD_AFTER_SECONDS = 600.0
"""After how long without a sign of life an announcement is a dead process's. Longer than a request
to the backend can take with all its repetitions."""

_MAX_BYTES = 64 * 1024 * 1024
"""Bytes of an announcement: a collection names every folder that it is about to sweep."""

_COLLECTORS = f"{RESERVED}/collectors"
_WRITERS = f"{RESERVED}/writers"
_CLOCK = f"{RESERVED}/clock"

ANNOUNCED = (_COLLECTORS, _WRITERS, _CLOCK)
"""Folders in which nothing lasts."""

_LOOKS = Backoff(first_seconds=0.02, longest_seconds=1.0)
"""Between two looks: most leases are over in the time of a few requests to the backend."""


class Leases:
    """Announcements of one kind.

    Strategy: two kinds of work exclude each other on a path. Each announces itself before it looks
    whether the other has: so at least one of the two sees the other, and waits or steps back. An
    announcement is a file with the paths in it. Its age is told by the backend's clock alone, by
    comparison with a file written now, so clocks of machines may differ.
    """

    def __init__(self, artifacts: ArtifactStore, folder: str) -> None:
        self._artifacts = artifacts
        self._folder = folder

    @classmethod
    def of_collectors(cls, artifacts: ArtifactStore) -> Self:
        """Collections of garbage, and what they are about to remove."""
        return cls(artifacts, _COLLECTORS)

    @classmethod
    def of_writers(cls, artifacts: ArtifactStore) -> Self:
        """Changes to files that no version has, which are about to become visible."""
        return cls(artifacts, _WRITERS)

    @contextmanager
    def hold(self, paths: Iterable[str]) -> Iterator[Lease]:
        """Tells of the paths until the block ends."""
        lease = Lease(self._artifacts, f"{self._folder}/{secrets.token_hex(16)}")
        lease.renew(paths)
        try:
            yield lease
        finally:
            # What stays behind is found dead later.
            with suppress(RegistryError):
                lease.withdraw()

    def wait(self, path: str) -> None:
        """Returns when nobody alive tells of the path, or of one that contains or is in it.

        Raises:
            ConflictError: somebody did so for too long.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        for pause in _LOOKS.pauses(until=deadline):
            if not self.is_held(path):
                return
            time.sleep(pause)
        if self.is_held(path):
            raise ConflictError(f"'{path}' is being changed by somebody else; try again later")

    def is_held(self, path: str) -> bool:
        """Whether somebody alive tells of the path, or of one that contains or is in it."""
        told = [info for info in self._artifacts.list(self._folder) if self._covers(info, path)]
        if not told:
            return False
        now = backend_now(self._artifacts)
        return not all(_is_dead(info, now) for info in told)

    def _covers(self, info: FileInfo, path: str) -> bool:
        try:
            told = json.loads(read_all(self._artifacts, info.path, most=_MAX_BYTES))
            return any(overlap(path, other) for other in told["paths"])
        except ArtifactNotFoundError:
            return False
        except (StoreCorruptedError, ValueError, LookupError, TypeError, RecursionError):
            return True  # its process may be at work anywhere, until it counts as dead


class Lease:
    """One announcement, by whoever made it."""

    def __init__(self, artifacts: ArtifactStore, path: str) -> None:
        self._artifacts = artifacts
        self._path = path
        self._body = b""

    def renew(self, paths: Iterable[str]) -> None:
        """Tells of these paths from now on: also a sign of life."""
        self._body = json.dumps({"paths": sorted(paths)}).encode()
        self._artifacts.write(self._path, [self._body])

    def keep(self) -> None:
        """Gives a sign of life.

        Raises:
            ConflictError: somebody took it for a dead process's.
        """
        self.moment()
        self._artifacts.write(self._path, [self._body])

    def moment(self) -> int:
        """When it was last renewed: ms since the epoch, by the backend's clock.

        Raises:
            ConflictError: somebody took it for a dead process's.
        """
        try:
            return self._artifacts.stat(self._path).modified or 0
        except ArtifactNotFoundError:
            raise ConflictError("this process took so long that others stopped waiting") from None

    def withdraw(self) -> None:
        """Tells of nothing any more."""
        self._artifacts.remove([self._path])


def backend_now(artifacts: ArtifactStore) -> int:
    """The time in ms since the epoch by the clock that says when files were written."""
    path = f"{_CLOCK}/{secrets.token_hex(16)}"
    artifacts.write(path, [b""])
    try:
        return artifacts.stat(path).modified or 0
    finally:
        artifacts.remove([path])


def _is_dead(info: FileInfo, now: int) -> bool:
    return (info.modified or 0) < now - DEAD_AFTER_SECONDS * 1000
