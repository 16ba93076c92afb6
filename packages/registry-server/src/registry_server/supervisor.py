"""The parent of several workers: uvicorn's, with an orderly end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

from uvicorn.supervisors import Multiprocess


class Supervisor(Multiprocess):
    """Starts workers, replaces those that die, and ends them all when it is told to."""

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
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
