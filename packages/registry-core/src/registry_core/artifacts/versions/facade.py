"""`ModelArtifacts`: the files of model versions, for the owner of a registry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from registry_core.artifacts import (
    ArtifactStore,
    FileInfo,
    FileWriter,
    KeptUpload,
    Manifest,
    ManifestFile,
    PresigningArtifactStore,
)
from registry_core.artifacts.trees import FileTree, Progress
from registry_core.artifacts.versions import (
    adopt,
    check,
    gc,
    layout,
    pull,
    push,
    received,
    unsealed,
    uploads,
)
from registry_core.artifacts.versions.context import Context
from registry_core.artifacts.versions.gc import DEFAULT_GRACE_SECONDS, Garbage
from registry_core.artifacts.versions.pull import FileCheck
from registry_core.fsck import GRACE_SECONDS, Report
from registry_core.idempotency import Idempotency
from registry_core.models import ModelVersion, NewModelVersion
from registry_core.store import Clock, system_clock
from registry_core.writer import Writer


class ModelArtifacts:
    """The files of model versions, kept in an artifact store beside a metadata store."""

    def __init__(
        self, writer: Writer, artifacts: ArtifactStore, *, clock: Clock = system_clock
    ) -> None:
        self._context = Context(writer, artifacts, clock)

    # Where things are

    @property
    def root(self) -> str:
        """The URI of the artifact root."""
        return self._context.artifacts.root

    def folder(self, name: str, manifest: Manifest) -> str:
        """Return the path of the folder that holds these files for a model."""
        return layout.folder_of(name, manifest)

    def stored_path(self, uri: str) -> str | None:
        """Return the path under the artifact root that a URI names; None for a URI elsewhere."""
        return layout.stored_path(self._context.artifacts.root, uri)

    def own_path(self, uri: str) -> str | None:
        """As `stored_path`, also for URIs of an artifact proxy, whatever their host."""
        return layout.own_path(self._context.artifacts.root, uri)

    def keeps(self, version: ModelVersion) -> bool:
        """Return whether the files of a version are kept under this artifact root.

        A URI of an artifact proxy may be one of this root or of another: it is of this one where
        something is sealed.
        """
        return self._context.keeps(version.download_uri)

    def manifest(self, path: str) -> Manifest:
        """Return the manifest of a sealed path.

        Raises:
            ArtifactNotFoundError: the path is not sealed.
            StoreCorruptedError: the manifest is damaged.
        """
        return self._context.seals.manifest(path)

    def digest(self, path: str) -> str | None:
        """Return the digest of the files at a sealed path; None where nothing is sealed.

        Raises:
            StoreCorruptedError: the manifest is damaged.
        """
        manifest = self._context.seals.sealed(path)
        return None if manifest is None else manifest.digest

    def sealed_by(self, path: str) -> str | None:
        """Return the sealed path that this one is, is in, or contains; None where it may change."""
        return self._context.seals.conflicting(path)

    # Coming

    def push(
        self,
        draft: NewModelVersion,
        source: Path,
        options: push.PushOptions,
    ) -> ModelVersion:
        """Create a READY version of the files below `source`; see the package for the steps.

        A push that was interrupted is continued by the same call: the same bytes and the same
        fields of the draft. Such calls at the same time make one version, or several whole ones.

        Raises:
            InvalidArgumentError: the files cannot be a model version.
            RegisteredModelNotFoundError: the registered model does not exist.
            ConflictError: others changed or removed the files meanwhile; safe to repeat.
            PushInterrupted: on Ctrl-C, when there is a pending version.
        """
        return push.push(self._context, draft, source, options)

    def begin(
        self,
        draft: NewModelVersion,
        manifest: Manifest,
        *,
        create: bool = False,
        if_changed: bool = False,
    ) -> uploads.Begun:
        """Begin a push whose files others will write, by `write` with their digests.

        The same call again continues it. `create` and `if_changed` are as for `PushOptions`.

        Raises:
            RegisteredModelNotFoundError: the registered model does not exist.
            ConflictError: others changed or removed the files meanwhile; safe to repeat.
        """
        return uploads.begin(self._context, draft, manifest, create=create, if_changed=if_changed)

    def finish(self, version: ModelVersion) -> ModelVersion:
        """Seal the files of a version that `begin` reserved, and return it READY.

        Raises:
            ConflictError: files are missing, or others ended the push.
            InvalidArgumentError: no push of this version was begun.
        """
        return uploads.finish(self._context, version)

    def give_up(self, version: ModelVersion, message: str) -> ModelVersion:
        """Return a pending version as FAILED_REGISTRATION.

        Raises:
            ConflictError: it is no longer pending.
        """
        return push.fail(self._context, version, message)

    def register(
        self,
        draft: NewModelVersion,
        *,
        origin: ModelVersion | None = None,
        idempotency: Idempotency | None = None,
    ) -> ModelVersion:
        """Create a version whose source is a URI; what it names below the root is sealed first.

        For that all its bytes are read, unless they are sealed already. `origin` is the version
        that this one is a copy of. Under an idempotency key the same call makes one version, and
        continues what was interrupted.

        Raises:
            RegisteredModelNotFoundError: the registered model does not exist.
            ConflictError: others changed or removed the files meanwhile; safe to repeat.
        """
        return push.register(self._context, draft, origin=origin, idempotency=idempotency)

    def adopt(
        self, version: ModelVersion, tree: FileTree, *, progress: Progress | None = None
    ) -> ModelVersion:
        """Bring the files of a version that lie elsewhere below the root, and seal them there.

        The version is changed by one step, when all of them are in place. The same call again
        continues what was interrupted.

        Raises:
            StaleValueError: The files of the version are elsewhere by now.
            ConflictError: Others changed or removed the files meanwhile; safe to repeat.
            ModelVersionNotFoundError: The version was deleted.
        """
        return adopt.adopt(self._context, version, tree, progress=progress)

    def bring(self, name: str, tree: FileTree) -> str:
        """Bring files below the root and seal them; return their folder, which no version has yet.

        Raises:
            ConflictError: Others changed or removed the files meanwhile; safe to repeat.
        """
        folder = layout.folder_of(name, tree.manifest)
        push.deliver(self._context, folder, tree)
        return folder

    def keeping(self, folders: Mapping[str, Manifest]) -> AbstractContextManager[None]:
        """Have collections of garbage leave folders of sealed files until the block ends.

        Raises:
            ConflictError: Their files have been collected; safe to repeat.
        """
        return adopt.keeping(self._context, folders)

    def tree_of(self, version: ModelVersion) -> FileTree:
        """Return the files of a version, whose bytes are compared with its manifest when read.

        Raises as `verify`, of what shows in names and sizes.
        """
        return pull.tree_of(self._context, version)

    def begin_adoption(self, version: ModelVersion, manifest: Manifest) -> uploads.Begun:
        """Begin an adoption whose files others will write, by `write` with their digests."""
        return adopt.begin(self._context, version, manifest)

    def finish_adoption(
        self, version: ModelVersion, manifest: Manifest, *, files_were_at: str
    ) -> ModelVersion:
        """Seal the files that `begin_adoption` waited for, and return the version that has them.

        It is changed only if its files are where they were when they were read.

        Raises as `adopt`.
        """
        return adopt.finish(self._context, version, manifest, files_were_at=files_were_at)

    # Checking and leaving

    def pull(
        self, version: ModelVersion, destination: Path, *, progress: Progress | None = None
    ) -> Manifest:
        """Download and verify the files of a version below `destination`; return its manifest.

        Files already there with the right digest are kept; others of the same name are replaced.

        Raises:
            ArtifactMismatchError: something is not what the manifest says; what is wrong was not
                written. Nothing was, if it shows in names and sizes.
            InvalidArgumentError: the version's bytes are not kept under this artifact root, or the
                destination holds something else.
        """
        return pull.pull(self._context, version, destination, progress=progress)

    def manifest_of(self, version: ModelVersion) -> Manifest:
        """Return the manifest of a version.

        Raises:
            ArtifactMismatchError: it is missing, damaged, or another version's.
            InvalidArgumentError: the version's bytes are not kept under this artifact root.
        """
        return pull.manifest_of(self._context, version)[1]

    def located_manifest(self, version: ModelVersion) -> tuple[str, Manifest]:
        """Return where below the root the files of a version are, and its manifest.

        Raises as `manifest_of`.
        """
        return pull.manifest_of(self._context, version)

    def verify(self, version: ModelVersion) -> Manifest:
        """Read every byte of a version, compare it with the manifest, and return that.

        Raises:
            ArtifactMismatchError: naming each path with the expected and the found size or digest.
            InvalidArgumentError: the version's bytes are not kept under this artifact root.
        """
        return pull.verify(self._context, version)

    def checking(self, version: ModelVersion) -> Iterator[FileCheck]:
        """Read every byte of a version, file after file, and yield how far that is.

        For a caller that shows the progress: `verify` reads many files at a time. Each file has a
        last `FileCheck`, which is over and says what is wrong; of a large one there are others
        before. A file that does not belong has one, too.

        Raises as `manifest_of`, before the first file.
        """
        return pull.checking(self._context, version)

    def read_file(self, folder: str, file: ManifestFile, *, most: int) -> bytes:
        """Return the bytes of a small file of a version, as `located_manifest` has both.

        Raises:
            ArtifactMismatchError: they are not what the manifest says.
            InvalidArgumentError: the file has more than `most` bytes.
        """
        return pull.read_file(self._context.artifacts, folder, file, most)

    # Files that no version has

    def check_open(self, path: str) -> None:
        """Return if what is at the path may be changed.

        Raises:
            ArtifactImmutableError: it belongs to a version.
        """
        unsealed.check_open(self._context, path)

    def awaits(self, path: str, sha256: str) -> bool:
        """Return whether a push awaits a file with this digest at the path."""
        return unsealed.awaits(self._context, path, sha256)

    def write(self, path: str, chunks: Iterable[bytes], *, sha256: str | None = None) -> FileInfo:
        """Write a file of the chunks and return it.

        With its digest it may also be one that a push awaits; see `begin`.

        Raises:
            ArtifactImmutableError: a version has the path, also if it was registered meanwhile.
            ConflictError: a collection of garbage removed the file; it may be written again.
            InvalidArgumentError: the chunks have another digest than `sha256`, if that is given.
        """
        return unsealed.write(self._context, path, chunks, sha256=sha256)

    def writer(
        self, path: str, *, sha256: str | None = None, start: int | None = None
    ) -> FileWriter:
        """As `write`, for bytes that come piece by piece; `commit` raises what `write` does.

        With `start` an awaited file can be suspended, and past 0 it is continued from there.

        Raises:
            ConflictError: not so many bytes are kept, or others write the file.
        """
        return unsealed.writer(self._context, path, sha256=sha256, start=start)

    def kept_bytes(self, path: str, *, sha256: str) -> int:
        """Return how many bytes of an awaited file an interrupted write has left."""
        return unsealed.kept_bytes(self._context, path, sha256=sha256)

    def kept_upload(self, upload: str) -> KeptUpload:
        """Return what there is of an upload that has no place yet; see `received.upload_name`.

        Raises:
            UnsupportedBackendError: the artifact root takes no such uploads.
        """
        return received.kept(self._context, upload)

    def upload_writer(self, upload: str, *, start: int = 0) -> FileWriter:
        """Write an upload that has no place yet; `commit` gives its digest.

        Raises:
            ConflictError: fewer than `start` bytes are kept, or others write it.
            UnsupportedBackendError: the artifact root takes no such uploads.
        """
        return received.writer(self._context, upload, start=start)

    def publish_upload(self, upload: str, path: str, *, sha256: str) -> FileInfo:
        """Make a complete upload with this digest the file at a path; raises as `write` does.

        Raises:
            ArtifactNotFoundError: there is no such upload.
        """
        return received.publish(self._context, upload, path, sha256=sha256)

    def complete_multipart(
        self,
        store: PresigningArtifactStore,
        path: str,
        upload_id: str,
        *,
        etags: Mapping[int, str],
    ) -> None:
        """Make a file of the parts of a multipart upload; raises as `write` does."""
        unsealed.complete(self._context, store, path, upload_id, etags=etags)

    def delete(self, path: str) -> None:
        """Remove a file or folder; what is absent is skipped.

        Raises:
            ArtifactImmutableError: a version has the path, or something below it.
        """
        unsealed.delete(self._context, path)

    # Going, and putting right

    def collect_garbage(
        self, *, grace_seconds: float = DEFAULT_GRACE_SECONDS, dry_run: bool = True
    ) -> Garbage:
        """Find, and remove, what no version refers to and is older than the grace period.

        A dry run removes nothing. The seals of files go with them. Nothing that a version refers to
        is removed, also when the version was created meanwhile. A grace period shorter than an
        upload takes can break uploads in progress; they may be repeated.
        """
        return gc.collect(self._context, grace_seconds=grace_seconds, dry_run=dry_run)

    def fsck(
        self,
        *,
        repair: bool = False,
        grace_seconds: float = GRACE_SECONDS,
        garbage_grace_seconds: float = DEFAULT_GRACE_SECONDS,
    ) -> Report:
        """Check versions against their files; sizes are compared, bytes are not read.

        A repair ends uploads whose uploader died: READY where every byte is there, else FAILED. It
        seals what is not sealed, and removes what nothing refers to past the second grace period.
        """
        return check.check(
            self._context,
            repair=repair,
            grace_seconds=grace_seconds,
            garbage_grace_seconds=garbage_grace_seconds,
        )
