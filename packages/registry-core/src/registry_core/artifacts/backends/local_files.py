"""Files of a directory on their way into it: written apart, synced, and renamed into place."""

from __future__ import annotations

import errno
import os
import stat as stat_module
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from registry_core.artifacts.digests import Digest
from registry_core.artifacts.local_writing import write_whole
from registry_core.artifacts.store import CHUNK_SIZE, FileBytes, FileInfo
from registry_core.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    ConflictError,
    InvalidArgumentError,
    NotPermittedError,
    StoreUnavailableError,
)

_WRITTEN_BACK_BYTES = 32 * 1024 * 1024
"""Bytes after which the disk begins to write while more come: the sync at the end, for which a
client waits, finds little left to do."""

_PUBLISH_ATTEMPTS = 10
"""How often a folder is made again that a concurrent delete removed as empty."""


def file_info(path: str, status: os.stat_result) -> FileInfo:
    """Return what a status says of the file at a path of the store; only files have one."""
    if not stat_module.S_ISREG(status.st_mode):
        raise ArtifactNotFoundError(path)
    return FileInfo(
        path=path,
        size=status.st_size,
        modified=milliseconds(status),
        # The inode too: two versions of a file may be as long, and written in one tick.
        etag=f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}",
    )


def milliseconds(status: os.stat_result) -> int:
    """Return when a file was last written, in ms since the epoch."""
    return status.st_mtime_ns // 1_000_000


def fill(partial: Path, path: str) -> Generator[None, FileBytes | None, None]:
    """Write pieces to a new file, and sync it."""
    with os_errors(path):
        file = partial.open("xb", buffering=0)
    with file:
        while (chunk := (yield)) is not None:
            with os_errors(path):
                write_whole(file, chunk)
        _sync(file, path)


def _sync(file: IO[bytes], path: str) -> None:
    with os_errors(path):
        os.fsync(file.fileno())


def is_locked(file: IO[bytes], partial: Path) -> bool:
    """Return whether the file is this writer's alone now.

    The lock goes with the process that holds it.
    """
    import fcntl  # noqa: PLC0415 there is none on Windows, where all but files works

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Another writer may have published it between its opening and the lock.
    return is_same(file, partial)


def is_same(file: IO[bytes], partial: Path) -> bool:
    """Return whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), partial.stat())
    except FileNotFoundError:
        return False


def go_on(
    file: IO[bytes], path: str, start: int, digests: Sequence[Digest] = ()
) -> Generator[None, FileBytes | None, None]:
    """Write pieces after the first `start` bytes of a file, and sync it.

    All bytes of the file pass through the digests.
    """
    with os_errors(path):
        if file.seek(0, os.SEEK_END) < start:
            raise ConflictError(f"of '{path}' fewer than {start} bytes are kept")
        file.seek(start)
        file.truncate()
    if digests:
        with os_errors(path):
            _hash_kept(file, path, start, digests)
    written = advised = start
    while (chunk := (yield)) is not None:
        for digest in digests:
            digest.update(chunk)
        with os_errors(path):
            write_whole(file, chunk)
        written += len(chunk)
        if written - advised >= _WRITTEN_BACK_BYTES:
            _write_back(file, advised, written - advised)
            advised = written
    _sync(file, path)


def _write_back(file: IO[bytes], start: int, size: int) -> None:
    """Have the system begin to write a range to the disk, where it can be asked to."""
    if sys.platform != "darwin" and hasattr(os, "posix_fadvise"):
        # Linux begins with what is dirty, and keeps that in memory; an error of it is the sync's.
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_DONTNEED)


def _hash_kept(file: IO[bytes], path: str, size: int, digests: Sequence[Digest]) -> None:
    position = 0
    while position < size:
        piece = os.pread(file.fileno(), min(CHUNK_SIZE, size - position), position)
        if not piece:
            raise ConflictError(f"of '{path}' fewer than {size} bytes are kept")
        for digest in digests:
            digest.update(piece)
        position += len(piece)


def publish(partial: Path, target: Path, path: str, *, overwrite: bool) -> None:
    """Give a complete file its name, so that it outlives a power cut."""
    for attempt in range(1, _PUBLISH_ATTEMPTS + 1):
        try:
            _make_folder(target.parent)
            if overwrite:
                partial.replace(target)
            else:
                os.link(partial, target)
            break
        except FileNotFoundError:
            # A concurrent delete found the folder empty.
            if attempt == _PUBLISH_ATTEMPTS:
                raise
        except (FileExistsError, NotADirectoryError):
            if target.parent.is_dir():
                raise ArtifactExistsError(path) from None
            raise InvalidArgumentError(f"'{path}' leads through a file") from None
    _sync_folder(target.parent)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each so that it outlives a power cut."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):  # a concurrent delete: it syncs nothing that is there
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Raise errors of the system as those of an artifact store, about a path of it."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactNotFoundError(path) from None
    except IsADirectoryError:
        raise InvalidArgumentError(f"'{path}' is a folder") from None
    except PermissionError:
        raise NotPermittedError(f"no permission for the artifact '{path}'") from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise InvalidArgumentError("Invalid path") from None
        raise StoreUnavailableError(f"the artifact directory failed: {error.strerror}") from error
