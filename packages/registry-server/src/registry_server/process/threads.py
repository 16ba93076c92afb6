"""The threads in which the registry is called.

Strategy: a call through the event loop's executor costs twice what the hand-over between threads
costs by itself, in futures of two kinds that are chained and locked. Here the loop's own future is
completed directly. A thread starts when all others are busy, up to a limit, and stays: each keeps
a connection to the store, so a quiet server holds few.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
_Job: TypeAlias = tuple[asyncio.Future[Any], asyncio.AbstractEventLoop, Callable[[], Any]]


class Threads:
    """A few threads that run functions for one event loop."""

    def __init__(self, limit: int, *, name: str = "registry") -> None:
        self._limit = limit
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._in_flight = 0

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Return the function's result, to be awaited in the loop that asks.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._in_flight >= len(self._threads) < self._limit:
            self._start()
        self._in_flight += 1
        self._jobs.put((future, loop, function))
        return future

    def have_one(self) -> None:
        """Start a first thread if need be, so that what `run` is given later will be run.

        Raises:
            RuntimeError: none can be started.
        """
        if not self._threads:
            self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # As many as the system admits. Those that there are do it one after the other.
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def close(self) -> None:
        """End the threads when they have run what they were given."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, loop, function = job
            result, error = None, None
            try:
                result = function()
            except Exception as raised:  # noqa: BLE001 it is the caller's
                error = raised
            # A closed loop waits for no result.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._finish, future, result, error)
            del job, future, function, result, error

    def _finish(self, future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
        self._in_flight -= 1
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
