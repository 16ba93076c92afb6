"""Artifacts on any file system that fsspec knows: `memory://` in tests, others untested."""

from __future__ import annotations

import builtins
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import IO, Any, cast

import fsspec

from registry_core.artifacts.store import (
    CHUNK_SIZE,
    FileInfo,
    FileWriter,
    Reading,
    Steps,
    pieces_of,
    write_all,
)
from registry_core.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    BackendNotInstalledError,
    InvalidArgumentError,
    InvalidUrlError,
    NotPermittedError,
    StoreUnavailableError,
)
from registry_core.redaction import redacted

_SMALL = 8 * 1024 * 1024
"""Bytes up to which a file is given to the file system in one piece, which most take atomically."""

_MODIFIED = ("mtime", "LastModified", "last_modified", "updated", "created")
"""Under which of these a file system says when a file was written; the first counts."""

_exclusive = threading.Lock()
"""Held for writes that must not replace: few file systems have a condition for that."""


class FsspecArtifactStore:
    """An `ArtifactStore` on an fsspec file system.

    Strategy: file systems differ in what a half-written file looks like. So all chunks are gathered
    first, past a few megabytes on the local disk, and nothing is touched if they end in an error.
    How atomic the write itself is, depends on the file system.
    """

    def __init__(self, url: str) -> None:
        url = url.rstrip("/")
        self._url = _without_password(url)
        self._fs: Any
        self._fs, root = _file_system(url)
        self._prefix = root.rstrip("/")

    @property
    def root(self) -> str:
        """The URL the store was opened with, without its password: sources begin with it."""
        return self._url

    def list(self, path: str) -> builtins.list[FileInfo]:
        """Return what is directly in a folder, in order of path."""
        with _fs_errors(path):
            try:
                entries = self._fs.ls(self._full(path), detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return []
        infos = (self._info(entry) for entry in entries)
        return sorted(
            (info for info in infos if info.path not in (path, "")), key=lambda info: info.path
        )

    def walk(self, path: str) -> Iterator[FileInfo]:
        """Yield every file below a folder, or the file itself."""
        with _fs_errors(path):
            entries = self._fs.find(self._full(path), detail=True)
        yield from (self._info(entry) for entry in entries.values())

    def stat(self, path: str) -> FileInfo:
        """Return the file at a path."""
        with _fs_errors(path):
            entry = self._fs.info(self._full(path))
        if entry["type"] != "file":
            raise ArtifactNotFoundError(path)
        return self._info(entry)

    def read(self, path: str, *, start: int = 0, stop: int | None = None) -> Reading:
        """Open the file."""
        info = self.stat(path)
        with _fs_errors(path):
            file = self._fs.open(self._full(path), "rb")
        pieces = pieces_of(
            file, start, stop, size=info.size or 0, failing=partial(_fs_errors, path)
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
        """Write a file of the chunks."""
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

    writer_bytes = _SMALL
    """The rest is on the local disk."""

    def _writing(self, path: str, *, overwrite: bool) -> Steps:
        with tempfile.SpooledTemporaryFile(_SMALL) as gathered:
            while (chunk := (yield)) is not None:
                gathered.write(chunk)
            size = gathered.tell()
            gathered.seek(0)
            with _fs_errors(path):
                self._check_place(path)
                if overwrite:
                    self._put(path, gathered, size)
                else:
                    with _exclusive:
                        if self._fs.exists(self._full(path)):
                            raise ArtifactExistsError(path)
                        self._put(path, gathered, size)
        return FileInfo(path=path, size=size)

    def delete(self, path: str) -> None:
        """Remove a file or everything below a folder."""
        with _fs_errors(path):
            try:
                self._fs.rm(self._full(path), recursive=True)
            except (FileNotFoundError, NotADirectoryError):
                return

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files."""
        for path in paths:
            with _fs_errors(path):
                try:
                    self._fs.rm_file(self._full(path))
                except (FileNotFoundError, KeyError):  # the latter is what memory: says
                    continue

    def drop_partial(self, *, before: int, dry_run: bool = False) -> int:  # noqa: ARG002 protocol
        """None: what a file system keeps of a broken write is its own."""
        return 0

    def close(self) -> None:
        """Do nothing: the file system is fsspec's to close."""

    def _check_place(self, path: str) -> None:
        if self._fs.isdir(self._full(path)):
            raise InvalidArgumentError(f"'{path}' is a folder")
        folder = path
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            if self._fs.isfile(self._full(folder)):
                raise InvalidArgumentError(f"'{path}' leads through a file")

    def _put(self, path: str, gathered: IO[bytes], size: int) -> None:
        full = self._full(path)
        try:
            self._put_there(full, gathered, size)
        except FileNotFoundError:
            # Of the kind that has folders of their own.
            self._fs.makedirs(full.rpartition("/")[0], exist_ok=True)
            gathered.seek(0)
            self._put_there(full, gathered, size)

    def _put_there(self, full: str, gathered: IO[bytes], size: int) -> None:
        if size <= _SMALL:
            self._fs.pipe_file(full, gathered.read())
            return
        with self._fs.open(full, "wb") as file:
            shutil.copyfileobj(gathered, file, CHUNK_SIZE)

    def _full(self, path: str) -> str:
        return f"{self._prefix}/{path}" if path else self._prefix

    def _info(self, entry: dict[str, Any]) -> FileInfo:
        path = entry["name"].removeprefix(self._prefix).strip("/")
        if entry["type"] == "directory":
            return FileInfo(path=path, is_dir=True)
        return FileInfo(path=path, size=entry["size"], modified=self._modified(entry))

    def _modified(self, entry: dict[str, Any]) -> int | None:
        moment: object = next((entry[key] for key in _MODIFIED if key in entry), None)
        if moment is None:
            try:
                moment = self._fs.modified(entry["name"])
            except (NotImplementedError, FileNotFoundError):
                return None
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        seconds = moment.timestamp() if isinstance(moment, datetime) else float(str(moment))
        return int(seconds * 1000)


def open_artifact_store(url: str) -> FsspecArtifactStore:
    """Open the artifacts below any URL that fsspec knows."""
    return FsspecArtifactStore(url)


def _file_system(url: str) -> tuple[Any, str]:
    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(url))
    except ValueError:
        # Where it repeats what it could not read, that may be a password.
        raise InvalidUrlError(
            f"'{redacted(url)}' is not an artifact root: fsspec does not understand it"
        ) from None
    except ImportError as error:
        raise BackendNotInstalledError(str(error)) from error
    except OSError as error:
        raise StoreUnavailableError(f"The artifact root cannot be reached: {error}") from error


def _without_password(url: str) -> str:
    # A user stays: some file systems have a container in its place.
    scheme, separator, rest = url.partition("://")
    userinfo, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{userinfo.partition(':')[0]}{at}{place}"


@contextmanager
def _fs_errors(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ArtifactNotFoundError(path) from None
    except (IsADirectoryError, NotADirectoryError, FileExistsError):
        raise InvalidArgumentError(f"'{path}' is a folder, or leads through a file") from None
    except PermissionError:
        raise NotPermittedError(f"no permission for the artifact '{path}'") from None
    except OSError as error:
        raise StoreUnavailableError(f"the artifact root failed: {error}") from error
