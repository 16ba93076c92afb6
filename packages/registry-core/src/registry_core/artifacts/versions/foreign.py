"""Files of versions that lie elsewhere than in the registry: read by clients, and never by servers.

Nobody has sealed them, so nothing says what they should be: the result says that they
are not verified.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import attrs

from registry_core import sources
from registry_core.artifacts import Manifest, ManifestFile, make_manifest
from registry_core.artifacts.local_writing import write_whole
from registry_core.artifacts.trees import Progress
from registry_core.artifacts.versions.context import subject
from registry_core.artifacts.versions.destinations import place_of, unfinished_in
from registry_core.artifacts.versions.transfer import Meter, in_parallel
from registry_core.errors import InvalidArgumentError, StoreUnavailableError
from registry_core.models import ModelVersion, Status

LOCAL_FILES_OPTION = "--local-files"
"""By which option `regctl copy` reads sources that are paths of this disk."""


@attrs.frozen(eq=False)
class ForeignFiles:
    """The files at a place outside of the registry."""

    place: str
    """Where they are, for people: without a password."""
    sizes: Mapping[str, int | None]
    """Their sizes in bytes, where known, by the paths that they have in a version."""
    pieces: Callable[[str], Iterator[bytes]]
    """Gives the bytes of one of them. Each call reads it anew."""

    @property
    def size(self) -> int:
        """Bytes of all of them, as far as they are known."""
        return sum(size or 0 for size in self.sizes.values())

    def read(self, path: str) -> Iterator[bytes]:
        """Read the bytes of a file.

        Raises:
            StoreUnavailableError: At the end, if they are not as many as there should be.
        """
        size, expected = 0, self.sizes[path]
        for piece in self.pieces(path):
            size += len(piece)
            yield piece
        if expected is not None and size != expected:
            raise StoreUnavailableError(
                f"'{path}' at '{self.place}' was cut off: {size} bytes of {expected}"
            )


class OpensForeign(Protocol):
    """Opens places outside of the registry. A server has none of these."""

    def open(
        self, uri: str, *, tracking_uri: str | None = None
    ) -> AbstractContextManager[ForeignFiles]:
        """Return the files at a URI, until the block ends.

        Args:
            uri: Where they are, as the source of a version says it.
            tracking_uri: Who resolves `mlflow-artifacts:`, `runs:` and `models:/m-...`.

        Raises:
            InvalidArgumentError: The URI names nothing that can be read.
            ArtifactNotFoundError: There are no files.
            BackendNotInstalledError: The driver is missing.
            StoreUnavailableError: The place cannot be reached.
        """
        ...


def require_ready(version: ModelVersion) -> None:
    """Accept a version whose files are complete.

    Raises:
        InvalidArgumentError: It is pending, or has failed.
    """
    if version.status is not Status.READY:
        raise InvalidArgumentError(f"{subject(version)} is {version.status}")


def require_remote(version: ModelVersion, place: str, *, option: str) -> None:
    """Accept a place of a version's files that is not a path of this disk.

    A version's source is somebody else's text, and so is what a tracking server says of `runs:`:
    by itself it names no file of this machine that others get to read.

    Args:
        version: The version.
        place: Where its files are, or are said to be.
        option: By which option of `regctl` the user names the files of this disk.

    Raises:
        InvalidArgumentError: It is a path, or a `file:` URI.
    """
    if sources.is_local(place):
        raise InvalidArgumentError(
            f"The source of {subject(version)} is a path of a disk, '{place}'. If it is one of "
            f"this machine, name it with {option}"
        )


@contextmanager
def opened_tree(
    places: OpensForeign, version: ModelVersion, *, tracking_uri: str | None, local_files: bool
) -> Iterator[ForeignTree]:
    """Open the files of a version that lie elsewhere, with their digests, until the block ends.

    Raises as `OpensForeign.open`, and for a path of this disk unless there are `local_files`.
    """
    require_ready(version)
    if not local_files:
        require_remote(version, version.download_uri, option=LOCAL_FILES_OPTION)
    with places.open(version.download_uri, tracking_uri=tracking_uri) as files:
        if not local_files:
            require_remote(version, files.place, option=LOCAL_FILES_OPTION)
        yield tree_of(files)


def pull(files: ForeignFiles, destination: Path, *, progress: Progress | None = None) -> Manifest:
    """Download files below a destination, and return the manifest of what came.

    All of them are fetched, also those that are there: nothing says whether they are the same.
    """
    _check_names(files)
    meter = Meter(files.size, progress)
    with unfinished_in(destination, files.sizes.keys()) as partial:

        def fetch(path: str) -> ManifestFile:
            target = place_of(destination, path)
            gathered = partial / secrets.token_hex(16)
            with gathered.open("xb", buffering=0) as local:
                file = _take(files, path, lambda piece: write_whole(local, piece), meter)
            gathered.replace(target)
            return file

        return make_manifest(in_parallel(fetch, sorted(files.sizes), meter=meter))


@attrs.frozen(eq=False)
class ForeignTree:
    """Files outside of the registry, with their digests: see `trees.Tree`."""

    manifest: Manifest
    _found: ForeignFiles

    def read(self, file: ManifestFile) -> Iterator[bytes]:
        """Read the bytes of a file.

        Raises:
            InvalidArgumentError: At the end, if they are not those that were there at first.
        """
        digest = hashlib.sha256()
        for piece in self._found.read(file.path):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != file.sha256:
            raise InvalidArgumentError(f"'{file.path}' changed while it was read")


def tree_of(foreign: ForeignFiles, *, progress: Progress | None = None) -> ForeignTree:
    """Return files with their digests; for these all bytes are read."""
    _check_names(foreign)
    meter = Meter(foreign.size, progress)
    files = in_parallel(
        lambda path: _take(foreign, path, lambda _: None, meter), sorted(foreign.sizes), meter=meter
    )
    return ForeignTree(make_manifest(files), foreign)


def _check_names(files: ForeignFiles) -> None:
    """Accept names that files of a version can have, before the first byte is read."""
    make_manifest(ManifestFile(path=path, size=0, sha256="") for path in files.sizes)


def _take(
    files: ForeignFiles, path: str, take: Callable[[bytes], object], meter: Meter
) -> ManifestFile:
    digest, size = hashlib.sha256(), 0
    for piece in files.read(path):
        digest.update(piece)
        size += len(piece)
        take(piece)
        meter.add(len(piece))
    return ManifestFile(path=path, size=size, sha256=digest.hexdigest())
