"""Reads that hold nobody up: how an event loop may call a store without a thread.

Strategy: handing a call to a thread and its result back costs an event loop more than most reads
cost altogether. So a store may offer to read in the loop's own thread, on two conditions: where it
waits for a socket it lets the loop go on meanwhile, and what it could do only by waiting in any
other way, or by computing for long, it leaves with `WouldBlockError`. The caller then does the same
call again in a thread. It is the same code either way: only the innermost waiting differs.
"""

from __future__ import annotations

import threading
from typing import Protocol, runtime_checkable

MOST_ROWS = 200
"""How many entities a read may return. To decode and encode them takes about 5 milliseconds: as
long as Python lets any thread keep the others waiting."""


MOST_BYTES = 512 * 1024
"""How many bytes a read may return, for the same reason: texts are cheaper than entities."""


class WouldBlockError(Exception):
    """The call would hold up others; nothing has been done, and a thread can do it."""


class TooLargeError(WouldBlockError):
    """The answer is larger than others are; few threads should do so at a time."""


class Waiter(Protocol):
    """Whoever calls a store in an event loop."""

    def until_ready(self, descriptor: int, *, reading: bool, writing: bool) -> tuple[bool, bool]:
        """Lets the loop go on until the socket is ready; whether for reading and for writing.

        Raises:
            WouldWaitError: it has taken too long.
        """
        ...


@runtime_checkable
class LoopReads(Protocol):
    """A store whose methods `get_...` and `search_...` may be called after `calling`."""

    @property
    def reads_pause(self) -> bool:
        """Whether they wait for sockets, by `Waiter.until_ready`, or never wait at all."""
        ...


class _Callers(threading.local):
    waiter: Waiter | None = None


_callers = _Callers()


def waiter() -> Waiter | None:
    """Who calls in this thread, if it is an event loop that must not be held up."""
    return _callers.waiter


def calling(caller: Waiter | None) -> None:
    """Says that calls of this thread come from an event loop, until it is said again; or not."""
    _callers.waiter = caller
