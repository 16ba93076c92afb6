"""Calls in the event loop's own thread, on a store that does not block it meanwhile.

Strategy: the call runs in a greenlet. Where the store would wait for a socket, the greenlet pauses
and the loop goes on; it is resumed when the socket is ready. Whatever needs more patience than
that raises `WouldBlockError`, and the caller hands the same call to a thread. A change pauses there
as well, until a thread has done for it what takes patience: it is never done again, and goes on to
its end when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, NamedTuple, TypeVar, cast

from greenlet import getcurrent, greenlet

from registry_core.inloop import (
    LoopContractError,
    Waiter,
    WouldBlockError,
    calling,
    loop_reads_of,
)
from registry_server.process import watched_sockets
from registry_server.process.threads import Threads
from registry_server.process.watched_sockets import Sockets

T = TypeVar("T")

PATIENCE_SECONDS = 1.0
"""How long a read waits for a socket. A thread may wait longer, and asks for signs of life."""

CHANGES_PATIENCE_SECONDS = 0.4
"""How long a change waits in the loop. A thread waits to the end for what it has sent, and
has to be there when the database has been silent for so long that it is asked for a sign of life:
after 0.7 seconds."""


class LoopRunner:
    """Runs functions in the event loop that asks. Belongs to one thread.

    Where reads pause, no more than `limit` are under way; others queue, first come, first served.
    """

    def __init__(self, limit: int, *, pauses: bool) -> None:
        self._pauses = pauses
        self._slots = asyncio.Semaphore(limit)
        # Kept, because a new greenlet costs more than most reads.
        self._idle: list[_Caller] = []
        self._paused: dict[int, _Caller] = {}
        """By the socket that each waits for, or the number of its pause, below 0."""
        self._sockets: Sockets | None = None
        self._called: deque[int] = deque()
        """The pauses that threads have ended, by their numbers."""
        self._is_told = False
        """Whether the loop will look at them."""
        self._has_ended = False
        """Whether no change pauses any more."""
        self._clock: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, store: object, limit: int) -> LoopRunner | None:
        """Return what runs the reads of a store; None if it has them run in threads."""
        reads = loop_reads_of(store)
        return None if reads is None else cls(limit, pauses=reads.pauses)

    @classmethod
    def of_changes(cls, store: object) -> LoopRunner | None:
        """Return what runs the changes of a store; None if it has them run in threads."""
        reads = loop_reads_of(store)
        can_pause = reads is not None and reads.has_changes and _CAN_PAUSE
        return cls(1, pauses=True) if can_pause else None

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

    def change(
        self, function: Callable[[], T], *, threads: Threads, done: Callable[[], object]
    ) -> asyncio.Future[T]:
        """Begin a change, and return its result to come.

        The caller decides how many are under way: `done` is called when one has ended, also if the
        result is waited for no more. What it cannot do in the loop is done in one of the threads.
        """
        caller = self._idle.pop() if self._idle else _Caller()
        self._loop = asyncio.get_running_loop()
        future = self._loop.create_future()
        caller.changing = _Changing(threads, future, done, self._tell)
        self._continue(caller, has_ended=caller.begin(function))
        return future

    def close(self) -> None:
        """Give up what has paused, and watch nothing any more.

        What a change waits for is waited for in a thread from then on.
        """
        self._has_ended = True
        for caller in tuple(self._paused.values()):
            self._give_up(caller)
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
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
        if caller.wanted is not None:
            self._call_in_thread(caller)
            return
        if self._has_ended and caller.changing is not None:
            self._go_on(caller, None)
            return
        descriptor, events = caller.awaits
        try:
            if descriptor >= 0:
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

    def _watching(self) -> Sockets:
        self._sockets = watched_sockets.make_sockets()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sockets, self._look_at_sockets)
        return self._sockets

    def _look_at_sockets(self) -> None:
        if self._sockets is not None:
            for descriptor, events in self._sockets.ready():
                caller = self._paused.pop(descriptor, None)
                if caller is not None:
                    self._go_on(caller, events & caller.awaits[1])

    def _call_in_thread(self, caller: _Caller) -> None:
        changing, wanted = caller.changing, caller.wanted
        assert changing is not None, "only a change has threads"
        assert wanted is not None, "it is what is called"
        try:
            called = changing.threads.run(wanted)
        except RuntimeError as error:
            called = self._loop.create_future()
            called.set_exception(error)
        called.add_done_callback(
            lambda _: self._continue(caller, has_ended=caller.go_on_with(called))
        )

    def _go_on(self, caller: _Caller, ready: int | None) -> None:
        """Resume what has paused, because its socket is ready or, with None, to give up."""
        self._continue(caller, has_ended=caller.go_on(ready))

    def _continue(self, caller: _Caller, *, has_ended: bool) -> None:
        if not has_ended:
            self._watch(caller)
        elif caller.changing is not None:
            self._end_change(caller, caller.changing)
        elif not caller.ended.done():
            caller.ended.set_result(None)

    def _end_change(self, caller: _Caller, changing: _Changing) -> None:
        caller.changing = None
        self._idle.append(caller)
        try:
            result = caller.result()
            if not changing.result.done():
                changing.result.set_result(result)
        except (Exception, LoopContractError) as error:  # noqa: BLE001 it is the caller's
            if not changing.result.done():
                changing.result.set_exception(error)
        finally:
            changing.done()

    def _give_up(self, caller: _Caller) -> None:
        descriptor, _ = caller.awaits
        del self._paused[descriptor]
        if self._sockets is not None and descriptor >= 0:
            self._sockets.forget(descriptor)
        self._go_on(caller, None)

    def _tell(self, number: int, loop: asyncio.AbstractEventLoop) -> bool:
        """End a pause, from any thread; whether there is a loop that goes on.

        Many that end together cost the loop one look.
        """
        if loop.is_closed():
            return False
        self._called.append(number)
        if not self._is_told:
            self._is_told = True
            try:
                loop.call_soon_threadsafe(self._look_at_called)
            except RuntimeError:  # it was closed meanwhile
                self._is_told = False
                return False
        return True

    def _look_at_called(self) -> None:
        self._is_told = False
        while self._called:
            caller = self._paused.pop(self._called.popleft(), None)
            # One that was given up waits for something else.
            if caller is not None:
                self._go_on(caller, EVENT_READ)

    def _set_clock(self) -> None:
        seconds = CHANGES_PATIENCE_SECONDS / 2
        self._clock = self._loop.call_later(seconds, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._clock = None
        now = time.monotonic()
        for caller in tuple(self._paused.values()):
            is_change = caller.changing is not None
            patience = CHANGES_PATIENCE_SECONDS if is_change else PATIENCE_SECONDS
            if caller.paused_at < now - patience:
                self._give_up(caller)
        if self._paused:
            self._set_clock()


class _Impatient:
    """Waits for nothing."""

    makes_change = False

    def until_called(self, begin: Callable[[Callable[[], bool]], object]) -> bool:  # noqa: ARG002 see `Waiter`
        """See `Waiter`."""
        raise WouldBlockError("It waits for a thread")

    def have_run(self, function: Callable[[], object]) -> None:  # noqa: ARG002 see `Waiter`
        """See `Waiter`."""
        raise WouldBlockError("Only a thread can do it")

    def in_thread(self, function: Callable[[], T]) -> T:  # noqa: ARG002 see `Waiter`
        """See `Waiter`."""
        raise WouldBlockError("Only a thread can do it")

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


_numbers = itertools.count(1)
"""Of pauses that a call ends."""

_CAN_PAUSE = hasattr(selectors.DefaultSelector, "fileno")
"""Whether a loop can watch a selector: not on Windows, where threads wait."""


class _Changing(NamedTuple):
    """What a call is given that makes a change."""

    threads: Threads
    result: asyncio.Future[Any]
    done: Callable[[], object]
    tell: Callable[[int, asyncio.AbstractEventLoop], bool]
    """Ends a pause that has this number, from any thread; whether there is a loop that goes on."""


class _Caller(greenlet):
    """Calls one function after the other, and pauses where one has to wait."""

    awaits: tuple[int, int]
    """The socket that a pause is about, and which of the events of `selectors` end it; in place of
    a socket the number of a pause that a call ends, below 0."""
    paused_at: float
    """When the pause began, on the monotonic clock."""
    ended: asyncio.Future[None]
    """Completed when a call that has paused ends that only reads."""
    changing: _Changing | None = None
    """Set while it makes a change."""
    wanted: Callable[[], Any] | None = None
    """What a pause has a thread call, if it is not about a socket."""

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

    def go_on_with(self, called: asyncio.Future[Any]) -> bool:
        """End the pause when a thread has called what it was for; as `go_on`."""
        self.wanted = None
        self._given_up = False
        return self._resume(called)

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

    @property
    def makes_change(self) -> bool:
        """See `Waiter`."""
        return self.changing is not None

    def until_called(self, begin: Callable[[Callable[[], bool]], object]) -> bool:
        """See `Waiter`."""
        assert self.changing is not None, "only a change is called back"
        number = -next(_numbers)
        begin(partial(self.changing.tell, number, asyncio.get_running_loop()))
        self.awaits = number, EVENT_READ
        calling(None)
        ready = self._loop_greenlet.switch()
        calling(self)
        return ready is not None

    def have_run(self, function: Callable[[], object]) -> None:
        """See `Waiter`."""
        assert self.changing is not None, "only a change has threads"
        self.changing.threads.run(function)

    def in_thread(self, function: Callable[[], T]) -> T:
        """See `Waiter`."""
        if self.changing is None:
            raise WouldBlockError("Only a thread can do it")
        self.wanted = function
        calling(None)
        called: asyncio.Future[T] = self._loop_greenlet.switch()
        calling(self)
        return called.result()

    def _resume(self, ready: int | asyncio.Future[Any] | None) -> bool:
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
