"""Large files of a push that are sent to a server before their digests are known.

Strategy: the folder of a version is named by the digests of its files, so a client that hashes
first reads a file twice, and waits. A server that takes a file before its place is known
(`received`) lets the client read it once. The server answers two digests of what it has: SHA-256,
which the manifest needs, and XXH3, which costs next to nothing. If the second is that of what was
read here, these are the same bytes, and need no SHA-256 here: the file is published once the push
has begun. Else, and wherever anything stands in the way, it is hashed and sent as others are.

What the server probably has is hashed first, as what it has is not sent again: a file as large as
one of the newest version, and all files while a push of the model is pending.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import attrs

from registry_core.artifacts import Manifest, ManifestFile, is_resumable
from registry_core.artifacts.digests import Digest, Sha256, Xxh3
from registry_core.artifacts.open_files import FilePiece, Piece, changed
from registry_core.artifacts.trees import Identity, Tree
from registry_core.artifacts.versions.push import PushOptions
from registry_core.artifacts.versions.transfer import Meter, in_parallel
from registry_core.errors import (
    ConflictError,
    PushInterrupted,
    RegistryError,
    StoreUnavailableError,
)
from registry_core.key_names import FOLDER_NAMES
from registry_core.models import ModelVersion, RegisteredModel, Status
from registry_core.search import (
    AttributeRef,
    Comparison,
    Entity,
    Op,
    OrderBy,
    Page,
    Query,
)

_NEWEST = 10
"""Versions among which the newest READY one is looked for; further back it is no longer likely that
a push has the same files."""


@attrs.frozen
class ReceivedFile:
    """The digests, in hex, of a file that a server has received."""

    sha256: str
    xxh3: str | None = None
    """None if another process has sent the file, or the server computes none."""


class Source(Protocol):
    """A file to send, part by part."""

    @property
    def size(self) -> int:
        """Bytes in the file."""
        ...

    def skip(self, start: int) -> None:
        """Leave out what the server has: the bytes before `start`."""
        ...

    def pieces(self, start: int) -> Iterable[Piece]:
        """Return the bytes from `start` on; it may be called again, for what did not arrive."""
        ...


class TakesUploads(Protocol):
    """A server that may take files before their digests are known, and tells what it has."""

    def send_upload(self, upload: str, source: Source, *, begins: bool) -> ReceivedFile | None:
        """Send a file before its digest is known; return the digests of what the server has.

        None if there was nothing to continue and it is not to begin.
        """
        ...

    def version_files(self, name: str, version: int) -> tuple[ModelVersion, str, Manifest]:
        """Return a version, the path of its files below the artifact root, and their manifest."""
        ...

    def publish_upload(self, upload_id: str, path: str, *, sha256: str) -> None:
        """Have the server put a file that was sent so at a path of the same model."""
        ...

    def get_registered_model(self, name: str) -> RegisteredModel:
        """As of a store."""
        ...

    def search_versions_alone(self, query: Query) -> Page[ModelVersion]:
        """As of a store, with or without the aliases."""
        ...


class EarlyUploads:
    """The files of one push that are sent before it begins."""

    def __init__(self, server: TakesUploads, name: str, options: PushOptions) -> None:
        self._server = server
        self._name = name
        self._options = options
        self._meter: Meter | None = None
        self._is_offered = True
        self._uploads: dict[str, str] = {}
        """The ids of the uploads that the server has, by the paths of their files."""

    def meter(self, manifest: Manifest) -> Meter:
        """Return what counts the bytes of the push, with those that have been sent."""
        if self._meter is None:
            return Meter(manifest.size, self._options.progress)
        self._meter.correct(manifest.size)
        return self._meter

    def send(self, tree: Tree) -> Mapping[str, ManifestFile]:
        """Send large files, and return what was read of them; the others are not read."""
        large = [file for file in tree.manifest.files if is_resumable(file.size)]
        if not large or self._options.if_changed:
            return {}
        candidates, begins = self._candidates(large)
        if not candidates:
            return {}
        self._meter = meter = Meter(tree.manifest.size, self._options.progress)

        def send(file: ManifestFile) -> ManifestFile | None:
            return self._send(_OnePass(tree, file, meter), begins=begins)

        try:
            sent = in_parallel(send, candidates, meter=meter)
        except KeyboardInterrupt as interrupt:
            raise PushInterrupted(self._name, None) from interrupt
        return {file.path: file for file in sent if file is not None}

    def publish(self, folder: str, file: ManifestFile) -> bool:
        """Return whether a file came to its place in a folder because it was sent before."""
        upload_id = self._uploads.get(file.path)
        if upload_id is None:
            return False
        try:
            self._server.publish_upload(upload_id, f"{folder}/{file.path}", sha256=file.sha256)
        except StoreUnavailableError:
            raise
        except RegistryError:
            assert self._meter is not None, "a file was sent"
            self._meter.add(-file.size)
            return False
        return True

    def _candidates(self, files: Sequence[ManifestFile]) -> tuple[Sequence[ManifestFile], bool]:
        """The files to send if the server takes them, and whether also those that it has none of.

        While the newest version is pending, a push was interrupted, and only what it has sent goes
        on.
        """
        try:
            newest = self._newest()
        except StoreUnavailableError:
            raise
        except RegistryError:
            return (), False  # The push itself says why.
        if newest and newest[0].status is Status.PENDING_REGISTRATION:
            return files, False
        sizes = self._sizes(next((each for each in newest if each.status is Status.READY), None))
        return [file for file in files if file.size not in sizes], True

    def _newest(self) -> list[ModelVersion]:
        query = Query(
            entity=Entity.MODEL_VERSION,
            filter=(Comparison(AttributeRef("name"), Op.EQ, self._name),),
            order_by=(OrderBy("version", ascending=False),),
            max_results=_NEWEST,
            exclude_prompts=True,
        )
        versions = list(self._server.search_versions_alone(query).items)
        if not versions and not self._options.create:
            self._server.get_registered_model(self._name)
        return versions

    def _sizes(self, version: ModelVersion | None) -> frozenset[int]:
        """The sizes of the files of a version; none of one that is kept elsewhere."""
        if version is None:
            return frozenset()
        try:
            manifest = self._server.version_files(version.name, version.version)[2]
        except StoreUnavailableError:
            raise
        except RegistryError:
            return frozenset()
        return frozenset(file.size for file in manifest.files)

    def _send(self, source: _OnePass, *, begins: bool) -> ManifestFile | None:
        if not self._is_offered or not is_resumable(source.size):
            return None
        upload_id = _upload_id(self._name, source.path, source.identity)
        upload = f"{FOLDER_NAMES.encode(self._name)}/{upload_id}"
        try:
            received = self._server.send_upload(upload, source, begins=begins)
        except StoreUnavailableError:
            raise
        except RegistryError as error:
            source.require_unchanged()
            if not isinstance(error, ConflictError):
                self._is_offered = False
            received = None
        if received is None or not source.matches(received):
            source.uncount()
            return None
        self._uploads[source.path] = upload_id
        return ManifestFile(path=source.path, size=source.size, sha256=received.sha256)


class _OnePass:
    """A file that is read once, in its order; a part that is sent again is not hashed again."""

    def __init__(self, tree: Tree, file: ManifestFile, meter: Meter) -> None:
        self.path = file.path
        self.identity = tree.identity(file)
        self.size = self.identity.size
        self._tree = tree
        self._file = ManifestFile(path=file.path, size=self.size, sha256="")
        self._meter = meter
        self._digest: Digest = Xxh3()
        self._hashed = 0
        self._counted = 0

    def skip(self, start: int) -> None:
        """Hash what is not sent: the bytes before `start`."""
        if start <= self._hashed:
            return
        for piece in self._tree.read_rest(self._file, self._hashed):
            self._update(piece[: start - self._hashed])
            self._count(self._hashed)
            if self._hashed == start:
                return

    def pieces(self, start: int) -> Iterator[Piece]:
        """Yield the bytes from `start` on, and hash those that have not been."""
        position = start
        self._count(start)
        for piece in self._tree.read_rest(self._file, start):
            # Before it is sent: it is hashed meanwhile.
            self._update(piece[max(0, self._hashed - position) :])
            yield piece
            position += len(piece)
            self._count(position)

    def matches(self, received: ReceivedFile) -> bool:
        """Return whether a server has received the bytes that the file has.

        Raises:
            InvalidArgumentError: it was written meanwhile.
        """
        if received.xxh3 is None:
            self._digest, self._hashed = Sha256(), 0
        self.skip(self.size)
        is_same = self._digest.hexdigest() == (received.xxh3 or received.sha256)
        self.require_unchanged()
        return is_same

    def require_unchanged(self) -> None:
        """Accept a file that nobody has written, and that is still in its place.

        Raises:
            InvalidArgumentError: it is another one.
        """
        if self._tree.identity(self._file) != self.identity:
            raise changed(self._file)

    def uncount(self) -> None:
        """Take it that nothing has been sent."""
        self._count(0)

    def _update(self, piece: FilePiece) -> None:
        if piece:
            self._digest.update(piece)
            self._hashed += len(piece)

    def _count(self, position: int) -> None:
        self._meter.add(position - self._counted)
        self._counted = position


def _upload_id(name: str, path: str, identity: Identity) -> str:
    """The id of a file's upload: the same for the same bytes, also of another process.

    A link beside the file is another file, since each of them has a place of its own.
    """
    parts = (name, socket.gethostname(), path, *map(str, identity))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
