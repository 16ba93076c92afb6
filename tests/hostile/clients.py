"""Processes of clients, apart from each other and from whoever looks at the server.

A process is told on standard input what to do, says on standard output that it has begun, ends when
its standard input does, and leaves there what it has found. So it ends, too, with whoever wanted it.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeAlias

import attrs
import uvloop

from hostile.targets import Target

START_SECONDS = 90.0
"""For a process to begin."""

END_SECONDS = 30.0
"""For a process to end and to tell what it has found."""

LONGEST_SECONDS = 300.0
"""After which a process of clients ends by itself."""

Work: TypeAlias = Callable[[Target, Callable[[], None], asyncio.Event], Awaitable[Any]]
"""What a process does: given its target, what to call when it has begun, and what is set when it
has to end; gives what it has found, as JSON has it."""


class ClientProcess:
    """A process of clients, for as long as the context lasts. `work` is a key of `works`."""

    def __init__(
        self, work: str, target: Target, *, patience_seconds: float = START_SECONDS
    ) -> None:
        self._told = json.dumps({"work": work, "target": attrs.asdict(target)}).encode() + b"\n"
        self._patience_seconds = patience_seconds

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hostile.clients"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._told)
        self._process.stdin.flush()
        self.has_begun = bool(
            select.select([self._process.stdout], [], [], self._patience_seconds)[0]
        )
        return self

    def end(self) -> Any:
        """Ends the clients; what they have found."""
        found, _ = self._process.communicate(timeout=END_SECONDS)
        assert self._process.returncode == 0, "the clients failed"
        return json.loads(found.splitlines()[-1])

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def works() -> dict[str, Work]:
    """Everything that a process of clients can do."""
    from hostile import calm, floods

    return {"calm": calm.measure, **{name: floods.attacking(name) for name in floods.FLOODS}}


def main() -> None:
    """Does what standard input says."""
    orders = json.loads(sys.stdin.readline())
    found = uvloop.run(_worked(works()[orders["work"]], Target(**orders["target"])))
    left = memoryview(json.dumps(found).encode())
    while left:
        # Not by `print`: where a pipe takes only a part of so much at once, it loses the rest.
        left = left[os.write(sys.stdout.fileno(), left) :]
    # Thousands of connections need not be closed one by one.
    os._exit(0)


async def _worked(work: Work, target: Target) -> Any:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    async with asyncio.timeout(LONGEST_SECONDS):
        return await work(target, lambda: print("begun", flush=True), ended)


if __name__ == "__main__":
    main()
