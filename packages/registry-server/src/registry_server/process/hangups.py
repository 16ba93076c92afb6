"""SIGHUP: it has a process read its files again, and never ends it.

Strategy: the signal may come before there is anything to read, as to a worker that waits for its
store. Then it is obeyed as soon as that can be done.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType


class Hangups:
    """What SIGHUP does in this process."""

    def __init__(self) -> None:
        self._act: Callable[[], object] | None = None
        self._has_missed = False

    def take(self) -> None:
        """From now on SIGHUP does not end the process. To be called in the main thread."""
        self._act, self._has_missed = None, False
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self._note)

    def obey(self, act: Callable[[], object]) -> None:
        """Call this at SIGHUP, and at once if one has come before; nothing outside the main thread.

        It is called between any two steps of the main thread.
        """
        if threading.current_thread() is threading.main_thread():
            self._act = act
            if self._has_missed:
                self._has_missed = False
                act()

    def _note(self, _: int, __: FrameType | None) -> None:
        if self._act is None:
            self._has_missed = True
        else:
            self._act()


HANGUPS = Hangups()
"""A process has one way to handle a signal."""
