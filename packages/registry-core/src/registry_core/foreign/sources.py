"""What a source of a version stands for, and the files that are there.

Strategy: a URI is resolved step by step until it names a place that can be read. `runs:` and
`models:/m-...` are asked of the tracking server, `mlflow-artifacts:` is its proxy; a disk is read
as a push reads it; for everything else there is an artifact store of that scheme.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from registry_core import sources
from registry_core.artifacts import ArtifactStore, FileInfo
from registry_core.artifacts.trees import open_tree
from registry_core.artifacts.versions.foreign import ForeignFiles
from registry_core.artifacts.versions.pull import Readable
from registry_core.errors import (
    ArtifactNotFoundError,
    BackendNotInstalledError,
    InvalidArgumentError,
)
from registry_core.redaction import redacted

if TYPE_CHECKING:
    from registry_core.foreign.tracking import TrackingServer

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
"""Names the tracking server, as to MLflow's client."""

S3_ENDPOINT_VARIABLE = "MLFLOW_S3_ENDPOINT_URL"
"""Where MLflow's users say which S3 server they mean."""

STEPS_MAX = 5
"""How often a URI stands for another one; MLflow's do so twice at most."""

_RUN = re.compile(r"runs:/+(?:[^/@]+@[^/]+/)?(?P<run>[^/]+)(?P<path>(?:/.*)?)\Z", re.DOTALL)
_LOGGED_MODEL = re.compile(r"models:/+(?P<id>m-[^/@]+)(?P<path>(?:/.*)?)\Z", re.DOTALL)
_PROXY = re.compile(r"mlflow-artifacts:(?://(?P<host>[^/?#]*))?(?P<path>/[^?#]*)\Z", re.DOTALL)
_PROXY_URL = re.compile(
    r"(?P<server>https?://[^/?#]+(?:/[^?#]*)?)/(?:ajax-)?api/2\.0/mlflow-artifacts/artifacts/"
    r"(?P<path>[^?#]+)\Z",
    re.IGNORECASE | re.DOTALL,
)


@attrs.frozen(kw_only=True)
class ForeignSources:
    """Opens sources outside of a registry; an `OpensForeign`."""

    open_artifacts: Callable[[str], ArtifactStore]
    """Opens an artifact store by its URL."""
    tracking_uri: str | None = None
    """Who resolves URIs of MLflow's when neither a call nor the environment says so."""

    @contextmanager
    def open(self, uri: str, *, tracking_uri: str | None = None) -> Iterator[ForeignFiles]:
        """See `OpensForeign`."""
        with ExitStack() as stack:
            yield _Opening(self, tracking_uri, stack).open(uri)


@attrs.frozen
class _Opening:
    sources: ForeignSources
    tracking_uri: str | None
    stack: ExitStack

    def open(self, uri: str) -> ForeignFiles:
        """Return the files that a URI names."""
        for _ in range(STEPS_MAX):
            if (further := self._resolved(uri)) is None:
                return self._at(uri)
            uri = further
        raise InvalidArgumentError(f"'{redacted(uri)}' always leads to another place")

    def _resolved(self, uri: str) -> str | None:
        """What a URI of MLflow's stands for; None where it names a place itself."""
        if (match := _RUN.match(uri)) is not None:
            return _below(self._tracking(uri).place_of_run(match["run"]), match["path"])
        if (match := _LOGGED_MODEL.match(uri)) is not None:
            place = self._tracking(uri).place_of_logged_model(match["id"])
            return _below(place, match["path"])
        return None

    def _at(self, uri: str) -> ForeignFiles:
        if (match := _PROXY.match(uri)) is not None:
            return self._proxied(uri, self._proxy(uri, match["host"] or ""), match["path"])
        if (match := _PROXY_URL.match(uri)) is not None:
            server = self._server(match["server"])
            return self._proxied(uri, server, match["path"])
        scheme = urllib.parse.urlsplit(uri).scheme.lower()
        if scheme in ("", "file"):
            return self._local(uri)
        if scheme in ("models", "dummy-source", "prompt-template"):
            raise InvalidArgumentError(f"'{redacted(uri)}' names no files")
        return self._stored(uri)

    def _tracking(self, uri: str) -> TrackingServer:
        url = self._tracking_url()
        if url is None or not url.lower().startswith(("http://", "https://")):
            raise InvalidArgumentError(
                f"Only its tracking server knows where the files of '{redacted(uri)}' are: name "
                f"it with --tracking-uri http(s)://... or {TRACKING_VARIABLE}"
                + ("" if url is None else f", in place of '{redacted(url)}'")
            )
        return self._connected(url, os.environ)

    def _tracking_url(self) -> str | None:
        return (
            self.tracking_uri or os.environ.get(TRACKING_VARIABLE) or self.sources.tracking_uri
        ) or None

    def _proxy(self, uri: str, host: str) -> TrackingServer:
        """The server of a proxied URI, which may name its host."""
        tracking = self._tracking(uri)
        if not host or tracking.is_at(host):
            return tracking
        scheme = urllib.parse.urlsplit(tracking.url).scheme
        return self._stranger(f"{scheme}://{host}")

    def _server(self, url: str) -> TrackingServer:
        """The server at a URL that a source names; with credentials only if the user named it."""
        if self._tracking_url() is not None:
            tracking = self._tracking(url)
            if tracking.url.casefold() == url.rstrip("/").casefold():
                return tracking
        return self._stranger(url)

    def _stranger(self, url: str) -> TrackingServer:
        return self._connected(url, {})

    def _connected(self, url: str, environ: Mapping[str, str]) -> TrackingServer:
        try:
            from registry_core.foreign.tracking import TrackingServer  # noqa: PLC0415 a driver
        except ModuleNotFoundError as error:
            raise BackendNotInstalledError(
                f"A tracking server needs the module '{error.name}', which is not installed: "
                "pip install 'registry-core[rest]'"
            ) from error
        return self.stack.enter_context(closing(TrackingServer(url, environ=environ)))

    def _proxied(self, uri: str, server: TrackingServer, path: str) -> ForeignFiles:
        path = urllib.parse.unquote(path).strip("/")
        return _files(uri, path, list(server.walk(path)), server)

    def _local(self, uri: str) -> ForeignFiles:
        path = sources.local_path(uri)
        if not path.exists():
            raise ArtifactNotFoundError(str(path))
        tree = self.stack.enter_context(open_tree(path.absolute(), follow_links=True))
        files = {file.path: file for file in tree.manifest.files}
        sizes = {name: file.size for name, file in files.items()}
        return ForeignFiles(redacted(uri), sizes, lambda name: tree.read(files[name]))

    def _stored(self, uri: str) -> ForeignFiles:
        root, path = _split(uri)
        store = self.stack.enter_context(closing(self.sources.open_artifacts(root)))
        # A web server has files, and no folders that could be listed.
        is_web = root.lower().startswith(("http:", "https:"))
        files = [store.stat(path)] if is_web else store.walk(path)
        return _files(uri, path, [info for info in files if not info.is_dir], store)


def _files(uri: str, path: str, files: list[FileInfo], readable: Readable) -> ForeignFiles:
    """The files at a path by the names that they have in a version."""
    if not files:
        raise ArtifactNotFoundError(redacted(uri))
    named = {
        info.path.removeprefix(f"{path}/" if path else "")
        if info.path != path
        else Path(path).name: info
        for info in files
        # A bucket may have keys that stand for empty folders.
        if not info.path.endswith("/")
    }

    def pieces(name: str) -> Iterator[bytes]:
        with readable.read(named[name].path) as reading:
            yield from reading

    sizes = {name: info.size for name, info in named.items()}
    return ForeignFiles(redacted(uri), sizes, pieces)


def _below(place: str, path: str) -> str:
    """The URI of what is at a path below the one of a folder."""
    path = path.strip("/")
    if not path:
        return place
    before, separator, query = place.partition("?")
    return f"{before.rstrip('/')}/{path}{separator}{query}"


def _split(uri: str) -> tuple[str, str]:
    """The URL of the root that a URI is below, and its path there, which is not decoded."""
    before, _, query = uri.partition("?")
    scheme, _, rest = before.partition(":")
    host, _, path = rest.removeprefix("//").partition("/")
    if not host:
        first, _, path = path.lstrip("/").partition("/")
        host = f"/{first}"
    scheme = scheme.lower()
    if scheme not in ("s3", "s3a", "s3n"):
        return f"{scheme}://{host}", path.strip("/") + (f"?{query}" if query else "")
    endpoint = os.environ.get(S3_ENDPOINT_VARIABLE, "")
    if endpoint and not query:
        query = urllib.parse.urlencode({"endpoint_url": endpoint})
    return f"s3://{host}" + (f"?{query}" if query else ""), path.strip("/")
