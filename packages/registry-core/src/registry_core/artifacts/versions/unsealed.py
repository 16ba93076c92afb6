"""Changing files that no version has: what the artifact routes of a server may do.

Strategy: rule 1 of the package. A change takes its lease when it is about to become visible, and
looks afterwards whether a collection of garbage took its file for an old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from registry_core.artifacts import FileInfo, FileWriter, PresigningArtifactStore, write_all
from registry_core.artifacts.store import Steps
from registry_core.artifacts.versions.context import Context
from registry_core.errors import ArtifactImmutableError, ArtifactNotFoundError, ConflictError


def check_open(context: Context, path: str) -> None:
    """Return if what is at the path may be changed.

    Raises:
        ArtifactImmutableError: it belongs to a version.
    """
    if context.seals.conflicting(path) is not None:
        raise ArtifactImmutableError(path)


def write(context: Context, path: str, chunks: Iterable[bytes]) -> FileInfo:
    """Write a file of the chunks and return it.

    Raises:
        ArtifactImmutableError: a version has the path, also if it was registered meanwhile.
        ConflictError: a collection of garbage removed the file; it may be written again.
    """
    return write_all(writer(context, path), chunks)


def writer(context: Context, path: str) -> FileWriter:
    """As `write`, for bytes that come piece by piece; `commit` raises what `write` does."""
    return FileWriter(_writing(context, path))


def _writing(context: Context, path: str) -> Steps:
    file = context.artifacts.writer(path)
    try:
        while (piece := (yield)) is not None:
            file.write(piece)
        with _changing(context, path):
            written = file.commit()
    finally:
        file.abort()
    _check_kept(context, path)
    return written


def complete(
    context: Context,
    store: PresigningArtifactStore,
    path: str,
    upload_id: str,
    *,
    etags: Mapping[int, str],
) -> None:
    """Make a file of the parts of a multipart upload; raises as `write` does."""
    with _changing(context, path):
        store.complete_multipart(path, upload_id, etags=etags)
    _check_kept(context, path)


def delete(context: Context, path: str) -> None:
    """Remove a file or folder; what is absent is no error.

    Raises:
        ArtifactImmutableError: a version has the path, or something below it.
    """
    with _changing(context, path):
        context.artifacts.delete(path)


@contextmanager
def _changing(context: Context, path: str) -> Iterator[None]:
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
