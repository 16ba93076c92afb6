"""Taking turns: a semaphore that serves first who has waited longest, a thread or an event loop.

Python's own gives a place that was just given back to the thread that asks then, which is mostly
the thread that gave it back: under load another one may wait until its time is up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from registry_core import inloop
from registry_core.inloop import Waiter


class _Turn(Protocol):
    """Comes when it is released; a thread's is a lock."""

    def acquire(self, *, timeout: float) -> bool: ...

    def release(self) -> bool | None:
        """Let it come. False: nobody waits for it any more."""


class _TurnOfLoop:
    """What an event loop waits for, or a thread in its place."""

    def __init__(self, notify: Callable[[], bool]) -> None:
        # Not a lock, which would be held while the call pauses.
        self._has_come = threading.Event()
        self._notify = notify

    def acquire(self, *, timeout: float) -> bool:
        """Return whether it comes within so many seconds."""
        return self._has_come.wait(timeout)

    def release(self) -> bool:
        """See `_Turn`."""
        self._has_come.set()
        return self._notify()


class FairSemaphore:
    """A number of places, handed to those that wait in the order of their coming. Thread-safe."""

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._slots = places
        self._waiting: deque[_Turn] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def acquire(self, *, timeout: float) -> bool:
        """Return whether a place could be had within so many seconds.

        A change in an event loop lets the loop go on meanwhile.
        """
        caller = inloop.waiter()
        if caller is not None and caller.makes_change and timeout > 0:
            return self._acquired_inloop(caller, timeout)
        with self._lock:
            if self._slots:
                self._slots -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        return turn.acquire(timeout=timeout) or self._was_given_late(turn)

    def _acquired_inloop(self, caller: Waiter, timeout: float) -> bool:
        if self.acquire(timeout=0):
            return True
        turns: list[_TurnOfLoop] = []

        def begin(notify: Callable[[], bool]) -> None:
            turn = _TurnOfLoop(notify)
            turns.append(turn)
            with self._lock:
                if self._slots:  # given back meanwhile
                    self._slots -= 1
                    turn.release()
                else:
                    self._waiting.append(turn)

        left = inloop.left_after_pause(caller, begin, timeout)
        (turn,) = turns
        if left is None or caller.in_thread(lambda: turn.acquire(timeout=left)):
            return True
        return self._was_given_late(turn)

    def _was_given_late(self, turn: _Turn) -> bool:
        """Whether it came at the last moment; else it is waited for no more."""
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        return True

    def release(self) -> None:
        """Give a place back: to what has waited longest, if anything waits."""
        with self._lock:
            while self._waiting:
                if self._waiting.popleft().release() is not False:
                    return
            self._slots += 1
