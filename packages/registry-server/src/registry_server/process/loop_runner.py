"""Calls in the event loop's own thread, for reads of a store that does not block it meanwhile.

Strategy: the call runs in a greenlet. Where the store would wait for a socket, the greenlet pauses
and the loop goes on; it is resumed when the socket is ready. Whatever needs more patience than
that raises `WouldBlockError`, and the caller hands the same call to a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import selectors
import time
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, Protocol, TypeVar, cast

from greenlet import getcurrent, greenlet

from registry_core.inloop import (
    LoopContractError,
    Waiter,
    WouldBlockError,
    calling,
    loop_reads_of,
)

T = TypeVar("T")

PATIENCE_SECONDS = 1.0
"""How long a call waits for a socket. A thread may wait longer, and asks for signs of life."""


class LoopRunner:
    """Runs functions in the event loop that asks. Belongs to one thread.

    Where they pause, no more than `limit` are under way; others queue, first come, first served.
    """

    def __init__(self, limit: int, *, pauses: bool) -> None:
        self._pauses = pauses
        self._slots = asyncio.Semaphore(limit)
        # Kept, because a new greenlet costs more than most reads.
        self._idle: list[_Caller] = []
        self._paused: dict[int, _Caller] = {}
        """By the socket that each waits for."""
        self._sockets: _Sockets | None = None
        self._clock: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, store: object, limit: int) -> LoopRunner | None:
        """Return what runs the reads of a store; None if it has them run in threads."""
        reads = loop_reads_of(store)
        return None if reads is None else cls(limit, pauses=reads.pauses)

    async def run(self, function: Callable[[], T]) -> T:
        """Return the function's result.

        Raises:
            WouldBlockError: only a thread can run it.
        """
        if not self._pauses:
            return _called(_IMPATIENT, function)
        async with self._slots:
            caller = self._idle.pop() if self._idle else _Caller()
            if not caller.begin(function):
                await self._end_of(caller)
            self._idle.append(caller)
            return cast("T", caller.result())

    def close(self) -> None:
        """Give up what has paused, and watch nothing any more."""
        for caller in tuple(self._paused.values()):
            self._give_up(caller)
        if self._clock is not None:
            self._clock.cancel()
        if self._sockets is not None:
            self._loop.remove_reader(self._sockets)
            self._sockets.close()
            self._sockets = None

    async def _end_of(self, caller: _Caller) -> None:
        caller.ended = asyncio.get_running_loop().create_future()
        self._watch(caller)
        try:
            await caller.ended
        except asyncio.CancelledError:
            if self._paused.get(caller.awaits[0]) is caller:
                self._give_up(caller)
            raise

    def _watch(self, caller: _Caller) -> None:
        """Has the caller resumed when its socket is ready, or when it has waited for too long."""
        descriptor, events = caller.awaits
        try:
            sockets = self._sockets or self._watching()
            sockets.watch(descriptor, events)
        except OSError:
            # As when no more files may be opened: a thread needs none for this.
            self._go_on(caller, None)
            return
        self._paused[descriptor] = caller
        caller.paused_at = time.monotonic()
        if self._clock is None:
            self._set_clock()

    def _watching(self) -> _Sockets:
        # Watched by the loop: its own way of watching a socket costs many times as much, and each
        # pause is another one.
        self._sockets = _make_sockets()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sockets, self._look_at_sockets)
        return self._sockets

    def _look_at_sockets(self) -> None:
        if self._sockets is not None:
            for descriptor, events in self._sockets.ready():
                caller = self._paused.pop(descriptor, None)
                if caller is not None:
                    self._go_on(caller, events & caller.awaits[1])

    def _go_on(self, caller: _Caller, ready: int | None) -> None:
        """Resume what has paused, because its socket is ready or, with None, to give up."""
        if not caller.go_on(ready):
            self._watch(caller)
        elif not caller.ended.done():
            caller.ended.set_result(None)

    def _give_up(self, caller: _Caller) -> None:
        descriptor, _ = caller.awaits
        del self._paused[descriptor]
        if self._sockets is not None:
            self._sockets.forget(descriptor)
        self._go_on(caller, None)

    def _set_clock(self) -> None:
        self._clock = self._loop.call_later(PATIENCE_SECONDS / 2, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._clock = None
        oldest = time.monotonic() - PATIENCE_SECONDS
        for caller in tuple(self._paused.values()):
            if caller.paused_at < oldest:
                self._give_up(caller)
        if self._paused:
            self._set_clock()


class _Sockets(Protocol):
    """Sockets that are watched until they are ready for the first time.

    Itself ready for reading when one of them is ready.
    """

    def fileno(self) -> int: ...

    def watch(self, descriptor: int, events: int) -> None:
        """Watch a socket for any of the events of `selectors`."""
        ...

    def forget(self, descriptor: int) -> None:
        """Watch a socket no longer."""
        ...

    def ready(self) -> list[tuple[int, int]]:
        """Return those that have become ready, which ends their watch, and for which events."""
        ...

    def close(self) -> None: ...


class _Epoll:
    """Linux's way: watching a socket again is one system call, and it is forgotten by itself."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.fileno = self._epoll.fileno
        self.close = self._epoll.close

    def watch(self, descriptor: int, events: int) -> None:
        """See `_Sockets`."""
        try:
            self._epoll.modify(descriptor, _EPOLL_EVENTS[events])
        except FileNotFoundError:
            # The first time. The kernel forgets a socket that is closed.
            self._epoll.register(descriptor, _EPOLL_EVENTS[events])

    def forget(self, descriptor: int) -> None:
        """See `_Sockets`."""
        with contextlib.suppress(OSError):
            self._epoll.unregister(descriptor)

    def ready(self) -> list[tuple[int, int]]:
        """See `_Sockets`."""
        # What is wrong with a socket is found out by reading or writing.
        return [
            (
                descriptor,
                (EVENT_READ if events & ~select.EPOLLOUT else 0)
                | (EVENT_WRITE if events & ~select.EPOLLIN else 0),
            )
            for descriptor, events in self._epoll.poll(0)
        ]


class _Selector:
    """The way of other systems whose selectors are descriptors themselves."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.close = self._selector.close

    def fileno(self) -> int:
        """See `_Sockets`."""
        return self._selector.fileno()

    def watch(self, descriptor: int, events: int) -> None:
        """See `_Sockets`."""
        self._selector.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """See `_Sockets`."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def ready(self) -> list[tuple[int, int]]:
        """See `_Sockets`."""
        ready = [(key.fd, events) for key, events in self._selector.select(0)]
        for descriptor, _ in ready:
            self._selector.unregister(descriptor)
        return ready


if hasattr(select, "epoll"):
    _make_sockets: Callable[[], _Sockets] = _Epoll
    _EPOLL_EVENTS = {
        EVENT_READ: select.EPOLLIN | select.EPOLLONESHOT,
        EVENT_WRITE: select.EPOLLOUT | select.EPOLLONESHOT,
        EVENT_READ | EVENT_WRITE: select.EPOLLIN | select.EPOLLOUT | select.EPOLLONESHOT,
    }
else:
    _make_sockets = _Selector


class _Impatient:
    """Waits for nothing."""

    def until_ready(self, descriptor: int, *, reading: bool, writing: bool) -> tuple[bool, bool]:  # noqa: ARG002 see `Waiter`
        """See `Waiter`."""
        raise WouldBlockError("It waits for a socket")


_IMPATIENT: Waiter = _Impatient()


def _called(caller: Waiter, function: Callable[[], T]) -> T:
    calling(caller)
    try:
        return function()
    finally:
        calling(None)


_CAN_PAUSE = hasattr(selectors.DefaultSelector, "fileno")
"""Whether a loop can watch a selector: not on Windows, where threads wait."""


class _Caller(greenlet):
    """Calls one function after the other, and pauses where one has to wait for a socket."""

    awaits: tuple[int, int]
    """The socket that a pause is about, and which of the events of `selectors` end it."""
    paused_at: float
    """When the pause began, on the monotonic clock."""
    ended: asyncio.Future[None]
    """Completed when a call that has paused ends."""

    def __init__(self) -> None:
        super().__init__(self._work)
        self._loop_greenlet = getcurrent()
        self._function: Callable[[], Any] | None = None
        self._result: Any = None
        self._error: Exception | LoopContractError | None = None
        self._given_up = False

    def begin(self, function: Callable[[], Any]) -> bool:
        """Call the function; whether that has ended, and not paused."""
        self._function = function
        self._given_up = False
        return self._resume(0)

    def go_on(self, ready: int | None) -> bool:
        """End the pause; whether the call has ended then. Without anything ready, it gives up."""
        self._given_up = ready is None
        return self._resume(ready)

    def result(self) -> Any:
        """Return what the function has returned; raises what it has raised."""
        result, error = self._result, self._error
        self._result = self._error = None
        if error is not None:
            raise error
        return result

    def until_ready(self, descriptor: int, *, reading: bool, writing: bool) -> tuple[bool, bool]:
        """See `Waiter`."""
        ready = None
        if _CAN_PAUSE and not self._given_up:
            self.awaits = descriptor, reading * EVENT_READ | writing * EVENT_WRITE
            # Said here, in the call's own context, so that the rules of `inloop` can be checked.
            calling(None)
            ready = self._loop_greenlet.switch()
            calling(self)
        if ready is None:
            raise WouldBlockError("It has waited for long enough")
        return bool(ready & EVENT_READ), bool(ready & EVENT_WRITE)

    def _resume(self, ready: int | None) -> bool:
        self.switch(ready)
        return self._function is None

    def _work(self, _: object) -> None:
        while self._function is not None:
            try:
                self._result = _called(self, self._function)
            except (Exception, LoopContractError) as error:  # noqa: BLE001 it is the caller's
                self._error = error
            self._function = None
            self._loop_greenlet.switch()
