"""Artifacts in a directory of this machine: the embedded default."""

from __future__ import annotations

import builtins
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import attrs

from registry_core.artifacts.backends.local_files import (
    file_info,
    fill,
    go_on,
    is_locked,
    is_same,
    milliseconds,
    os_errors,
    publish,
)
from registry_core.artifacts.digests import Sha256, Xxh3
from registry_core.artifacts.paths import RESERVED
from registry_core.artifacts.store import (
    FileInfo,
    FileWriter,
    KeptUpload,
    Reading,
    Steps,
    pieces_of,
    write_all,
)
from registry_core.artifacts.trees import sha256_file
from registry_core.errors import ArtifactNotFoundError, ConflictError, InvalidArgumentError

_PARTIAL = f"{RESERVED}/partial"
"""Where files lie that are still being written: on the same file system, and in no listing."""


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
        with os_errors(path):
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
        with os_errors(path):
            return file_info(path, self._resolve(path).stat())

    def read(self, path: str, *, start: int = 0, stop: int | None = None) -> Reading:
        """Open the file."""
        with os_errors(path):
            # Not waiting for the other end of what turns out to be a pipe.
            descriptor = os.open(self._resolve(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            info = file_info(path, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        file = open(descriptor, "rb", buffering=0)  # noqa: SIM115, PTH123 the reading closes it
        pieces = pieces_of(file, start, stop, size=info.size or 0, failing=partial(os_errors, path))
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
        with os_errors(path):
            target = self._resolve(path)
            partial = self._directory.resolve() / _PARTIAL / secrets.token_hex(16)
            partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield from fill(partial, path)
            with os_errors(path):
                info = file_info(path, partial.stat())
                publish(partial, target, path, overwrite=overwrite)
        finally:
            partial.unlink(missing_ok=True)
        return info

    def kept_bytes(self, path: str, *, sha256: str) -> int:
        """Return how many bytes an interrupted write of the file with this digest has left."""
        with os_errors(path), suppress(FileNotFoundError):
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

    def kept_upload(self, upload: str) -> KeptUpload:
        """Return what there is of an upload."""
        partial = self._partial(upload)
        with os_errors(upload), suppress(FileNotFoundError):
            complete = [
                (path.stat(), path.suffix.removeprefix("."))
                for path in partial.parent.glob(f"{partial.name}.*")
            ]
            if complete:
                status, sha256 = max(complete, key=lambda each: each[0].st_mtime_ns)
                return KeptUpload(size=status.st_size, sha256=sha256)
            return KeptUpload(size=partial.stat().st_size)
        return KeptUpload()

    def upload_writer(self, upload: str, *, start: int) -> FileWriter:
        """Write an upload from `start` on."""
        return FileWriter(self._receiving(upload, start))

    def publish_upload(self, upload: str, path: str, *, sha256: str) -> FileInfo:
        """Rename a complete upload to its place."""
        with os_errors(path):
            target, complete = self._resolve(path), _complete(self._partial(upload), sha256)
            # As young as one that is written now, for a collection of garbage.
            os.utime(complete)
            info = file_info(path, complete.stat())
            publish(complete, target, path, overwrite=True)
        return info

    def drop_upload(self, upload: str, *, sha256: str) -> None:
        """Remove a complete upload."""
        with os_errors(upload):
            _complete(self._partial(upload), sha256).unlink(missing_ok=True)

    def _receiving(self, upload: str, start: int) -> Steps:
        partial, digest, xxh3 = self._partial(upload), Sha256(), Xxh3()
        with os_errors(upload):
            partial.parent.mkdir(parents=True, exist_ok=True)
            if start and not partial.exists():
                raise ConflictError(f"nothing of '{upload}' is kept")
            file = _opened(partial)
        with file:
            if not is_locked(file, partial):
                raise ConflictError(f"'{upload}' is written by somebody else")
            try:
                yield from go_on(file, upload, start, (digest, xxh3))
            except GeneratorExit:
                partial.unlink(missing_ok=True)
                raise
            if not is_same(file, partial):
                raise ConflictError(f"what was written of '{upload}' was dropped by somebody else")
            sha256 = digest.hexdigest()
            with os_errors(upload):
                info = file_info(upload, partial.stat())
                # The name says what it is: nothing has to be read again to believe it.
                partial.replace(_complete(partial, sha256))
        return attrs.evolve(info, sha256=sha256, xxh3=xxh3.hexdigest())

    def _kept(self, path: str, sha256: str) -> Path:
        return self._partial(f"{path}\n{sha256}")

    def _partial(self, what: str) -> Path:
        name = hashlib.sha256(what.encode()).hexdigest()
        return self._directory.resolve() / _PARTIAL / name

    def _resuming(self, path: str, sha256: str, start: int) -> Steps:
        with os_errors(path):
            target, partial = self._resolve(path), self._kept(path, sha256)
            partial.parent.mkdir(parents=True, exist_ok=True)
            file = _opened(partial)
        with file:
            if not is_locked(file, partial):
                if start:
                    raise ConflictError(f"'{path}' is written by somebody else")
                return (yield from self._writing(path, overwrite=True))
            try:
                yield from go_on(file, path, start)
            except GeneratorExit:
                partial.unlink(missing_ok=True)
                raise
            if not is_same(file, partial):
                # Dropped as a dead writer's, and maybe begun again by another one.
                raise ConflictError(f"what was written of '{path}' was dropped by somebody else")
            if start and sha256_file(partial) != sha256:
                partial.unlink(missing_ok=True)
                raise InvalidArgumentError(f"'{path}': what was continued has not sha256 {sha256}")
            with os_errors(path):
                info = file_info(path, partial.stat())
                publish(partial, target, path, overwrite=True)
        return info

    def delete(self, path: str) -> None:
        """Remove a file or a folder, and folders above it that became empty."""
        with os_errors(path), suppress(FileNotFoundError, NotADirectoryError):
            target = self._resolve(path)
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink()
            self._drop_empty_folders(target.parent)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, and folders above them that became empty."""
        for path in paths:
            with os_errors(path), suppress(FileNotFoundError, NotADirectoryError):
                target = self._resolve(path)
                target.unlink()
                self._drop_empty_folders(target.parent)

    def drop_partial(self, *, before: int, dry_run: bool = False) -> int:
        """Remove the partial files of writers that died."""
        dropped = 0
        with os_errors(""), suppress(FileNotFoundError):
            for path in (self._directory / _PARTIAL).iterdir():
                with suppress(FileNotFoundError):
                    if milliseconds(path.stat()) < before:
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
                        yield file_info(inner, entry.stat(follow_symlinks=False))

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


def _opened(partial: Path) -> IO[bytes]:
    """A file to write, with what there is of it."""
    return open(os.open(partial, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)  # noqa: PTH123 the descriptor is made so


def _complete(partial: Path, sha256: str) -> Path:
    """Where an upload is once all of it has come."""
    return partial.with_name(f"{partial.name}.{sha256}")
