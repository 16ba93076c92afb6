"""Processes that tests look at from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are still there, as a server's workers."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Returns when the condition holds; fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


class Process:
    """One process with all that it starts, which can be killed and frozen as a machine can."""

    def __init__(self, command: list[str], log: Path, **as_whom: Any) -> None:
        self._command = command
        self._log = log
        self._as_whom = as_whom
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its children are in a session of its own."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._as_whom,
            )

    @property
    def log(self) -> str:
        """All that it has written."""
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and all its descendants."""
        if self._process is not None:
            for pid in descendants(self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def kill(self) -> None:
        """End all of it at once, as when the machine loses power."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None


def descendants(pid: int) -> list[int]:
    """The process and everything that it has started, whatever session that is in."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        found.append(waiting.pop())
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{found[-1]}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
    return found
