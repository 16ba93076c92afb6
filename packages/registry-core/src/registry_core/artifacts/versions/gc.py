"""Removing what no version refers to: mark from the metadata, sweep what is old.

Strategy: files are taken by folders, the first two segments of their paths, so that an upload in
progress keeps its older files. Rules 2 and 3 of the package keep it from removing what a version
needs that is made meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import attrs

from registry_core.artifacts import FileInfo
from registry_core.artifacts.versions import leases
from registry_core.artifacts.versions.context import Context
from registry_core.artifacts.versions.layout import (
    Needed,
    is_reserved,
    needed_paths,
    overlap,
    paths_of,
    push_folder,
)
from registry_core.artifacts.versions.leases import FOLDERS, Lease
from registry_core.artifacts.versions.seals import is_seal, sealed_path
from registry_core.artifacts.versions.trashed import trashed_uris
from registry_core.artifacts.versions.unverified import folder_of_note, is_note, void_notes
from registry_core.errors import ConflictError
from registry_core.models import Status

DEFAULT_GRACE_SECONDS = 24 * 3600
"""How old unreferenced bytes must be before they are removed: longer than any upload takes."""

_SIGN_SECONDS = leases.DEAD_AFTER_SECONDS / 10
"""How often a collection that removes gives a sign of life."""

_SILENCE_SECONDS = leases.DEAD_AFTER_SECONDS / 2
"""After how long without one it stops, because others may soon not wait for it."""

_BATCH = 1_000
"""Files removed between two looks at the clock."""


@attrs.frozen(kw_only=True)
class Garbage:
    """What a collection found: folders nothing refers to, with their files and bytes."""

    folders: tuple[str, ...]
    files: int
    size: int
    partial: int
    """Writes that began and never ended, and leases of processes that died."""


Candidates = Mapping[str, tuple[FileInfo, ...]]
"""Files that may be removed, by their folder; what seals them first."""


def collect(context: Context, *, grace_seconds: float, dry_run: bool) -> Garbage:
    """See `ModelArtifacts.collect_garbage`."""
    grace = int(grace_seconds * 1000)
    if dry_run:
        now = context.clock()
        return _garbage(
            _unreferenced(context, now - grace), _drop_unfinished(context, now, grace, dry_run=True)
        )
    with context.collectors.hold([]) as lease:
        now = lease.moment()
        candidates = _unreferenced(context, now - grace)
        lease.renew(candidates)
        # Before the versions are read: an adoption gives up its folder when a version needs it.
        held = context.adoptions.held()
        needed = _needed(context)
        garbage = {
            folder: tuple(info for info in files if not _is_kept(needed, info))
            for folder, files in candidates.items()
            if not any(overlap(folder, path) for path in held)
        }
        _Sweep(context, lease).run(garbage)
        return _garbage(garbage, _drop_unfinished(context, now, grace, dry_run=False))


def _needed(context: Context) -> Needed:
    """What some version refers to, or one that can be restored. One that failed needs nothing."""
    alive = (
        version
        for version in context.versions()
        if version.status is not Status.FAILED_REGISTRATION
    )
    paths = needed_paths(context.artifacts.root, alive)
    return Needed(paths | paths_of(context.artifacts.root, trashed_uris(context)))


def _is_kept(needed: Needed, info: FileInfo) -> bool:
    if is_seal(info.path):
        return needed.touches(sealed_path(info.path))
    if is_note(info.path):
        return needed.touches(folder_of_note(info.path))
    return is_reserved(info.path) or needed.keeps(info.path)


def _unreferenced(context: Context, before: int) -> Candidates:
    """What no version refers to, in folders in which nothing was written since a moment (ms)."""
    needed = _needed(context)
    folders: dict[str, list[FileInfo]] = {}
    young = set()
    for info in context.artifacts.walk(""):
        if _is_kept(needed, info):
            continue
        folder = _folder_of(info)
        folders.setdefault(folder, []).append(info)
        if info.modified is None or info.modified > before:
            young.add(folder)
    return {
        # A folder is unsealed before it is incomplete.
        folder: tuple(sorted(files, key=lambda info: not is_seal(info.path)))
        for folder, files in sorted(folders.items())
        if folder not in young
    }


def _folder_of(info: FileInfo) -> str:
    if is_note(info.path):
        return folder_of_note(info.path)
    return push_folder(sealed_path(info.path) if is_seal(info.path) else info.path)


class _Sweep:
    """Removes files, giving signs of life meanwhile."""

    def __init__(self, context: Context, lease: Lease) -> None:
        self._context = context
        self._lease = lease
        self._last_sign = time.monotonic()

    def run(self, garbage: Candidates) -> None:
        """Remove the garbage, unless it was written again since it was found."""
        for folder, files in garbage.items():
            if files:
                self._remove(info.path for info in files if is_seal(info.path))
                self._remove(self._unchanged(folder, files))
                notes = (info for info in files if is_note(info.path))
                self._remove(void_notes(self._context, folder, notes))

    def _unchanged(self, folder: str, files: Iterable[FileInfo]) -> Iterator[str]:
        identities = {_identity(info) for info in files}
        for info in self._context.artifacts.walk(folder):
            if _identity(info) in identities:
                yield info.path

    def _remove(self, paths: Iterable[str]) -> None:
        # A list before anything is removed: not all backends list while they remove.
        remaining = iter(list(paths))
        while batch := list(islice(remaining, _BATCH)):
            self._give_sign()
            self._context.artifacts.remove(batch)

    def _give_sign(self) -> None:
        silence = time.monotonic() - self._last_sign
        if silence > _SILENCE_SECONDS:
            raise ConflictError("this collection took so long that others take it for dead")
        if silence > _SIGN_SECONDS:
            self._lease.keep()
            self._last_sign = time.monotonic()


def _identity(info: FileInfo) -> tuple[object, ...]:
    return info.path, info.size, info.modified, info.etag


def _drop_unfinished(context: Context, now: int, grace: int, *, dry_run: bool) -> int:
    # A lease lives for seconds: the grace period is for uploads.
    dead = [
        info.path
        for folder in FOLDERS
        for info in context.artifacts.list(folder)
        if (info.modified or 0) < now - max(grace, int(leases.DEAD_AFTER_SECONDS * 1000))
    ]
    if not dry_run:
        context.artifacts.remove(dead)
    return len(dead) + context.artifacts.drop_partial(before=now - grace, dry_run=dry_run)


def _garbage(folders: Candidates, partial: int) -> Garbage:
    files = [info for infos in folders.values() for info in infos]
    return Garbage(
        folders=tuple(sorted(folder for folder, infos in folders.items() if infos)),
        files=len(files),
        size=sum(info.size or 0 for info in files),
        partial=partial,
    )
