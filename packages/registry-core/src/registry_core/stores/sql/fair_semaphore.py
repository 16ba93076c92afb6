"""Taking turns: a semaphore that serves the thread first that has waited longest.

Python's own gives a place that was just given back to the thread that asks then, which is mostly
the thread that gave it back: under load another one may wait until its time is up.
"""

from __future__ import annotations

import threading
from collections import deque


class FairSemaphore:
    """A number of places, handed to waiting threads in the order of their coming. Thread-safe."""

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._slots = places
        self._waiting: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._waiting)

    def acquire(self, *, timeout: float) -> bool:
        """Return whether a place could be had within so many seconds."""
        with self._lock:
            if self._slots:
                self._slots -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=timeout):
            return True
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        return True  # the place came at the last moment

    def release(self) -> None:
        """Give a place back: to the thread that has waited longest, if any waits."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._slots += 1
