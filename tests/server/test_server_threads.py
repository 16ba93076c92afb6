"""The threads in which the registry is called."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from registry_server.process.threads import Threads


def run(main):
    threads = Threads(2)
    try:
        return asyncio.run(main(threads))
    finally:
        threads.close()


def test_function_runs_in_a_thread_of_its_own():
    """Its result comes back to the loop."""

    async def main(threads):
        return await threads.run(threading.current_thread)

    assert run(main).name == "registry"


def test_exception_comes_back():
    """As it was raised."""

    def fail():
        raise KeyError("x")

    async def main(threads):
        await threads.run(fail)

    with pytest.raises(KeyError):
        run(main)


def test_threads_start_when_the_others_are_busy_up_to_the_limit():
    """One after the other needs one; many at once get no more than the limit."""

    async def main(threads):
        for _ in range(5):
            await threads.run(lambda: None)
        one = {await threads.run(threading.get_ident) for _ in range(3)}
        barrier = threading.Barrier(2, timeout=60)
        both = await asyncio.gather(*(threads.run(barrier.wait) for _ in range(8)))
        return len(one), len(threads._threads), len(both)

    assert run(main) == (1, 2, 8)


def test_call_that_is_given_up_does_no_harm():
    """Its thread finishes, and its result is dropped."""
    done = threading.Event()

    async def main(threads):
        release = threading.Event()
        future = threads.run(lambda: release.wait(10) and done.set())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.01)
        release.set()
        return await threads.run(lambda: done.wait(10))

    assert run(main) is True


def test_close_waits_for_what_was_begun():
    """A write that was begun is written."""
    finished = []
    threads = Threads(1)

    async def main():
        future = threads.run(lambda: (time.sleep(0.05), finished.append(1)))
        future.cancel()

    asyncio.run(main())
    threads.close()
    assert finished == [1]


@pytest.fixture
def without_more(monkeypatch):
    """From a number of threads on, the system admits no more."""

    def limit(most):
        start = threading.Thread.start
        started = []

        def refuse(thread):
            if len(started) >= most:
                raise RuntimeError("can't start new thread")
            started.append(thread)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse)

    return limit


def test_where_the_system_admits_no_more_those_that_there_are_do_all(without_more):
    """One after the other."""
    without_more(1)

    async def main(threads):
        return await asyncio.gather(*(threads.run(threading.get_ident) for _ in range(8)))

    assert len(set(run(main))) == 1


def test_without_any_thread_a_call_is_refused(without_more):
    """And the next one is tried again."""
    without_more(0)

    async def main(threads):
        for _ in range(2):
            with pytest.raises(RuntimeError, match="start new thread"):
                threads.run(lambda: None)
            with pytest.raises(RuntimeError, match="start new thread"):
                threads.have_one()
        return threads._in_flight

    assert run(main) == 0


def test_one_is_started_before_it_is_needed(without_more):
    """So that what is begun can be ended."""

    async def main(threads):
        threads.have_one()
        threads.have_one()
        without_more(0)
        return await threads.run(lambda: 1), len(threads._threads)

    assert run(main) == (1, 1)
