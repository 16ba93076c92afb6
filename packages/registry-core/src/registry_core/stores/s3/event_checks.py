"""What can be wrong with the events of a registry, for `fsck`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from registry_core.errors import StoreCorruptedError
from registry_core.stores.s3.event_format import event_of, references_in
from registry_core.stores.s3.event_log import CHUNK_EVENTS, EventLog
from registry_core.stores.s3.inventory import Item
from registry_core.stores.s3.large_text import LargeText
from registry_core.stores.s3.objects import LIST_PAGE_KEYS
from registry_core.stores.s3.prefix import Prefix
from registry_core.stores.s3.record import Content, Model, RenameIntent, Tombstone

_NO_END = 10**10
"""A number that no event has."""


@attrs.frozen
class EventProblem:
    """Something that is wrong, which nobody can repair without a backup."""

    problem: str
    subject: str
    detail: str


class EventChecks:
    """Compares the events beside the documents with what documents say of them."""

    def __init__(
        self,
        items: Sequence[Item],
        contents: Iterable[Content | None],
        prefix: Prefix,
    ) -> None:
        self._items = items
        self._chunks = prefix.chunks
        self._layout = prefix.layout
        self._listed = {
            parsed[:2]
            for item in items
            if (parsed := self._layout.parse_chunk(item.key)) is not None
        }
        self._known = {
            content.model_id
            for content in contents
            if isinstance(content, Model | RenameIntent | Tombstone)
        }

    def of_document(self, key: str, content: Model | Tombstone) -> Iterator[EventProblem]:
        """What is wrong with the events that a document has, or says that there are."""
        model_id, log = content.model_id or "", content.log
        for line in log.lines:
            try:
                event_of(line, model_id)
            except StoreCorruptedError as error:
                yield EventProblem("unreadable-event", key, str(error))
        for first in range(1, log.first, CHUNK_EVENTS):
            # One that was written after they were listed is not listed.
            if (model_id, first) not in self._listed and not self._is_there(model_id, first):
                last = first + CHUNK_EVENTS - 1
                detail = f"the events {first} to {last} of '{key}' are missing"
                yield EventProblem(
                    "missing-events", self._layout.events_from(model_id, first), detail
                )

    def strangers(self) -> Iterator[EventProblem]:
        """Objects among the events that no registry wrote."""
        for item in self._items:
            if self._owner(item) is None:
                yield EventProblem(
                    "foreign-object", item.key, "no registry wrote it; it is left alone"
                )

    def orphans(self) -> Iterator[EventProblem]:
        """Events of models that are neither there nor deleted. All documents must be known."""
        owned: dict[str, list[str]] = {}
        for item in self._items:
            owner = self._owner(item)
            if owner is not None and owner not in self._known:
                owned.setdefault(owner, []).append(item.key)
        for model_id, keys in owned.items():
            if any(map(self._layout.parse_deleted_events, keys)) or self._chunks.has_deleted(
                model_id
            ):
                continue
            for key in keys:
                yield EventProblem("orphaned-events", key, "the document of their model is gone")

    def references(self, model_id: str) -> set[LargeText] | None:
        """The texts that events of a model beside its document refer to; None if one is unreadable.

        Reads them all.
        """
        chunks = self._chunks.listed(model_id, 1, _NO_END, limit=LIST_PAGE_KEYS)
        try:
            kept = [self._chunks.read(chunk) for chunk in chunks]
            deleted = self._chunks.find_deleted(model_id)
            if deleted is not None:
                kept.append(deleted)
            return {text for events in kept for text in references_in(events, model_id)}
        except StoreCorruptedError:
            return None

    def _is_there(self, model_id: str, first: int) -> bool:
        return bool(self._chunks.listed(model_id, first, first + CHUNK_EVENTS, limit=1))

    def _owner(self, item: Item) -> str | None:
        parsed = self._layout.parse_chunk(item.key)
        return self._layout.parse_deleted_events(item.key) if parsed is None else parsed[0]


def inline_references(log: EventLog, model_id: str) -> set[LargeText] | None:
    """The texts that the events of a document refer to; None if one is unreadable."""
    try:
        return set(references_in(log, model_id))
    except StoreCorruptedError:
        return None
