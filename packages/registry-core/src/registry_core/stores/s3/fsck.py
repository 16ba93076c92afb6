"""A check of everything under a prefix, and the repair of what a crash leaves behind.

Strategy. A large text that is older than any operation lasts, and that neither a document of a
snapshot nor an event refers to, will never be referred to again (see `blobs`): it may go while
others write. In a registry that never holds still, and beside a document that cannot be read, no
text is judged; nor is one of a model whose events cannot be read. Older events are read only where
a text is in doubt.

A repair goes through the same commits as every other write. It finishes or withdraws renames, mends
what follows from the rest of a document, and removes what nothing refers to. It does not touch what
it cannot read: the bucket's own versions, or a person, may still save it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

import attrs

from registry_core.errors import RegistryError
from registry_core.fsck import Finding, Report
from registry_core.history import Event, EventQuery
from registry_core.history_fsck import DeletedHistory
from registry_core.models import Webhook
from registry_core.stores.s3 import invariants
from registry_core.stores.s3.blobs import references
from registry_core.stores.s3.capabilities import Capabilities
from registry_core.stores.s3.event_checks import EventChecks, EventProblem, inline_references
from registry_core.stores.s3.event_pages import DeletedModel, HasLog
from registry_core.stores.s3.inventory import Document, Inventory, Item, Stocktaker
from registry_core.stores.s3.journal import Entry
from registry_core.stores.s3.large_text import LargeText
from registry_core.stores.s3.layout import Layout
from registry_core.stores.s3.objects import LostRaceError, MissingObjectError
from registry_core.stores.s3.prefix import Prefix
from registry_core.stores.s3.record import Content, Model, RenameIntent, Tombstone
from registry_core.stores.s3.renames import finishing

CLOCK_SECONDS = 1.0
"""Seconds that an age may be off: services give times in whole seconds."""

Repair: TypeAlias = Callable[[], object]


@attrs.frozen
class Problem:
    """A finding, and what would put it right."""

    problem: str
    subject: str
    detail: str
    repair: Repair | None = None


class Fsck:
    """Checks, and repairs, the registry under one prefix."""

    def __init__(
        self,
        prefix: Prefix,
        bucket: Capabilities,
        page: Callable[[Iterable[HasLog], EventQuery], list[Event]],
        histories: Callable[[Iterable[str], Iterable[DeletedHistory]], Report],
    ) -> None:
        self._prefix = prefix
        self._bucket = bucket
        self._page = page
        self._histories = histories
        self._layout = prefix.layout
        self._pool = prefix.pool
        self._repairs = _Repairs(prefix, bucket)
        self._stocktaker = Stocktaker(prefix)

    def run(self, *, repair: bool, grace_seconds: float) -> Report:
        """See `registry_core.fsck.Fsck`."""
        if repair:
            self._bucket.ready_to_write()
        inventory = self._stocktaker.inventory()
        contents = [each.entry.content for each in inventory.models if each.entry is not None]
        events = EventChecks(inventory.events, contents, self._prefix)
        check = _Check(inventory, events, self._repairs, self._layout, grace_seconds)
        problems = [*self._marker(inventory), *check.findings()]
        findings = self._pool.map(partial(_finding, repair=repair), problems)
        notes = check.notes()
        if repair:
            notes.extend(self._repairs.remove_tombstones(check.old_tombstones()))
        objects = Report(
            findings=tuple(findings),
            checked=check.counts(),
            not_checked=check.not_checked(),
            notes=tuple(notes),
        )
        played_back = self._histories(check.sound_histories(), self._deleted(inventory))
        return Report.of([objects, played_back])

    def _deleted(self, inventory: Inventory) -> Iterator[DeletedHistory]:
        """The histories of deleted models: in their tombstones, or put away."""
        seen = set[str]()
        for document in inventory.models:
            content = None if document.entry is None else document.entry.content
            if isinstance(content, Model):
                seen.add(content.model_id)  # What was put away of it once is part of its history.
            if isinstance(content, Tombstone) and content.model_id and content.log.lines:
                seen.add(content.model_id)
                yield DeletedHistory(
                    document.item.key,
                    partial(self._page, [DeletedModel(content.model_id, content.log)]),
                )
        for item in inventory.events:
            model_id = self._layout.parse_deleted_events(item.key)
            if model_id is not None and model_id not in seen:
                yield DeletedHistory(item.key, partial(self._spill, model_id))

    def _spill(self, model_id: str, query: EventQuery) -> list[Event]:
        log = self._prefix.chunks.find_deleted(model_id)
        # One that was restored has its history with its model.
        return [] if log is None else self._page([DeletedModel(model_id, log)], query)

    def _marker(self, inventory: Inventory) -> Iterator[Problem]:
        if not inventory.models and not inventory.webhooks:
            return
        try:
            present = self._bucket.is_marked()
        except RegistryError as error:
            yield Problem("unreadable-marker", self._layout.marker, str(error))
            return
        if not present:
            detail = "the prefix has documents and no marker"
            repair = self._bucket.ready_to_write
            yield Problem("missing-marker", self._layout.marker, detail, repair)


class _Check:
    """What is wrong with an inventory."""

    def __init__(
        self,
        inventory: Inventory,
        events: EventChecks,
        repairs: _Repairs,
        layout: Layout,
        grace_seconds: float,
    ) -> None:
        self._inventory = inventory
        self._events = events
        self._repairs = repairs
        self._layout = layout
        self._grace_seconds = grace_seconds
        self._documents = (*inventory.models, *inventory.webhooks)
        self._entries = [each.entry for each in self._documents if each.entry is not None]
        self._models = [e.content for e in self._entries if isinstance(e.content, Model)]
        self._stored = {item.key: item for item in inventory.values}
        self._in_history: dict[str, set[str] | None] = {}
        self._with_findings = set[str]()

    def sound_histories(self) -> list[str]:
        """Return the names of the models of whose events nothing was found to be wrong."""
        names = (model.document.name for model in self._models)
        return [name for name in names if self._layout.model(name) not in self._with_findings]

    def findings(self) -> Iterator[Problem]:
        """Everything that is wrong."""
        for document in self._documents:
            yield from self._document(document)
        yield from self._duplicates()
        yield from self._values()
        yield from map(_beyond_repair, self._events.strangers())
        if self._judges_values():
            yield from map(_beyond_repair, self._events.orphans())
            for left in self._events.leftovers(self._is_old):
                repair = self._repairs.deletion(left.subject)
                yield Problem(left.problem, left.subject, left.detail, repair)
        for item in self._inventory.probes:
            if self._is_old(item):
                detail = "it was left behind by a trial of the bucket"
                yield Problem("orphaned-probe", item.key, detail, self._repairs.deletion(item.key))

    def notes(self) -> list[str]:
        """Return what kept the check from being complete."""
        if self._judges_values():
            return []
        return ["No large text was judged: documents are being written, or cannot be read"]

    def not_checked(self) -> dict[str, int]:
        """Return how much was not looked at."""
        left = len(self._inventory.values) - self._texts_checked()
        return {"large_texts": left} if left else {}

    def counts(self) -> dict[str, int]:
        """Return how much was looked at."""
        contents = Counter(type(entry.content) for entry in self._entries)
        return {
            "registered_models": contents[Model],
            "model_versions": sum(len(model.document.versions) for model in self._models),
            "webhooks": contents[Webhook],
            "large_texts": self._texts_checked(),
            "tombstones": contents[Tombstone],
            "event_chunks": len(self._inventory.events),
        }

    def _texts_checked(self) -> int:
        if self._judges_values():
            return len(self._stored)
        return len(self._needed() & self._stored.keys())

    def old_tombstones(self) -> list[Entry]:
        """Return the tombstones that are not needed any more."""
        return [
            document.entry
            for document in self._documents
            if document.entry is not None
            and isinstance(document.entry.content, Tombstone)
            and not document.entry.unfinished
            and self._is_old(document.item)
        ]

    def _is_old(self, item: Item) -> bool:
        return item.age_seconds + CLOCK_SECONDS >= self._grace_seconds

    def _document(self, document: Document) -> Iterator[Problem]:
        key, entry = document.item.key, document.entry
        if entry is None:
            yield Problem("unreadable-document", key, document.damage or "it cannot be read")
        elif self._is_old(document.item):
            yield from self._rename_intent(entry)
        if entry is not None and isinstance(entry.content, Model):
            yield from self._model(key, entry.content)
        if entry is not None and isinstance(entry.content, Model | Tombstone):
            for problem in self._events.of_document(key, entry.content):
                self._with_findings.add(key)
                yield _beyond_repair(problem)
            yield from self._texts(key, entry.content)

    def _rename_intent(self, entry: Entry) -> Iterator[Problem]:
        if isinstance(entry.content, Model) and entry.unfinished:
            detail = "a rename to this name was made, and not finished"
            yield Problem("unfinished-rename", entry.key, detail, self._repairs.finishing(entry))
        elif isinstance(entry.content, RenameIntent) or entry.unfinished:
            detail = "a rename to this name was begun, and not made"
            yield Problem("abandoned-rename", entry.key, detail, self._repairs.finishing(entry))

    def _model(self, key: str, model: Model) -> Iterator[Problem]:
        for detail in invariants.illegal(model.document):
            yield Problem("illegal-value", key, detail)
        for detail in invariants.violations(model.document):
            yield Problem("inconsistent-document", key, detail, self._repairs.mending(key))

    def _texts(self, key: str, content: Model | Tombstone) -> Iterator[Problem]:
        needed = inline_references(content.log, content.model_id or "") or set()
        if isinstance(content, Model):
            needed |= set(references(content.document))
        for reference in needed:
            stored = self._key(reference)
            why = self._missing(stored, reference)
            if why is not None:
                yield Problem("missing-value", stored, f"'{key}' refers to it, and {why}")

    def _missing(self, key: str, reference: LargeText) -> str | None:
        item = self._stored.get(key)
        # A text that was written after the texts were listed is not listed.
        size = self._repairs.size(key) if item is None else item.size
        if size is None:
            return "it does not exist"
        if size != reference.size:
            return f"it has {size} bytes instead of {reference.size}"
        return None

    def _duplicates(self) -> Iterator[Problem]:
        counts = Counter(model.model_id for model in self._models)
        for model in self._models:
            if counts[model.model_id] > 1:
                key = self._layout.model(model.document.name)
                yield Problem("duplicate-model", key, "another document is of the same model")

    def _values(self) -> Iterator[Problem]:
        if not self._judges_values():
            return
        needed = self._needed()
        for item in self._inventory.values:
            owner = self._layout.parse_value(item.key)
            if owner is None:
                yield Problem("foreign-object", item.key, "no registry wrote it; it is left alone")
                continue
            if item.key in needed or not self._is_old(item):
                continue
            if not self._may_be_in_history(item.key, owner[0]):
                detail = "neither a document nor an event refers to it"
                yield Problem("orphaned-value", item.key, detail, self._repairs.deletion(item.key))

    def _needed(self) -> set[str]:
        """The keys of the large texts that documents refer to."""
        return {
            self._key(reference)
            for model in self._models
            for reference in references(model.document)
        }

    def _may_be_in_history(self, key: str, model_id: str) -> bool:
        """Whether an event of the model refers to a text, as far as they can be read."""
        if model_id not in self._in_history:
            texts = self._history_of(model_id)
            self._in_history[model_id] = None if texts is None else set(map(self._key, texts))
        known = self._in_history[model_id]
        return known is None or key in known

    def _history_of(self, model_id: str) -> set[LargeText] | None:
        texts = set[LargeText]()
        for entry in self._entries:
            content = entry.content
            if isinstance(content, Model | Tombstone) and content.model_id == model_id:
                inline = inline_references(content.log, model_id)
                if inline is None:
                    return None
                texts |= inline
        beside = self._events.references(model_id)
        return None if beside is None else texts | beside

    def _key(self, reference: LargeText) -> str:
        return self._layout.value(reference.model_id, reference.value_id)

    def _judges_values(self) -> bool:
        readable = all(document.damage is None for document in self._inventory.models)
        return self._inventory.snapshot and readable


class _Repairs:
    """What puts things right, each through a commit that others may race."""

    def __init__(self, prefix: Prefix, bucket: Capabilities) -> None:
        self._objects = prefix.objects
        self._records = prefix.journal
        self._renames = prefix.renames
        self._bucket = bucket

    def size(self, key: str) -> int | None:
        """Return the bytes of an object, or None if it does not exist."""
        try:
            fetched = self._objects.get(key)
        except MissingObjectError:
            return None
        return None if fetched is None else len(fetched.body)

    def deletion(self, key: str) -> Repair:
        """Remove an object that is never written again."""
        return partial(self._objects.delete, key)

    def finishing(self, entry: Entry) -> Repair:
        """Write down what an arrival has turned out to be; a pending one is given up first."""

        def finish() -> None:
            if isinstance(entry.content, RenameIntent):
                self._renames.make_void(entry.content)
            self._commit(entry.key, finishing)

        return finish

    def mending(self, key: str) -> Repair:
        """Rewrite a document without its violations."""

        def mend(entry: Entry) -> Content | None:
            if not isinstance(entry.content, Model):
                return None
            if next(invariants.violations(entry.content.document), None) is None:
                return None
            return attrs.evolve(entry.content, document=invariants.mended(entry.content.document))

        return partial(self._commit, key, mend)

    def remove_tombstones(self, entries: list[Entry]) -> list[str]:
        """Remove tombstones, if the service does so on condition only; say what was done."""
        if not entries:
            return []
        if not self._bucket.deletes_on_condition():
            return [f"{len(entries)} old tombstones stay: this service removes unconditionally"]
        removed = sum(map(self._remove_tombstone, entries))
        return [f"{removed} old tombstones were removed"]

    def _remove_tombstone(self, entry: Entry) -> bool:
        try:
            self._renames.make_way(entry)
            self._objects.delete(entry.key, condition=entry.etag)
        except (LostRaceError, RegistryError):
            return False
        self._records.forget(entry.key)
        return True

    def _commit(self, key: str, change: Callable[[Entry], Content | None]) -> None:
        self._records.commit(key, change, settle=self._renames.settle)


def _beyond_repair(problem: EventProblem) -> Problem:
    return Problem(problem.problem, problem.subject, problem.detail)


def _finding(problem: Problem, *, repair: bool) -> Finding:
    repaired, detail = False, problem.detail
    if repair and problem.repair is not None:
        try:
            problem.repair()
            repaired = True
        except RegistryError as error:
            detail = f"{detail}; the repair failed: {error}"
    return Finding(
        problem=problem.problem,
        subject=problem.subject,
        detail=detail,
        repairable=problem.repair is not None,
        repaired=repaired,
    )
