"""Calls that run at the same moment, in threads or in processes, and how each of them ended."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.synchronize import Barrier
from typing import Generic, TypeAlias, TypeVar

import attrs

from registry_core.errors import RegistryError
from registry_core.store import Store
from registry_core.testing.calls import Calls

T = TypeVar("T")

Opener: TypeAlias = Callable[[], Store]
"""Opens a handle on the data under test. For processes it must be picklable, like
`functools.partial(open_store, url)`, and come from an importable module.
"""

RACE_SECONDS = 60.0
"""Seconds after which contestants are taken to be deadlocked."""

FEW = 8
"""Contestants, where more would only take longer."""

ROUNDS = 8
"""Repetitions of a race between two, which one order may win by habit."""


_barrier: Barrier | None = None
"""The start line, in a worker process."""


@attrs.frozen
class Outcome(Generic[T]):
    """How a call ended: with a value, or with one of the registry's errors."""

    value: T | None = None
    error: RegistryError | None = None


@contextmanager
def setting(done: threading.Event) -> Iterator[None]:
    """Sets the event at the end of the block, so that readers stop whatever became of it."""
    try:
        yield
    finally:
        done.set()


def race(*calls: Callable[[], T]) -> list[Outcome[T]]:
    """How the calls ended, in their order, started together in a thread each.

    An error that is not the registry's is raised here.
    """
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> Outcome[T]:
        start.wait(RACE_SECONDS)
        return attempt(call)

    # Who comes last to the start line leaves it first: that must not always be the same one.
    order = random.sample(range(len(calls)), len(calls))
    with ThreadPoolExecutor(len(calls)) as threads:
        futures = {index: threads.submit(run, calls[index]) for index in order}
        return [futures[index].result(RACE_SECONDS) for index in range(len(calls))]


def race_processes(opener: Opener, *works: Callable[[Calls], T]) -> list[Outcome[T]]:
    """As `race`, each in a process of its own with a handle of its own.

    Works and their results must be picklable; a work is given the handle.
    """
    context = process_context()
    start = context.Barrier(len(works))
    with ProcessPoolExecutor(
        len(works), mp_context=context, initializer=_stand_at, initargs=(start, dict(os.environ))
    ) as processes:
        futures = [processes.submit(_run_in_process, opener, work) for work in works]
        return [future.result(RACE_SECONDS) for future in futures]


def process_context() -> ForkServerContext | SpawnContext:
    """What starts processes that share nothing with this one.

    Where the system has it, they are forked from a process that does nothing else: what
    `multiprocessing.set_forkserver_preload` names is then loaded once, and not by each of them.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


def take_environment(environment: Mapping[str, str]) -> None:
    """Have this process see the environment variables that another one has.

    What it was forked from may have started before the keys of a bucket were set there.
    """
    os.environ.clear()
    os.environ.update(environment)


def attempt(call: Callable[[], T]) -> Outcome[T]:
    """How the call ended."""
    try:
        return Outcome(value=call())
    except RegistryError as error:
        return Outcome(error=error)


def values(outcomes: Sequence[Outcome[T]]) -> list[T]:
    """What the calls that succeeded returned."""
    return [outcome.value for outcome in outcomes if outcome.error is None]  # type: ignore[misc] # None only beside an error, or when T includes it


def errors(outcomes: Sequence[Outcome[T]]) -> list[RegistryError]:
    """What the calls that failed raised."""
    return [outcome.error for outcome in outcomes if outcome.error is not None]


def assert_all_succeeded(outcomes: Sequence[Outcome[T]]) -> None:
    """Fails with the errors, if there are any."""
    assert errors(outcomes) == []


def the_winner(outcomes: Sequence[Outcome[T]], *, losers: type[RegistryError]) -> int:
    """The index of the one call that succeeded; fails unless all others raised exactly `losers`."""
    winners = [index for index, outcome in enumerate(outcomes) if outcome.error is None]
    assert len(winners) == 1, f"{len(winners)} calls won: {outcomes}"
    assert {type(error) for error in errors(outcomes)} <= {losers}
    return winners[0]


def _stand_at(start: Barrier, environment: Mapping[str, str]) -> None:
    take_environment(environment)
    global _barrier  # noqa: PLW0603 a worker has no other place to keep what it inherits
    _barrier = start


def _run_in_process(opener: Opener, work: Callable[[Calls], T]) -> Outcome[T]:
    assert _barrier is not None
    handle = Calls(opener())
    try:
        _barrier.wait(RACE_SECONDS)
        return attempt(lambda: work(handle))
    finally:
        handle.close()
