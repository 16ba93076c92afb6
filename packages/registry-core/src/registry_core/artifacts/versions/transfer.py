"""Many files at a time, and how far that has gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from registry_core.artifacts.trees import Progress
from registry_core.thread_pool import ThreadPool

TRANSFER_THREADS = 16
"""Files moved at a time."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Meter:
    """Count bytes from several threads, and report the sum to a `Progress`."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total = 0, total
        self._lock = threading.Lock()
        self._progress = progress

    def add(self, size: int) -> None:
        """So many bytes more are done."""
        if self._progress is None:
            return
        with self._lock:
            self._done += size
            self._progress(self._done, self._total)

    def count(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces, each counted when the next one is asked for."""
        for piece in pieces:
            yield piece
            self.add(len(piece))


def in_parallel(function: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> list[ResultT]:
    """Return the results in order; the first failure stops what has not begun."""
    with ThreadPool(TRANSFER_THREADS, name="transfer") as pool:
        return pool.map(function, items)
