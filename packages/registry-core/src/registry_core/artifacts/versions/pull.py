"""Reading the files of a version back, and finding whatever is not as it was registered."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from registry_core.artifacts import ArtifactStore, FileInfo, Manifest, ManifestFile, Reading
from registry_core.artifacts.digests import Sha256
from registry_core.artifacts.local_writing import write_whole
from registry_core.artifacts.trees import Progress, sha256_file
from registry_core.artifacts.versions.context import Context, subject
from registry_core.artifacts.versions.destinations import place_of, unfinished_in
from registry_core.artifacts.versions.layout import contents
from registry_core.artifacts.versions.transfer import Meter, in_parallel
from registry_core.errors import (
    ArtifactMismatchError,
    ArtifactNotFoundError,
    InvalidArgumentError,
    StoreCorruptedError,
)
from registry_core.models import DIGEST_TAG, ModelVersion, Status
from registry_core.redaction import redacted

PROBLEMS_MAX = 100
"""Files at fault that an error names; others may have added millions."""

_NO_FILE = "no such file"


class Readable(Protocol):
    """What has files: an artifact store, or a server that has one."""

    def read(self, path: str, *, start: int = 0, stop: int | None = None) -> Reading:
        """As of an artifact store."""
        ...


@attrs.frozen
class Sealed:
    """A version's manifest, and where each of its files is."""

    version: ModelVersion
    manifest: Manifest
    files: Mapping[str, FileInfo]

    def missing(self) -> Iterator[str]:
        """Yield a sentence for each file that is not there."""
        for file in self.manifest.files:
            if file.path not in self.files:
                yield _missing(file)

    def resized(self) -> Iterator[str]:
        """Yield a sentence for each file of another size."""
        for file in self.present():
            if not self.has_size(file):
                yield _wrong_size(file, f"{self.files[file.path].size} bytes")

    def added(self) -> Iterator[str]:
        """Yield a sentence for each file that does not belong. Its bytes are not read."""
        for name in self.unexpected():
            yield _unexpected(name, self.files[name].size)

    def unexpected(self) -> list[str]:
        """Return the paths of the files that do not belong."""
        return sorted(self.files.keys() - {file.path for file in self.manifest.files})

    def present(self) -> Iterator[ManifestFile]:
        """Return what the manifest says of each file that is there."""
        return (file for file in self.manifest.files if file.path in self.files)

    def has_size(self, file: ManifestFile) -> bool:
        """Return whether a file that is there may have its size, as far as is known."""
        return self.files[file.path].size in (None, file.size)

    def problems(self) -> list[str]:
        """Return a sentence for whatever is wrong by names and sizes."""
        return [*self.missing(), *self.resized(), *self.added()]


@attrs.frozen(kw_only=True)
class FileCheck:
    """How far a file of a version has been read, or, when it is over, what was found."""

    path: str
    size: int | None
    """Bytes that it should have; None where there should be no such file."""
    done: int = 0
    """Bytes that were read."""
    is_over: bool = False
    problem: str | None = None
    """What is wrong with it, once it is over; None if it is what was registered."""


def pull(
    context: Context,
    version: ModelVersion,
    destination: Path,
    *,
    progress: Progress | None = None,
) -> Manifest:
    """See `ModelArtifacts.pull`."""
    return pull_sealed(context.artifacts, _sealed(context, version), destination, progress=progress)


def pull_sealed(
    artifacts: Readable, sealed: Sealed, destination: Path, *, progress: Progress | None = None
) -> Manifest:
    """As `pull`, from whatever has the files."""
    version = sealed.version
    _raise_for(version, sealed.problems())
    meter = Meter(sealed.manifest.size, progress)
    paths = {file.path for file in sealed.manifest.files}
    with unfinished_in(destination, paths) as partial:
        download = _Download(artifacts, sealed.files, destination, partial, meter)
        problems = in_parallel(download.fetch, sealed.manifest.files, meter=meter)
    _raise_for(version, [problem for problem in problems if problem])
    return sealed.manifest


def verify(context: Context, version: ModelVersion) -> Manifest:
    """See `ModelArtifacts.verify`."""
    return verify_sealed(context.artifacts, _sealed(context, version))


def verify_sealed(artifacts: Readable, sealed: Sealed) -> Manifest:
    """As `verify`, of whatever has the files."""

    def check(file: ManifestFile) -> str | None:
        return _compare(artifacts, sealed.files[file.path].path, file)

    wrong = sealed.problems()
    sized = filter(sealed.has_size, sealed.present())
    _raise_for(
        sealed.version, [*wrong, *(problem for problem in in_parallel(check, sized) if problem)]
    )
    return sealed.manifest


@attrs.frozen(eq=False)
class SealedTree:
    """The files of a version, as they were registered: see `trees.FileTree`."""

    _artifacts: Readable
    _sealed: Sealed

    @property
    def manifest(self) -> Manifest:
        """See `FileTree`."""
        return self._sealed.manifest

    def read(self, file: ManifestFile) -> Iterator[bytes]:
        """See `FileTree`.

        Raises:
            ArtifactMismatchError: At the end, if they are other bytes than those registered.
        """
        digest, size = Sha256(), 0
        with self._artifacts.read(self._sealed.files[file.path].path) as pieces:
            for piece in pieces:
                size += len(piece)
                if size > file.size:
                    break
                digest.update(piece)
                yield piece
        if size != file.size or digest.hexdigest() != file.sha256:
            problem = f"'{file.path}': expected sha256 {file.sha256}, found other bytes"
            raise ArtifactMismatchError(subject(self._sealed.version), (problem,))


def tree_of(context: Context, version: ModelVersion) -> SealedTree:
    """See `ModelArtifacts.tree_of`."""
    return sealed_tree(context.artifacts, _sealed(context, version))


def sealed_tree(artifacts: Readable, sealed: Sealed) -> SealedTree:
    """As `tree_of`, from whatever has the files."""
    _raise_for(sealed.version, sealed.problems())
    return SealedTree(artifacts, sealed)


def digest_of(artifacts: ArtifactStore, path: str) -> tuple[str, int]:
    """Return the SHA-256 in hex and the size of the file at a path, from its bytes."""
    digest, size = Sha256(), 0
    with artifacts.read(path) as pieces:
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def _sealed(context: Context, version: ModelVersion) -> Sealed:
    path, manifest = manifest_of(context, version)
    return Sealed(version, manifest, contents(context.artifacts, path))


def manifest_of(context: Context, version: ModelVersion) -> tuple[str, Manifest]:
    """Return where a version's files are and its manifest; see `ModelArtifacts.manifest_of`."""
    path = context.path_of(version)
    if not path:
        raise InvalidArgumentError(
            f"The files of {subject(version)} are at '{redacted(version.download_uri)}', which is "
            f"not below the artifact root '{context.artifacts.root}'."
        )
    if version.status is not Status.READY:
        raise InvalidArgumentError(
            f"{subject(version)} is {version.status}"
            + (f": {version.status_message}" if version.status_message else "")
        )
    try:
        manifest = context.seals.manifest(path)
    except (ArtifactNotFoundError, StoreCorruptedError) as error:
        raise ArtifactMismatchError(subject(version), (f"manifest: {error}",)) from error
    if (expected := version.tags.get(DIGEST_TAG, manifest.digest)) != manifest.digest:
        problem = f"manifest: expected {expected}, found {manifest.digest}"
        raise ArtifactMismatchError(subject(version), (problem,))
    return path, manifest


def checking(context: Context, version: ModelVersion) -> Iterator[FileCheck]:
    """See `ModelArtifacts.checking`."""
    sealed = _sealed(context, version)
    return _checking(context.artifacts, sealed)


def _checking(artifacts: Readable, sealed: Sealed) -> Iterator[FileCheck]:
    for file in sealed.manifest.files:
        at = FileCheck(path=file.path, size=file.size)
        there = sealed.files.get(file.path)
        if there is None:
            yield attrs.evolve(at, is_over=True, problem=_missing(file))
            continue
        reading = _comparing(artifacts, there.path, file, lambda _: None)
        problem = None
        while True:
            try:
                yield attrs.evolve(at, done=next(reading))
            except StopIteration as end:
                problem = end.value
                break
        yield attrs.evolve(at, done=file.size, is_over=True, problem=problem)
    for path in sealed.unexpected():
        problem = _unexpected(path, sealed.files[path].size)
        yield FileCheck(path=path, size=None, is_over=True, problem=problem)


def _compare(
    artifacts: Readable,
    path: str,
    file: ManifestFile,
    take: Callable[[bytes], object] = lambda _: None,
) -> str | None:
    """What is wrong with the bytes at a path; None if they are those of the file.

    Each piece is given to `take`, unless there are more bytes than the file has.
    """
    reading = _comparing(artifacts, path, file, take)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            problem: str | None = end.value
            return problem


def _comparing(
    artifacts: Readable, path: str, file: ManifestFile, take: Callable[[bytes], object]
) -> Generator[int, None, str | None]:
    """As `_compare`, which it returns; yields how many bytes were read so far, piece by piece."""
    digest, size = Sha256(), 0
    try:
        with artifacts.read(path) as pieces:
            if pieces.info.size not in (None, file.size):
                return _wrong_size(file, f"{pieces.info.size} bytes")
            for piece in pieces:
                size += len(piece)
                if size > file.size:
                    return _wrong_size(file, "more")
                digest.update(piece)
                take(piece)
                yield size
    except ArtifactNotFoundError:
        return _missing(file)
    if size != file.size:
        return _wrong_size(file, f"{size} bytes")
    if (sha256 := digest.hexdigest()) != file.sha256:
        return f"'{file.path}': expected sha256 {file.sha256}, found sha256 {sha256}"
    return None


def _wrong_size(file: ManifestFile, size: str) -> str:
    return f"'{file.path}': expected {file.size} bytes, found {size}"


def _missing(file: ManifestFile) -> str:
    return f"'{file.path}': expected sha256 {file.sha256}, found {_NO_FILE}"


def _unexpected(path: str, size: int | None) -> str:
    return f"'{path}': expected {_NO_FILE}, found {size} bytes"


def _raise_for(version: ModelVersion, problems: Sequence[str]) -> None:
    if problems:
        named = tuple(problems[:PROBLEMS_MAX])
        if len(problems) > PROBLEMS_MAX:
            named += (f"and {len(problems) - PROBLEMS_MAX} more",)
        raise ArtifactMismatchError(subject(version), named)


def read_file(artifacts: ArtifactStore, folder: str, file: ManifestFile, most: int) -> bytes:
    """See `ModelArtifacts.read_file`."""
    if file.size > most:
        raise InvalidArgumentError(
            f"'{file.path}' has {file.size} bytes, which is more than {most}"
        )
    content: list[bytes] = []
    problem = _compare(artifacts, f"{folder}/{file.path}", file, content.append)
    if problem:
        raise ArtifactMismatchError(f"'{folder}'", (problem,))
    return b"".join(content)


def _has(target: Path, file: ManifestFile) -> bool:
    return (
        target.is_file()
        and target.stat().st_size == file.size
        and sha256_file(target) == file.sha256
    )


@attrs.frozen
class _Download:
    """Files on their way to a destination."""

    artifacts: Readable
    files: Mapping[str, FileInfo]
    destination: Path
    partial: Path
    meter: Meter

    def fetch(self, file: ManifestFile) -> str | None:
        """Return what is wrong with a file; None if it is in the destination as it should be."""
        target = place_of(self.destination, file.path)
        if _has(target, file):
            self.meter.add(file.size)
            return None
        gathered = self.partial / secrets.token_hex(16)
        with gathered.open("xb", buffering=0) as local:

            def take(piece: bytes) -> None:
                write_whole(local, piece)
                self.meter.add(len(piece))

            problem = _compare(self.artifacts, self.files[file.path].path, file, take)
        if problem is None:
            gathered.replace(target)
        else:
            gathered.unlink()
        return problem
