"""Files that move with their versions: into the target's root, before the model is written.

Strategy. The files of a version come into the folder that their content names, and are sealed
there; then the model is written with sources that say where they are now, as a whole and in one
step. So a copy that dies leaves files that the next one finds. The history of the copy says the new
places, too, so that it remains one whole with the model, and a copy can be compared with its
source; a tag of the version, which it has from its first event on, says what its source was. What
cannot be read is said, and its source stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

import attrs

from registry_core import backends, documents, validation
from registry_core.artifacts import Manifest
from registry_core.artifacts.trees import FileTree
from registry_core.artifacts.versions import DIGEST_TAG, foreign
from registry_core.artifacts.versions.adopt import fields_at
from registry_core.artifacts.versions.context import subject
from registry_core.artifacts.versions.foreign import OpensForeign
from registry_core.errors import InvalidArgumentError, RegistryError
from registry_core.foreign import ForeignSources
from registry_core.history import Action, Event
from registry_core.models import ORIGINAL_SOURCE_TAG, ModelVersion, Status
from registry_core.moves import comparing
from registry_core.moves.sources import Changed, Item, SnapshotSource, snapshot_in
from registry_core.registry import Registry
from registry_core.snapshot_pieces import AnySnapshot, SpooledSnapshot, SpoolWriter
from registry_core.snapshots import ModelSnapshot


class OpensFiles(Protocol):
    """What reads the files of a source's versions."""

    def __call__(self, version: ModelVersion) -> AbstractContextManager[FileTree]:
        """The files of a version, until the block ends; verified where something was sealed."""
        ...


@attrs.frozen
class ForeignFilesOf:
    """The files of versions that no registry of ours keeps."""

    places: OpensForeign
    tracking_uri: str | None = None
    local_files: bool = False

    def __call__(self, version: ModelVersion) -> AbstractContextManager[FileTree]:
        """See `OpensFiles`."""
        return foreign.opened_tree(
            self.places, version, tracking_uri=self.tracking_uri, local_files=self.local_files
        )


@attrs.frozen(kw_only=True)
class Moved:
    """A snapshot whose versions have their files in the target."""

    snapshot: AnySnapshot
    brought: int = 0
    """Versions whose files were brought; in a dry run, would be."""
    size: int = 0
    """Bytes of these."""
    problems: tuple[str, ...] = ()
    """Versions whose files could not be, and why."""
    folders: Mapping[str, Manifest] = attrs.field(factory=dict)
    """What was brought, by the folder that it is in."""


@attrs.frozen(eq=False)
class FileMover:
    """Brings the files of a source's versions into a target's artifact root."""

    target: Registry
    open_files: OpensFiles

    def moved(
        self, snapshot: AnySnapshot, there: AnySnapshot | None, *, dry_run: bool = False
    ) -> Moved:
        """Return a snapshot with the places of its files in the target.

        Args:
            snapshot: The model as the source has it.
            there: The same model in the target; its files are not brought again.
            dry_run: Bring nothing.
        """
        moves: dict[int, _Move] = {}
        folders: dict[str, Manifest] = {}
        problems: list[str] = []
        count = 0
        for version, known in self._outside(snapshot, there):
            copied = self._copied(version, known)
            if copied is not None:
                moves[version.version] = _Move.of(version, copied.download_uri)
                if _is_same(version, copied):
                    continue
            try:
                if not dry_run:
                    moves[version.version] = _Move.of(version, self._bring(version, folders))
            except (RegistryError, OSError) as error:
                if copied is None:
                    problems.append(f"{subject(version)}: {error}")
            else:
                count += 1
        return Moved(
            snapshot=_rewritten(snapshot, moves),
            brought=count,
            size=sum(manifest.size for manifest in folders.values()),
            problems=tuple(problems),
            folders=folders,
        )

    def keeping(self, moved: Moved) -> AbstractContextManager[None]:
        """Have collections of garbage leave what was brought, until the block ends."""
        return self.target.files.keeping(moved.folders)

    def _outside(
        self, snapshot: AnySnapshot, there: AnySnapshot | None
    ) -> Iterator[tuple[ModelVersion, ModelVersion | None]]:
        """Yield the versions whose files lie outside of the target, with what that has of them."""
        for version, known in comparing.beside(snapshot, there):
            has_files = version.status is Status.READY and not validation.is_prompt(version.tags)
            if has_files and not self.target.files.keeps(version):
                yield version, known

    def _copied(self, version: ModelVersion, known: ModelVersion | None) -> ModelVersion | None:
        """The version in the target, if its files are there already."""
        if known is None or known.creation_timestamp != version.creation_timestamp:
            return None
        return known if self.target.files.keeps(known) else None

    def _bring(self, version: ModelVersion, folders: dict[str, Manifest]) -> str:
        with self.open_files(version) as tree:
            folder = self.target.files.bring(version.name, tree)
            folders[folder] = tree.manifest
        return f"{self.target.files.root}/{folder}"


def open_mover(
    source_url: str,
    target: Registry,
    *,
    source_root: str | None = None,
    tracking_uri: str | None = None,
    local_files: bool = False,
) -> tuple[FileMover, Callable[[], None]]:
    """Return what brings the files of a source's versions into a target, and what closes it.

    Args:
        source_url: As for `sources.open_source`.
        target: The registry that gets them.
        source_root: The source's artifact root; by default what belongs to its store.
        tracking_uri: As for `Registry.pull_model_version`.
        local_files: Also read sources that are paths of this disk.

    Raises:
        InvalidArgumentError: The target has no artifact root that this process can write to.
    """
    if target.artifacts is None:
        raise InvalidArgumentError(
            "The target has no artifact root here: name it with --target-root. Through a server "
            "no files are copied; name its own store and root instead"
        )
    if source_url.startswith("mlflow+"):
        places = ForeignSources(open_artifacts=backends.open_artifacts)
        return FileMover(target, ForeignFilesOf(places, tracking_uri, local_files)), lambda: None
    root = backends.artifacts_url(source_url, source_root, environ={})
    registry = backends.open_registry(source_url, artifacts=root or "none")
    opens = partial(registry.files_of, tracking_uri=tracking_uri, local_files=local_files)
    return FileMover(target, opens), registry.close


@attrs.frozen
class MovedSource:
    """A source whose snapshots have the places that the target has of their files."""

    source: SnapshotSource
    mover: FileMover

    def items(self, filter_text: str | None = None) -> Iterator[Item]:
        """See `SnapshotSource`."""
        for name, read in self.source.items(filter_text):
            yield name, Changed(read, self._moved)

    def _moved(self, snapshot: AnySnapshot) -> AnySnapshot:
        there = snapshot_in(self.mover.target, snapshot.name)
        return self.mover.moved(snapshot, there, dry_run=True).snapshot


def _is_same(version: ModelVersion, copied: ModelVersion) -> bool:
    """Whether nothing says that the source's files have changed since they were brought."""
    return copied.last_updated_timestamp == version.last_updated_timestamp and copied.tags.get(
        DIGEST_TAG
    ) == version.tags.get(DIGEST_TAG)


# Sources


def _rewritten(snapshot: AnySnapshot, moves: Mapping[int, _Move]) -> AnySnapshot:
    if not moves:
        return snapshot
    if isinstance(snapshot, SpooledSnapshot):
        writer = SpoolWriter(snapshot.name)
        for version, approvals in snapshot.each_version():
            move = moves.get(version.version)
            writer.add_version(version if move is None else move.version(version), approvals)
        for event in _rewritten_events(snapshot, moves):
            writer.add_event(event)
        return writer.finish(snapshot.document)
    versions = (
        moves[number].version(version) if number in moves else version
        for number, version in snapshot.versions.items()
    )
    return ModelSnapshot(
        document=documents.build(snapshot.document, versions),
        events=tuple(_rewritten_events(snapshot, moves)),
    )


def _rewritten_events(snapshot: AnySnapshot, moves: Mapping[int, _Move]) -> Iterator[Event]:
    for event in snapshot.each_event():
        move = None if event.version is None else moves.get(event.version)
        yield event if move is None else move.event(event)


@attrs.frozen
class _Move:
    """Where the files of a version were, and where they are."""

    old: Mapping[str, str | None]
    """The source and the storage location."""
    new: Mapping[str, str | None]
    tags: Mapping[str, str]
    """What the copy says of its original, from its first event on."""

    @classmethod
    def of(cls, version: ModelVersion, place: str) -> _Move:
        source, storage_location = fields_at(version, place)
        return cls(
            old={"source": version.source, "storage_location": version.storage_location},
            new={"source": source, "storage_location": storage_location},
            tags=_original(version) if source != version.source else {},
        )

    def version(self, version: ModelVersion) -> ModelVersion:
        """Return the version with the new place."""
        fields: dict[str, Any] = {**self.new, "tags": {**version.tags, **self.tags}}
        return attrs.evolve(version, **fields)

    def event(self, event: Event) -> Event:
        """Return an event of the version that says the new place where it said the old one."""
        before, after = self._fields(event.before), self._fields(event.after)
        if event.action in _OF_WHOLE_VERSIONS:
            before, after = self._tagged(before), self._tagged(after)
        if before is event.before and after is event.after:
            return event
        return attrs.evolve(event, before=before, after=after)

    def _tagged(self, value: Any) -> Any:
        if not isinstance(value, Mapping) or not self.tags:
            return value
        return {**value, "tags": {**value.get("tags", {}), **self.tags}}

    def _fields(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        said = {name: value[name] for name in self.old if name in value}
        if not said or any(text != self.old[name] for name, text in said.items()):
            return value
        fields: dict[str, Any] = {}
        for name, each in value.items():
            if name not in self.old:
                fields[name] = each
            elif name == "source" or "source" not in said:
                fields |= {key: text for key, text in self.new.items() if text is not None}
        return fields


_OF_WHOLE_VERSIONS = frozenset(
    (Action.CREATE_VERSION, Action.DELETE_VERSION, Action.RESTORE_VERSION)
)
"""The actions whose events repeat all fields of a version."""


def _original(version: ModelVersion) -> dict[str, str]:
    """The tag that says where a version's files were first; the copy of a copy has it already."""
    tags = {ORIGINAL_SOURCE_TAG: version.source}
    if ORIGINAL_SOURCE_TAG in version.tags:
        return {}
    try:
        validation.tags_together({**version.tags, **tags})
    except InvalidArgumentError:
        return {}  # There is no room for it.
    return tags
