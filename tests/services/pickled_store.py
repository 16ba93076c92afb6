"""A store in one file: the least that keeps every promise of a durable, shared store.

It is what an author of a store elsewhere might begin with, and shows that the conformance kit needs
the protocol and nothing private. Each call takes a lock on the file, reads everything, does its
work in memory, and replaces the file; slow, and safe in any number of processes.
"""

from __future__ import annotations

import fcntl
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from registry_core.errors import StoreUnavailableError
from registry_core.store import Clock, Store, system_clock
from registry_core.stores.memory import MemoryStore


@contextmanager
def locked(path: Path, *, patience_seconds: float = 30.0) -> Iterator[None]:
    """Nobody else has the file during the block."""
    deadline = time.monotonic() + patience_seconds
    with path.with_suffix(".lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreUnavailableError(f"{path} is locked") from None
                time.sleep(0.001)
        yield


class PickledStore:
    """The methods of a store, each on the contents of the file."""

    def __init__(
        self, path: Path, clock: Clock = system_clock, *, patience_seconds: float = 30.0
    ) -> None:
        self._path = path
        self._clock = clock
        self._patience_seconds = patience_seconds

    def ping(self) -> None:
        """Answers when the file can be had."""
        with self._locked():
            pass

    def close(self) -> None:
        """There is nothing to close."""

    @contextmanager
    def _locked(self) -> Iterator[MemoryStore]:
        with locked(self._path, patience_seconds=self._patience_seconds):
            yield self._load()

    def _load(self) -> MemoryStore:
        store = MemoryStore(self._clock)
        if self._path.exists():
            store._content = pickle.loads(self._path.read_bytes())
        return store

    def _save(self, store: MemoryStore) -> None:
        written = self._path.with_suffix(".new")
        written.write_bytes(pickle.dumps(store._content))
        written.replace(self._path)

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        with self._locked() as store:
            result = getattr(store, method)(*args, **kwargs)
            if not method.startswith(("get", "search", "list")):
                self._save(store)
        return result


def _delegate(method: str) -> Callable[..., Any]:
    def call(self: PickledStore, *args: Any, **kwargs: Any) -> Any:
        return self._call(method, *args, **kwargs)

    return call


for _method in set(dir(Store)) & set(dir(MemoryStore)):
    if not _method.startswith("_") and not hasattr(PickledStore, _method):
        setattr(PickledStore, _method, _delegate(_method))


def opener(path: Path) -> Callable[[], PickledStore]:
    """Opens the file in any process."""
    return partial(PickledStore, path)
