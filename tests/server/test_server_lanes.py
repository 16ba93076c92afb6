"""Threads for each kind of work, and who waits for them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from registry_core import StoreBusyError
from registry_server.process import lanes
from registry_server.process.lanes import ClientGoneError, HangUp, Lane
from registry_server.process.loop_runner import LoopRunner

pytestmark = pytest.mark.usefixtures("checked_inloop")

PATIENCE = 30
"""Seconds for what happens at once on an idle machine."""


class Client:
    """A client that waits for its answer, until it is told to hang up."""

    def __init__(self):
        self._gone = asyncio.Event()

    async def receive(self):
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def hang_up(self):
        self._gone.set()


class Work:
    """Calls that go on until they are let go, and the order in which they began."""

    def __init__(self):
        self.began = []
        self._go_on = threading.Event()
        self._lock = threading.Lock()

    def of(self, name):
        def call():
            with self._lock:
                self.began.append(name)
            assert self._go_on.wait(PATIENCE)
            return name

        return call

    def let_go(self):
        self._go_on.set()

    async def has_begun(self, count):
        async with asyncio.timeout(PATIENCE):
            while len(self.began) < count:  # noqa: ASYNC110 threads set no event of a loop
                await asyncio.sleep(0.001)


def run(main, threads=4, **options):
    async def whole():
        lane = Lane(threads, name="lane", **options)
        work = Work()
        try:
            return await main(lane, work)
        finally:
            work.let_go()
            await asyncio.sleep(0)
            lane.close()

    return asyncio.run(whole())


def start(lane, call, key=None, client=None, size=0):
    hang_up = HangUp((client or Client()).receive)

    async def called():
        try:
            return await lane.call(call, client=hang_up, size=size, key=key)
        finally:
            hang_up.close()

    return asyncio.create_task(called())


def test_calls_of_one_key_leave_threads_to_others():
    """However many there are: what comes after them begins before them."""

    async def main(lane, work):
        hot = [start(lane, work.of("hot"), "hot") for _ in range(10)]
        await work.has_begun(2)
        others = [start(lane, work.of(name), name) for name in ("a", "b")]
        await work.has_begun(4)
        began = list(work.began)
        work.let_go()
        await asyncio.gather(*hot, *others)
        return began, len(work.began)

    assert run(main, most_of_a_key=2) == (["hot", "hot", "a", "b"], 12)


def test_calls_without_a_key_may_take_all_threads():
    """Nothing is known of them that would tell them apart."""

    async def main(lane, work):
        tasks = [start(lane, work.of("any")) for _ in range(6)]
        await work.has_begun(4)
        work.let_go()
        return len(await asyncio.gather(*tasks))

    assert run(main, most_of_a_key=1) == 6


def test_keys_take_turns():
    """Of each as they came; a hundred of one are not ahead of the first of another."""

    async def main(lane, work):
        first = start(lane, work.of("first"), "first")
        await work.has_begun(1)
        waiting = [start(lane, work.of(f"a{n}"), "a") for n in range(3)]
        waiting += [start(lane, work.of(f"b{n}"), "b") for n in range(2)]
        await asyncio.sleep(0)
        work.let_go()
        await asyncio.gather(first, *waiting)
        return work.began

    assert run(main, threads=1) == ["first", "a0", "b0", "a1", "b1", "a2"]


def test_only_so_many_wait(monkeypatch):
    """Further ones are refused at once, and may come back."""
    monkeypatch.setattr(lanes, "MOST_WAITING", 2)

    async def main(lane, work):
        tasks = [start(lane, work.of(n)) for n in range(3)]
        await work.has_begun(1)
        await asyncio.sleep(0)
        with pytest.raises(StoreBusyError, match="nothing was written"):
            await start(lane, work.of(3))
        work.let_go()
        await asyncio.gather(*tasks)
        return await start(lane, work.of(4)), work.began

    assert run(main, threads=1) == (4, [0, 1, 2, 4])


def test_only_so_many_bytes_wait(monkeypatch):
    """Long requests are refused sooner; the first one may be as long as it is."""
    monkeypatch.setattr(lanes, "MOST_WAITING_BYTES", 100)

    async def main(lane, work):
        tasks = [start(lane, work.of(0)), start(lane, work.of(1), size=1_000)]
        await work.has_begun(1)
        await asyncio.sleep(0)
        with pytest.raises(StoreBusyError):
            await start(lane, work.of(2), size=1)
        work.let_go()
        await asyncio.gather(*tasks)
        return lane._waiting_bytes, work.began

    assert run(main, threads=1) == (0, [0, 1])


def test_nobody_waits_for_ever(monkeypatch):
    """What has waited for too long is not begun; the next one is."""
    monkeypatch.setattr(lanes, "WAITING_SECONDS", 0.01)

    async def main(lane, work):
        first = start(lane, work.of("first"), "k")
        await work.has_begun(1)
        for _ in range(3):
            with pytest.raises(StoreBusyError):
                await start(lane, work.of("late"), "k")
        work.let_go()
        await first
        return await start(lane, work.of("next"), "k"), work.began

    assert run(main, threads=1) == ("next", ["first", "next"])


def test_what_a_client_has_given_up_is_not_begun():
    """It hung up while it waited; those behind it move up."""

    async def main(lane, work):
        client = Client()
        first = start(lane, work.of("first"))
        await work.has_begun(1)
        given_up = start(lane, work.of("given up"), client=client)
        behind = start(lane, work.of("behind"))
        await asyncio.sleep(0)
        client.hang_up()
        with pytest.raises(ClientGoneError):
            await given_up
        work.let_go()
        await asyncio.gather(first, behind)
        return work.began

    assert run(main, threads=1) == ["first", "behind"]


@pytest.mark.parametrize("has_place", [False, True])
def test_a_call_that_is_cancelled_gives_its_place_back(has_place):
    """Whether it still waits, or has been given one at that very moment."""

    async def main(lane, work):
        first = start(lane, work.of("first"))
        await work.has_begun(1)
        cancelled = start(lane, work.of("cancelled"))
        await asyncio.sleep(0)
        if has_place:
            (queue,) = lane._queues.values()
            turn = queue[0]
            work.let_go()
            await turn
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        work.let_go()
        await first
        return await start(lane, work.of("next")), work.began

    assert run(main, threads=1) == ("next", ["first", "next"])


def test_a_call_that_was_given_up_keeps_its_place_until_its_thread_has_ended():
    """A thread cannot be interrupted."""

    async def main(lane, work):
        task = start(lane, work.of("first"), "k")
        await work.has_begun(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        second = start(lane, work.of("second"), "k")
        await asyncio.sleep(0.01)
        began = list(work.began)
        work.let_go()
        return began, await second, lane._under_way, lane._keys

    assert run(main, threads=2, most_of_a_key=1) == (["first"], "second", {}, {})


@pytest.mark.parametrize("in_loop", [False, True])
def test_a_call_for_which_no_thread_can_be_had_leaves_its_place(monkeypatch, in_loop):
    """It is refused before it begins; later there may be one."""
    began = []

    async def main(lane, work):
        runner = LoopRunner(1, pauses=True) if in_loop else None

        async def call():
            hang_up = HangUp(Client().receive)
            try:
                return await lane.call(
                    lambda: began.append(1), client=hang_up, key="m", inloop=runner
                )
            finally:
                hang_up.close()

        def refuse(_):
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            for _ in range(6):
                with pytest.raises(StoreBusyError, match="nothing was written"):
                    await call()
        assert began == []
        await call()
        return lane.running

    assert run(main, most_of_a_key=1) == 0
    assert began == [1]
