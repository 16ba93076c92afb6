"""`Outbox`: runs jobs in a few threads, each when it is due, and lets no receiver starve another.

Strategy: a delivery may take half a minute and be due again after a pause, several times. A job
that pauses therefore goes back into a heap by time instead of sleeping in a thread, and jobs with
one key (one webhook) never take more than a share of the threads nor of the places to wait. The
standard executor offers none of this, and the interpreter waits for its threads without a limit.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import TypeAlias

import attrs

_logger = logging.getLogger(__name__)

PENDING_PER_KEY = 1_000
"""Jobs of one key that may wait, running ones included; the next one is refused. They are in
memory, so this bounds what a receiver that answers slowly can make a process hold."""

Job: TypeAlias = Callable[[], float | None]
"""Does a part of its work; returns the seconds after which to call it again, or None at the end."""


class OutboxFullError(Exception):
    """Too many jobs of a key are waiting, or the outbox is closed."""


@attrs.frozen(order=True)
class _Entry:
    due: float
    number: int
    key: str = attrs.field(order=False)
    job: Job = attrs.field(order=False)


class Outbox:
    """Runs jobs in `threads` threads, at most `threads_per_key` of one key at a time."""

    def __init__(self, *, threads: int = 10, threads_per_key: int = 4) -> None:
        self.threads = threads
        self.threads_per_key = threads_per_key
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[_Entry] = []
        self._parked: defaultdict[str, deque[_Entry]] = defaultdict(deque)
        self._pending: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._started = 0
        self._closed = False
        self._abandoned = False

    def submit(self, key: str, job: Job) -> None:
        """Have the job run soon.

        Raises:
            OutboxFullError: `PENDING_PER_KEY` jobs of the key are pending, or `close` was called.
        """
        with self._changed:
            if self._closed or self._pending[key] >= PENDING_PER_KEY:
                raise OutboxFullError(key)
            self._pending[key] += 1
            self._schedule(key, job, after=0)
            if self._started < self.threads and self._started < self._pending.total():
                self._started += 1
                self._start_thread()

    def close(self, timeout_seconds: float) -> int:
        """Wait for pending jobs, so long at most; return the number of those it abandoned."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._pending.total(), timeout_seconds)
            self._abandoned = True
            self._changed.notify_all()
            return self._pending.total()

    def _start_thread(self) -> None:
        number = self._started
        # Daemons: a receiver that does not answer must not keep the process alive.
        threading.Thread(target=self._work, name=f"webhook-{number}", daemon=True).start()

    def _work(self) -> None:
        while (entry := self._take()) is not None:
            again: float | None = None
            try:
                again = entry.job()
            except Exception:
                _logger.exception("A webhook delivery failed unexpectedly")
            self._put_back(entry, again)

    def _take(self) -> _Entry | None:
        with self._changed:
            while not self._abandoned:
                now = time.monotonic()
                if not self._waiting or self._waiting[0].due > now:
                    self._changed.wait(self._waiting[0].due - now if self._waiting else None)
                    continue
                entry = heapq.heappop(self._waiting)
                if self._running[entry.key] < self.threads_per_key:
                    self._running[entry.key] += 1
                    return entry
                self._parked[entry.key].append(entry)
        return None

    def _put_back(self, entry: _Entry, again: float | None) -> None:
        with self._changed:
            _subtract(self._running, entry.key)
            if again is None:
                _subtract(self._pending, entry.key)
            else:
                self._schedule(entry.key, entry.job, after=again)
            if parked := self._parked.get(entry.key):
                heapq.heappush(self._waiting, parked.popleft())
            else:
                self._parked.pop(entry.key, None)
            self._changed.notify_all()

    def _schedule(self, key: str, job: Job, *, after: float) -> None:
        due = time.monotonic() + after
        heapq.heappush(self._waiting, _Entry(due, next(self._numbers), key, job))
        self._changed.notify()


def _subtract(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
