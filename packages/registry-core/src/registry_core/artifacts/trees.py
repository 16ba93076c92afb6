"""A directory on this machine, as the files of a model version.

Strategy: the directory is opened once, and everything in it is opened from there, name by name. A
server follows no link on the way, so what it uploads is what lies in the directory, also when
somebody swaps a folder for a link meanwhile. A user's own links are followed, as MLflow's client
does: every snapshot in the cache of Hugging Face is made of them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import attrs

from registry_core.artifacts.digests import Sha256
from registry_core.artifacts.manifest import Manifest, ManifestFile, make_manifest
from registry_core.artifacts.open_files import FilePiece, OpenFile, changed, readable
from registry_core.artifacts.paths import path_problem
from registry_core.artifacts.store import CHUNK_SIZE
from registry_core.errors import InvalidArgumentError, UnsupportedBackendError
from registry_core.thread_pool import ThreadPool

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all, from several threads, one at a time."""


class FileTree(Protocol):
    """Files with their digests, whose bytes can be read."""

    @property
    def manifest(self) -> Manifest:
        """What the files are."""
        ...

    def read(self, file: ManifestFile) -> Iterator[bytes]:
        """Read the bytes of a file.

        Raises:
            InvalidArgumentError: They are not those of the manifest.
        """
        ...


Known: TypeAlias = Callable[["Tree"], Mapping[str, ManifestFile]]
"""Gives some files of a tree with their digests, by paths; the tree it is given has sizes only."""

Location: TypeAlias = tuple[str, ...]
"""The names that lead from an opened directory to something in it."""

_HASH_THREADS = 4
"""Files hashed at a time; hashing runs outside the interpreter's lock."""

IS_POSIX = os.open in os.supports_dir_fd
"""Whether folders can be opened and locked. Not on Windows, where a registry has no files."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC if IS_POSIX else os.O_RDONLY
# Not waiting for the other end of what turns out to be a pipe.
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK if IS_POSIX else os.O_RDONLY

_FolderIdentity: TypeAlias = tuple[int, int]
"""The device and the number of a folder, by which it is known wherever a link leads to it."""


class Identity(NamedTuple):
    """What a file is known by while nobody writes it."""

    device: int
    inode: int
    size: int
    modified_ns: int


@attrs.frozen(eq=False)
class _Base:
    """An opened directory, and whether links are followed from there on."""

    descriptor: int
    follow_links: bool

    def open(self, location: Location, flags: int) -> int:
        """Return a descriptor of what is there; each name is opened in its folder."""
        stay = 0 if self.follow_links else os.O_NOFOLLOW
        folder = os.dup(self.descriptor)
        for position, name in enumerate(location, 1):
            try:
                mode = flags if position == len(location) else _FOLDER
                inner = os.open(name, mode | stay, dir_fd=folder)
            finally:
                os.close(folder)
            folder = inner
        return folder


@attrs.frozen(eq=False)
class Tree:
    """The files of an opened directory, by the paths that they have in a version."""

    manifest: Manifest
    links_out: int
    """Links that lead out of the directory, and whose files are in the manifest all the same."""
    _base: _Base
    _locations: Mapping[str, Location]

    def read(self, file: ManifestFile) -> Iterator[bytes]:
        """Read the bytes of a file.

        Raises:
            InvalidArgumentError: at the end, if they are not those that were there at first, or
                before, if there are more of them.
        """
        digest, size = Sha256(), 0
        with readable(file.path):
            for piece in _pieces(self._base, self._locations[file.path]):
                digest.update(piece)
                size += len(piece)
                if size > file.size:
                    break
                yield piece
        if digest.hexdigest() != file.sha256:
            raise changed(file)

    def read_rest(self, file: ManifestFile, start: int) -> Iterator[FilePiece]:
        """Yield where the bytes of a file are from `start` on, for one who compares the whole.

        Raises:
            InvalidArgumentError: at the end, if there are fewer or more than there were at first.
        """
        location = self._locations[file.path]
        with readable(file.path):
            opened = OpenFile(self._base.open(location, _FILE), file)
            _size(opened.descriptor, location)
            yield from opened.pieces(start)

    def identity(self, file: ManifestFile) -> Identity:
        """Return what tells a file, as it is now, from others and from what it was before."""
        with readable(file.path):
            descriptor = self._base.open(self._locations[file.path], _FILE)
            try:
                status = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def hashed(self, known: Mapping[str, ManifestFile]) -> Tree:
        """Return the tree with all digests: those that are known, and those of what it reads."""
        unknown = [file.path for file in self.manifest.files if file.path not in known]
        entries = _entries(self._base, {name: self._locations[name] for name in unknown})
        return attrs.evolve(self, manifest=make_manifest([*known.values(), *entries]))


@contextmanager
def open_tree(
    source: Path,
    *,
    within: Path | None = None,
    follow_links: bool = False,
    known: Known = lambda _: {},
) -> Iterator[Tree]:
    """Open the files of a directory, or one file.

    `source` may itself be reached by links, unless it has to lie `within` a directory: then no
    link is followed from there on. Links inside of it are files and folders like others where
    `follow_links` is set. File names are taken in Unicode's composed form (NFC), so that they mean
    one file everywhere. What `known` gives is not read for its digest; it is asked when nothing is
    wrong with any name.

    Raises:
        InvalidArgumentError: there is no file, or an illegal name, two names that mean the same, a
            pipe, socket or device, or a link that is not followed or leads nowhere or in a circle.
        UnsupportedBackendError: the system is not POSIX.
    """
    require_posix()
    follow_links = follow_links and within is None
    start, location = _starting_point(source, within, follow_links=follow_links)
    with readable(source):
        base = _Base(os.open(start, _FOLDER), follow_links)
    try:
        with readable(source):
            scanned = _scan(base, start, location, source)
        digests = known(scanned)
        with readable(source):
            tree = scanned.hashed(digests)
        yield tree
    finally:
        os.close(base.descriptor)


def require_posix() -> None:
    """Accept a system on which directories of files can be pushed and pulled.

    Raises:
        UnsupportedBackendError: this one is none.
    """
    if not IS_POSIX:
        raise UnsupportedBackendError(
            "The files of versions can be pushed and pulled on POSIX systems only, not on Windows"
        )


def sha256_file(path: Path) -> str:
    """Return the digest of a local file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _starting_point(
    source: Path, within: Path | None, *, follow_links: bool
) -> tuple[Path, Location]:
    if within is None:
        resolved = source.resolve()
        if follow_links and source.name not in ("", "..") and not source.is_dir():
            # A link to a file gives it its name.
            return source.parent.resolve(), (source.name,)
        return resolved.parent, (resolved.name,) if resolved.name else ()
    for root in (within, within.resolve()):
        if source.is_relative_to(root) and ".." not in source.parts:
            return root.resolve(), source.relative_to(root).parts
    raise InvalidArgumentError(f"'{source}' is not in '{within}'")


def _scan(base: _Base, start: Path, location: Location, source: Path) -> Tree:
    walk = _Walk(base, start.joinpath(*location), location)
    locations: dict[str, Location] = {}
    sizes: dict[str, int] = {}
    for relative, size in walk.files():
        name = unicodedata.normalize("NFC", "/".join(relative or location[-1:]))
        if (problem := path_problem(name)) is not None:
            raise InvalidArgumentError(
                f"{_quoted(name)} cannot be in a model version: it {problem}"
            )
        if name in locations:
            raise InvalidArgumentError(f"'{source}' has two files that are named '{name}'")
        locations[name], sizes[name] = (*location, *relative), size
    # What only the sum of them shows is found before anything is read, too.
    unread = make_manifest(ManifestFile(path=name, size=sizes[name], sha256="") for name in sizes)
    return Tree(unread, walk.links_out, base, locations)


def _entries(base: _Base, locations: Mapping[str, Location]) -> list[ManifestFile]:
    stop = threading.Event()
    with ThreadPool(_HASH_THREADS, name="hash") as pool:
        try:
            return pool.map(lambda name: _entry(base, name, locations[name], stop), locations)
        finally:
            # Of an error or Ctrl-C: large files are not read to their ends.
            stop.set()


class _Walk:
    """The files below a starting point, and the links that were met on the way."""

    def __init__(self, base: _Base, top: Path, start: Location) -> None:
        self.links_out = 0
        self._base = base
        self._top = top
        self._start = start

    def files(self) -> Iterator[tuple[Location, int]]:
        """Yield where files are, relative to the start, and their sizes.

        The empty location if it is a file itself.
        """
        if self._start and not stat.S_ISDIR((top := self._top_status()).st_mode):
            yield (), top.st_size
            return
        folders: list[tuple[Location, frozenset[_FolderIdentity]]] = [((), frozenset())]
        while folders:
            location, around = folders.pop()
            descriptor = self._base.open((*self._start, *location), _FOLDER)
            try:
                inside = around | {self._identity(descriptor, location, around)}
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        inner = (*location, entry.name)
                        status = self._status(entry, inner)
                        if stat.S_ISDIR(status.st_mode):
                            folders.append((inner, inside))
                        else:
                            yield inner, status.st_size
            finally:
                os.close(descriptor)

    def _top_status(self) -> os.stat_result:
        folder = self._base.open(self._start[:-1], _FOLDER)
        follow = self._base.follow_links
        try:
            status = os.stat(self._start[-1], dir_fd=folder, follow_symlinks=follow)
        finally:
            os.close(folder)
        if stat.S_ISLNK(status.st_mode):
            raise _refused(self._start, "a link, and none is followed here")
        return status

    def _status(self, entry: os.DirEntry[str], location: Location) -> os.stat_result:
        """What is known of a folder or a file; anything else is refused by its name."""
        follow = self._base.follow_links
        if entry.is_symlink():
            if not follow:
                raise _refused(location, "a link, and none is followed here")
            self._count(location)
        try:
            status = entry.stat(follow_symlinks=follow)
        except OSError as error:
            raise _refused(location, f"a link that leads nowhere ({error.strerror})") from None
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
            raise _refused(location, "a pipe, a socket or a device")
        return status

    def _identity(
        self, folder: int, location: Location, around: frozenset[_FolderIdentity]
    ) -> _FolderIdentity:
        status = os.fstat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in around:
            raise _refused(location, "a link to a folder that it lies in")
        return identity

    def _count(self, location: Location) -> None:
        target = Path(os.path.realpath(self._top.joinpath(*location)))
        self.links_out += not target.is_relative_to(self._top)


def _size(descriptor: int, location: Location) -> int:
    """How many bytes there are in what was opened, which has to be a file."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise _refused(location, "no file")
    return status.st_size


def _pieces(base: _Base, location: Location) -> Iterator[bytes]:
    """The bytes of a file, and at most one more than it had when it was opened."""
    descriptor = base.open(location, _FILE)
    try:
        # One byte more than there should be tells whether it grows: it may do so forever.
        left = _size(descriptor, location) + 1
        while piece := os.read(descriptor, min(CHUNK_SIZE, left)):
            left -= len(piece)
            yield piece
    finally:
        os.close(descriptor)


def _entry(base: _Base, name: str, location: Location, stop: threading.Event) -> ManifestFile:
    digest, size = Sha256(), 0
    for piece in _pieces(base, location):
        if stop.is_set():
            break
        digest.update(piece)
        size += len(piece)
    return ManifestFile(path=name, size=size, sha256=digest.hexdigest())


def _refused(location: Location, what: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{_quoted('/'.join(location))} is {what}; a model version holds only files"
    )


def _quoted(name: str) -> str:
    return f"'{name.encode(errors='backslashreplace').decode()}'"
