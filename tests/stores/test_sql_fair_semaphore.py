from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from registry_core import inloop
from registry_core.stores.sql.fair_semaphore import FairSemaphore, _TurnOfLoop
from services.selecting import Selecting

pytestmark = pytest.mark.usefixtures("checked_inloop")

SOON = 30.0
"""Seconds within which what must happen has happened, on the slowest machine."""


def waiting(turns: FairSemaphore, count: int) -> None:
    """Returns when so many wait for their turn."""
    deadline = time.monotonic() + SOON
    while len(turns._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_as_many_as_there_are_places_get_one():
    """A third is refused when its time is up, and served once a place is given back."""
    turns = FairSemaphore(2)
    assert [turns.acquire(timeout=0) for _ in range(3)] == [True, True, False]
    turns.release()
    assert [turns.acquire(timeout=0) for _ in range(2)] == [True, False]


def test_who_has_waited_longest_is_served_first():
    """Also before the thread that gives its place back and asks again at once."""
    turns = FairSemaphore(1)
    turns.acquire(timeout=0)
    served = []

    def wait(number: int) -> None:
        assert turns.acquire(timeout=SOON)
        served.append(number)
        turns.release()

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(4)]
    for number, thread in enumerate(threads):
        thread.start()
        waiting(turns, number + 1)
    turns.release()
    assert turns.acquire(timeout=SOON)
    assert served == [0, 1, 2, 3]
    for thread in threads:
        thread.join()


def test_who_gave_up_waiting_is_not_served():
    """The place goes to the next one, and is not lost."""
    turns = FairSemaphore(1)
    turns.acquire(timeout=0)
    assert not turns.acquire(timeout=0.001)
    turns.release()
    assert turns.acquire(timeout=0)


class Loop(Selecting):
    """An event loop, in a thread of its own, that asks for a place."""

    def __init__(self, turns: FairSemaphore, timeout: float, **options: float) -> None:
        super().__init__(makes_change=True, **options)
        self._turns, self._timeout = turns, timeout
        self.has_place: bool | None = None
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        inloop.calling(self)
        self.has_place = self._turns.acquire(timeout=self._timeout)
        inloop.calling(None)

    def wait(self) -> bool | None:
        self._thread.join(SOON)
        return self.has_place


@pytest.mark.parametrize("patience", [0.0, SOON])
def test_loops_and_threads_are_served_in_the_order_of_their_coming(patience: float):
    """Whether the loop itself waits or a thread for it."""
    turns = FairSemaphore(1)
    turns.acquire(timeout=0)
    loop = Loop(turns, SOON, patience=patience)
    waiting(turns, 1)
    thread = threading.Thread(target=turns.acquire, kwargs={"timeout": SOON})
    thread.start()
    waiting(turns, 2)
    turns.release()
    assert loop.wait()
    assert thread.is_alive()
    turns.release()
    thread.join(SOON)
    assert not thread.is_alive()
    assert (loop.in_threads, turns.waiting) == (patience == 0, 0)


def test_what_a_loop_waited_counts(monkeypatch: pytest.MonkeyPatch):
    """A thread has what is left of the time; its turn is nobody's afterwards."""
    asked = []
    acquire = _TurnOfLoop.acquire

    def watched(turn, *, timeout):
        asked.append(timeout)
        return acquire(turn, timeout=timeout)

    monkeypatch.setattr(_TurnOfLoop, "acquire", watched)
    turns = FairSemaphore(1)
    turns.acquire(timeout=0)
    loop = Loop(turns, 0.4, patience=0.1)
    assert loop.wait() is False
    assert [0 <= timeout <= 0.3 for timeout in asked] == [True]
    turns.release()
    assert turns.acquire(timeout=0)


class Late(Selecting):
    """Begins to wait when the place has just been given back."""

    def until_called(self, begin: Callable[[Callable[[], bool]], object]) -> bool:
        self.turns.release()
        return super().until_called(begin)


def test_a_place_that_is_given_back_in_that_moment_is_taken():
    """Nobody else would give one back."""
    caller = Late(makes_change=True)
    caller.turns = turns = FairSemaphore(1)
    turns.acquire(timeout=0)
    inloop.calling(caller)
    try:
        assert turns.acquire(timeout=0.2)
    finally:
        inloop.calling(None)
    assert not turns.acquire(timeout=0)
    assert turns.waiting == 0


def test_a_place_goes_past_a_loop_that_is_no_more():
    """To the next one that waits, or to the one that asks next."""
    turns = FairSemaphore(1)
    turns.acquire(timeout=0)
    for _ in range(2):
        turns._waiting.append(_TurnOfLoop(lambda: False))
    turns.release()
    assert turns.acquire(timeout=0)
