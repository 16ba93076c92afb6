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


class _StoppedError(Exception):
    """Another file failed, or the user stopped: nobody waits for this one."""


class Meter:
    """Count bytes from several threads, report the sum to a `Progress`, and stop them together."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total = 0, total
        self._lock = threading.Lock()
        self._progress = progress
        self._stopped = False

    def correct(self, total: int) -> None:
        """There are so many bytes in all."""
        self._total = total

    def add(self, size: int) -> None:
        """So many bytes more are done."""
        if self._stopped:
            raise _StoppedError
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

    def stop(self) -> None:
        """End what counts here at its next piece: on Ctrl-C a user waits for no large file."""
        self._stopped = True


def in_parallel(
    function: Callable[[ItemT], ResultT], items: Iterable[ItemT], *, meter: Meter | None = None
) -> list[ResultT]:
    """Return the results in order; the first failure stops what has not begun.

    It also stops what counts its bytes with the meter.
    """
    with ThreadPool(TRANSFER_THREADS, name="transfer") as pool:
        try:
            return pool.map(function, items)
        except BaseException:
            if meter is not None:
                meter.stop()
            raise
