"""Seals: what keeps the files of a version from being changed.

A seal is a file apart from the files that it seals, at
`<root>/.registry/manifests/<path>/manifest.json`. It is first written as a mark that the path is
closed, `{"format_version": 1, "closing": "sha256:…"}` with the digest that is expected (null where
the files are there already), and replaced by the manifest when all files are in place. A push
through a server writes another mark in between, which has the `files` of the manifest, too: each of
them may still be put there, by anybody who has its bytes, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice

import attrs

from registry_core.artifacts import ArtifactStore, FileInfo, Manifest, parse_manifest
from registry_core.artifacts.manifest import FORMAT_VERSION, MANIFEST_MAX_BYTES
from registry_core.artifacts.paths import RESERVED
from registry_core.artifacts.store import read_all
from registry_core.artifacts.versions.layout import ancestors
from registry_core.errors import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    ConflictError,
    InvalidArgumentError,
)

_FOLDER = f"{RESERVED}/manifests"
_NAME = "manifest.json"
_CLOSING = b'{"format_version": 1, "closing": '
"""How a mark begins."""

_CLOSED_MAX_BYTES = 1_000
"""Bytes up to which a seal may be a mark; a larger one is parsed once, as a manifest."""

_CLOSE_ATTEMPTS = 10
"""How often a path is closed again whose seal another process removes at the same time."""


@attrs.frozen
class Closed:
    """A seal of a path whose files are not all in place; `digest` is the one they will have.

    With a manifest, those that are there have been compared with it.
    """

    digest: str | None
    manifest: Manifest | None = None


class Seals:
    """The seals below an artifact root."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts

    def manifest(self, path: str) -> Manifest:
        """Return the manifest of a sealed path.

        Raises:
            ArtifactNotFoundError: the path is not sealed, or not all of its files are in place.
            StoreCorruptedError: the manifest is damaged.
        """
        seal = self._read(path)
        if isinstance(seal, Closed):
            raise ArtifactNotFoundError(_seal_of(path))
        return seal

    def sealed(self, path: str) -> Manifest | None:
        """Return as `manifest`; None where the path is not sealed."""
        try:
            return self.manifest(path)
        except ArtifactNotFoundError:
            return None

    def close(self, path: str, *, digest: str | None) -> None:
        """From now on nothing at the path is changed through `unsealed`.

        Raises:
            ConflictError: other files than those of that digest are sealed there.
            InvalidArgumentError: the path is one that seals themselves take.
        """
        if _NAME in path.split("/"):
            raise InvalidArgumentError(f"'{_NAME}' cannot be, or contain, a model version")
        for _ in range(_CLOSE_ATTEMPTS):
            try:
                self._write(path, _closed(digest), overwrite=False)
            except ArtifactExistsError:
                if self._joins(path, digest):
                    return
            else:
                return
        raise ConflictError(f"'{path}' is being sealed and unsealed by others")

    def fill(self, path: str, manifest: Manifest) -> None:
        """Say which files may still come to a closed path, after those there were compared with it.

        Raises:
            ConflictError: as `seal`.
        """
        state = self._closed_for(path, manifest)
        # Written again, it could take the place of a seal that another call writes meanwhile.
        if isinstance(state, Closed) and state.manifest is None:
            self._write(path, _filling(manifest), overwrite=True)

    def filling(self, path: str) -> Manifest | None:
        """Return the manifest of the files that may still come to a path; None where none may."""
        try:
            seal = self._read(path)
        except ArtifactNotFoundError:
            return None
        return seal.manifest if isinstance(seal, Closed) else None

    def state(self, path: str) -> Manifest | Closed:
        """Return the manifest of a sealed path, or what is known of one that is only closed.

        Raises:
            ArtifactNotFoundError: the path is neither.
        """
        return self._read(path)

    def seal(self, path: str, manifest: Manifest) -> None:
        """Keep the manifest of a closed path.

        Raises:
            ConflictError: others seal other files there, or the seal was taken away.
        """
        if isinstance(self._closed_for(path, manifest), Closed):
            self._write(path, manifest.to_json(), overwrite=True)

    def conflicting(self, path: str) -> str | None:
        """Return the sealed path that this one is, is in, or contains; None where it may change."""
        if self.is_sealed(path):
            return path
        if (sealed_ancestor := self.sealed_ancestor(path)) is not None:
            return sealed_ancestor
        below = self._artifacts.walk(f"{_FOLDER}/{path}" if path else _FOLDER)
        return next((sealed_path(info.path) for info in below), None)

    def sealed_ancestor(self, path: str) -> str | None:
        """Return the sealed path that this one is in; None if it is in none."""
        folders = islice(ancestors(path), 1, None)
        return next((folder for folder in folders if self.is_sealed(folder)), None)

    def is_sealed(self, path: str) -> bool:
        """Return whether exactly this path is sealed or closed."""
        return self.stat(path) is not None

    def stat(self, path: str) -> FileInfo | None:
        """Return the file that seals or closes exactly this path; None if nothing does."""
        try:
            return self._artifacts.stat(_seal_of(path))
        except ArtifactNotFoundError:
            return None

    def all(self) -> Iterator[tuple[str, FileInfo]]:
        """Yield each sealed path, and the file that seals it."""
        for info in self._artifacts.walk(_FOLDER):
            yield sealed_path(info.path), info

    def remove(self, paths: Iterable[str]) -> None:
        """Unseal paths."""
        self._artifacts.remove(_seal_of(path) for path in paths)

    def _closed_for(self, path: str, manifest: Manifest) -> Manifest | Closed:
        try:
            seal = self._read(path)
        except ArtifactNotFoundError:
            raise ConflictError(f"the seal of '{path}' was removed by somebody else") from None
        digest = seal.digest
        if digest not in (None, manifest.digest):
            raise ConflictError(f"other files are being kept at '{path}' by somebody else")
        return seal

    def _joins(self, path: str, digest: str | None) -> bool:
        """Whether a seal that is already there will do; a digest that it lacks is added."""
        try:
            seal = self._read(path)
        except ArtifactNotFoundError:
            return False
        if digest is not None and seal.digest is None:
            self._write(path, _closed(digest), overwrite=True)
        elif digest is not None and seal.digest != digest:
            raise ConflictError(f"other files are kept at '{path}'")
        return True

    def _read(self, path: str) -> Manifest | Closed:
        return _parse(read_all(self._artifacts, _seal_of(path), most=MANIFEST_MAX_BYTES))

    def _write(self, path: str, body: bytes, *, overwrite: bool) -> None:
        self._artifacts.write(_seal_of(path), [body], overwrite=overwrite)


def is_seal(path: str) -> bool:
    """Return whether the file at a path is a seal."""
    return path.startswith(f"{_FOLDER}/")


def sealed_path(seal: str) -> str:
    """Return the path that the file at another one seals."""
    return seal.removeprefix(f"{_FOLDER}/").removesuffix(f"/{_NAME}")


def _seal_of(path: str) -> str:
    return f"{_FOLDER}/{path}/{_NAME}"


def _closed(digest: str | None) -> bytes:
    return json.dumps({"format_version": FORMAT_VERSION, "closing": digest}).encode() + b"\n"


def _filling(manifest: Manifest) -> bytes:
    # The manifest's own JSON, under another key for its digest.
    return _CLOSING + manifest.to_json().partition(b'"digest": ')[2]


def _parse(raw: bytes) -> Manifest | Closed:
    if len(raw) <= _CLOSED_MAX_BYTES:
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            document = None
        match document:
            case {"format_version": 1, "closing": str() | None as digest, **more} if not more:
                return Closed(digest)
    if raw.startswith(_CLOSING):
        head = b'{"format_version": 1, "digest": '
        manifest = parse_manifest(head + raw.removeprefix(_CLOSING))
        return Closed(manifest.digest, manifest)
    return parse_manifest(raw)
