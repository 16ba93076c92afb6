"""Adopting: the files of a version that lie elsewhere come below the root, and are sealed there.

Strategy: the files come as those of a push do, into the folder that their content names. Only then
does one change record where they are, if they still are where they were when they were
read. Until that, the version is as it was, whatever dies: what is in the folder, the next attempt
finds, or a collection removes.

No version needs the folder before the change, so rule 2 of the package does not keep it. An
adoption has a lease of its own instead: it takes that, then waits for collections; a collection
takes its lease, then leaves out what an adoption holds, then reads the versions. So an adoption
that looks afterwards sees whether its files are there, and they stay until the version needs them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import attrs

from registry_core import sources, uris, validation
from registry_core.artifacts import Manifest
from registry_core.artifacts.trees import FileTree, Progress
from registry_core.artifacts.versions import leases, push, unverified
from registry_core.artifacts.versions.context import Context, subject
from registry_core.artifacts.versions.foreign import require_ready
from registry_core.artifacts.versions.layout import folder_of
from registry_core.artifacts.versions.uploads import Begun, prepared, seal_filled
from registry_core.changes import RelocateVersion
from registry_core.errors import (
    ArtifactNotFoundError,
    ConflictError,
    InvalidArgumentError,
    StaleValueError,
)
from registry_core.models import DIGEST_TAG, ModelVersion
from registry_core.requirements import FilesAreAt

_ATTEMPTS = 3
"""How often files are brought whose folder a collection of garbage empties meanwhile."""

_LONGEST_SECONDS = leases.DEAD_AFTER_SECONDS / 2
"""After how long with its lease an adoption gives up, because others may take it for dead."""


@attrs.frozen(kw_only=True)
class Adopted:
    """A version whose files are below the root now, or would be."""

    version: ModelVersion
    place: str
    """Where the files were."""
    files: int = 0
    size: int = 0
    """Bytes of all files."""
    is_written: bool = False
    """Whether the version was changed; not in a dry run, nor if its files were there already."""


def check(version: ModelVersion) -> ModelVersion:
    """Accept a version that can be adopted.

    Raises:
        InvalidArgumentError: It is not READY, or one of a prompt, which has no files.
    """
    require_ready(version)
    if validation.is_prompt(version.tags):
        raise InvalidArgumentError(f"{subject(version)} is one of a prompt, and has no files")
    return version


def _check_elsewhere(context: Context, version: ModelVersion, uri: str) -> None:
    """Accept a place outside of the root: what is sealed below it is never exchanged."""
    if context.keeps(uri):
        raise InvalidArgumentError(
            f"The registry keeps the files of {subject(version)}: they cannot be replaced"
        )


def adopt(
    context: Context, version: ModelVersion, tree: FileTree, *, progress: Progress | None = None
) -> ModelVersion:
    """See `ModelArtifacts.adopt`."""
    check(version)
    _check_elsewhere(context, version, version.download_uri)
    folder = folder_of(version.name, tree.manifest)
    for attempt in range(1, _ATTEMPTS + 1):
        push.deliver(context, folder, tree, progress)
        try:
            return _relocate(context, version, folder, tree.manifest, version.download_uri)
        except _CollectedError:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def begin(context: Context, version: ModelVersion, manifest: Manifest) -> Begun:
    """See `ModelArtifacts.begin_adoption`."""
    check(version)
    _check_elsewhere(context, version, version.download_uri)
    folder = folder_of(version.name, manifest)
    missing = prepared(context, folder, manifest)
    return Begun(version=version, path=folder, missing=missing)


def finish(
    context: Context, version: ModelVersion, manifest: Manifest, *, files_were_at: str
) -> ModelVersion:
    """See `ModelArtifacts.finish_adoption`."""
    check(version)
    _check_elsewhere(context, version, files_were_at)
    folder = folder_of(version.name, manifest)
    seal_filled(context, folder, subject(version))
    return _relocate(context, version, folder, manifest, files_were_at)


class _CollectedError(ConflictError):
    """A collection of garbage has removed the files."""


def _relocate(
    context: Context, version: ModelVersion, folder: str, manifest: Manifest, files_were_at: str
) -> ModelVersion:
    place = f"{context.artifacts.root}/{folder}"
    with keeping(context, {folder: manifest}):
        try:
            return context.writer.apply(_change(version, place, manifest, files_were_at))
        except StaleValueError:
            now = context.store.get_model_version(version.name, version.version)
            if now.download_uri == place:
                return now  # Another adoption of the same files came first.
            raise


@contextmanager
def keeping(context: Context, folders: Mapping[str, Manifest]) -> Iterator[None]:
    """See `ModelArtifacts.keeping`. A version is given the folders before the block ends."""
    if not folders:
        yield
        return
    began = time.monotonic()
    with context.adoptions.hold(folders):
        for folder, manifest in folders.items():
            context.collectors.wait(folder)
            _check_sealed(context, folder, manifest)
        if time.monotonic() - began > _LONGEST_SECONDS:
            raise ConflictError("the files that were brought took too long to check")
        yield


def _check_sealed(context: Context, folder: str, manifest: Manifest) -> None:
    with suppress(ArtifactNotFoundError):
        if context.seals.manifest(folder).digest == manifest.digest:
            push.check_complete(context, folder, manifest)
            unverified.check(context, folder, manifest)
            return
    raise _CollectedError(f"'{folder}' was collected as garbage; safe to repeat")


def fields_at(version: ModelVersion, place: str) -> tuple[str, str | None]:
    """Return the source and the storage location of a version whose files are at a place now.

    The source of a copy says what it is a copy of; where its bytes are is said apart.
    """
    is_copy = uris.is_model_uri(version.source) and not sources.is_logged_model(version.source)
    return (version.source, place) if is_copy else (place, None)


def _change(
    version: ModelVersion, place: str, manifest: Manifest, files_were_at: str
) -> RelocateVersion:
    source, storage_location = fields_at(version, place)
    return RelocateVersion(
        name=version.name,
        version=version.version,
        source=source,
        storage_location=storage_location,
        tags={DIGEST_TAG: manifest.digest},
        requires=(FilesAreAt(name=version.name, version=version.version, uri=files_were_at),),
    )
