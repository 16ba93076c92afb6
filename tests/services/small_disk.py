"""A disk that can be full: a small file system of its own, or a limit on the size of files.

Only root may mount, so only root gets a file system (in memory) whose every write fails with ENOSPC
while it is filled. Without root the same processes are forbidden to let files grow, which fails with
EFBIG: another code, and the same duty to undo what was begun.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bench.load import family

DISK_MIB = 256

_SMALLEST_FILE_BYTES = 1
"""A limit that every write beyond the start of a file exceeds."""


class Disk(Protocol):
    """A directory, and what makes it full."""

    directory: Path

    def fill(self, pid: int) -> None:
        """No file can grow any more for this process and its descendants."""
        ...

    def free(self, pid: int) -> None:
        """It is as before."""
        ...


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Disk]:
    """A disk at `directory`, as real as this user may have it."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(directory)]
    mounted = os.geteuid() == 0 and not subprocess.run(command, check=False).returncode
    try:
        yield _Mounted(directory) if mounted else _Limited(directory)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)


class _Mounted:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ballast = directory / "ballast"

    def fill(self, pid: int) -> None:
        with self._ballast.open("ab") as ballast:
            for size in (2**20, 2**12):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(ballast.fileno(), bytes(size))

    def free(self, pid: int) -> None:
        self._ballast.unlink()


class _Limited:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def fill(self, pid: int) -> None:
        self._limit(pid, _SMALLEST_FILE_BYTES)

    def free(self, pid: int) -> None:
        self._limit(pid, resource.RLIM_INFINITY)

    def _limit(self, pid: int, size: int) -> None:
        for member in family(pid):
            with contextlib.suppress(ProcessLookupError):
                hard = resource.prlimit(member, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(member, resource.RLIMIT_FSIZE, (size, hard))
