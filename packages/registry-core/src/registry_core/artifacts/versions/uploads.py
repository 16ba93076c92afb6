"""A push whose files others send: what a server does for a client that has no key to its bucket.

Strategy: the steps are those of `push.push`, with the client between them. `begin` reserves the
version, closes the folder, compares what is there with the manifest, and keeps the manifest in the
seal. From then on a file comes to the folder only if it is one of the manifest's, byte for byte
(`unsealed`), so nothing is read again: `finish` compares names and sizes, seals the folder and
makes the version READY. Everything that is known is in the two stores: each call may reach another
process, and any of them may die.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext

import attrs

from registry_core.artifacts import FileInfo, Manifest, ManifestFile
from registry_core.artifacts.versions import unverified
from registry_core.artifacts.versions.context import Context, subject
from registry_core.artifacts.versions.layout import contents, folder_of
from registry_core.artifacts.versions.push import (
    check_complete,
    close,
    create_model,
    failing,
    is_there,
    reserve,
    reserving,
    unchanged,
)
from registry_core.artifacts.versions.push import finish as finalize
from registry_core.artifacts.versions.transfer import in_parallel
from registry_core.errors import ConflictError, InvalidArgumentError
from registry_core.models import DIGEST_TAG, ModelVersion, NewModelVersion, Status


@attrs.frozen(kw_only=True)
class Begun:
    """A push that waits for files; none if the version is READY."""

    version: ModelVersion
    path: str
    """The folder below the artifact root that the files belong in."""
    missing: Sequence[str]
    """The paths in it of the files that are not there."""


def begin(
    context: Context,
    draft: NewModelVersion,
    manifest: Manifest,
    *,
    create: bool,
    if_changed: bool,
) -> Begun:
    """See `ModelArtifacts.begin`."""
    folder = folder_of(draft.name, manifest)
    draft = reserving(draft, f"{context.artifacts.root}/{folder}", manifest)
    if if_changed and (newest := unchanged(context, draft)) is not None:
        return Begun(version=newest, path=folder, missing=())
    if create:
        context.artifacts.list(folder)
        create_model(context, draft.name)
    version = reserve(context, draft)
    with failing(context, version):
        missing = prepared(context, folder, manifest)
    return Begun(version=version, path=folder, missing=missing)


def finish(context: Context, version: ModelVersion) -> ModelVersion:
    """See `ModelArtifacts.finish`."""
    path = context.path_of(version)
    if not path or DIGEST_TAG not in version.tags:
        raise InvalidArgumentError(f"No push of {subject(version)} was begun.")
    if version.status is not Status.PENDING_REGISTRATION:
        if version.status is Status.READY:
            return version
        raise ConflictError(f"{subject(version)} is {version.status}: {version.status_message}")
    seal_filled(context, path, subject(version))
    return finalize(context, version)


def seal_filled(context: Context, folder: str, what: str) -> None:
    """Seal a folder that all its files have come to; one that is sealed stays so.

    Raises:
        ConflictError: Files of `what` are missing, or the folder awaits none.
    """
    manifest = context.seals.sealed(folder) or _seal_filled(context, folder, what)
    unverified.check(context, folder, manifest)


def _seal_filled(context: Context, folder: str, what: str) -> Manifest:
    manifest = context.seals.filling(folder)
    if manifest is None:
        raise ConflictError(f"the push of {what} has to begin again")
    context.collectors.wait(folder)
    missing = _missing(manifest, contents(context.artifacts, folder))
    if missing:
        raise ConflictError(f"{len(missing)} files of {what} are missing")
    check_complete(context, folder, manifest)
    context.seals.seal(folder, manifest)
    return manifest


def prepared(context: Context, folder: str, manifest: Manifest) -> list[str]:
    """Return which files a folder lacks that is closed for them from now on."""
    close(context, folder, manifest)
    if context.seals.sealed(folder) is not None:
        return sorted(unverified.wrong_files(context, folder, manifest))
    if context.seals.filling(folder) is None:
        _fill(context, folder, manifest)
    there = contents(context.artifacts, folder)
    return _missing(manifest, there, unverified.wrong_files(context, folder, manifest, there))


def _fill(context: Context, folder: str, manifest: Manifest) -> None:
    """Remove what is in a folder and is none of the manifest's files; the others may come then."""
    there = contents(context.artifacts, folder)
    names = {file.path for file in manifest.files}
    context.artifacts.remove(info.path for name, info in there.items() if name not in names)
    wrong = _wrong(context, folder, manifest, there)
    # Comparing takes its time. Another call may have done all this meanwhile, and the right file
    # have come in the place of the wrong one: it stays, also for `finish`, which waits for leases.
    with context.collectors.hold([folder]) if wrong else nullcontext():
        seals = context.seals
        if wrong and seals.filling(folder) is None and seals.sealed(folder) is None:
            context.artifacts.remove(wrong)
        context.seals.fill(folder, manifest)


def _wrong(
    context: Context, folder: str, manifest: Manifest, there: Mapping[str, FileInfo]
) -> list[str]:
    """The paths of the files that have other bytes than the manifest says."""
    present = [file for file in manifest.files if file.path in there]

    def right(file: ManifestFile) -> bool:
        return is_there(context, folder, file, there)

    checked = zip(present, in_parallel(right, present), strict=True)
    return [there[file.path].path for file, good in checked if not good]


def _missing(
    manifest: Manifest, there: Mapping[str, FileInfo], wrong: AbstractSet[str] = frozenset()
) -> list[str]:
    return [
        file.path
        for file in manifest.files
        if file.path not in there or there[file.path].size != file.size or file.path in wrong
    ]
