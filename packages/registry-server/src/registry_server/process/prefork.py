"""Several workers: a parent that forks them, replaces those that die or hang, and ends them all.

Strategy: the parent loads what workers need and makes the application, then forks: so that is in
memory once, as far as workers only read it. The parent has one thread and no open connection, so
nothing is copied half done. It looks at its workers twice a second: each shows, from its event
loop and in memory that both share, that it is alive.

Of uvicorn this uses its `Server`, which each worker runs, and nothing of its supervisor.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import multiprocessing
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import ForkProcess
from types import FrameType

from registry_server.process.hangups import HANGUPS
from registry_server.process.listener import WorkerConfig, WorkerServer
from registry_server.process.load_table import LoadTable, WorkerLoad

CANNOT_START = 3
"""The exit code of a worker after which no other one is tried."""

HANGING_SECONDS = 20.0
"""How long a worker's event loop may stand still before the worker is killed. No request takes the
loop for more than some milliseconds; a machine that is overloaded may stop it for seconds."""

_LOOK_SECONDS = 0.5
"""Between two looks at the workers: so soon is a dead one replaced, and no sooner, because its
successor may die at once, too."""

_ENDING = (signal.SIGTERM, signal.SIGINT)
_RENEWING = signal.SIGHUP
_SIGNALS = (*_ENDING, _RENEWING)

_LOADED = (
    "anyio._backends._asyncio",
    "httptools",
    "registry_server.process.protocol",
    "uvicorn.lifespan.on",
    "uvloop",
)
"""What a worker imports when it has an application."""

_logger = logging.getLogger("registry_server")


class Prefork:
    """Keeps a number of workers that serve one socket, until a signal ends it.

    Each worker calls `start` and then runs uvicorn's server as `config` says. SIGHUP has the parent
    and each worker read their files again, and then each worker replaced by a new one, one after
    the other, once that serves.
    """

    def __init__(
        self,
        config: WorkerConfig,
        start: Callable[[], None],
        *,
        workers: int,
        listeners: Sequence[socket.socket],
    ) -> None:
        self._config = config
        self._prepare = start
        self._count = workers
        self._listeners = listeners
        self._loads = LoadTable()
        self._workers: list[_Worker] = []
        self._to_renew: list[_Worker] = []
        self._successor: _Worker | None = None
        self._leaving: list[_Worker] = []
        self._has_failed = False

    def run(self) -> bool:
        """Return when the last worker has ended: whether that is because none can start."""
        for name in _LOADED:
            importlib.import_module(name)
        # The collector writes into what it looks at, and what is written is no longer shared.
        gc.collect()
        gc.freeze()
        gc.enable()
        with _signals() as received:
            self._workers = [self._fork() for _ in range(self._count)]
            while not self._has_failed and not received.intersection(_ENDING):
                select.select([received.descriptor], [], [], _LOOK_SECONDS)
                self._look(is_renewing=_RENEWING in received.take())
            self._end()
        return self._has_failed

    def _look(self, *, is_renewing: bool) -> None:
        self._workers = [self._or_another(worker) for worker in self._workers]
        self._leaving = [worker for worker in self._leaving if not worker.has_ended()]
        if is_renewing:
            # Those that are forked from now on have what is read here; the others may serve long
            # requests for a while, and what was taken back must not hold for so long.
            self._config.reload_files()
            for worker in (*self._workers, *self._leaving):
                worker.reload()
            self._to_renew = [*self._workers]
        self._renew()

    def _or_another(self, worker: _Worker) -> _Worker:
        """The worker, or the one that takes its place because it died or hangs."""
        if worker.has_ended():
            _logger.warning("a worker has died (%d), another one takes its place", worker.code)
            self._has_failed |= worker.code == CANNOT_START
        elif worker.hangs():
            _logger.error("a worker has hung for %.0f seconds and is killed", HANGING_SECONDS)
            worker.kill()
        else:
            return worker
        return worker if self._has_failed else self._fork()

    def _renew(self) -> None:
        """Has one old worker replaced at a time, and not before its successor serves."""
        self._to_renew = [worker for worker in self._to_renew if worker in self._workers]
        if self._successor is None:
            self._successor = self._fork() if self._to_renew else None
        elif self._successor.has_ended():
            _logger.error("a new worker did not start: the old ones stay")
            self._successor, self._to_renew = None, []
        elif self._successor.serves():
            leaving = self._make_room_for(self._successor)
            self._successor = None
            self._leaving.append(leaving)
            leaving.end()

    def _make_room_for(self, new: _Worker) -> _Worker:
        """The worker that goes for a new one; itself, if each old one has died meanwhile."""
        if not self._to_renew:
            return new
        old = self._to_renew.pop(0)
        self._workers[self._workers.index(old)] = new
        return old

    def _end(self) -> None:
        """Has all workers end, and waits for them.

        The parent's own copies of the listening sockets go first: while they are open, a connection
        that no worker takes any more would wait instead of being refused.
        """
        for listener in self._listeners:
            listener.close()
        successors = [] if self._successor is None else [self._successor]
        processes = [*self._workers, *successors, *self._leaving]
        for worker in processes:
            worker.end()
        for worker in processes:
            worker.wait()

    def _fork(self) -> _Worker:
        load = self._loads.take()

        def work() -> None:
            _forget_signals()
            end_with_parent()
            self._prepare()
            WorkerServer(self._config, load).run(sockets=[*self._listeners])

        return _Worker(work, load, give_back=self._loads.give_back)


class _Worker:
    """A worker as its parent sees it."""

    def __init__(
        self,
        work: Callable[[], None],
        load: WorkerLoad,
        *,
        give_back: Callable[[WorkerLoad], None],
    ) -> None:
        self._load = load
        self._give_back = give_back
        self._beats = load.beats
        self._still_seconds = 0.0
        self._looked_at = time.monotonic()
        self._process = ForkProcess(target=work)
        # A signal that comes before it has handlers of its own waits until it has.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    @property
    def code(self) -> int:
        """The exit code of one that has ended."""
        return self._process.exitcode or 0

    def has_ended(self) -> bool:
        """Return whether it has; its place in the table of loads is another's then."""
        if self._process.is_alive():
            return False
        self._give_back(self._load)
        return True

    def serves(self) -> bool:
        """Return whether its event loop has run by now."""
        return self._load.beats > 0

    def hangs(self) -> bool:
        """Return whether its loop has stood still for `HANGING_SECONDS` of the parent's looks.

        Time in which the parent itself could not look, as on a machine that was stopped, counts for
        one look only. A worker that has not begun to serve is not judged: its store may be away.
        """
        now, beats = time.monotonic(), self._load.beats
        passed = min(now - self._looked_at, 2 * _LOOK_SECONDS)
        self._still_seconds = 0.0 if beats != self._beats else self._still_seconds + passed
        self._beats, self._looked_at = beats, now
        return beats > 0 and self._still_seconds > HANGING_SECONDS

    def reload(self) -> None:
        """Have it read its files again."""
        pid = self._process.pid
        if pid is not None and self._process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, _RENEWING)

    def end(self) -> None:
        """Have it answer what it has begun, and end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self.wait()

    def wait(self) -> None:
        """Return when it has ended."""
        self._process.join()
        self._give_back(self._load)


def end_with_parent() -> None:
    """End this worker in an orderly way when its parent is gone, however that ended.

    A parent that is killed says nothing. Workers without one would go on and keep the address, so
    that the server could not be started again.

    A worker holds open what those forked before it watch, so that they end one after the other.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


class _Received(set[int]):
    """The signals that have come, and a descriptor that can be read from when one comes."""

    def __init__(self, descriptor: socket.socket) -> None:
        super().__init__()
        self.descriptor = descriptor

    def take(self) -> set[int]:
        """Return those that have come; all but those that end the server are forgotten."""
        with contextlib.suppress(BlockingIOError):
            self.descriptor.recv(4_096)
        taken = set(self)
        self.intersection_update(_ENDING)
        return taken


@contextlib.contextmanager
def _signals() -> Iterator[_Received]:
    """The signals that come to this process meanwhile."""
    reading, writing = socket.socketpair()
    with reading, writing:
        reading.settimeout(0)
        writing.settimeout(0)
        received = _Received(reading)

        def note(number: int, _: FrameType | None) -> None:
            received.add(number)

        before = {number: signal.signal(number, note) for number in _SIGNALS}
        woken = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        try:
            yield received
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)


def _forget_signals() -> None:
    """Has signals do in this process what they do in a new one, and not what its parent wants.

    SIGHUP waits until the worker serves. A terminal sends it to the whole group, too.
    """
    signal.set_wakeup_fd(-1)
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    HANGUPS.take()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
