"""Changing files that no version has: what the artifact routes of a server may do.

A file whose digest is known beforehand may also come to a folder that is closed for a push, if it
is one of those that are awaited there (`seals.Seals.fill`). Such a folder is named by its content,
so the file that belongs there is the same, whichever client sends it, and whenever.

Strategy: rule 1 of the package. A change takes its lease when it is about to become visible, and
looks afterwards whether a collection of garbage took its file for an old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

import attrs

from registry_core.artifacts import (
    ArtifactStore,
    FileInfo,
    FileWriter,
    ManifestFile,
    PresigningArtifactStore,
    ResumingArtifactStore,
    SuspendedError,
    is_resumable,
    write_all,
)
from registry_core.artifacts.digests import Sha256
from registry_core.artifacts.store import Steps
from registry_core.artifacts.versions.context import Context
from registry_core.artifacts.versions.layout import is_named_by, push_folder
from registry_core.artifacts.versions.seals import Closed, Seals
from registry_core.artifacts.versions.unverified import Announcement
from registry_core.errors import (
    ArtifactImmutableError,
    ArtifactNotFoundError,
    ConflictError,
    InvalidArgumentError,
)

_PUSHES_KNOWN = 8
"""Pushes whose lists of awaited files a process keeps in memory; those of others are read again for
each of their files."""


def check_open(context: Context, path: str) -> None:
    """Return if what is at the path may be changed.

    Raises:
        ArtifactImmutableError: it belongs to a version.
    """
    if context.seals.conflicting(path) is not None:
        raise ArtifactImmutableError(path)


def awaits(context: Context, path: str, sha256: str) -> bool:
    """Return whether a push awaits a file with this digest at the path."""
    return _awaited_file(context, path, sha256) is not None


def awaited_size(context: Context, path: str, sha256: str) -> int | None:
    """Return the size of the file with this digest that a push awaits at the path, if one does."""
    awaited = _awaited_file(context, path, sha256)
    return None if awaited is None else awaited.file.size


@attrs.frozen
class _Awaited:
    file: ManifestFile
    is_sealed: bool
    """Whether all files of its folder are there, so that it is awaited only if it was lost."""

    @property
    def is_resumable(self) -> bool:
        """Whether its upload can be continued: nothing unverified comes to a sealed folder."""
        return not self.is_sealed and is_resumable(self.file.size)


def _awaited_file(context: Context, path: str, sha256: str) -> _Awaited | None:
    folder = push_folder(path)
    seal = None if folder == path else context.seals.stat(folder)
    if seal is None:
        return None
    state = (seal.etag, seal.modified, seal.size)
    try:
        files, is_sealed = _awaited_in(context.artifacts, folder, state)  # type: ignore[arg-type]  # stores are hashable
    except (ArtifactNotFoundError, _NoPushError):
        return None
    file = files.get(path.removeprefix(f"{folder}/"))
    return None if file is None or file.sha256 != sha256 else _Awaited(file, is_sealed)


class _NoPushError(Exception):
    """A folder is sealed or closed, and not for a push through a server."""


@lru_cache(maxsize=_PUSHES_KNOWN)
def _awaited_in(
    artifacts: ArtifactStore, folder: str, _: object
) -> tuple[Mapping[str, ManifestFile], bool]:
    """The files of a push to a folder while its seal is in this state, and whether it is sealed.

    Once they were collected, files of another version may be sealed in the same folder.
    """
    state = Seals(artifacts).state(folder)
    is_sealed = not isinstance(state, Closed)
    manifest = state.manifest if isinstance(state, Closed) else state
    if manifest is None or not is_named_by(folder, manifest):
        # Raised, and so not kept: a push may begin there yet.
        raise _NoPushError
    return {file.path: file for file in manifest.files}, is_sealed


def write(
    context: Context, path: str, chunks: Iterable[bytes], *, sha256: str | None = None
) -> FileInfo:
    """Write a file of the chunks and return it.

    Raises:
        ArtifactImmutableError: a version has the path, also if it was registered meanwhile.
        ConflictError: a collection of garbage removed the file; it may be written again.
        InvalidArgumentError: the chunks have another digest than `sha256`, if that is given.
    """
    return write_all(writer(context, path, sha256=sha256), chunks)


def writer(
    context: Context, path: str, *, sha256: str | None = None, start: int | None = None
) -> FileWriter:
    """As `write`, for bytes that come piece by piece; `commit` raises what `write` does.

    With `start` what it takes of an awaited file stays when it is suspended, if the artifact store
    can keep it; past 0 it continues such a file.
    """
    if sha256 is None:
        return FileWriter(_writing(context, path))
    if start is not None and isinstance(context.artifacts, ResumingArtifactStore):
        return FileWriter(_continuing(context, context.artifacts, path, sha256, start))
    if start:
        raise ConflictError(f"nothing of '{path}' is kept")
    return FileWriter(_verifying(context, path, sha256))


def kept_bytes(context: Context, path: str, *, sha256: str) -> int:
    """Return how many bytes of an awaited file with this digest an interrupted write has left."""
    store = context.artifacts
    if not isinstance(store, ResumingArtifactStore):
        return 0
    awaited = _awaited_file(context, path, sha256)
    if awaited is None or not awaited.is_resumable:
        return 0
    return store.kept_bytes(path, sha256=sha256)


def _continuing(
    context: Context, store: ResumingArtifactStore, path: str, sha256: str, start: int
) -> Steps:
    awaited = _awaited_file(context, path, sha256)
    if awaited is None or not awaited.is_resumable:
        if start:
            raise ConflictError(f"nothing of '{path}' is kept")
        return (yield from _verifying(context, path, sha256))
    announced = Announcement(context, path)
    file = store.resuming_writer(path, sha256=sha256, start=start, announce=announced.write)
    digest = Sha256()
    try:
        while (piece := (yield)) is not None:
            digest.update(piece)
            file.write(piece)
        # What was continued, the store reads again.
        if not start and (found := digest.hexdigest()) != sha256:
            raise InvalidArgumentError(f"'{path}': expected sha256 {sha256}, received {found}")
        written = file.commit()
    except SuspendedError:
        file.suspend()
        raise
    finally:
        file.abort()
    announced.withdraw()
    return written


def _verifying(context: Context, path: str, sha256: str) -> Steps:
    is_awaited = awaits(context, path, sha256)
    file = context.artifacts.writer(path, sha256=sha256) if is_awaited else writer(context, path)
    digest = Sha256()
    try:
        while (piece := (yield)) is not None:
            digest.update(piece)
            file.write(piece)
        if (actual := digest.hexdigest()) != sha256:
            raise InvalidArgumentError(f"'{path}': expected sha256 {sha256}, received {actual}")
        return file.commit()
    finally:
        file.abort()


def _writing(context: Context, path: str) -> Steps:
    file = context.artifacts.writer(path)
    try:
        while (piece := (yield)) is not None:
            file.write(piece)
        with changing(context, path):
            return file.commit()
    finally:
        file.abort()


def complete(
    context: Context,
    store: PresigningArtifactStore,
    path: str,
    upload_id: str,
    *,
    etags: Mapping[int, str],
) -> None:
    """Make a file of the parts of a multipart upload; raises as `write` does."""
    with changing(context, path):
        store.complete_multipart(path, upload_id, etags=etags)


def delete(context: Context, path: str) -> None:
    """Remove a file or folder; what is absent is skipped.

    Raises:
        ArtifactImmutableError: a version has the path, or something below it.
    """
    with _leased(context, path):
        context.artifacts.delete(path)


@contextmanager
def changing(context: Context, path: str) -> Iterator[None]:
    """Have the block make a file visible that no version has.

    Raises:
        ArtifactImmutableError: a version has the path.
        ConflictError: a collection of garbage removed the file.
    """
    with _leased(context, path):
        yield
    _check_kept(context, path)


@contextmanager
def _leased(context: Context, path: str) -> Iterator[None]:
    with context.writers.hold([path]):
        check_open(context, path)
        yield


def _check_kept(context: Context, path: str) -> None:
    if not context.collectors.is_held(path):
        return
    context.collectors.wait(path)
    try:
        context.artifacts.stat(path)
    except ArtifactNotFoundError:
        raise ConflictError(
            f"'{path}' was collected as garbage while it was written; write it again"
        ) from None
