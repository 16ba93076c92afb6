"""One prefix of a bucket, with what all modules that work on it share."""

from __future__ import annotations

import attrs

from registry_core.store import Clock
from registry_core.stores.s3.event_chunks import EventChunks
from registry_core.stores.s3.journal import Journal
from registry_core.stores.s3.layout import Layout
from registry_core.stores.s3.objects import Objects
from registry_core.stores.s3.renames import RenameResolver
from registry_core.thread_pool import ThreadPool

PARALLEL_REQUESTS = 24
"""Requests of one process under way at a time for lists, cold documents and large texts."""


@attrs.frozen
class Prefix:
    """The objects of one registry: their keys, their records, and the threads that read them."""

    objects: Objects
    layout: Layout
    clock: Clock
    pool: ThreadPool
    journal: Journal
    chunks: EventChunks
    renames: RenameResolver

    @classmethod
    def of(cls, objects: Objects, layout: Layout, clock: Clock) -> Prefix:
        """Return the prefix that a layout is about."""
        pool = ThreadPool(PARALLEL_REQUESTS, name="registry-s3")
        journal = Journal(objects, layout, clock)
        chunks = EventChunks(objects, layout, pool)
        renames = RenameResolver(journal, chunks, layout)
        return cls(objects, layout, clock, pool, journal, chunks, renames)

    def close(self) -> None:
        """End the threads, then the connections."""
        self.pool.close()
        self.objects.close()
