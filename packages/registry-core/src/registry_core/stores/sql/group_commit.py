"""Writers of a database that admits one at a time: those who wait share a transaction.

Strategy: most of a small change's cost is to begin a transaction and to make it durable. So whoever
has the turn does the changes of all who wait for theirs, one after the other in one transaction,
and tells them what became of them when that is durable. A change that fails is undone alone.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from registry_core.errors import ContentionError, StoreUnavailableError

MOST_SHARED = 32
"""How many changes may share a transaction: the first of them waits for the last."""

ConnectionT = TypeVar("ConnectionT")


class Change(Generic[ConnectionT]):
    """What one thread wants to have done. `is_one_statement`: it cannot fail halfway."""

    def __init__(self, work: Callable[[ConnectionT], Any], *, is_one_statement: bool) -> None:
        self.work = work
        self.is_one_statement = is_one_statement
        self.leads = False
        self.is_held = False
        self.is_over = False
        self._result: Any = None
        self._error: Exception | None = None
        self._news = threading.Lock()
        self._news.acquire()

    def succeed(self, result: object) -> None:
        """It is done; who waits for it learns that when it is over."""
        self._result, self._error = result, None

    def fail(self, error: Exception) -> None:
        """It is not done."""
        self._error = error

    def result(self) -> Any:
        """What it has returned; raises what it has failed with. May be called once."""
        if self._error is None:
            return self._result
        try:
            raise self._error
        finally:
            # Its traceback leads here.
            self._error = None

    def tell(self) -> None:
        """Tells the thread that waits for it that it is over, or that the thread leads."""
        self.is_held = True
        self._news.release()

    def has_news(self, *, timeout: float) -> bool:
        """Whether it was told anything within so many seconds; negative: waits until it is."""
        return self._news.acquire(timeout=timeout)


class GroupCommit(Generic[ConnectionT]):
    """Threads that take turns, first come, first served. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Change[ConnectionT]] = deque()
        self._has_leader = False

    @contextlib.contextmanager
    def turn(
        self, change: Change[ConnectionT], *, timeout: float
    ) -> Iterator[list[Change[ConnectionT]]]:
        """The changes to do, the caller's own first; none if another thread has done it.

        What is not over at the end was interrupted, and may or may not have been done.

        Raises:
            ContentionError: the turn did not come within so many seconds.
        """
        if not self._comes_to_lead(change, timeout):
            yield []
            return
        changes = [change]
        try:
            changes += self._others()
            yield changes
        finally:
            self._hand_over(changes[1:])

    def _comes_to_lead(self, change: Change[ConnectionT], timeout: float) -> bool:
        with self._lock:
            if not self._has_leader:
                self._has_leader = True
                return True
            self._waiting.append(change)
        try:
            has_news = change.has_news(timeout=timeout)
        except BaseException:
            if not self._withdraws(change) and change.leads:
                self._hand_over([])
            raise
        if not has_news and self._withdraws(change):
            raise ContentionError("Another writer has held the database for too long")
        return change.leads

    def _withdraws(self, change: Change[ConnectionT]) -> bool:
        """Whether it was in time to do so; else there are news of the change on return."""
        with self._lock:
            if change in self._waiting:
                self._waiting.remove(change)
                return True
        if not change.is_held:
            change.has_news(timeout=-1)
        return False

    def _others(self) -> list[Change[ConnectionT]]:
        with self._lock:
            return [
                self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_SHARED - 1))
            ]

    def _hand_over(self, done: list[Change[ConnectionT]]) -> None:
        for change in done:
            if not change.is_over:
                change.fail(
                    StoreUnavailableError(
                        "The thread that wrote the change for this one was interrupted; the change "
                        "may or may not have been made"
                    )
                )
            change.tell()
        with self._lock:
            if self._waiting:
                first = self._waiting.popleft()
                first.leads = True
                first.tell()
            else:
                self._has_leader = False
