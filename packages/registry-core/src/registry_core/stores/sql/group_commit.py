"""Group commit: writers of a database that admits one at a time share a transaction.

Strategy: most of a small change's cost is to begin a transaction and to make it durable. So the
thread that leads does the changes of all that wait, one after the other in one transaction, and
completes their futures when that is durable. A change that fails is undone alone. An event loop
does not lead: it has a thread do so, for as long as changes wait.
"""

from __future__ import annotations

import enum
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from registry_core import inloop
from registry_core.errors import ContentionError, StoreUnavailableError
from registry_core.inloop import Waiter

MOST_SHARED = 32
"""How many changes may share a transaction: the first of them waits for the last."""

GATHER_SECONDS = 0.001
"""How long a change waits at most for those that shared the transaction before it: as long as their
clients take to hear of that and to ask for the next one. It never waits for longer than half of
what the transaction before took, and not at all after one that had no company."""

_IN_DOUBT = (
    "The thread that wrote the change for this one was interrupted; the change may or may not have "
    "been made"
)

ChangeT = TypeVar("ChangeT")

Outcome: TypeAlias = tuple[Any, Exception | None]
"""What a change has returned, and what it has failed with: one of the two."""


class _Signal(enum.Enum):
    """What a thread finds in its future when no other thread has made its change."""

    LEAD = enum.auto()


class Future:
    """What a thread waits for, set once. That of `concurrent.futures` costs 4 % of a change."""

    def __init__(self) -> None:
        self._is_set = threading.Lock()
        self._is_set.acquire()
        self._result: Outcome | _Signal | None = None

    def set_result(self, result: Outcome | _Signal) -> bool:
        """Wake the thread that waits; whether it can hear of it."""
        self._result = result
        self._is_set.release()
        return True

    def result(self, timeout: float = -1) -> Outcome | _Signal:
        """Return the outcome that was set.

        Raises:
            TimeoutError: nothing within so many seconds.
        """
        # An interrupted thread that asks again may have had the lock already.
        if self._result is None and not self._is_set.acquire(timeout=timeout):
            raise TimeoutError
        assert self._result is not None, "it is set before the lock is released"
        return self._result


class LoopFuture(Future):
    """What an event loop waits for, or a thread in its place.

    `notify` says whether the loop goes on.
    """

    def __init__(self, notify: Callable[[], bool]) -> None:
        # Not the lock of the other: that would be held while the call pauses.
        self._is_there = threading.Event()
        self._notify = notify
        self._result = None

    def set_result(self, result: Outcome | _Signal) -> bool:
        """See `Future`; the loop is notified."""
        self._result = result
        self._is_there.set()
        return self._notify()

    def result(self, timeout: float | None = None) -> Outcome | _Signal:
        """See `Future`."""
        if not self._is_there.wait(timeout):
            raise TimeoutError
        assert self._result is not None, "it is set before the event"
        return self._result


_Place: TypeAlias = tuple[ChangeT, Future]
"""A change that waits, and what its caller waits for."""

_Led: TypeAlias = tuple[ChangeT, Future | None]
"""A change that is done; there is no future of the one whose thread does it."""


class GroupCommit(Generic[ChangeT]):
    """Callers that lead by turns, first come, first served. Thread-safe.

    `commit` does a few changes, and gives their outcomes in the same order when all that were done
    are durable. Where it raises, all of them may or may not have been done.
    """

    def __init__(self, commit: Callable[[list[ChangeT]], list[Outcome]]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._waiting: deque[_Place[ChangeT]] = deque()
        self._has_leader = False
        self._company = 1
        """How many changes shared the last transaction."""
        self._seconds = 0.0
        """How long it took."""
        self._wanted = 0
        """How many have to wait for the leader to begin; 0 when it does not wait for them."""
        self._gathered = threading.Semaphore(0)

    def run(self, change: ChangeT, *, timeout: float) -> Any:
        """Have a change done, by this thread or another one, and give what it returns.

        Raises:
            ContentionError: its turn did not come within so many seconds; it is not done.
        """
        caller = inloop.waiter()
        if caller is not None:
            outcome = self._outcome_inloop(caller, change, timeout)
        else:
            outcome = self._outcome(change, timeout)
        value, error = outcome
        if error is None:
            return value
        try:
            raise error
        finally:
            # Its traceback leads here.
            del outcome, error

    def _outcome(self, change: ChangeT, timeout: float) -> Outcome:
        place: _Place[ChangeT] = change, Future()
        return self._waited(place, timeout) if self._joins(place) else self._lead(change)

    def _waited(self, place: _Place[ChangeT], timeout: float) -> Outcome:
        """What this thread was given, or has made of it when its turn had come."""
        outcome = self._wait(place, timeout)
        return self._lead(place[0]) if outcome is _Signal.LEAD else outcome

    def _outcome_inloop(self, caller: Waiter, change: ChangeT, timeout: float) -> Outcome:
        """The same, where a thread leads in place of the one that calls."""
        outcome = self._waited_inloop(caller, change, timeout, leads=False)
        while outcome is _Signal.LEAD:
            outcome = self._waited_inloop(caller, change, timeout, leads=True)
        return outcome

    def _waited_inloop(
        self, caller: Waiter, change: ChangeT, timeout: float, *, leads: bool
    ) -> Outcome | _Signal:
        places: list[_Place[ChangeT]] = []

        def begin(notify: Callable[[], bool]) -> None:
            place = change, LoopFuture(notify)
            places.append(place)
            if leads or not self._joins(place):
                self._have_led(caller, place)

        left = inloop.left_after_pause(caller, begin, timeout)
        (place,) = places
        if left is None:
            return place[1].result()
        return caller.in_thread(lambda: self._waited(place, left))

    def _have_led(self, caller: Waiter, place: _Place[ChangeT]) -> None:
        places: list[_Led[ChangeT]] = [place]
        try:
            caller.have_run(lambda: self._lead_on(places))
        except BaseException:
            self._pass_on()
            raise

    def _joins(self, place: _Place[ChangeT]) -> bool:
        """Whether it waits from now on; else nobody leads, and its caller has to."""
        with self._lock:
            if not self._has_leader:
                self._has_leader = True
                return False
            self._waiting.append(place)
            if len(self._waiting) == self._wanted:
                self._wanted = 0
                self._gathered.release()
            return True

    def _wait(self, place: _Place[ChangeT], timeout: float) -> Outcome | _Signal:
        try:
            return place[1].result(timeout)
        except BaseException as error:
            has_expired = isinstance(error, TimeoutError)
            if self._withdraws(place):
                if has_expired:
                    message = "Another writer has held the database for too long"
                    raise ContentionError(message) from None
                raise
            outcome = place[1].result()
            if has_expired:
                return outcome
            if outcome is _Signal.LEAD:
                self._pass_on()
            raise

    def _withdraws(self, place: _Place[ChangeT]) -> bool:
        """Whether it was in time to do so; else its future is completed soon."""
        with self._lock:
            if place in self._waiting:
                self._waiting.remove(place)
                return True
            return False

    def _lead(self, change: ChangeT) -> Outcome:
        try:
            return self._lead_some([(change, None)])
        finally:
            self._pass_on()

    def _lead_on(self, places: list[_Led[ChangeT]]) -> None:
        """Lead for those that wait until there are none."""
        try:
            while places:
                self._lead_some(places)
                with self._lock:
                    if self._waiting:
                        places = [self._waiting.popleft()]
                    else:
                        self._has_leader = False
        except BaseException:
            self._pass_on()
            raise

    def _lead_some(self, places: list[_Led[ChangeT]]) -> Outcome:
        """Do the changes of these places, and of such as wait; the outcome of the first.

        The list is empty in the end.
        """
        outcomes: list[Outcome] = []
        try:
            self._gather()
            with self._lock:
                while self._waiting and len(places) < MOST_SHARED:
                    places.append(self._waiting.popleft())
            began = time.monotonic()
            outcomes = self._commit([waiting for waiting, _ in places])
            self._company, self._seconds = len(outcomes), time.monotonic() - began
            return outcomes[0]
        finally:
            _complete(places, outcomes)

    def _gather(self) -> None:
        """Wait a moment for company, if there was some.

        Strategy: those that were made durable together are answered together, and most of their
        clients ask for the next change at once. The first of these would else be alone in a
        transaction, which costs as much as one with all of them, while the others wait for it.
        """
        with self._lock:
            if len(self._waiting) + 1 >= self._company:
                return
            self._wanted = self._company - 1
        if self._gathered.acquire(timeout=min(GATHER_SECONDS, self._seconds / 2)):
            return
        with self._lock:
            if self._wanted:
                self._wanted = 0
                return
        # The last one came in the moment that the time was up.
        self._gathered.acquire()

    def _pass_on(self) -> None:
        with self._lock:
            while self._waiting:
                # What a loop waited for that is no more is waited for by nobody.
                if self._waiting.popleft()[1].set_result(_Signal.LEAD):
                    return
            self._has_leader = False


def _complete(places: list[_Led[ChangeT]], outcomes: list[Outcome]) -> None:
    """Set what became of each change; without outcomes that is unknown."""
    for _, future in places:
        outcome = outcomes.pop(0) if outcomes else (None, StoreUnavailableError(_IN_DOUBT))
        if future is not None:
            future.set_result(outcome)
        del outcome
    # The traceback of each error leads to these lists, by the frames that had called what failed.
    places.clear()
