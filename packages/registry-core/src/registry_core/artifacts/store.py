"""The `ArtifactStore` protocol: files under one root, and what every implementation promises."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import IO, Protocol, Self, TypeAlias, runtime_checkable

import attrs

from registry_core.errors import StoreCorruptedError

CHUNK_SIZE = 256 * 1024
"""Bytes in the largest piece that a reading gives: what a server holds for each slow download."""

READ_ATTEMPTS = 5
"""Connections over which one download may come, each going on where the one before it broke."""


@attrs.frozen(kw_only=True)
class FileInfo:
    """A file or folder: its path relative to the root, and what is known about a file."""

    path: str
    is_dir: bool = False
    size: int | None = None
    modified: int | None = attrs.field(default=None, eq=False)
    """When the file was last written: ms since the epoch, by the backend's clock."""
    sha256: str | None = attrs.field(default=None, eq=False)
    """What `write` recorded, as `stat` found it: what was once written, not what is there now."""
    xxh3: str | None = attrs.field(default=None, eq=False)
    """The XXH3 of 128 bits of an upload that has come: by it a client knows that nothing was
    changed on the way."""
    etag: str | None = attrs.field(default=None, eq=False)
    """What changes whenever the file does, without quotes; None where the backend has none."""


class Reading:
    """An open file: its `info`, and the bytes that were asked for, in pieces.

    A context manager: close it unless you read to the end.
    """

    def __init__(
        self, info: FileInfo, pieces: Iterator[bytes], *, close: Callable[[], object]
    ) -> None:
        self.info = info
        self._pieces = pieces
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the file or connection; it may be closed twice."""
        self._close()


def pieces_of(
    file: IO[bytes],
    start: int,
    stop: int | None,
    *,
    size: int,
    failing: Callable[[], AbstractContextManager[None]],
) -> Iterator[bytes]:
    """Yield the bytes of an open file from `start` up to `stop` or its end, in pieces.

    Args:
        file: The file.
        start: The first byte.
        stop: The byte after the last one; None for the end.
        size: Bytes in the file.
        failing: Makes what each access runs in, which turns its errors into ours.
    """
    with failing():
        file.seek(start)
    left = (size if stop is None else min(stop, size)) - start
    while left > 0:
        with failing():
            piece = file.read(min(CHUNK_SIZE, left))
        if not piece:
            return
        left -= len(piece)
        yield piece


def read_all(artifacts: ArtifactStore, path: str, *, most: int) -> bytes:
    """Return all bytes of a file that should be small.

    Raises:
        StoreCorruptedError: it has more than `most` bytes.
    """
    body = bytearray()
    with artifacts.read(path) as pieces:
        for piece in pieces:
            body += piece
            if len(body) > most:
                raise StoreCorruptedError(f"'{path}' has more than {most} bytes")
    return bytes(body)


FileBytes: TypeAlias = bytes | memoryview
"""Bytes of a file, in their order. Those of a `memoryview` are lent: what takes it keeps none of
them when it returns."""

Steps: TypeAlias = Generator[None, FileBytes | None, FileInfo]
"""Takes each piece of a file, then None, and gives what was written. Closed before that, it undoes
what it has done."""


RESUMABLE_BYTES = 32 * 1024 * 1024
"""Bytes from which on a file is written so that an interrupted write can be continued. A smaller
one is sent again in less time than it takes to ask what is there."""


def is_resumable(size: int) -> bool:
    """Return whether an interrupted write of a file of so many bytes can be continued."""
    return size >= RESUMABLE_BYTES


class SuspendedError(Exception):
    """A write was interrupted, and what was written may stay for the next."""


class FileWriter:
    """A file that is being written; for one caller at a time, from whatever threads.

    A caller that does not commit it aborts it. Both, and each piece, may wait for the backend.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        next(steps)

    def write(self, piece: FileBytes) -> None:
        """Take the next bytes. After an error there is nothing to abort."""
        self._steps.send(piece)

    def commit(self) -> FileInfo:
        """Make the file visible and return it. After an error there is nothing to abort."""
        try:
            self._steps.send(None)
        except StopIteration as ended:
            written: FileInfo = ended.value
            return written
        raise AssertionError("a writer goes on after its end")

    def abort(self) -> None:
        """Leave what was there; without effect on a file that is written."""
        self._steps.close()

    def suspend(self) -> None:
        """As `abort`, but what a `resuming_writer` has taken stays for the next one."""
        with suppress(SuspendedError, StopIteration):
            self._steps.throw(SuspendedError())


@runtime_checkable
class ArtifactStore(Protocol):
    """Keeps files under one root.

    Paths are relative to the root and passed `paths.artifact_path`; no method touches anything
    outside the root, following no link out of it. Methods are synchronous and thread-safe, and use
    memory that does not grow with the size of a file.

    - `write` is atomic and durable: a reader sees the whole new file or what was there before.
    - What a write or removal did, the next listing or read sees, from any process.
    - A folder exists while there is a file below it. No file is also a folder.
    - A reading gives no more bytes than its `info` says the file has, also if it grows meanwhile.
    - An unreachable backend raises `StoreUnavailableError`; missing files `ArtifactNotFoundError`.
    """

    @property
    def root(self) -> str:
        """The URI of the root, without a slash at its end."""
        ...

    def list(self, path: str) -> list[FileInfo]:
        """Return what is directly in a folder, by path; empty for a file or what does not exist."""
        ...

    def walk(self, path: str) -> Iterator[FileInfo]:
        """Return every file below a folder, in no particular order; the file itself for a file."""
        ...

    def stat(self, path: str) -> FileInfo:
        """Return the file at a path."""
        ...

    def read(self, path: str, *, start: int = 0, stop: int | None = None) -> Reading:
        """Open the file at a path, for its bytes from `start` up to `stop` or its end."""
        ...

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        overwrite: bool = True,
        sha256: str | None = None,
    ) -> FileInfo:
        """Write a file of the chunks; `sha256` is recorded with it where the backend can.

        An exception from `chunks` passes as it is, and leaves what was there. Nothing is visible
        before the last chunk was taken. `write_all` makes it of `writer`.

        Raises:
            ArtifactExistsError: `overwrite` is False and the file exists. Only files of a few
                megabytes can be written so.
            InvalidArgumentError: the path is a folder, or leads through a file.
        """
        ...

    def writer(self, path: str, *, overwrite: bool = True, sha256: str | None = None) -> FileWriter:
        """As `write`, for bytes that come piece by piece."""
        ...

    @property
    def writer_bytes(self) -> int:
        """The bytes that a writer may keep in memory between two pieces."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file, or everything below a folder; what is absent is skipped."""
        ...

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, many at a time where the backend can; what is absent is skipped."""
        ...

    def drop_partial(self, *, before: int, dry_run: bool = False) -> int:
        """Remove writes that began before a moment (ms) and never ended; return how many.

        A dry run only counts them.
        """
        ...

    def close(self) -> None:
        """Free connections."""
        ...


@runtime_checkable
class ResumingArtifactStore(ArtifactStore, Protocol):
    """An artifact store in which an interrupted write can be continued, also by another process."""

    def kept_bytes(self, path: str, *, sha256: str) -> int:
        """Return how many bytes an interrupted write of the file with this digest has left."""
        ...

    def resuming_writer(
        self, path: str, *, sha256: str, start: int, announce: Callable[[str], object]
    ) -> FileWriter:
        """As `writer`, for the bytes from `start` on, of which as many were kept; 0 begins anew.

        Whatever ends it but `abort` leaves what it has taken. The bytes of a file that was
        continued are compared with its digest before `commit` returns. A store that can read them
        only once they are visible calls `announce` before, with an id of this write: what raises
        there keeps the file from becoming visible. Such a store leaves a file of other bytes where
        it is, since somebody may have put the right one in its place.

        Raises:
            ConflictError: others than so many bytes are kept, or another process writes them or
                has ended the write.
            InvalidArgumentError: the file has another digest; raised by `commit`.
        """
        ...

    def cancel_write(self, path: str, write_id: str) -> None:
        """Have an announced write make no file from now on; it may be over already."""
        ...


@attrs.frozen(kw_only=True)
class KeptUpload:
    """What there is of an upload: bytes, and their digest in hex once all of them have come."""

    size: int = 0
    sha256: str | None = None


@runtime_checkable
class ReceivingArtifactStore(ArtifactStore, Protocol):
    """An artifact store that takes a file before its digest, and so its place, is known.

    An upload has a name, which is not a path. Nobody lists or reads it before it is published, and
    `drop_partial` removes it, complete or not.
    """

    def kept_upload(self, upload: str) -> KeptUpload:
        """Return what there is of an upload; nothing of one that is not known."""
        ...

    def upload_writer(self, upload: str, *, start: int) -> FileWriter:
        """Write an upload from `start` on, of which as many bytes were kept; 0 begins anew.

        Whatever ends it but `abort` leaves what it has taken. `commit` returns when all of it is
        durable, with the `sha256` and the `xxh3` of the bytes that are there; its `path` is the
        upload's name.

        Raises:
            ConflictError: fewer bytes are kept, or another process writes or has dropped them.
        """
        ...

    def publish_upload(self, upload: str, path: str, *, sha256: str) -> FileInfo:
        """Make a complete upload with this digest the file at a path, as `write` would.

        Raises:
            ArtifactNotFoundError: there is no such upload.
        """
        ...

    def drop_upload(self, upload: str, *, sha256: str) -> None:
        """Remove a complete upload with this digest; it may be gone already."""
        ...


@attrs.frozen(kw_only=True)
class MultipartUpload:
    """A started multipart upload: its id, and one URL per part to PUT that part to, in order."""

    upload_id: str
    urls: Sequence[str]


@runtime_checkable
class PresigningArtifactStore(ArtifactStore, Protocol):
    """An artifact store that can let others move bytes directly, by URLs for a single key."""

    def presigned_url(self, path: str, *, expires_seconds: int) -> str:
        """Return a URL by which any client reads the file at a path, for so long."""
        ...

    def create_multipart(self, path: str, *, parts: int, expires_seconds: int) -> MultipartUpload:
        """Begin a multipart upload of the file at a path, in so many parts."""
        ...

    def complete_multipart(self, path: str, upload_id: str, *, etags: Mapping[int, str]) -> None:
        """Make the file from its parts; `etags` are the ETag headers by part number.

        Raises:
            ArtifactNotFoundError: there is no such upload.
            InvalidArgumentError: the parts are not those that were sent.
        """
        ...

    def abort_multipart(self, path: str, upload_id: str) -> None:
        """Drop the parts; the upload may be gone already."""
        ...


def write_all(writer: FileWriter, chunks: Iterable[bytes]) -> FileInfo:
    """Write the chunks and return the file; an exception from them passes, and aborts it."""
    try:
        for chunk in chunks:
            writer.write(chunk)
        return writer.commit()
    finally:
        writer.abort()
