"""Changes in the event loop's own thread: begun once, and never done again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest

import registry_server.process.lanes
import registry_server.process.loop_runner
from registry_core import inloop, open_registry
from registry_core.inloop import LoopReads, WouldBlockError
from registry_core.stores.sql.bounded_connection import SILENCE_SECONDS
from registry_core.stores.sql.group_commit import GroupCommit
from registry_server.process.lanes import HangUp, Lane
from registry_server.process.loop_runner import CHANGES_PATIENCE_SECONDS, LoopRunner

pytestmark = pytest.mark.usefixtures("checked_inloop")

PATIENCE = 30
"""Seconds for what happens at once on an idle machine."""


@pytest.fixture
def pair():
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(end) for end in socket.socketpair()]


def wait_for(reader):
    """What a store does that waits for a socket, as long as it is asked to."""
    return inloop.waiter().until_ready(reader.fileno(), reading=True, writing=False)


class Making:
    """A lane whose changes run in the event loop."""

    def __init__(self, threads=2, **options):
        self.lane = Lane(threads, name="changing", **options)
        self.runner = LoopRunner(1, pauses=True)

    async def call(self, function, key=None):
        client = HangUp(asyncio.Event().wait)
        try:
            return await self.lane.call(function, client=client, key=key, inloop=self.runner)
        finally:
            client.close()

    def start(self, function, key=None):
        return asyncio.create_task(self.call(function, key))


def run(main, **options):
    async def whole():
        making = Making(**options)
        try:
            async with asyncio.timeout(PATIENCE):
                return await main(making)
        finally:
            making.runner.close()
            making.lane.close()

    return asyncio.run(whole())


async def until(is_so):
    while not is_so():  # noqa: ASYNC110 other threads set no event of a loop
        await asyncio.sleep(0.001)


def test_it_runs_in_the_loop_and_what_waits_in_a_thread(pair):
    """In between it waits for sockets; the loop goes on all the time."""
    here = threading.current_thread()
    may_end = threading.Event()

    def wait():
        assert inloop.waiter() is None
        assert may_end.wait(PATIENCE)
        return threading.current_thread().name

    def change():
        seen = [threading.current_thread() is here, inloop.waiter().makes_change]
        seen.append(inloop.in_thread(wait))
        seen.append(wait_for(pair[0]))
        return [*seen, threading.current_thread() is here]

    async def main(making):
        task = making.start(change)
        await asyncio.sleep(0)
        assert inloop.waiter() is None
        assert not task.done()
        may_end.set()
        pair[1].send(b"x")
        return await task, making.lane.running

    seen, running = run(main)
    assert seen == [True, True, "changing", (True, False), True]
    assert running == 0


def test_errors_come_back(pair):
    """Of the call, and of what a thread did for it; the next call is not disturbed."""

    def fail():
        raise KeyError("x")

    def change():
        with pytest.raises(KeyError):
            inloop.in_thread(fail)
        fail()

    async def main(making):
        for function in (fail, change):
            with pytest.raises(KeyError):
                await making.call(function)
        return await making.call(lambda: inloop.waiter().makes_change), making.lane.running

    assert run(main) == (True, 0)


def test_it_ends_when_nobody_waits_for_it(pair):
    """A client that hangs up ends no change, and its place is kept until that has ended."""
    ended = []

    def change():
        wait_for(pair[0])
        ended.append(inloop.in_thread(lambda: "written"))

    async def main(making):
        task = making.start(change, "m")
        await asyncio.sleep(0)
        await until(lambda: making.lane.running == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        other = making.start(lambda: "other", "m")
        await asyncio.sleep(0.01)
        seen = list(ended), making.lane.running, other.done()
        pair[1].send(b"x")
        await until(lambda: ended)
        return seen, ended, await other, making.lane.running

    assert run(main, threads=1) == (([], 1, False), ["written"], "other", 0)


def test_what_waits_too_long_goes_on_in_a_thread(pair, monkeypatch):
    """And it pauses again afterwards: the change as a whole is begun once."""
    monkeypatch.setattr(registry_server.process.loop_runner, "CHANGES_PATIENCE_SECONDS", 0.05)
    begun = []

    def change():
        begun.append(1)
        with pytest.raises(WouldBlockError):
            wait_for(pair[0])
        inloop.in_thread(lambda: pair[1].send(b"x"))
        return wait_for(pair[0])

    async def main(making):
        return await making.call(change)

    assert run(main) == (True, False)
    assert begun == [1]


def test_a_call_of_another_thread_ends_its_pause():
    """As one of its own threads, which nobody waits for, may do it."""
    here = threading.current_thread()
    names = []

    def change():
        def begin(called):
            def run():
                names.append(threading.current_thread().name)
                called()

            inloop.waiter().have_run(run)

        return inloop.waiter().until_called(begin), threading.current_thread() is here

    async def main(making):
        return await making.call(change), making.lane.running

    assert run(main) == ((True, True), 0)
    assert names == ["changing"]


def test_many_that_end_together_cost_the_loop_one_look(monkeypatch):
    """To wake it costs a system call each time."""
    ends, woken = [], []

    def change():
        return inloop.waiter().until_called(ends.append)

    async def main(making):
        tasks = [making.start(change) for _ in range(8)]
        await until(lambda: len(ends) == 8)
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def count(*arguments):
            woken.append(1)
            return wake(*arguments)

        monkeypatch.setattr(loop, "call_soon_threadsafe", count)
        for end in ends:
            end()
        return await asyncio.gather(*tasks)

    assert run(main, threads=8) == [True] * 8
    assert woken == [1]


def test_a_thread_waits_before_a_silent_database_is_asked_for_a_sign_of_life():
    """The loop looks at its clock twice in that time, so it may be late by half of it."""
    assert 1.5 * CHANGES_PATIENCE_SECONDS < SILENCE_SECONDS


def test_a_call_that_comes_too_late_ends_no_other_pause(pair, monkeypatch):
    """The change waits for something else by then, or has ended."""
    monkeypatch.setattr(registry_server.process.loop_runner, "CHANGES_PATIENCE_SECONDS", 0.05)
    ends = []

    def change():
        first = inloop.waiter().until_called(ends.append)
        again = inloop.waiter().until_called(lambda _: None)
        inloop.in_thread(ends[0])
        monkeypatch.setattr(
            registry_server.process.loop_runner, "CHANGES_PATIENCE_SECONDS", PATIENCE
        )
        return first, again, wait_for(pair[0])

    async def main(making):
        task = making.start(change)
        await until(lambda: ends)
        await asyncio.sleep(0.2)
        assert not task.done()
        pair[1].send(b"x")
        found = await task
        ends[0]()
        return found, await making.call(lambda: 1)

    assert run(main) == ((False, False, (True, False)), 1)


def test_a_loop_that_is_no_more_is_told_nothing():
    """What ends a pause fails for nobody."""
    ends = []

    def change():
        inloop.waiter().until_called(ends.append)

    async def main(making):
        making.start(change)
        await until(lambda: ends)

    run(main)
    ends[0]()


def test_what_has_paused_for_a_thread_pauses_no_more_after_the_end(pair, monkeypatch):
    """Neither for a socket nor for a call: threads wait instead."""
    # Far longer than the test may take.
    monkeypatch.setattr(
        registry_server.process.loop_runner, "CHANGES_PATIENCE_SECONDS", 10 * PATIENCE
    )
    may_end = threading.Event()

    def change():
        inloop.in_thread(lambda: may_end.wait(PATIENCE))
        with pytest.raises(WouldBlockError):
            wait_for(pair[0])
        inloop.in_thread(lambda: None)
        return inloop.waiter().until_called(lambda _: None)

    async def main(making):
        task = making.start(change)
        # Its pause has the clock run.
        other = making.start(lambda: inloop.waiter().until_called(lambda _: None))
        await asyncio.sleep(0.01)
        making.runner.close()
        may_end.set()
        return await task, await other, len(making.runner._paused)

    assert run(main) == (False, False, 0)


def test_a_stop_does_not_wait_for_a_leader_that_needs_the_loop():
    """Threads wait for the loop's changes then, and lead themselves."""
    writers = GroupCommit(lambda changes: [(change(), None) for change in changes])
    may_end, has_begun = threading.Event(), threading.Event()
    made = []

    def slow():
        has_begun.set()
        assert may_end.wait(PATIENCE)

    async def main(making):
        thread = threading.Thread(target=lambda: writers.run(slow, timeout=PATIENCE))
        thread.start()
        assert has_begun.wait(PATIENCE)
        tasks = [
            making.start(lambda n=n: writers.run(lambda: made.append(n), timeout=PATIENCE))
            for n in range(3)
        ]
        await until(lambda: len(writers._waiting) == 3)
        making.runner.close()
        may_end.set()
        # The loop stands still meanwhile.
        making.lane.close()
        ended = sorted(made)
        await asyncio.gather(*tasks)
        thread.join()
        return ended

    assert run(main, threads=4) == [0, 1, 2]


@pytest.mark.parametrize("wanted", ["socket", "thread"])
def test_closing_leaves_it_to_threads(pair, wanted):
    """They end what they were given before the lane has ended."""
    written = []
    may_end = threading.Event()

    def wait():
        assert may_end.wait(PATIENCE)
        written.append(1)

    def change():
        if wanted == "socket":
            with pytest.raises(WouldBlockError):
                wait_for(pair[0])
        inloop.in_thread(wait)

    async def main(making):
        task = making.start(change)
        await asyncio.sleep(0.01)
        making.runner.close()
        may_end.set()
        making.lane.close()
        assert written == [1]
        await task

    run(main)


def test_changes_of_one_key_have_but_some_places(pair):
    """As those in threads; they begin in the order of their coming."""
    began = []

    def change(number):
        began.append(number)
        wait_for(pair[0])
        return pair[0].recv(1)

    async def main(making):
        tasks = [making.start(lambda n=n: change(n), "m") for n in range(3)]
        other = making.start(lambda: "other", "n")
        assert await other == "other"
        seen = []
        for letter in (b"a", b"b", b"c"):
            await until(lambda: len(began) > len(seen))
            seen.append(list(began))
            pair[1].send(letter)
        return await asyncio.gather(*tasks), seen

    assert run(main, threads=2, most_of_a_key=1) == (
        [b"a", b"b", b"c"],
        [[0], [0, 1], [0, 1, 2]],
    )


def test_a_read_has_no_threads():
    """What calls for one is called in one as a whole."""

    async def main():
        runner = LoopRunner(1, pauses=True)
        assert not await runner.run(lambda: inloop.waiter().makes_change)
        for pauses in (True, False):
            with pytest.raises(WouldBlockError):
                await LoopRunner(1, pauses=pauses).run(lambda: inloop.in_thread(lambda: 1))

    asyncio.run(main())


def test_in_thread_elsewhere_is_a_call():
    """Nobody has to know whether a loop calls."""
    assert inloop.in_thread(threading.current_thread) is threading.current_thread()


class Offering:
    """A store that may be called in an event loop."""

    has_changes = True

    def loop_reads(self):
        return LoopReads(pauses=True, has_changes=self.has_changes)

    def apply(self, change, *, by):
        raise NotImplementedError


class Overriding(Offering):
    """Makes changes in a way of its own, and does not say how."""

    def apply(self, change, *, by):
        raise NotImplementedError


class Reading(Offering):
    has_changes = False


def test_a_store_says_whether_its_changes_may_be_made_so(monkeypatch):
    """One that overrides how they are made says so itself."""
    assert LoopRunner.of_changes(Offering()) is not None
    assert LoopRunner.of_changes(Reading()) is None
    with pytest.raises(inloop.LoopContractError, match="apply"):
        LoopRunner.of_changes(Overriding())
    monkeypatch.setattr(registry_server.process.loop_runner, "_CAN_PAUSE", False)
    assert LoopRunner.of_changes(Offering()) is None


def test_one_change_after_the_other_on_sqlite(tmp_path, monkeypatch):
    """One thread makes those of many clients; each pause ends when its own change is made."""
    # Far longer than the test may take: what is not woken would wait so long.
    monkeypatch.setattr(
        registry_server.process.loop_runner, "CHANGES_PATIENCE_SECONDS", 10 * PATIENCE
    )
    registry = open_registry(f"sqlite:///{tmp_path}/r.db")
    registry.create_registered_model("m")

    async def create(making):
        made = [
            await making.call(lambda: registry.create_model_version("m", source="s3://b/p"), "m")
            for _ in range(5)
        ]
        return [version.version for version in made]

    async def main(making):
        of_each = await asyncio.gather(*(create(making) for _ in range(8)))
        return [version for versions in of_each for version in versions]

    assert sorted(run(main, threads=4)) == list(range(1, 41))
    registry.close()
