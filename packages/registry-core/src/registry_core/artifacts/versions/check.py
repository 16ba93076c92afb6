"""What is wrong between versions and their files, and how it is put right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress

import attrs

from registry_core.artifacts import Manifest
from registry_core.artifacts.versions import gc, unverified
from registry_core.artifacts.versions.context import Context, subject
from registry_core.artifacts.versions.layout import contents, stored_path
from registry_core.artifacts.versions.leases import backend_now
from registry_core.artifacts.versions.push import present, seal_present
from registry_core.changes import FinalizeVersion
from registry_core.errors import (
    ArtifactNotFoundError,
    ConflictError,
    ContentionError,
    NotFoundError,
    StoreCorruptedError,
)
from registry_core.fsck import Finding, Report
from registry_core.models import DIGEST_TAG, ModelVersion, Status

CLOCKS_DIFFER_MILLISECONDS = 60_000
"""How far this machine's clock may be ahead of that of the artifact store, and still be believed:
more than either rounds to, far less than a period of grace."""

_ABANDONED = "the upload began and never ended"


def check(
    context: Context, *, repair: bool, grace_seconds: float, garbage_grace_seconds: float
) -> Report:
    """See `ModelArtifacts.fsck`."""
    findings: list[Finding] = []
    tally = _Tally(noted=unverified.noted_folders(context))
    before = _now(context, repair=repair) - grace_seconds * 1000
    unreadable = 0
    for page in context.pages():
        unreadable = max(unreadable, page.unreadable)
        for version in page.items:
            findings += _check(context, version, tally, repair=repair, before=before)
    if unreadable:
        tally.not_checked["unreadable_models"] = unreadable
        tally.notes.append(
            "Files that no version refers to were not looked for: which ones the models need that "
            "cannot be read is not known"
        )
    else:
        findings += _check_garbage(context, repair=repair, grace_seconds=garbage_grace_seconds)
    return Report(
        findings=tuple(findings),
        checked={"versions_with_files": tally.versions, "files": tally.files},
        not_checked=tally.not_checked,
        notes=tuple(tally.notes),
    )


def _now(context: Context, *, repair: bool) -> float:
    """The present, in ms since the epoch; a repair does not trust a clock that is ahead.

    By such a clock an upload at work, on another machine, would look as if it had been left.
    """
    now = context.clock()
    ahead = now - backend_now(context.artifacts) if repair else 0
    return now - ahead if ahead > CLOCKS_DIFFER_MILLISECONDS else now


@attrs.define
class _Tally:
    """What was looked at."""

    noted: AbstractSet[str]
    """Folders with files that are noted as not verified."""
    versions: int = 0
    files: int = 0
    not_checked: Counter[str] = attrs.field(factory=Counter)
    notes: list[str] = attrs.field(factory=list)


def _check(
    context: Context, version: ModelVersion, tally: _Tally, *, repair: bool, before: float
) -> Iterator[Finding]:
    path = context.path_of(version)
    match version.status:
        case Status.PENDING_REGISTRATION:
            if not _is_abandoned(context, version, path, before):
                tally.not_checked["uploads_under_way"] += 1
                return
            detail = _ABANDONED
            if repair:
                detail += f"; now {_end(context, version, path)}"
            tally.versions += 1
            yield _finding(version, "abandoned-upload", detail, repairable=True, done=repair)
        case Status.READY if path:
            yield from _check_ready(context, version, path, tally, repair=repair)
        case Status.READY:
            tally.not_checked["sources_elsewhere"] += 1
        case _:
            tally.not_checked["failed_uploads"] += 1


# Versions whose upload did not end


def _is_abandoned(context: Context, version: ModelVersion, path: str | None, before: float) -> bool:
    if version.last_updated_timestamp >= before:
        return False
    # Large uploads last: a file that was written lately is a sign of life.
    files = contents(context.artifacts, path) if path else {}
    return all((info.modified or 0) < before for info in files.values())


def _end(context: Context, version: ModelVersion, path: str | None) -> Status:
    """The status that the version has from now on: READY if all its bytes are there."""
    complete = path is not None and _complete(context, version, path)
    try:
        return context.writer.apply(
            FinalizeVersion(
                name=version.name,
                version=version.version,
                status=Status.READY if complete else Status.FAILED_REGISTRATION,
                status_message=None if complete else _ABANDONED,
            )
        ).status
    except ContentionError:
        raise
    except ConflictError:
        return context.store.get_model_version(version.name, version.version).status
    except NotFoundError:
        return Status.FAILED_REGISTRATION


def _complete(context: Context, version: ModelVersion, path: str) -> bool:
    """Whether all bytes of an abandoned version are there; then they are sealed."""
    expected = version.tags.get(DIGEST_TAG)
    with suppress(ConflictError):
        if expected is None:
            # Its files were there before it was.
            return seal_present(context, path) is not None
        if (manifest := present(context, path)) is not None and manifest.digest == expected:
            _seal(context, path, manifest)
            unverified.check(context, path, manifest)
            return True
    return False


def _seal(context: Context, path: str, manifest: Manifest) -> None:
    context.seals.close(path, digest=manifest.digest)
    context.writers.wait(path)
    context.seals.seal(path, manifest)


# Versions that are ready


def _check_ready(
    context: Context, version: ModelVersion, path: str, tally: _Tally, *, repair: bool
) -> Iterator[Finding]:
    tally.versions += 1
    try:
        manifest = context.seals.manifest(path)
    except StoreCorruptedError as error:
        yield _check_damaged(context, version, path, error, repair=repair)
    except ArtifactNotFoundError:
        yield from _check_unsealed(context, version, path, tally, repair=repair)
    else:
        tally.files += len(manifest.files)
        yield from _check_files(context, version, path, manifest)
        if path in tally.noted:
            yield from _check_noted(context, version, path, manifest, repair=repair)


def _check_noted(
    context: Context, version: ModelVersion, path: str, manifest: Manifest, *, repair: bool
) -> Iterator[Finding]:
    """Files that nobody has read since an upload of them was continued; a repair reads them."""
    try:
        names = unverified.noted_in(context, path)
        wrong = unverified.wrong_files(context, path, manifest) if repair else frozenset()
    except StoreCorruptedError as error:
        yield _finding(version, "unverified-file", str(error))
        return
    for name in names:
        detail = f"'{name}': its bytes were not compared after its upload was continued"
        if name in wrong:
            detail += "; they are not those of the version"
        done = repair and name not in wrong
        yield _finding(version, "unverified-file", detail, repairable=name not in wrong, done=done)


def _check_files(
    context: Context, version: ModelVersion, path: str, manifest: Manifest
) -> Iterator[Finding]:
    if (expected := version.tags.get(DIGEST_TAG, manifest.digest)) != manifest.digest:
        detail = f"expected {expected}, found {manifest.digest}"
        yield _finding(version, "other-manifest", detail)
    sizes = {name: info.size for name, info in contents(context.artifacts, path).items()}
    for file in manifest.files:
        if file.path not in sizes:
            detail = f"'{file.path}': expected {file.size} bytes, found no such file"
            yield _finding(version, "missing-bytes", detail)
        elif sizes[file.path] != file.size:
            detail = f"'{file.path}': expected {file.size} bytes, found {sizes[file.path]}"
            yield _finding(version, "changed-file", detail)
    for name in sorted(sizes.keys() - {file.path for file in manifest.files}):
        yield _finding(version, "added-file", f"'{name}' does not belong to the version")


def _check_unsealed(
    context: Context, version: ModelVersion, path: str, tally: _Tally, *, repair: bool
) -> Iterator[Finding]:
    expected = version.tags.get(DIGEST_TAG)
    files = contents(context.artifacts, path)
    tally.files += len(files)
    if not files:
        if expected or stored_path(context.artifacts.root, version.download_uri) is not None:
            yield _finding(version, "missing-bytes", f"there are no files at '{path}'")
        else:
            # The URL of a proxy, which may be that of another server's.
            tally.versions -= 1
            tally.not_checked["sources_elsewhere"] += 1
    elif expected and _digest(context, path) != expected:
        yield _finding(version, "missing-bytes", f"the files at '{path}' are not the pushed ones")
    else:
        if repair:
            seal_present(context, path)
        detail = f"nothing keeps the files at '{path}' from being changed"
        yield _finding(version, "unsealed", detail, repairable=True, done=repair)


def _check_damaged(
    context: Context, version: ModelVersion, path: str, error: Exception, *, repair: bool
) -> Finding:
    # A pushed version knows its digest, so its manifest can be made again, and nothing is guessed.
    manifest = present(context, path)
    repairable = manifest is not None and manifest.digest == version.tags.get(DIGEST_TAG)
    if repairable and repair and manifest is not None:
        context.seals.remove([path])
        _seal(context, path, manifest)
    return _finding(
        version, "damaged-manifest", str(error), repairable=repairable, done=repair and repairable
    )


def _digest(context: Context, path: str) -> str | None:
    manifest = present(context, path)
    return None if manifest is None else manifest.digest


# Files without a version


def _check_garbage(context: Context, *, repair: bool, grace_seconds: float) -> Iterator[Finding]:
    garbage = gc.collect(context, grace_seconds=grace_seconds, dry_run=not repair)
    for folder in garbage.folders:
        yield Finding(
            problem="unreferenced-files",
            subject=folder,
            detail="no version refers to these files",
            repairable=True,
            repaired=repair,
        )
    if garbage.partial:
        yield Finding(
            problem="partial-writes",
            subject=context.artifacts.root,
            detail=f"{garbage.partial} writes began and never ended",
            repairable=True,
            repaired=repair,
        )


def _finding(
    version: ModelVersion,
    problem: str,
    detail: str,
    *,
    repairable: bool = False,
    done: bool = False,
) -> Finding:
    return Finding(
        problem=problem,
        subject=subject(version),
        detail=detail,
        repairable=repairable,
        repaired=done,
    )
