"""Many files at a time, and somebody told how far it went."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from registry_core.artifacts.trees import Progress

TRANSFER_THREADS = 16
"""Files moved at a time."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Meter:
    """Counts bytes from several threads and tells somebody."""

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
        """The pieces, each counted when the next one is asked for."""
        for piece in pieces:
            yield piece
            self.add(len(piece))


def in_parallel(
    function: Callable[[ItemT], ResultT], items: Iterable[ItemT], *, threads: int = TRANSFER_THREADS
) -> list[ResultT]:
    """The results in order; the first failure stops what has not begun."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
