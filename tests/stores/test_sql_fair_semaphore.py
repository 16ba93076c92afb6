from __future__ import annotations

import threading
import time

from registry_core.stores.sql.fair_semaphore import FairSemaphore

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
