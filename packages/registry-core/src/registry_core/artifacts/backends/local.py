"""Artifacts in a directory of this machine: the embedded default."""

from __future__ import annotations

import builtins
import errno
import hashlib
import os
import secrets
import shutil
import stat as stat_module
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from registry_core.artifacts.paths import RESERVED
from registry_core.artifacts.store import (
    FileInfo,
    FileWriter,
    Reading,
    Steps,
    pieces_of,
    write_all,
)
from registry_core.artifacts.trees import sha256_file
from registry_core.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    ConflictError,
    InvalidArgumentError,
    NotPermittedError,
    StoreUnavailableError,
)

_PARTIAL = f"{RESERVED}/partial"
"""Where files lie that are still being written: on the same file system, and in no listing."""

_PUBLISH_ATTEMPTS = 10
"""How often a folder is made again that a concurrent delete removed as empty."""


class LocalArtifactStore:
    """An `ArtifactStore` in a directory.

    Strategy: a file is written apart, synced, and renamed into place, so a crash leaves at most a
    partial file that `drop_partial` removes. Every path is resolved first, and refused when it
    leads through a symbolic link; links are in no listing.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory).expanduser().absolute()

    @property
    def root(self) -> str:
        """The directory as a `file://` URI."""
        return self._directory.as_uri()

    def list(self, path: str) -> builtins.list[FileInfo]:
        """Return what is directly in a folder, in order of path."""
        with _os_errors(path):
            return sorted(self._scan(path), key=lambda info: info.path)

    def walk(self, path: str) -> Iterator[FileInfo]:
        """Yield every file below a folder, or the file itself."""
        folders = [path]
        with suppress(ArtifactNotFoundError):
            yield self.stat(path)
            return
        while folders:
            for info in self.list(folders.pop()):
                if info.is_dir:
                    folders.append(info.path)
                else:
                    yield info

    def stat(self, path: str) -> FileInfo:
        """Return the file at a path."""
        with _os_errors(path):
            return _file_info(path, self._resolve(path).stat())

    def read(self, path: str, *, start: int = 0, stop: int | None = None) -> Reading:
        """Open the file."""
        with _os_errors(path):
            # Not waiting for the other end of what turns out to be a pipe.
            descriptor = os.open(self._resolve(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            info = _file_info(path, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        file = open(descriptor, "rb", buffering=0)  # noqa: SIM115, PTH123 the reading closes it
        pieces = pieces_of(
            file, start, stop, size=info.size or 0, failing=partial(_os_errors, path)
        )
        return Reading(info, pieces, close=file.close)

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        overwrite: bool = True,
        sha256: str | None = None,  # noqa: ARG002 there is nowhere to record it
    ) -> FileInfo:
        """Write a file of the chunks, synced to the disk before it is seen."""
        return write_all(self.writer(path, overwrite=overwrite), chunks)

    def writer(
        self,
        path: str,
        *,
        overwrite: bool = True,
        sha256: str | None = None,  # noqa: ARG002 there is nowhere to record it
    ) -> FileWriter:
        """As `write`, for bytes that come piece by piece."""
        return FileWriter(self._writing(path, overwrite=overwrite))

    writer_bytes = 0
    """All is on the disk."""

    def _writing(self, path: str, *, overwrite: bool) -> Steps:
        with _os_errors(path):
            target = self._resolve(path)
            partial = self._directory.resolve() / _PARTIAL / secrets.token_hex(16)
            partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield from _fill(partial, path)
            with _os_errors(path):
                info = _file_info(path, partial.stat())
                _publish(partial, target, path, overwrite=overwrite)
        finally:
            partial.unlink(missing_ok=True)
        return info

    def kept_bytes(self, path: str, *, sha256: str) -> int:
        """Return how many bytes an interrupted write of the file with this digest has left."""
        with _os_errors(path), suppress(FileNotFoundError):
            return self._kept(path, sha256).stat().st_size
        return 0

    def resuming_writer(
        self,
        path: str,
        *,
        sha256: str,
        start: int,
        announce: Callable[[str], object],  # noqa: ARG002 the bytes are compared first
    ) -> FileWriter:
        """As `writer`, from `start` on. One at a time is continued; others begin apart."""
        return FileWriter(self._resuming(path, sha256, start))

    def cancel_write(self, path: str, write_id: str) -> None:
        """No write is announced: each compares its bytes before they are visible."""

    def _kept(self, path: str, sha256: str) -> Path:
        name = hashlib.sha256(f"{path}\n{sha256}".encode()).hexdigest()
        return self._directory.resolve() / _PARTIAL / name

    def _resuming(self, path: str, sha256: str, start: int) -> Steps:
        with _os_errors(path):
            target, partial = self._resolve(path), self._kept(path, sha256)
            partial.parent.mkdir(parents=True, exist_ok=True)
            file = open(os.open(partial, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)  # noqa: SIM115, PTH123 closed below
        with file:
            if not _is_locked(file, partial):
                if start:
                    raise ConflictError(f"'{path}' is written by somebody else")
                return (yield from self._writing(path, overwrite=True))
            try:
                yield from _go_on(file, path, start)
            except GeneratorExit:
                partial.unlink(missing_ok=True)
                raise
            if not _is_same(file, partial):
                # Dropped as a dead writer's, and maybe begun again by another one.
                raise ConflictError(f"what was written of '{path}' was dropped by somebody else")
            if start and sha256_file(partial) != sha256:
                partial.unlink(missing_ok=True)
                raise InvalidArgumentError(f"'{path}': what was continued has not sha256 {sha256}")
            with _os_errors(path):
                info = _file_info(path, partial.stat())
                _publish(partial, target, path, overwrite=True)
        return info

    def delete(self, path: str) -> None:
        """Remove a file or a folder, and folders above it that became empty."""
        with _os_errors(path), suppress(FileNotFoundError, NotADirectoryError):
            target = self._resolve(path)
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink()
            self._drop_empty_folders(target.parent)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, and folders above them that became empty."""
        for path in paths:
            with _os_errors(path), suppress(FileNotFoundError, NotADirectoryError):
                target = self._resolve(path)
                target.unlink()
                self._drop_empty_folders(target.parent)

    def drop_partial(self, *, before: int, dry_run: bool = False) -> int:
        """Remove the partial files of writers that died."""
        dropped = 0
        with _os_errors(""), suppress(FileNotFoundError):
            for path in (self._directory / _PARTIAL).iterdir():
                with suppress(FileNotFoundError):
                    if _milliseconds(path.stat()) < before:
                        dropped += 1
                        if not dry_run:
                            path.unlink()
        return dropped

    def close(self) -> None:
        """Nothing is held open."""

    def _scan(self, path: str) -> Iterator[FileInfo]:
        folder = self._resolve(path)
        if not folder.is_dir():
            return
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                inner = f"{path}/{entry.name}" if path else entry.name
                if entry.is_dir(follow_symlinks=False):
                    yield FileInfo(path=inner, is_dir=True)
                elif entry.is_file(follow_symlinks=False) and path != _PARTIAL:
                    with suppress(FileNotFoundError):  # gone since the folder was read
                        yield _file_info(inner, entry.stat(follow_symlinks=False))

    def _resolve(self, path: str) -> Path:
        root = self._directory.resolve()
        resolved = (root / path).resolve()
        if resolved != root / path:
            raise InvalidArgumentError("Invalid path")
        return resolved

    def _drop_empty_folders(self, folder: Path) -> None:
        root = self._directory.resolve()
        while folder not in (root, root / RESERVED):
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def open_artifact_store(url: str) -> LocalArtifactStore:
    """Open the artifacts below a directory, given as `file:///path` or as a path."""
    from urllib.request import url2pathname  # noqa: PLC0415 slow, and rarely needed

    if url.lower().startswith("file:"):
        return LocalArtifactStore(url2pathname(urlsplit(url).path))
    return LocalArtifactStore(url)


def _file_info(path: str, status: os.stat_result) -> FileInfo:
    if not stat_module.S_ISREG(status.st_mode):
        raise ArtifactNotFoundError(path)
    return FileInfo(
        path=path,
        size=status.st_size,
        modified=_milliseconds(status),
        # The inode too: two versions of a file may be as long, and written in one tick.
        etag=f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}",
    )


def _milliseconds(status: os.stat_result) -> int:
    return status.st_mtime_ns // 1_000_000


def _fill(partial: Path, path: str) -> Generator[None, bytes | None, None]:
    with _os_errors(path):
        file = partial.open("xb", buffering=0)
    with file:
        while (chunk := (yield)) is not None:
            _write_whole(file, chunk, path)
        _sync(file, path)


def _write_whole(file: IO[bytes], chunk: bytes, path: str) -> None:
    """Write all of a chunk: an unbuffered file may take less than it is given."""
    with _os_errors(path):
        view = memoryview(chunk)
        while view:
            view = view[file.write(view) :]


def _sync(file: IO[bytes], path: str) -> None:
    with _os_errors(path):
        os.fsync(file.fileno())


def _is_locked(file: IO[bytes], partial: Path) -> bool:
    """Whether the file is this writer's alone now. The lock goes with the process that holds it."""
    import fcntl  # noqa: PLC0415 there is none on Windows, where all but files works

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Another writer may have published it between its opening and the lock.
    return _is_same(file, partial)


def _is_same(file: IO[bytes], partial: Path) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), partial.stat())
    except FileNotFoundError:
        return False


def _go_on(file: IO[bytes], path: str, start: int) -> Generator[None, bytes | None, None]:
    """Write pieces after the first `start` bytes of a file."""
    with _os_errors(path):
        if file.seek(0, os.SEEK_END) < start:
            raise ConflictError(f"of '{path}' fewer than {start} bytes are kept")
        file.seek(start)
        file.truncate()
    while (chunk := (yield)) is not None:
        _write_whole(file, chunk, path)
    _sync(file, path)


def _publish(partial: Path, target: Path, path: str, *, overwrite: bool) -> None:
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
def _os_errors(path: str) -> Iterator[None]:
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
