"""A tracking server with MLflow's API: where runs and logged models are, and its artifact proxy."""

from __future__ import annotations

import os
import posixpath
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from registry_core.artifacts import FileInfo, Reading
from registry_core.errors import InvalidArgumentError, StoreCorruptedError
from registry_core.stores.rest.address import parse_address
from registry_core.stores.rest.transfers import ARTIFACTS, Transfers
from registry_core.stores.rest.transport import Transport
from registry_core.wire import Json
from registry_core.wire.prefixes import API

_LIST = ARTIFACTS.removeprefix(API)
"""The listing of the proxy, as the transport takes paths."""

FOLDERS_MAX = 10_000
"""Folders below one place that are listed. No server is asked on that names ever more."""


class TrackingServer:
    """A tracking server. Credentials go to the server that the user has named, and to no other."""

    def __init__(self, url: str, *, environ: Mapping[str, str] = os.environ) -> None:
        self._http = Transport(parse_address(url, environ))

    @property
    def url(self) -> str:
        """The server's URL, without credentials."""
        return self._http.url

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def place_of_run(self, run_id: str) -> str:
        """Return where the artifacts of a run are."""
        fields = {"run_id": run_id}
        return self._http.read("/runs/get", fields, lambda answer: _uri(answer, "run"))

    def place_of_logged_model(self, model_id: str) -> str:
        """Return where the files of a logged model are."""
        path = f"/logged-models/{urllib.parse.quote(model_id, safe='')}"
        return self._http.read(path, {}, lambda answer: _uri(answer, "model"))

    def walk(self, path: str) -> Iterator[FileInfo]:
        """Yield every file below a folder of the proxy; the file itself for a file."""
        folders, listed = [path], 0
        while folders:
            listed += 1
            if listed > FOLDERS_MAX:
                raise InvalidArgumentError(f"There are more than {FOLDERS_MAX} folders in '{path}'")
            folder = folders.pop()
            entries = self._http.read(_LIST, {"path": folder}, _entries)
            if not entries and folder == path:
                # A server lists nothing for a file, and has it all the same.
                with self.read(path) as reading:
                    yield FileInfo(path=path, size=reading.info.size)
                return
            for entry in entries:
                inner = posixpath.join(folder, entry.name)
                if entry.is_dir:
                    folders.append(inner)
                else:
                    yield FileInfo(path=inner, size=entry.size)

    def read(self, path: str, *, start: int = 0, stop: int | None = None) -> Reading:
        """Open a file of the proxy."""
        return Transfers(self._http).read(path, start=start, stop=stop)

    def is_at(self, netloc: str) -> bool:
        """Return whether a host, with its port, is the one of this server."""
        return urllib.parse.urlsplit(self.url).netloc.casefold() == netloc.casefold()


@attrs.frozen
class _Entry:
    name: str
    is_dir: bool
    size: int | None


def _entries(answer: Json) -> list[_Entry]:
    files = answer.get("files", [])
    if not isinstance(files, list):
        raise StoreCorruptedError("The answer has no list of files.")
    return [_entry(each) for each in files]


def _entry(fields: Any) -> _Entry:
    match fields:
        case {"path": str(path)} if path:
            # Some servers name files by their whole path.
            name = path.rstrip("/").rpartition("/")[2]
            size = fields.get("file_size")
            is_dir = fields.get("is_dir") is True
            number = int(size) if str(size).isdecimal() else None
            if name not in ("", ".", ".."):
                return _Entry(name, is_dir, None if is_dir else number)
    raise StoreCorruptedError("The answer lists a file without a name.")


def _uri(answer: Json, kind: str) -> str:
    match answer.get(kind):
        case {"info": {"artifact_uri": str(uri)}} if uri:
            return uri
    raise StoreCorruptedError(f"The answer does not say where the files of the {kind} are.")
