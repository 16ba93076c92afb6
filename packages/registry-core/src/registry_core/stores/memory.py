"""The reference store: documents in a dict, gone with the process.

It is what the other stores are compared with, the fake that tests use, and a registry for a
notebook. What a change does to a model is written in `registry_core.changes`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from registry_core.errors import InvalidUrlError
from registry_core.redaction import redacted
from registry_core.store import Clock, system_clock
from registry_core.stores.document_store import Content, MappingStore

URL = "memory:"


def open_store(url: str = URL, *, clock: Clock = system_clock) -> MemoryStore:
    """Return a new, empty store; each call gives another one.

    Raises:
        InvalidUrlError: the URL says more than `memory:`, and nothing could honour it.
    """
    if url != URL:
        raise InvalidUrlError(
            f"A memory store has no name or options: '{redacted(url)}' must be '{URL}'"
        )
    return MemoryStore(clock)


class MemoryStore(MappingStore):
    """A `Store` in this process.

    Strategy: documents are immutable values, so one short lock around looking up and replacing
    makes every change atomic, and a search works on a snapshot without holding anybody up.
    """

    def __init__(self, clock: Clock = system_clock) -> None:
        super().__init__(clock)
        self._lock = threading.Lock()
        self._content = Content()

    def _read(self) -> Content:
        return self._content

    @contextmanager
    def _writing(self) -> Iterator[Content]:
        with self._lock:
            yield self._content
