"""Requests side by side, in a bounded number of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

PARALLEL_REQUESTS = 24
"""Requests of one process under way at a time for lists, cold documents and large texts."""

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")


class Pool:
    """Threads that are started when there is first something to do side by side.

    Work given to the pool never gives work to the pool, so that it cannot wait for itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def map(
        self, work: Callable[[ArgumentT], ResultT], arguments: Iterable[ArgumentT]
    ) -> list[ResultT]:
        """The results in the order of the arguments; the first error ends it."""
        listed = list(arguments)
        if len(listed) <= 1:
            return [work(each) for each in listed]
        return list(self._started().map(work, listed))

    def close(self) -> None:
        """Waits for what is under way and ends the threads."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(cancel_futures=True)

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(PARALLEL_REQUESTS, "registry-s3")
            return self._executor
