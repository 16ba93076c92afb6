"""The rules of calls in an event loop: each mistake is seen where it is made, if that is asked for."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry_core import Registry, inloop
from registry_core.inloop import LoopContractError, LoopReads, loop_reads_of
from registry_core.models import NewRegisteredModel, RegisteredModel
from registry_core.stores.memory import MemoryStore
from registry_core.stores.sql import SqlStore, open_store
from registry_core.testing.calls import Calls
from registry_server.process.loop_runner import LoopRunner
from services.in_process import InProcessServer

TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")


@pytest.fixture(autouse=True)
def checked(request: pytest.FixtureRequest) -> Iterator[None]:
    if "unasked" in request.function.__name__:
        yield
    else:
        with inloop.debugging():
            yield


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    """A socket that is never ready for reading, and always for writing."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def pause(ours: socket.socket) -> None:
    """What a store does that waits for its database."""
    caller = inloop.waiter()
    assert caller is not None
    caller.until_ready(ours.fileno(), reading=False, writing=True)


def run(function: Callable[[], object], *, pauses: bool = True) -> object:
    """The result of a function in an event loop."""

    async def main() -> object:
        runner = LoopRunner(2, pauses=pauses)
        try:
            return await runner.run(function)
        finally:
            runner.close()

    return asyncio.run(asyncio.wait_for(main(), 30))


# 1. No lock is held across a pause.


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition"])
def test_a_lock_across_a_pause(ours: socket.socket, kind: str) -> None:
    """The error says where it was acquired, not only where the call paused."""
    lock = getattr(threading, kind)()

    def read() -> None:
        with lock:
            pause(ours)

    with pytest.raises(LoopContractError, match=r"test_inloop_contract\.py:\d+"):
        run(read)
    assert lock.acquire(blocking=False)


def test_a_lock_that_is_never_released() -> None:
    """Whether the call pauses or not."""
    lock = threading.Lock()
    with pytest.raises(LoopContractError, match="lock"):
        run(lock.acquire, pauses=False)


def test_a_lock_that_is_acquired_after_a_pause(ours: socket.socket) -> None:
    """Each pause counts, and the end."""
    lock = threading.Lock()

    def read() -> None:
        pause(ours)
        lock.acquire()
        pause(ours)

    with pytest.raises(LoopContractError, match="lock"):
        run(read)


def test_locks_between_pauses_are_no_mistake(ours: socket.socket) -> None:
    """Nor are those of others, nor such as are released elsewhere, or gone."""
    lock, outer, handed_over = threading.Lock(), threading.RLock(), threading.Lock()
    ready = threading.Event()

    def release() -> None:
        ready.wait()
        handed_over.release()

    other = threading.Thread(target=release)
    other.start()

    def read() -> str:
        for _ in range(2):
            with lock, outer, outer:
                pass
            pause(ours)
        threading.Lock().acquire()
        handed_over.acquire()
        ready.set()
        other.join()
        pause(ours)
        return "read"

    with outer:
        assert run(read) == "read"


class LockingStore(SqlStore):
    """Has a lock around each of its reads, as a cache might."""

    def __init__(self, store: SqlStore) -> None:
        self.__dict__.update(vars(store))
        self.lock = threading.Lock()

    def loop_reads(self) -> LoopReads | None:
        return super().loop_reads()

    def get_registered_model(self, name: str) -> RegisteredModel:
        with self.lock:
            return super().get_registered_model(name)


def test_a_store_that_locks_around_a_statement(postgres_url: str) -> None:
    """On a real database, through the whole server."""
    store = LockingStore(open_store(postgres_url))
    Calls(store).create_registered_model(NewRegisteredModel(name="m"))
    with InProcessServer(Registry(store)) as server, pytest.raises(LoopContractError, match="lock"):
        read_for_a_while(server)


def read_for_a_while(server: InProcessServer) -> None:
    """At first, the look for webhooks may have the connection, and a thread then reads."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        server.call("GET", "/registered-models/get", query=[("name", "m")])


# 2. No context variable is kept.


@pytest.mark.parametrize("pauses", [False, True])
def test_a_context_variable_that_stays(*, pauses: bool) -> None:
    """The next call would have it."""
    with pytest.raises(LoopContractError, match="tenant"):
        run(lambda: TENANT.set("a"), pauses=pauses)


def test_a_context_variable_across_a_pause(ours: socket.socket) -> None:
    """Even if it is reset in the end: what runs meanwhile would not have it."""

    def read() -> None:
        token = TENANT.set("a")
        pause(ours)
        TENANT.reset(token)

    with pytest.raises(LoopContractError, match="tenant"):
        run(read)


def test_a_context_variable_between_pauses_is_no_mistake(ours: socket.socket) -> None:
    """As the standard library has them."""

    def read() -> str:
        token = TENANT.set("a")
        TENANT.reset(token)
        pause(ours)
        return "read"

    assert run(read) == "read"


# 3. A store says by a method of its class that it may be called.


class Forwarding:
    """Has whatever the store has that it wraps."""

    def __init__(self, store: object) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


class Overriding(SqlStore):
    """Has a read of its own, and nothing to say about it."""

    get_registered_model = LockingStore.get_registered_model


class Refusing(Forwarding):
    """Says that only threads may call it."""

    def loop_reads(self) -> LoopReads | None:
        return None


def copied(store: SqlStore) -> MemoryStore:
    """A store that was given the method of another one, and not its reads."""
    copy = MemoryStore()
    copy.loop_reads = store.loop_reads
    return copy


def overriding(store: SqlStore) -> Overriding:
    wrapper = Overriding.__new__(Overriding)
    wrapper.__dict__.update(vars(store))
    return wrapper


def replacing(store: SqlStore) -> SqlStore:
    """The store with a change of its own, and no class that could say how it is made."""
    store.apply = MemoryStore().apply  # type: ignore[method-assign]
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_store(f"sqlite:///{tmp_path}/r.db")
    yield store
    store.close()


@pytest.mark.parametrize("wrap", [Forwarding, copied, overriding, replacing])
def test_a_store_that_does_not_say_so_itself(
    store: SqlStore, wrap: Callable[[SqlStore], object]
) -> None:
    with pytest.raises(LoopContractError, match="loop_reads"):
        LoopRunner.of(wrap(store), 1)


@pytest.mark.parametrize("wrap", [Forwarding, copied, overriding, replacing])
def test_unasked_it_is_called_in_threads(
    store: SqlStore, wrap: Callable[[SqlStore], object]
) -> None:
    assert LoopRunner.of(wrap(store), 1) is None


def test_stores_that_say_so(store: SqlStore) -> None:
    """Yes or no; one that says nothing is called in threads."""
    assert loop_reads_of(store) == LoopReads(pauses=False, has_changes=True)
    assert loop_reads_of(Refusing(store)) is None
    assert loop_reads_of(MemoryStore()) is None


# The switch


def test_nothing_is_checked_unasked(ours: socket.socket) -> None:
    """And locks are Python's own."""
    lock = threading.Lock()

    def read() -> str:
        with lock:
            pause(ours)
        return "read"

    assert run(read) == "read"
    assert type(lock).__module__ == "_thread"
    assert not inloop.is_debugging()


def test_the_environment_turns_it_on() -> None:
    """From the first import on."""
    code = "from registry_core import inloop; print(inloop.is_debugging())"
    environment = dict(os.environ) | {inloop.DEBUG_VARIABLE: "1"}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout == "True\n"
