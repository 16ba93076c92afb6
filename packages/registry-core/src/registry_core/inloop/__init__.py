"""Calls that hold nobody up: how an event loop may call a store without a thread.

Strategy: handing a call to a thread and its result back costs an event loop more than most reads
cost altogether. So a store may offer to read in the loop's own thread, on two conditions: where it
waits for a socket it lets the loop go on meanwhile (it pauses, by `Waiter.until_ready`), and what
it could do only by waiting in any other way, or by computing for long, it leaves with
`WouldBlockError`. The caller then does the same call again in a thread. It is the same code either
way: only the innermost waiting differs.

A change is not to be done again: it may have been made. So a store that offers changes as well has
each step that would hold up the loop done `in_thread`, and the call goes on in the loop when that
has ended. What calls the store does the same with its own steps, as to read a file.

All calls of a loop share one thread, and while one pauses others run. So whatever runs between
`calling(caller)` and `calling(None)` follows three rules:

1. It holds no lock across a pause. The next call that wants the lock would stop the thread, and
   with it the whole worker, the call that could release the lock included: forever. Take a lock
   to change a few fields and release it before the next statement runs; what must be limited
   across a pause is a number that is taken without waiting (`FairSemaphore.acquire(timeout=0)`).
2. It keeps no context variable. Each call runs in a context of its own, which does not have the
   variables of the request, and which the next call inherits. Pass arguments.
3. A store says by a method of its class that it may be called so: `loop_reads`, see
   `loop_reads_of`. What wraps a store, or overrides what is called, says so itself or is called
   in threads: forwarding attributes is not consent, because the wrapper's own code runs too.

Set `REGISTRY_DEBUG_INLOOP=1`, or use `debugging` in tests, and a call that breaks a rule raises
`LoopContractError`: see `inloop.debug` for what is seen. It costs nothing when it is off.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")

DEBUG_VARIABLE = "REGISTRY_DEBUG_INLOOP"
"""Set to anything but nothing, it has a process check the rules from its first import on."""

MOST_ROWS = 200
"""How many entities a read may return. To decode and encode them takes about 5 milliseconds: as
long as Python lets any thread keep the others waiting."""


MOST_BYTES = 512 * 1024
"""How many bytes a read may return, for the same reason: texts are cheaper than entities."""

_OPT_IN = "loop_reads"
_CALLED = ("get_", "search_", "apply")


class WouldBlockError(Exception):
    """The call would hold up others; a thread can do it, or of a change the step at hand."""


class TooLargeError(WouldBlockError):
    """The answer is larger than others are; few threads should do so at a time."""


class LoopContractError(BaseException):
    """A call broke a rule of this package while the rules were checked: a mistake in its code.

    Not an `Exception`: a call in a loop leaves those to threads, where the rules do not matter and
    the mistake would go unseen.
    """


class Waiter(Protocol):
    """The event loop that calls a store."""

    def until_ready(self, descriptor: int, *, reading: bool, writing: bool) -> tuple[bool, bool]:
        """Let the loop go on until the socket is ready; whether for reading and for writing.

        While the loop goes on, the waiter says `calling(None)`: other calls run then.

        Raises:
            WouldBlockError: it has taken too long.
        """
        ...

    @property
    def makes_change(self) -> bool:
        """Whether the call may change something, so that it is never done again."""
        ...

    def in_thread(self, function: Callable[[], T]) -> T:
        """Let the loop go on until a thread has run the function, and return its result.

        While the loop goes on, the waiter says `calling(None)`.

        Raises:
            WouldBlockError: the call changes nothing, and is to be done again in a thread.
        """
        ...

    def until_called(self, begin: Callable[[Callable[[], bool]], object]) -> bool:
        """Let the loop go on until a function is called which `begin` is given first.

        Any thread may call it, once; it returns whether there is still a loop that goes on. While
        the loop goes on, the waiter says `calling(None)`.
        False: it has taken too long, and a thread has to wait. Only for what makes a change.
        """
        ...

    def have_run(self, function: Callable[[], object]) -> None:
        """Have a thread run a function that nobody waits for. Only for what makes a change."""
        ...


class LoopReads(NamedTuple):
    """How the `get_...` and `search_...` of a store, and its `apply`, may be called in a loop.

    `pauses`: whether they wait for sockets, by `Waiter.until_ready`, or never wait at all.
    `has_changes`: whether `apply` may be called so as well, by a waiter that has threads.
    """

    pauses: bool
    has_changes: bool = False


class _Callers(threading.local):
    waiter: Waiter | None = None


_callers = _Callers()


def waiter() -> Waiter | None:
    """Return the event loop that calls in this thread, and must not wait; None in other threads."""
    return _callers.waiter


def calling(caller: Waiter | None) -> None:
    """Say that calls of this thread come from an event loop, until it is said again; or not."""
    _callers.waiter = caller


def in_thread(function: Callable[[], T]) -> T:
    """Return the result of a function that may wait, or compute for long.

    In an event loop a thread runs it, and the loop goes on; anywhere else it is simply called.

    Raises:
        WouldBlockError: an event loop calls, and what it calls is to be done again in a thread.

    Example:
        >>> in_thread(lambda: time.sleep(0.1))
    """
    caller = waiter()
    return function() if caller is None else caller.in_thread(function)


def left_after_pause(
    caller: Waiter, begin: Callable[[Callable[[], bool]], object], timeout: float
) -> float | None:
    """Let a loop go on as `Waiter.until_called`, and return None when that was called in time.

    Else it is the seconds that are left of `timeout`, for a thread to wait.
    """
    began = time.monotonic()
    if caller.until_called(begin):
        return None
    return max(0.0, timeout - (time.monotonic() - began))


def loop_reads_of(store: object) -> LoopReads | None:
    """Ask a store how an event loop may call it; None: only threads may.

    Its class answers, by a method `loop_reads(self) -> LoopReads | None`. An attribute of the
    object, or one that `__getattr__` makes up, does not count, nor does the answer of a base class
    whose reads or changes a subclass overrides, or an attribute of the object replaces.

    Raises:
        LoopContractError: the rules are checked, and the store seems to answer but does not.
    """
    classes = type(store).__mro__
    owner = next((cls for cls in classes if _OPT_IN in vars(cls)), None)
    if owner is None:
        if hasattr(store, _OPT_IN):
            _refuse(
                f"{type(store).__name__} only forwards '{_OPT_IN}' to the store that it wraps: its "
                f"class has to define the method, and may answer None"
            )
        return None
    overriding = [getattr(store, "__dict__", {}), *map(vars, classes[: classes.index(owner)])]
    called = sorted({name for names in overriding for name in names if name.startswith(_CALLED)})
    if called:
        _refuse(
            f"{type(store).__name__} overrides {', '.join(called)} and has '{_OPT_IN}' from the "
            f"class {owner.__name__}: what overrides has to define that too, and may answer None"
        )
        return None
    answer: LoopReads | None = vars(owner)[_OPT_IN](store)
    return answer


@contextlib.contextmanager
def debugging() -> Iterator[None]:
    """Check the rules in the block, on locks that are made in it. One block at a time."""
    from registry_core.inloop import debug  # noqa: PLC0415 without checks it costs nothing

    restore = debug.begin()
    try:
        yield
    finally:
        restore()


def is_debugging() -> bool:
    """Return whether the rules are checked."""
    return type(_callers) is not _Callers


def _refuse(reason: str) -> None:
    if is_debugging():
        raise LoopContractError(reason)


if os.environ.get(DEBUG_VARIABLE):
    from registry_core.inloop import debug

    debug.begin()
