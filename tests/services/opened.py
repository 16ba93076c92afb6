"""Stores of each kind, opened with a method for each change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from registry_core.stores import s3, sql
from registry_core.stores.memory import MemoryStore
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.store import SqlStore
from registry_core.testing.calls import Calls


def open_s3_store(url: str, **options: Any) -> Calls:
    """The store in a bucket."""
    return Calls(s3.open_store(url, **options))


def open_sql_store(url: str, **options: Any) -> Calls:
    """The store in a database."""
    return Calls(sql.open_store(url, **options))


@contextlib.contextmanager
def opened_sql_store(url: str) -> Iterator[Calls]:
    """The store in a database, which is closed at the end."""
    store = open_sql_store(url)
    try:
        yield store
    finally:
        store.close()


def sql_store_on(database: Database, **options: Any) -> Calls:
    """A store on a database object that a test has made."""
    return Calls(SqlStore(database, **options))


def memory_store(*arguments: Any, **options: Any) -> Calls:
    """An empty memory store."""
    return Calls(MemoryStore(*arguments, **options))
