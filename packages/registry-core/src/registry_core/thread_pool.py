"""Calls side by side: the pool of threads for work that waits for disks and networks.

Threads that are not of such a pool say beside their start why: those of an event loop, of a queue
with places for each receiver, and single ones that are left behind when nobody waits any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")


class ThreadPool:
    """At most `limit` threads, started when there is first something to do side by side.

    Work given to a pool never gives work to the same pool, so that it cannot wait for itself. The
    threads are no daemons: the interpreter ends when they have done what they have begun.
    """

    def __init__(self, limit: int, *, name: str) -> None:
        self._limit = limit
        self._name = name
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._free = threading.BoundedSemaphore(limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def map(
        self, work: Callable[[ArgumentT], ResultT], arguments: Iterable[ArgumentT]
    ) -> list[ResultT]:
        """Return the results in the order of the arguments.

        The first error is raised, and what has not begun by then is not done.
        """
        listed = list(arguments)
        if len(listed) <= 1:
            return [work(each) for each in listed]
        return list(self._started().map(work, listed))

    def submit(self, work: Callable[[], ResultT]) -> Future[ResultT]:
        """Begin the work and return its result to come.

        Waits while as many calls are under way as there are threads: none waits in a queue, with
        what it holds in memory.
        """
        self._free.acquire()
        try:
            future = self._started().submit(work)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        return future

    def close(self) -> None:
        """Wait for what is under way and end the threads; later work starts new ones."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(cancel_futures=True)

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._limit, self._name)
            return self._executor
