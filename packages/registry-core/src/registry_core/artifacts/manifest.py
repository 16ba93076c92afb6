r"""Manifests: what the files of a model version are, so that they cannot change silently.

A manifest lists each file's path, size and SHA-256, and one root digest over all of them. Its JSON
is canonical: the same files give the same bytes. Format:

    {"format_version": 1, "digest": "sha256:…",
     "files": [{"path": "MLmodel", "size": 9, "sha256": "…"}, …]}

`files` are in code-point order of their paths. The root digest is the SHA-256 of one line
`<sha256> <size> <path>\n` per file, in that order, in UTF-8.
The JSON has at most `MANIFEST_MAX_BYTES`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

import attrs

from registry_core.artifacts.paths import file_path
from registry_core.errors import InvalidArgumentError, StoreCorruptedError

FORMAT_VERSION = 1
"""The only manifest format there is."""

MANIFEST_MAX_BYTES = 64 * 1024 * 1024
"""Bytes of a manifest, which is read into memory whole: some 400,000 files with paths of usual
length. A version of more files is refused before anything is uploaded."""

_MANIFEST_MAX_ELEMENTS = 4_000_000
"""Values of lists and objects in a manifest; it has four for a file."""

_ENTRY_BYTES = 160
"""The most bytes that a file takes in a manifest beside its path."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@attrs.frozen(kw_only=True, order=True)
class ManifestFile:
    """One file of a version: its path in the version's folder, size in bytes, digest in hex."""

    path: str
    size: int
    sha256: str


@attrs.frozen(kw_only=True)
class Manifest:
    """The files of one model version, in order of their paths."""

    files: tuple[ManifestFile, ...]

    @property
    def digest(self) -> str:
        """The root digest: `sha256:` and 64 hex digits."""
        lines = (f"{file.sha256} {file.size} {file.path}\n" for file in self.files)
        return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def to_json(self) -> bytes:
        """Return the canonical JSON."""
        files = [attrs.asdict(file) for file in self.files]
        document = {"format_version": FORMAT_VERSION, "digest": self.digest, "files": files}
        return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def make_manifest(files: Iterable[ManifestFile]) -> Manifest:
    """Return the manifest of some files.

    Raises:
        InvalidArgumentError: there is no file, or there are too many, a path is illegal, or two
            files share a path or one is the folder of another.
    """
    ordered = tuple(sorted(files, key=lambda file: file.path))
    if not ordered:
        raise InvalidArgumentError("A model version needs at least one file.")
    if sum(len(_text(file.path)) + _ENTRY_BYTES for file in ordered) > MANIFEST_MAX_BYTES:
        raise InvalidArgumentError(
            f"{len(ordered)} files are too many for one model version: the list of them may have "
            f"{MANIFEST_MAX_BYTES} bytes."
        )
    paths = {file_path(file.path) for file in ordered}
    if len(paths) != len(ordered):
        raise InvalidArgumentError("Two files of a model version have the same path.")
    folders = {folder for path in paths for folder in _folders(path)}
    if clash := sorted(paths & folders):
        raise InvalidArgumentError(f"'{clash[0]}' is both a file and a folder.")
    return Manifest(files=ordered)


def parse_manifest(raw: bytes) -> Manifest:
    """Return the manifest from its JSON.

    Raises:
        StoreCorruptedError: this is not a manifest, its digest is not that of its files, or a newer
            release wrote it.
    """
    if _elements(raw) > _MANIFEST_MAX_ELEMENTS:
        raise StoreCorruptedError("not a manifest: there is too much in it")
    try:
        document = json.loads(raw)
        if document["format_version"] != FORMAT_VERSION:
            raise StoreCorruptedError(
                f"manifest format {document['format_version']!r} was written by a newer release"
            )
        manifest = make_manifest(_file(entry) for entry in document["files"])
        expected = document["digest"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreCorruptedError(f"not a manifest: {error!r}") from error
    if manifest.digest != expected:
        raise StoreCorruptedError(
            f"manifest damaged: digest {manifest.digest} of its files, {expected} written"
        )
    return manifest


def _file(entry: dict[str, object]) -> ManifestFile:
    match entry:
        case {"path": str(path), "size": int(size), "sha256": str(sha256)} if (
            size >= 0 and not isinstance(size, bool) and _SHA256.match(sha256)
        ):
            return ManifestFile(path=path, size=size, sha256=sha256)
    raise ValueError(f"not a file entry: {entry!r}")


def _text(path: str) -> bytes:
    return json.dumps(path, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _elements(raw: bytes) -> int:
    # At most: characters inside of paths are counted too.
    if len(raw) < _MANIFEST_MAX_ELEMENTS:
        return 0
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _folders(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
