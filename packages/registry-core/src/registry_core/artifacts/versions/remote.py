"""Pushing and pulling through a server: what a client does that has no key to the artifact root."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from registry_core import validation
from registry_core.artifacts import FileInfo, Manifest, ManifestFile, Reading
from registry_core.artifacts.open_files import Piece
from registry_core.artifacts.trees import FileTree, Progress, Tree
from registry_core.artifacts.versions.early import EarlyUploads, TakesUploads
from registry_core.artifacts.versions.pull import Sealed, pull_sealed, verify_sealed
from registry_core.artifacts.versions.push import MESSAGE_MAX_LENGTH, PushOptions, after, opened
from registry_core.artifacts.versions.transfer import Meter, in_parallel
from registry_core.artifacts.versions.uploads import Begun
from registry_core.authors import Author
from registry_core.errors import (
    ConflictError,
    InvalidArgumentError,
    PushInterrupted,
    RegistryError,
    StoreUnavailableError,
)
from registry_core.models import ModelVersion, NewModelVersion, Status


@runtime_checkable
class ServesFiles(TakesUploads, Protocol):
    """A store whose server has an artifact root, and lets clients push to it and pull from it."""

    def begin_push(
        self,
        draft: NewModelVersion,
        manifest: Manifest,
        *,
        create: bool,
        if_changed: bool,
        by: Author,
    ) -> Begun:
        """See `Registry.begin_push`; of the draft its source does not count."""
        ...

    def finish_push(self, version: ModelVersion, *, by: Author) -> ModelVersion:
        """See `Registry.finish_push`."""
        ...

    def give_up_push(self, version: ModelVersion, message: str, *, by: Author) -> ModelVersion:
        """See `Registry.finish_push`, with a message why it failed."""
        ...

    def begin_adoption(self, version: ModelVersion, manifest: Manifest, *, by: Author) -> Begun:
        """See `Registry.begin_adoption`."""
        ...

    def finish_adoption(
        self, version: ModelVersion, manifest: Manifest, *, by: Author
    ) -> ModelVersion:
        """See `Registry.finish_adoption`."""
        ...

    def write_file(
        self,
        path: str,
        pieces: Callable[[int], Iterable[Piece]],
        *,
        size: int,
        sha256: str,
        retreat: Callable[[], object],
    ) -> None:
        """Send a file. `pieces` gives its bytes from a number on, again after each `retreat`."""
        ...

    def read(self, path: str, *, start: int = 0, stop: int | None = None) -> Reading:
        """As of an artifact store."""
        ...


def push(
    server: ServesFiles,
    draft: NewModelVersion,
    source: Path,
    options: PushOptions,
    *,
    by: Author,
) -> ModelVersion:
    """See `ModelArtifacts.push`. A server that cannot be reached leaves the version pending."""
    early = EarlyUploads(server, draft.name, options)
    with opened(source, options, known=early.send) as tree:
        begun = server.begin_push(
            draft, tree.manifest, create=options.create, if_changed=options.if_changed, by=by
        )
        version = begun.version
        if version.status is Status.READY:
            return version
        try:
            _send(server, begun, tree, early.meter(tree.manifest), early)
            return server.finish_push(version, by=by)
        except KeyboardInterrupt as interrupt:
            raise PushInterrupted(version.name, version.version) from interrupt
        except (StoreUnavailableError, ConflictError):
            raise
        except (RegistryError, OSError) as error:
            with suppress(RegistryError):
                message = str(error).encode(errors="replace").decode()[:MESSAGE_MAX_LENGTH]
                server.give_up_push(version, message, by=by)
            raise


def adopt(
    server: ServesFiles,
    version: ModelVersion,
    tree: FileTree,
    *,
    progress: Progress | None,
    by: Author,
) -> ModelVersion:
    """See `ModelArtifacts.adopt`."""
    begun = server.begin_adoption(version, tree.manifest, by=by)
    _send(server, begun, tree, Meter(tree.manifest.size, progress))
    return server.finish_adoption(version, tree.manifest, by=by)


def _send(
    server: ServesFiles,
    begun: Begun,
    tree: FileTree,
    meter: Meter,
    early: EarlyUploads | None = None,
) -> None:
    awaited = frozenset(begun.missing)

    def send(file: ManifestFile) -> None:
        if early is not None and early.publish(begun.path, file):
            return
        if file.path not in awaited:
            meter.add(file.size)
            return
        passing = _Passing(tree, file, meter)
        try:
            server.write_file(
                f"{begun.path}/{file.path}",
                passing.pieces,
                size=file.size,
                sha256=file.sha256,
                retreat=passing.retreat,
            )
        except InvalidArgumentError:
            _check_unchanged(tree, file)
            raise

    in_parallel(send, tree.manifest.files, meter=meter)


class _Passing:
    """The bytes of a file on their way, each counted when the next one is asked for."""

    def __init__(self, tree: FileTree, file: ManifestFile, meter: Meter) -> None:
        self._tree = tree
        self._file = file
        self._meter = meter
        self._sent = 0

    def pieces(self, start: int) -> Iterable[Piece]:
        self._sent = start
        self._meter.add(start)
        for piece in _from(self._tree, self._file, start):
            yield piece
            self._sent += len(piece)
            self._meter.add(len(piece))

    def retreat(self) -> None:
        self._meter.add(-self._sent)
        self._sent = 0


def _from(tree: FileTree, file: ManifestFile, start: int) -> Iterable[Piece]:
    """The bytes of a file from `start` on. The server compares what it has with the digest."""
    if isinstance(tree, Tree):
        return tree.read_rest(file, start)
    return after(start, tree.read(file))


def _check_unchanged(tree: FileTree, file: ManifestFile) -> None:
    """Read a file that the server refused: it raises what is wrong with the bytes on this side."""
    for _ in tree.read(file):
        pass


def sealed_of(server: ServesFiles, name: str, version: int | str) -> Sealed:
    """Return the manifest of a version's files, and where the server has them.

    Raises:
        ArtifactMismatchError: The manifest is missing, damaged, or another version's.
        InvalidArgumentError: The files are not kept by the server.
        UnsupportedBackendError: The server is MLflow's.
    """
    model_version, path, manifest = server.version_files(*validation.version_key(name, version))
    # Which are there, and of which size, is found out as each of them is read.
    files = {
        file.path: FileInfo(path=f"{path}/{file.path}", size=file.size) for file in manifest.files
    }
    return Sealed(model_version, manifest, files)


def pull(
    server: ServesFiles, sealed: Sealed, destination: Path, *, progress: Progress | None = None
) -> Manifest:
    """See `ModelArtifacts.pull`."""
    return pull_sealed(server, sealed, destination, progress=progress)


def verify(server: ServesFiles, name: str, version: int | str) -> Manifest:
    """See `ModelArtifacts.verify`. All bytes are read over the network."""
    return verify_sealed(server, sealed_of(server, name, version))
