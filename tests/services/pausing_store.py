"""A store for real server processes in which a request can be held, by files that a test makes.

As a backend of its own scheme, reached by an entry point that the test writes:
`pausing:///directory` is SQLite in that directory; creating a model called `slow` writes the file
`begun-in-loop` and waits for the file `go`. With `?threads` a server makes changes there in threads,
and the file is `begun-in-thread`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from registry_core import inloop
from registry_core.authors import Author
from registry_core.changes import Change, CreateModel
from registry_core.inloop import LoopReads
from registry_core.stores.sql import open_store as open_sqlite
from registry_core.stores.sql.store import SqlStore

T = TypeVar("T")

ENTRY_POINTS = "[registry_core.stores]\npausing = services.pausing_store:open_store\n"

WAIT_SECONDS = 60
"""Seconds that a held request waits at most; a test that fails must not hang."""


class PausingStore(SqlStore):
    """SQLite in a directory; how changes are made there is the caller's choice."""

    def __init__(self, directory: Path, *, in_loop: bool) -> None:
        self.__dict__.update(vars(open_sqlite(f"sqlite:///{directory / 'registry.db'}")))
        self.directory = directory
        self.in_loop = in_loop

    def loop_reads(self) -> LoopReads | None:
        """See `inloop.loop_reads_of`."""
        return super().loop_reads() if self.in_loop else None

    def apply(self, change: Change[T], *, by: Author) -> T:
        """See `Store`."""
        if isinstance(change, CreateModel) and change.model == "slow":
            where = "thread" if inloop.waiter() is None else "loop"
            inloop.in_thread(lambda: self._hold(where))
        return super().apply(change, by=by)

    def _hold(self, where: str) -> None:
        (self.directory / f"begun-in-{where}").touch()
        deadline = time.monotonic() + WAIT_SECONDS
        while not (self.directory / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)


def open_store(url: str) -> PausingStore:
    """The store in the directory that the URL names."""
    parts = urlsplit(url)
    return PausingStore(Path(parts.path), in_loop=parts.query != "threads")


def install(site: Path) -> None:
    """Makes the scheme known to processes that have `site` on their path."""
    metadata = site / "pausing-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pausing\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
