"""Whether calls in an event loop follow the rules of `inloop`: checked where they pause and end.

Strategy: `calling` assigns to one object. Only this module replaces that object, so that nobody
pays for the checks who has not asked for them.

What is seen: locks made by `threading.Lock()` and `threading.RLock()` after `begin`, and what is
made of them (conditions, events, queues); context variables that are set and not reset; stores that
only seem to offer `loop_reads`. Not seen: locks made before, or by `from threading import Lock` of
a module that was imported before; locks of files; and that a variable is read which the call does
not have.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

from registry_core import inloop
from registry_core.inloop import LoopContractError, Waiter

_make_lock = threading.Lock
_make_rlock = threading.RLock


def begin() -> Callable[[], None]:
    """Check the rules from now on, until what is returned is called."""
    before = inloop._callers, threading.Lock, threading.RLock  # noqa: SLF001 see the module
    _install(_CheckedCallers(), _WatchedLock, _WatchedRLock)
    return lambda: _install(*before)


def _install(callers: Any, lock: Any, rlock: Any) -> None:
    inloop._callers = callers  # noqa: SLF001 see the module
    threading.Lock = lock
    threading.RLock = rlock


class _Stretch:
    """What a call does from where it begins or goes on to where it pauses or ends."""

    def __init__(self) -> None:
        self._taken: list[weakref.ref[_Watched]] = []
        self._context = contextvars.copy_context()

    def takes(self, lock: _Watched) -> None:
        """Remember a lock that the call has acquired."""
        # Weakly: one that is gone is no longer in anybody's way, released or not.
        self._taken.append(weakref.ref(lock))

    def check(self) -> None:
        """Accept where the stretch ends.

        Raises:
            LoopContractError: it has broken a rule.
        """
        held = [lock for ref in self._taken if (lock := ref()) and lock.holder is self]
        if held:
            where = ", ".join(lock.where for lock in held)
            raise LoopContractError(
                f"A call in an event loop pauses, or ends, with a lock that it acquired at {where}"
            )
        after = contextvars.copy_context()
        missing = object()
        kept = [
            variable.name
            for variable in {**self._context, **after}
            if self._context.get(variable, missing) is not after.get(variable, missing)
        ]
        if kept:
            raise LoopContractError(
                f"A call in an event loop pauses, or ends, and keeps the context variable "
                f"{', '.join(sorted(kept))}"
            )


class _Stretches(threading.local):
    current: _Stretch | None = None


_stretches = _Stretches()


class _CheckedCallers(threading.local):
    """In place of `inloop._callers`."""

    _waiter: Waiter | None = None

    @property
    def waiter(self) -> Waiter | None:
        """See `inloop.waiter`."""
        return self._waiter

    @waiter.setter
    def waiter(self, caller: Waiter | None) -> None:
        ended, self._waiter = _stretches.current, caller
        _stretches.current = None if caller is None else _Stretch()
        if ended is not None:
            ended.check()


class _Watched:
    """A lock that knows which call of an event loop holds it, if one does."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._depth = 0
        """How many times its holder has acquired it."""
        self.holder: _Stretch | None = None
        self.where = ""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 as in `threading`
        """See `threading`."""
        has_it: bool = self._lock.acquire(blocking, timeout)
        if has_it:
            self._depth += 1
            stretch = _stretches.current
            if self._depth == 1 and stretch is not None:
                self.holder, self.where = stretch, _caller()
                stretch.takes(self)
        return has_it

    def release(self) -> None:
        """See `threading`."""
        # Before another thread can acquire it. A thread that has not acquired it fails below.
        self._depth = max(0, self._depth - 1)
        if not self._depth:
            self.holder = None
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)


class _WatchedLock(_Watched):
    """In place of `threading.Lock`."""

    def __init__(self) -> None:
        super().__init__(_make_lock())


class _WatchedRLock(_Watched):
    """In place of `threading.RLock`, with what `threading.Condition` needs of it."""

    def __init__(self) -> None:
        super().__init__(_make_rlock())

    def _release_save(self) -> tuple[int, Any]:
        depth, self._depth, self.holder = self._depth, 0, None
        return depth, self._lock._release_save()  # noqa: SLF001 as `Condition` does

    def _acquire_restore(self, state: tuple[int, Any]) -> None:
        self._lock._acquire_restore(state[1])  # noqa: SLF001 as above
        self._depth = state[0]


def _caller() -> str:
    """Where the first frame outside of this module and of `threading` is."""
    frame = sys._getframe(1)  # noqa: SLF001 what `inspect` offers takes a thousand times as long
    while frame.f_back is not None and frame.f_code.co_filename in (__file__, threading.__file__):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
