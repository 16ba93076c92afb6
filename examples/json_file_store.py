"""A whole registry in one JSON file: the store that docs/reference/writing-a-store.md builds.

Every write takes a lock on the file, reads it, applies one change, and replaces the file. So it is
atomic and durable, and safe in any number of processes of one machine; it is not fast.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from pathlib import Path

import cattrs.preconf.json

from registry_core.documents import ModelDocument
from registry_core.errors import StoreUnavailableError
from registry_core.history import Event, Value
from registry_core.idempotency import KeptKey
from registry_core.models import Webhook
from registry_core.store import Clock, system_clock
from registry_core.stores.document_store import Content, MappingStore

_converter = cattrs.preconf.json.make_converter()


@_converter.register_structure_hook
def _as_it_is(value: Value, _: object) -> Value:
    """What an event says of a thing is in JSON what it is in Python."""
    return value


class JsonFileStore(MappingStore):
    """A `registry_core.store.Store` in one file."""

    def __init__(self, path: Path, clock: Clock = system_clock) -> None:
        super().__init__(clock)
        self._path = path

    def _read(self) -> Content:
        try:
            raw = json.loads(self._path.read_text())
        except FileNotFoundError:
            return Content()
        except OSError as error:
            raise StoreUnavailableError(f"{self._path} cannot be read: {error}") from error
        return Content(
            models=_converter.structure(raw["models"], dict[str, ModelDocument]),
            events=_converter.structure(raw["events"], dict[str, MutableSequence[Event]]),
            webhooks=_converter.structure(raw["webhooks"], dict[str, Webhook]),
            kept_keys=_converter.structure(raw["kept_keys"], dict[str, KeptKey]),
        )

    @contextmanager
    def _writing(self) -> Iterator[Content]:
        with locked(self._path):
            content = self._read()
            yield content
            partial = self._path.with_suffix(".partial")
            with partial.open("w") as file:
                json.dump(_converter.unstructure(content), file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
            flush_folder(self._path.parent)


def open_store(url: str) -> JsonFileStore:
    """The store at `jsonfile:///path/to/registry.json`."""
    return JsonFileStore(Path(url.removeprefix("jsonfile://")))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else writes the file during the block; the system unlocks it when a process dies."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def flush_folder(folder: Path) -> None:
    """Make durable which files the folder has: a new name is lost with the power otherwise."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
