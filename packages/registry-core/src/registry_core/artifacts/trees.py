"""A directory on this machine, as the files of a model version.

Strategy: the directory is opened once, and everything in it is opened from there, name by name,
never following a link. So what is uploaded is what lies in the directory, also when somebody
swaps a folder for a link meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import attrs

from registry_core.artifacts.manifest import Manifest, ManifestFile, make_manifest
from registry_core.artifacts.store import CHUNK_SIZE
from registry_core.errors import InvalidArgumentError, UnsupportedBackendError
from registry_core.thread_pool import ThreadPool

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all, from several threads, one at a time."""

Location: TypeAlias = tuple[str, ...]
"""The names that lead from an opened directory to something in it."""

_HASH_THREADS = 4
"""Files hashed at a time; hashing runs outside the interpreter's lock."""

IS_POSIX = os.open in os.supports_dir_fd
"""Whether folders can be opened and locked. Not on Windows, where a registry has no files."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC if IS_POSIX else os.O_RDONLY
_INNER_FOLDER = _FOLDER | os.O_NOFOLLOW if IS_POSIX else _FOLDER
# Not waiting for the other end of what turns out to be a pipe.
_FILE = _INNER_FOLDER & ~os.O_DIRECTORY | os.O_NONBLOCK if IS_POSIX else os.O_RDONLY


@attrs.frozen(eq=False)
class Tree:
    """The files of an opened directory, by the paths that they have in a version."""

    manifest: Manifest
    _base: int
    _locations: Mapping[str, Location]

    def read(self, file: ManifestFile) -> Iterator[bytes]:
        """Read the bytes of a file.

        Raises:
            InvalidArgumentError: at the end, if they are not those that were there at first, or
                before, if there are more of them.
        """
        digest, size = hashlib.sha256(), 0
        with _readable(file.path):
            for piece in _pieces(self._base, self._locations[file.path]):
                digest.update(piece)
                size += len(piece)
                if size > file.size:
                    break
                yield piece
        if digest.hexdigest() != file.sha256:
            raise InvalidArgumentError(f"'{file.path}' changed while it was uploaded")


@contextmanager
def open_tree(source: Path, *, within: Path | None = None) -> Iterator[Tree]:
    """The files of a directory, or one file.

    `source` may itself be reached by links, unless it has to lie `within` a directory: then no
    link is followed from there on. File names are taken in Unicode's composed form (NFC), so that
    they mean one file everywhere.

    Raises:
        InvalidArgumentError: there is no file, or a link, a special file, an illegal name or two
            names that mean the same.
        UnsupportedBackendError: the system is not POSIX.
    """
    require_posix()
    start, location = _starting_point(source, within)
    with _readable(source):
        base = os.open(start, _FOLDER)
    try:
        with _readable(source):
            tree = _scan(base, location, source)
        yield tree
    finally:
        os.close(base)


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


def _starting_point(source: Path, within: Path | None) -> tuple[Path, Location]:
    if within is None:
        resolved = source.resolve()
        return resolved.parent, (resolved.name,) if resolved.name else ()
    for root in (within, within.resolve()):
        if source.is_relative_to(root) and ".." not in source.parts:
            return root.resolve(), source.relative_to(root).parts
    raise InvalidArgumentError(f"'{source}' is not in '{within}'")


def _scan(base: int, location: Location, source: Path) -> Tree:
    locations: dict[str, Location] = {}
    for relative in _files(base, location):
        name = unicodedata.normalize("NFC", "/".join(relative or location[-1:]))
        if name in locations:
            raise InvalidArgumentError(f"'{source}' has two files that are named '{name}'")
        locations[name] = (*location, *relative)
    # Illegal names are found before anything is read.
    make_manifest(ManifestFile(path=name, size=0, sha256="") for name in locations)
    with ThreadPool(_HASH_THREADS, name="hash") as pool:
        entries = pool.map(lambda name: _entry(base, name, locations[name]), locations)
    return Tree(make_manifest(entries), base, locations)


def _files(base: int, start: Location) -> Iterator[Location]:
    """Where files are, relative to `start`; the empty location if `start` is a file itself."""
    if start and not _is_folder(base, start):
        yield ()
        return
    folders: list[Location] = [()]
    while folders:
        folder = folders.pop()
        descriptor = _opened(base, (*start, *folder), _INNER_FOLDER)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    location = (*folder, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(location)
                    elif entry.is_file(follow_symlinks=False):
                        yield location
                    else:
                        raise _not_a_file(location)
        finally:
            os.close(descriptor)


def _is_folder(base: int, location: Location) -> bool:
    folder = _opened(base, location[:-1], _INNER_FOLDER)
    try:
        status = os.stat(location[-1], dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(folder)
    if stat.S_ISLNK(status.st_mode):
        raise _not_a_file(location)
    return stat.S_ISDIR(status.st_mode)


def _opened(base: int, location: Location, flags: int) -> int:
    """A descriptor of what is there. Each name is opened in its folder, following no link."""
    folder = os.dup(base)
    for position, name in enumerate(location, 1):
        try:
            inner = os.open(
                name, flags if position == len(location) else _INNER_FOLDER, dir_fd=folder
            )
        finally:
            os.close(folder)
        folder = inner
    return folder


def _pieces(base: int, location: Location) -> Iterator[bytes]:
    """The bytes of a file, and at most one more than it had when it was opened."""
    descriptor = _opened(base, location, _FILE)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(location)
        # One byte more than there should be tells whether it grows: it may do so for ever.
        left = status.st_size + 1
        while piece := os.read(descriptor, min(CHUNK_SIZE, left)):
            left -= len(piece)
            yield piece
    finally:
        os.close(descriptor)


def _entry(base: int, name: str, location: Location) -> ManifestFile:
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(base, location):
        digest.update(piece)
        size += len(piece)
    return ManifestFile(path=name, size=size, sha256=digest.hexdigest())


@contextmanager
def _readable(what: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidArgumentError(f"'{what}' cannot be read: {error.strerror}") from error


def _not_a_file(location: Location) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"'{'/'.join(location)}' is a link or a special file; a model version holds only files"
    )
