"""Calls in the event loop's own thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest

import registry_server.process.loop_runner
from registry_core import inloop, open_registry
from registry_core.inloop import WouldBlockError
from registry_core.stores.sql.store import SqlStore
from registry_server.process import watched_sockets
from registry_server.process.loop_runner import LoopRunner
from services import processes
from services.in_process import InProcessServer

pytestmark = pytest.mark.usefixtures("checked_inloop")


def wait_for(reader, *, writing=False):
    """What a store does that waits for a socket."""
    return inloop.waiter().until_ready(reader.fileno(), reading=not writing, writing=writing)


@pytest.fixture
def pair():
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(end) for end in socket.socketpair()]


@pytest.fixture(autouse=True, params=["Epoll", "Selector"])
def sockets(request, monkeypatch):
    """Each way to watch sockets, of which a system has one."""
    monkeypatch.setattr(watched_sockets, "make_sockets", getattr(watched_sockets, request.param))


@pytest.fixture(params=[False, True])
def either(request):
    """A store that waits for sockets, or never waits."""
    return request.param


def test_function_runs_in_the_thread_of_the_loop(either):
    """It knows that a loop calls, and afterwards nobody does."""

    async def main():
        calls = LoopRunner(2, pauses=either)
        return await calls.run(lambda: (threading.current_thread(), inloop.waiter()))

    thread, waiter = asyncio.run(main())
    assert thread is threading.current_thread()
    assert waiter is not None
    assert inloop.waiter() is None


def test_exception_comes_back(either):
    """As it was raised; the next call is not disturbed."""

    def fail():
        raise KeyError("x")

    async def main():
        calls = LoopRunner(2, pauses=either)
        with pytest.raises(KeyError):
            await calls.run(fail)
        return inloop.waiter(), await calls.run(lambda: 1)

    assert asyncio.run(main()) == (None, 1)


def test_a_store_that_never_waits_is_not_let(pair):
    """If it tried, a thread would have to do it."""

    async def main():
        await LoopRunner(2, pauses=False).run(lambda: wait_for(pair[0]))

    with pytest.raises(WouldBlockError):
        asyncio.run(main())


def test_others_go_on_while_one_waits(pair):
    """Both their calls and the loop itself; no call is told that another is waiting."""
    ours, theirs = pair

    def read_twice():
        found = []
        for _ in range(2):
            found.append(wait_for(ours))
            found.append(ours.recv(1))
        return found

    async def main():
        calls = LoopRunner(2, pauses=True)
        slow = asyncio.create_task(calls.run(read_twice))
        meanwhile = []
        for letter in (b"a", b"b"):
            await asyncio.sleep(0.01)
            meanwhile.append(await calls.run(lambda: inloop.waiter() is not None))
            assert inloop.waiter() is None
            assert not slow.done()
            theirs.send(letter)
        return await slow, meanwhile

    found, meanwhile = asyncio.run(main())
    assert found == [(True, False), b"a", (True, False), b"b"]
    assert meanwhile == [True, True]


def test_it_waits_for_writing_too(pair):
    """And for either of the two."""

    async def main():
        calls = LoopRunner(2, pauses=True)
        one = await calls.run(lambda: wait_for(pair[0], writing=True))
        pair[1].send(b"x")
        await calls.run(lambda: wait_for(pair[0]))
        either = await calls.run(
            lambda: inloop.waiter().until_ready(pair[0].fileno(), reading=True, writing=True)
        )
        return one, any(either)

    assert asyncio.run(main()) == ((False, True), True)


def test_number_of_a_closed_socket_may_be_used_again():
    """What the last socket of that number was waited for is forgotten."""

    async def main():
        calls = LoopRunner(1, pauses=True)
        numbers = set()
        for _ in range(2):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                numbers.add(ours.fileno())
                task = asyncio.create_task(calls.run(lambda ours=ours: wait_for(ours)))
                await asyncio.sleep(0.01)
                assert not task.done()
                theirs.send(b"x")
                assert await task == (True, False)
        return numbers

    assert len(asyncio.run(main())) == 1


def test_one_call_may_wait_for_this_and_for_that(pair):
    """Each pause is about what it says, whatever the one before was about."""

    def converse():
        steps = [wait_for(pair[0], writing=True)]
        pair[0].send(b"?")
        steps.append(wait_for(pair[0]))
        pair[0].recv(1)
        steps.append(wait_for(pair[0], writing=True))
        return steps

    async def main():
        calls = LoopRunner(1, pauses=True)
        task = asyncio.create_task(calls.run(converse))
        await asyncio.sleep(0.01)
        assert not task.done()
        pair[1].send(b"!")
        return await task, len(calls._paused)

    assert asyncio.run(main()) == ([(False, True), (True, False), (False, True)], 0)


def test_no_more_than_the_limit_are_under_way(pair):
    """The others begin in the order of their coming."""
    ours, theirs = pair
    began = []

    def read(number):
        began.append(number)
        wait_for(ours)
        return ours.recv(1)

    async def main():
        calls = LoopRunner(1, pauses=True)
        tasks = [asyncio.create_task(calls.run(lambda n=n: read(n))) for n in range(3)]
        seen = []
        for letter in (b"a", b"b", b"c"):
            while len(began) == len(seen):  # noqa: ASYNC110 it notes it in a list
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)  # in which no other begins
            seen.append(list(began))
            theirs.send(letter)
        return await asyncio.gather(*tasks), seen

    assert asyncio.run(main()) == ([b"a", b"b", b"c"], [[0], [0, 1], [0, 1, 2]])


def test_who_waits_too_long_gives_up(pair, monkeypatch):
    """Also when it tries to wait once more; then its place is free for others."""
    monkeypatch.setattr(registry_server.process.loop_runner, "PATIENCE_SECONDS", 0.05)

    def stubborn():
        with contextlib.suppress(WouldBlockError):
            wait_for(pair[0])
        wait_for(pair[0])

    async def main():
        calls = LoopRunner(1, pauses=True)
        for _ in range(2):
            with pytest.raises(WouldBlockError):
                await calls.run(stubborn)
        monkeypatch.setattr(registry_server.process.loop_runner, "PATIENCE_SECONDS", 60)
        pair[1].send(b"x")
        return await calls.run(lambda: wait_for(pair[0]))

    assert asyncio.run(main()) == (True, False)


def test_call_that_is_given_up_leaves_nothing_behind(pair):
    """Its socket is not watched any more, and its place is free."""

    async def main():
        calls = LoopRunner(1, pauses=True)
        ended = []

        def wait():
            try:
                wait_for(pair[0])
            except WouldBlockError:
                ended.append(True)
                raise

        task = asyncio.create_task(calls.run(wait))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return ended, len(calls._paused), await calls.run(lambda: 1)

    assert asyncio.run(main()) == ([True], 0, 1)


@pytest.mark.parametrize("is_new", [False, True])
def test_a_thread_waits_where_a_socket_cannot_be_watched(pair, monkeypatch, is_new):
    """As when no more files may be opened; later it may be again."""

    def fail(*_):
        raise OSError

    async def main():
        calls = LoopRunner(1, pauses=True)
        if not is_new:
            pair[1].send(b"x")
            await calls.run(lambda: wait_for(pair[0]))
        with monkeypatch.context() as patched:
            if is_new:
                patched.setattr(watched_sockets, "make_sockets", fail)
            else:
                patched.setattr(calls._sockets, "watch", fail)
            with pytest.raises(WouldBlockError):
                await calls.run(lambda: wait_for(pair[0]))
        pair[1].send(b"x")
        return await calls.run(lambda: wait_for(pair[0]))

    assert asyncio.run(main()) == (True, False)


def test_closing_gives_up_what_has_paused(pair):
    """And the loop watches nothing any more; closing twice, or before anything paused, is fine."""

    async def main():
        calls = LoopRunner(2, pauses=True)
        calls.close()
        tasks = [asyncio.create_task(calls.run(lambda end=end: wait_for(end))) for end in pair]
        await asyncio.sleep(0.01)
        watched = calls._sockets.fileno()
        calls.close()
        calls.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return results, asyncio.get_running_loop().remove_reader(watched)

    results, is_watched = asyncio.run(main())
    assert [type(result) for result in results] == [WouldBlockError, WouldBlockError]
    assert not is_watched


def test_reads_after_that_have_the_same_patience(pair, monkeypatch):
    """The clock that was stopped is started again."""
    monkeypatch.setattr(registry_server.process.loop_runner, "PATIENCE_SECONDS", 0.05)

    async def main():
        calls = LoopRunner(2, pauses=True)
        for _ in range(2):
            task = asyncio.create_task(calls.run(lambda: wait_for(pair[0])))
            await asyncio.sleep(0)
            calls.close()
            with pytest.raises(WouldBlockError):
                await asyncio.wait_for(task, 30)
        with pytest.raises(WouldBlockError):
            await asyncio.wait_for(calls.run(lambda: wait_for(pair[0])), 30)

    asyncio.run(main())


def test_where_no_selector_can_be_watched_threads_wait(pair, monkeypatch):
    """As on Windows; what does not wait is done at once all the same."""
    monkeypatch.setattr(registry_server.process.loop_runner, "_CAN_PAUSE", False)

    async def main():
        calls = LoopRunner(1, pauses=True)
        with pytest.raises(WouldBlockError):
            await calls.run(lambda: wait_for(pair[0]))
        return await calls.run(lambda: 1)

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize(("is_reluctant", "threads"), [(False, 1), (True, 2)])
def test_server_asks_a_thread_where_it_must(tmp_path, monkeypatch, is_reluctant, threads):
    """The answer is the same; what can be done at once is done in the loop's thread."""
    with open_registry(f"sqlite:///{tmp_path}/r.db") as registry:
        registry.create_registered_model("m")
        asked = []
        get = SqlStore.get_registered_model

        def watched(store, name):
            asked.append(threading.current_thread().name)
            if is_reluctant and inloop.waiter() is not None:
                raise WouldBlockError
            return get(store, name)

        def is_as_expected():
            asked.clear()
            answer = server.call("GET", "/registered-models/get", query=[("name", "m")])
            assert answer.json["registered_model"]["name"] == "m"
            return asked == [here, "reading"][:threads]

        here = threading.current_thread().name
        monkeypatch.setattr(SqlStore, "get_registered_model", watched)
        with InProcessServer(registry) as server:
            # The thread that looks for webhooks may hold the one connection when the server starts.
            processes.wait_for(is_as_expected)
