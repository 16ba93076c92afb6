"""A store in a database whose changes are made as by an event loop."""

from __future__ import annotations

from typing import Any, TypeVar

from registry_core import inloop
from registry_core.authors import Author
from registry_core.changes import Change
from registry_core.inloop import LoopReads
from registry_core.stores.sql import SqlStore, open_store
from services.selecting import Selecting

ResultT = TypeVar("ResultT")


class SqlStoreInLoop(SqlStore):
    """Each change has an event loop of its own, with nothing else to do."""

    patience = 30.0

    def __init__(self, store: SqlStore) -> None:
        self.__dict__.update(vars(store))

    def loop_reads(self) -> LoopReads | None:
        """See `inloop.loop_reads_of`."""
        return super().loop_reads()

    def apply(self, change: Change[ResultT], *, by: Author) -> ResultT:
        """See `Store`."""
        inloop.calling(Selecting(self.patience, makes_change=True))
        try:
            return super().apply(change, by=by)
        finally:
            inloop.calling(None)


def open_store_in_loop(url: str, **options: Any) -> SqlStoreInLoop:
    """The store in a database."""
    return SqlStoreInLoop(open_store(url, **options))
