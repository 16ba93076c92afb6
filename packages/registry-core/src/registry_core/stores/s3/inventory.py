"""Everything under a prefix, as of one moment where that is possible.

Strategy. Large texts and older events are listed first, then all documents are read, and the
documents are listed once more. If no key or ETag differs from the listing before, the documents are
a snapshot, since no two writes of a key give one ETag.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import attrs

from registry_core.errors import StoreCorruptedError
from registry_core.stores.s3.journal import Entry
from registry_core.stores.s3.objects import ListPage
from registry_core.stores.s3.prefix import Prefix

SNAPSHOT_ATTEMPTS = 4
"""Listings that may differ before the registry is taken to be too busy for a snapshot."""


@attrs.frozen(kw_only=True)
class Item:
    """An object, and how long ago it was written by the service's own clock."""

    key: str
    etag: str
    size: int
    age_seconds: float


@attrs.frozen(kw_only=True)
class Document:
    """An object that should hold a record: the settled entry, or why it cannot be read."""

    item: Item
    entry: Entry | None = None
    damage: str | None = None


@attrs.frozen(kw_only=True)
class Inventory:
    """What is under a prefix."""

    values: tuple[Item, ...]
    events: tuple[Item, ...]
    probes: tuple[Item, ...]
    webhooks: tuple[Document, ...]
    models: tuple[Document, ...]
    snapshot: bool
    """Whether `models` are all documents as of one moment, after the large texts and events."""


class Stocktaker:
    """Takes the inventory."""

    def __init__(self, prefix: Prefix) -> None:
        self._objects = prefix.objects
        self._records = prefix.journal
        self._renames = prefix.renames
        self._layout = prefix.layout
        self._pool = prefix.pool

    def inventory(self) -> Inventory:
        """Return what there is. Reads every document, and neither large texts nor older events."""
        values = self._list(self._layout.values)
        events = self._list(self._layout.events)
        probes = self._list(self._layout.probes)
        webhooks = self._read_all(self._list(self._layout.webhooks))
        models, snapshot = self._models()
        return Inventory(
            values=values,
            events=events,
            probes=probes,
            webhooks=webhooks,
            models=models,
            snapshot=snapshot,
        )

    def _models(self) -> tuple[tuple[Document, ...], bool]:
        listed, snapshot = self._list(self._layout.models), False
        documents = self._read_all(listed)
        for _ in range(SNAPSHOT_ATTEMPTS):
            before, listed = listed, self._list(self._layout.models)
            snapshot = _state(before) == _state(listed) and all(map(_as_listed, documents))
            if snapshot:
                break
            documents = self._read_all(listed)
        return documents, snapshot

    def _list(self, prefix: str) -> tuple[Item, ...]:
        return tuple(item for page in self._objects.pages(prefix) for item in _items(page))

    def _read_all(self, items: tuple[Item, ...]) -> tuple[Document, ...]:
        return tuple(self._pool.map(self._read, items))

    def _read(self, item: Item) -> Document:
        try:
            entry = self._records.read(item.key)
        except StoreCorruptedError as error:
            return Document(item=item, damage=str(error))
        try:
            return Document(item=item, entry=self._renames.settle(entry))
        except StoreCorruptedError as error:
            return Document(
                item=item, damage=f"It is the target of a rename, and cannot be judged: {error}"
            )


def _items(page: ListPage) -> Iterator[Item]:
    now = parsedate_to_datetime(page.server_time) if page.server_time else datetime.now(UTC)
    for each in page.objects:
        age = (now - each.last_modified).total_seconds()
        yield Item(key=each.key, etag=each.etag, size=each.size, age_seconds=age)


def _state(items: tuple[Item, ...]) -> dict[str, str]:
    return {item.key: item.etag for item in items}


def _as_listed(document: Document) -> bool:
    return document.entry is None or document.entry.etag == document.item.etag
