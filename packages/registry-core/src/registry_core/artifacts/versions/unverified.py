"""Files that were visible before their bytes were compared, and what keeps them from being trusted.

A bucket lets nobody read the parts of an upload before they are a file. So the file of an upload
that was continued has its final name before its digest is known, and the process may die just then.

Strategy: rule 4 of the package. Such a file is noted before it is visible, by a file of its own,
`<root>/.registry/unverified/<folder>/<random>`, with the id of the upload. Who has noted it looks
whether the folder is sealed by now, or no push waits for files there any more; then it makes none.
Who needs a sealed folder for a version reads the notes once the seal is there: so at least one of
the two sees the other. He ends the uploads that are noted, so that they can make no file any more,
and reads their files. The note of a right file is removed then, or by the process that wrote it. A
file of other bytes keeps its note, and nobody removes that file, since the right one may be in its
place at any moment; whatever overwrites it is compared before it is visible.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress

import attrs

from registry_core.artifacts import (
    FileInfo,
    Manifest,
    ManifestFile,
    ResumingArtifactStore,
    is_resumable,
)
from registry_core.artifacts.paths import RESERVED
from registry_core.artifacts.store import read_all
from registry_core.artifacts.versions.context import Context
from registry_core.artifacts.versions.layout import contents, push_folder
from registry_core.artifacts.versions.pull import digest_of
from registry_core.artifacts.versions.seals import Closed
from registry_core.errors import (
    ArtifactNotFoundError,
    ConflictError,
    RegistryError,
    StoreCorruptedError,
)

_FOLDER = f"{RESERVED}/unverified"
_MAX_BYTES = 64 * 1024
"""Bytes of a note: a path and the id of an upload."""


class Announcement:
    """The note of one continued upload, for the process that continues it."""

    def __init__(self, context: Context, path: str) -> None:
        self._context = context
        self._folder = push_folder(path)
        self._path = path
        self._note: str | None = None

    def write(self, write_id: str) -> None:
        """Leave the note: the file at the path may have other bytes than it should.

        Raises:
            ConflictError: The push is over, so nothing unverified may come to its folder.
        """
        self._note = f"{_FOLDER}/{self._folder}/{secrets.token_hex(16)}"
        body = {"path": self._path.removeprefix(f"{self._folder}/"), "write": write_id}
        self._context.artifacts.write(self._note, [json.dumps(body).encode()])
        if not self._is_awaited():
            self.withdraw()
            raise ConflictError(f"the push of '{self._path}' was over before the file was there")

    def _is_awaited(self) -> bool:
        try:
            state = self._context.seals.state(self._folder)
        except ArtifactNotFoundError:
            return False  # Collected. Others may register what they have put there.
        return isinstance(state, Closed) and state.digest is not None

    def withdraw(self) -> None:
        """Remove the note: the bytes have been compared, or there is no such file."""
        if self._note is not None:
            # What stays behind is found, and its file read, when the folder is needed next.
            with suppress(RegistryError):
                self._context.artifacts.remove([self._note])


@attrs.frozen
class _Note:
    at: str
    path: str
    """Of the file, in its folder."""
    write_id: str


def wrong_files(
    context: Context,
    folder: str,
    manifest: Manifest,
    there: Mapping[str, FileInfo] | None = None,
) -> AbstractSet[str]:
    """Return which files of a folder have not been verified, and have other bytes than they should.

    One request where nothing is noted, and none where nothing can be: only large files are ever
    continued. With the files that are `there`, only those of them count that have the right size.
    """
    files = {
        file.path: file
        for file in manifest.files
        if is_resumable(file.size)
        and (there is None or (file.path in there and there[file.path].size == file.size))
    }
    store = context.artifacts
    if not files or not isinstance(store, ResumingArtifactStore):
        return frozenset()
    notes = list(_read(context, _listed(context, folder)))
    _end_writes(store, folder, notes)
    noted = {note.path for note in notes}
    wrong = {path for path in noted & files.keys() if not _is_right(context, folder, files[path])}
    store.remove(note.at for note in notes if note.path in files and note.path not in wrong)
    return wrong


def check(context: Context, folder: str, manifest: Manifest) -> None:
    """Return if every file of a sealed folder has been verified.

    Raises:
        ConflictError: Some have other bytes; the same push again replaces them.
    """
    if wrong := wrong_files(context, folder, manifest):
        raise ConflictError(
            f"{len(wrong)} files at '{folder}' have other bytes than they should; push again"
        )


def noted_in(context: Context, folder: str) -> list[str]:
    """Return the paths of the files in a folder that have not been verified, as far as is noted."""
    return sorted({note.path for note in _read(context, _listed(context, folder))})


def noted_folders(context: Context) -> AbstractSet[str]:
    """Return the folders for which there are notes."""
    return {folder_of_note(info.path) for info in context.artifacts.walk(_FOLDER)}


def is_note(path: str) -> bool:
    """Return whether the file at a path is a note."""
    return path.startswith(f"{_FOLDER}/")


def folder_of_note(path: str) -> str:
    """Return the folder in which the file is that a note is of."""
    return path.removeprefix(f"{_FOLDER}/").rpartition("/")[0]


def void_notes(context: Context, folder: str, notes: Iterable[FileInfo]) -> Iterator[str]:
    """Return which of the notes for a folder are of files that are gone, and cannot come back."""
    found = list[_Note]()
    with suppress(StoreCorruptedError):  # one that nobody can read stays
        found += _read(context, notes)
    if not found:
        return
    if isinstance(context.artifacts, ResumingArtifactStore):
        _end_writes(context.artifacts, folder, found)
    there = contents(context.artifacts, folder)
    yield from (note.at for note in found if note.path not in there)


def _listed(context: Context, folder: str) -> list[FileInfo]:
    return context.artifacts.list(f"{_FOLDER}/{folder}")


def _read(context: Context, notes: Iterable[FileInfo]) -> Iterator[_Note]:
    for info in notes:
        # One that is gone was withdrawn: its file has been verified, or was never made.
        with suppress(ArtifactNotFoundError):
            yield _parse(info.path, read_all(context.artifacts, info.path, most=_MAX_BYTES))


def _parse(at: str, raw: bytes) -> _Note:
    try:
        match json.loads(raw):
            case {"path": str(path), "write": str(write_id)}:
                return _Note(at, path, write_id)
    except (ValueError, RecursionError):
        pass
    raise StoreCorruptedError(f"'{at}' does not say which file it is about")


def _end_writes(store: ResumingArtifactStore, folder: str, notes: Iterable[_Note]) -> None:
    for note in notes:
        store.cancel_write(f"{folder}/{note.path}", note.write_id)


def _is_right(context: Context, folder: str, file: ManifestFile) -> bool:
    with suppress(ArtifactNotFoundError):
        return digest_of(context.artifacts, f"{folder}/{file.path}") == (file.sha256, file.size)
    return False
