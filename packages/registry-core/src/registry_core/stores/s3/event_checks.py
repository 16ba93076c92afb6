"""What can be wrong with the events of a registry, for `fsck`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from registry_core.errors import StoreCorruptedError
from registry_core.stores.s3.event_format import event_of, references_in
from registry_core.stores.s3.event_log import EventLines, EventLog, chunk_bounds
from registry_core.stores.s3.inventory import Item
from registry_core.stores.s3.large_text import LargeText
from registry_core.stores.s3.objects import LIST_PAGE_KEYS
from registry_core.stores.s3.prefix import Prefix
from registry_core.stores.s3.record import Content, Model, RenameIntent, Tombstone

_NO_END = 10**10
"""A number that no event has."""


@attrs.frozen
class EventProblem:
    """Something that is wrong, which nobody can repair without a backup, or a leftover."""

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
        self._logs: dict[str, list[EventLog]] = {}
        for content in contents:
            if isinstance(content, Model | RenameIntent | Tombstone):
                self._logs.setdefault(content.model_id or "", []).append(content.log)

    def of_document(self, key: str, content: Model | Tombstone) -> Iterator[EventProblem]:
        """Yield what is wrong with the events that a document has, or says that there are."""
        model_id, log = content.model_id or "", content.log
        for line in log.lines:
            try:
                event_of(line, model_id)
            except StoreCorruptedError as error:
                yield EventProblem("unreadable-event", key, str(error))
        missing = [*self._missing(model_id, log)]
        if missing and self._chunks.has_other_beginning(model_id, log):
            return  # They were pruned after the document was read.
        for first, end, where in missing:
            detail = f"the events {first} to {end - 1} of '{key}' are missing"
            yield EventProblem("missing-events", where, detail)

    def _missing(self, model_id: str, log: EventLog) -> Iterator[tuple[int, int, str]]:
        """Where missing events begin and end that a log refers to, and their key."""
        begun = log.beginning
        if begun is not None and not self._chunks.has_beginning(model_id, begun):
            where = self._layout.beginning(model_id, begun.first, begun.object_id)
            yield begun.first, begun.end, where
        for first, end in chunk_bounds(log.chunked_from, log.first):
            # One that was written after they were listed is not listed.
            if (model_id, first) not in self._listed and not self._is_there(model_id, first):
                yield first, end, self._layout.events_from(model_id, first)

    def strangers(self) -> Iterator[EventProblem]:
        """Return the objects among the events that no registry wrote."""
        for item in self._items:
            if self._owner(item) is None:
                yield EventProblem(
                    "foreign-object", item.key, "no registry wrote it; it is left alone"
                )

    def leftovers(self, is_old: Callable[[Item], bool]) -> Iterator[EventProblem]:
        """Return what a pruning has left: it was not made, or has not removed what it replaced.

        All documents must be known, as of after the events were listed.
        """
        for item in self._items:
            logs = self._logs.get(self._owner(item) or "", ())
            if not logs or not is_old(item):
                continue
            if all(self._chunks.is_pruned(item.key, log) for log in logs):
                detail = "its events were pruned"
            elif self._is_no_beginning_of(logs, item.key):
                detail = "no history begins with it: a pruning was begun, and not made"
            else:
                continue
            yield EventProblem("pruned-events", item.key, detail)

    def _is_no_beginning_of(self, logs: Iterable[EventLog], key: str) -> bool:
        parsed = self._layout.parse_beginning(key)
        if parsed is None:
            return False
        known = {each.beginning.object_id for each in logs if each.beginning is not None}
        return parsed[2] not in known

    def orphans(self) -> Iterator[EventProblem]:
        """Return the events of models that are neither there nor deleted.

        All documents must be known.
        """
        owned: dict[str, list[str]] = {}
        for item in self._items:
            owner = self._owner(item)
            if owner is not None and owner not in self._logs:
                owned.setdefault(owner, []).append(item.key)
        for model_id, keys in owned.items():
            if any(map(self._layout.parse_deleted_events, keys)) or self._chunks.has_deleted(
                model_id
            ):
                continue
            for key in keys:
                yield EventProblem("orphaned-events", key, "the document of their model is gone")

    def references(self, model_id: str) -> set[LargeText] | None:
        """Return the texts that events of a model beside its document refer to.

        None if one is unreadable.

        Reads them all.
        """
        try:
            deleted = self._chunks.find_deleted(model_id)
            logs = [*self._logs.get(model_id, ()), *([] if deleted is None else [deleted])]
            first = min((log.chunked_from for log in logs), default=1)
            chunks = self._chunks.listed(model_id, first, _NO_END, limit=LIST_PAGE_KEYS)
            kept: list[EventLines] = [self._chunks.read(chunk) for chunk in chunks]
            begun = [log.beginning for log in logs if log.beginning is not None]
            kept += [self._chunks.read_beginning(model_id, each) for each in begun]
            kept += logs
            return {text for events in kept for text in references_in(events, model_id)}
        except StoreCorruptedError:
            return None

    def _is_there(self, model_id: str, first: int) -> bool:
        return bool(self._chunks.listed(model_id, first, first + 1, limit=1))

    def _owner(self, item: Item) -> str | None:
        parsed = self._layout.parse_chunk(item.key) or self._layout.parse_beginning(item.key)
        return self._layout.parse_deleted_events(item.key) if parsed is None else parsed[0]


def inline_references(log: EventLog, model_id: str) -> set[LargeText] | None:
    """Return the texts that the events of a document refer to; None if one is unreadable."""
    try:
        return set(references_in(log, model_id))
    except StoreCorruptedError:
        return None
