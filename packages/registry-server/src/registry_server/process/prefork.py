"""The parent of several workers: uvicorn's, with forked workers and an orderly end.

Strategy: uvicorn starts each worker as a new interpreter, which loads and keeps everything once
more. Here the parent loads what workers need, makes the application, and forks them: so that is in
memory once, as far as they only read it. The parent has one thread and no open connection, so
nothing is copied half done.
"""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from socket import socket

from uvicorn import Config, Server
from uvicorn.supervisors import Multiprocess, multiprocess

from registry_server.process.listener import WorkerServer
from registry_server.process.load_table import LoadTable

_LOADED = (
    "anyio._backends._asyncio",
    "httptools",
    "registry_server.process.protocol",
    "uvicorn.lifespan.on",
    "uvloop",
)
"""What a worker imports when it has an application."""


class Supervisor(Multiprocess):
    """Starts workers, replaces those that die, and ends them all when it is told to."""

    def run(self) -> None:
        """Returns when the last worker has ended."""
        for name in _LOADED:
            importlib.import_module(name)
        # The collector writes into what it looks at, and what is written is no longer shared.
        gc.collect()
        gc.freeze()
        gc.enable()
        super().run()

    def terminate_all(self) -> None:
        """Tells the workers to end.

        The parent's own copy of the listening socket goes first: while it is open, a connection
        that no worker takes any more would wait instead of being refused.
        """
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def failed(self, code: int) -> bool:
        """Whether a worker ended with that exit code."""
        return any(process.exitcode == code for process in self.processes)


def end_with_parent() -> None:
    """Ends this worker in an orderly way when its parent is gone, however that ended.

    A parent that is killed tells nobody. Workers without one would go on and keep the address, so
    that the server could not be started again. A process that is no worker stays as it is.

    A worker holds open what those forked before it watch, so that they end one after the other.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


class _Worker(ForkProcess):
    """A worker, not started yet."""

    def start(self) -> None:
        """Forks it. A signal that comes before it has handlers of its own waits until it has."""
        signal.pthread_sigmask(signal.SIG_BLOCK, multiprocess.SIGNALS)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, multiprocess.SIGNALS)


_shares = LoadTable()


class _Process(multiprocess.Process):
    """A worker as its parent sees it."""

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        self._share = _shares.take()
        super().__init__(config, sockets)

    def start(self) -> None:
        """Starts it. The parent keeps no copy of its end of the pipe on which it answers.

        Else the parent would go on waiting for the answer of a worker that has died meanwhile.
        """
        super().start()
        self.child_conn.close()

    def join(self) -> None:
        """Waits for its end; its share of the connections is another's then."""
        super().join()
        _shares.give_back(self._share)

    @property
    def server(self) -> Server:
        """What it runs."""
        if self._server is None:
            self._server = WorkerServer(self.config, self._share)
        return self._server


def _work(serve: Callable[..., None], sockets: list[socket]) -> None:
    """Serves, in a process that treats signals as a new one would and not as its parent does."""
    for number in multiprocess.SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, multiprocess.SIGNALS)
    serve(sockets=sockets)


def _forked(
    config: Config,  # noqa: ARG001 uvicorn's signature
    target: Callable[..., None],
    sockets: list[socket],
) -> ForkProcess:
    return _Worker(target=_work, args=(target, sockets))


# Where uvicorn looks for its workers, and for the maker of their processes.
multiprocess.Process = _Process  # type: ignore[misc]
multiprocess.get_subprocess = _forked  # type: ignore[assignment, attr-defined]
