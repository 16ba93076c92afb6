"""Where the bytes of model versions are below an artifact root."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping

from registry_core.artifacts import ArtifactStore, FileInfo, Manifest
from registry_core.artifacts.paths import RESERVED
from registry_core.key_names import FOLDER_NAMES
from registry_core.models import ModelVersion

FOLDER_DEPTH = 2
"""Segments in the path of the folder of a push: the model and the digest."""

_FOLDER_DIGITS = 32
"""Digits of a manifest's digest that name its folder: half of them, 128 bits."""

_PROXIED = re.compile(
    r"https?://[^/?#]+(?:/[^?#]*)?/(?:ajax-)?api/2\.0/mlflow-artifacts/artifacts/(?P<path>[^?#]+)"
    r"|mlflow-artifacts:(?://[^/?#]*)?/(?P<opaque>[^?#]+)",
    re.IGNORECASE,
)
"""URIs by which clients name what a server like ours keeps (contract 7.2)."""


def folder_of(name: str, manifest: Manifest) -> str:
    """Return the path of the folder that holds these files for a model."""
    return f"{FOLDER_NAMES.encode(name)}/{_folder_digits(manifest)}"


def push_folder(path: str) -> str:
    """Return the folder that a file would lie in which came by a push."""
    return "/".join(path.split("/")[:FOLDER_DEPTH])


def is_named_by(folder: str, manifest: Manifest) -> bool:
    """Return whether a folder may be that of a push of these files: its name says which they are.

    Of the folders of all other versions it says nothing: other files may come to be there.
    """
    model, _, digits = folder.partition("/")
    return bool(model) and digits == _folder_digits(manifest)


def _folder_digits(manifest: Manifest) -> str:
    return manifest.digest.removeprefix("sha256:")[:_FOLDER_DIGITS]


def stored_path(root: str, uri: str) -> str | None:
    """Return the path below a root that a storage URI names; None for one elsewhere."""
    if not uri.startswith(f"{root}/"):
        return None
    below = uri.removeprefix(root)
    # Keys of a bucket are written as they are, paths of a disk are not.
    return _tidy(urllib.parse.unquote(below) if root.startswith("file:") else below) or None


def own_path(root: str, uri: str) -> str | None:
    """As `stored_path`, also for the URIs of an artifact proxy.

    They count as this root's whatever their host, since a server has many names: at worst the
    registry keeps too much.
    """
    if (path := stored_path(root, uri)) is not None:
        return path
    if (match := _PROXIED.match(uri)) is None:
        return None
    return _tidy(urllib.parse.unquote(match["path"] or match["opaque"]))


def is_proxied(uri: str) -> bool:
    """Return whether a URI names what the artifact proxy of some server keeps, ours or another."""
    return _PROXIED.match(uri) is not None


def _tidy(path: str) -> str:
    return re.sub("/+", "/", path).strip("/")


def needed_paths(root: str, versions: Iterable[ModelVersion]) -> set[str]:
    """Return the paths below the root that the versions refer to; the empty one is the root."""
    uris = {
        uri for version in versions for uri in (version.source, version.storage_location) if uri
    }
    return paths_of(root, uris)


def paths_of(root: str, uris: Iterable[str]) -> set[str]:
    """Return the paths below the root that the URIs are of; the empty one is the root."""
    return {path for uri in uris for path in _paths_of(root, uri)}


def _paths_of(root: str, uri: str) -> Iterator[str]:
    # A query or fragment may be part of a key or not: both are kept. What names the root, or
    # something above it, needs all.
    for text in {uri, uri.partition("?")[0], uri.partition("#")[0]}:
        if (path := own_path(root, text)) is not None:
            yield path
        elif f"{root}/".startswith(f"{text.rstrip('/')}/"):
            yield ""


class Needed:
    """Paths that must stay, with everything below them."""

    def __init__(self, paths: set[str]) -> None:
        self._paths = paths
        self._above = {folder for path in paths for folder in ancestors(path)}

    def keeps(self, path: str) -> bool:
        """Return whether a file is, or is below, something that must stay."""
        return "" in self._paths or any(folder in self._paths for folder in ancestors(path))

    def touches(self, path: str) -> bool:
        """Return whether a folder is, contains or is below something that must stay."""
        return path in self._above or self.keeps(path)


def ancestors(path: str) -> Iterator[str]:
    """Yield the path and every folder above it, short of the root."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def overlap(one: str, other: str) -> bool:
    """Return whether one path is the other, or contains it; the empty one contains all."""
    if not one or not other:
        return True
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def contents(artifacts: ArtifactStore, path: str) -> Mapping[str, FileInfo]:
    """Return the files at a path by the names that they have in a version.

    Those below a folder by their path in it; the one file that the path itself is, by its name.
    """
    return {
        info.path.removeprefix(f"{path}/") if info.path != path else path.rpartition("/")[2]: info
        for info in artifacts.walk(path)
    }


def is_reserved(path: str) -> bool:
    """Return whether a path is ours, and no artifact."""
    return path.startswith(f"{RESERVED}/")
