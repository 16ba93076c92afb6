"""A store for real server processes in which a request can be held, by files that a test makes.

As a backend of its own scheme, reached by an entry point that the test writes:
`pausing:///directory` is SQLite in that directory; creating a model called `slow` writes the file
`begun` and waits for the file `go`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from registry_core.authors import Author
from registry_core.changes import Change, CreateModel
from registry_core.stores.sql import open_store as open_sqlite
from registry_core.stores.sql.store import SqlStore

ENTRY_POINTS = "[registry_core.stores]\npausing = services.pausing_store:open_store\n"

WAIT_SECONDS = 60
"""Seconds that a held request waits at most; a test that fails must not hang."""


def open_store(url: str) -> SqlStore:
    """The store in the directory that the URL names."""
    directory = Path(urlsplit(url).path)
    store = open_sqlite(f"sqlite:///{directory / 'registry.db'}")
    apply = store.apply

    def pausing(change: Change[Any], *, by: Author) -> Any:
        if isinstance(change, CreateModel) and change.model == "slow":
            (directory / "begun").touch()
            deadline = time.monotonic() + WAIT_SECONDS
            while not (directory / "go").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
        return apply(change, by=by)

    store.apply = pausing  # type: ignore[method-assign]
    return store


def install(site: Path) -> None:
    """Makes the scheme known to processes that have `site` on their path."""
    metadata = site / "pausing-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pausing\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
