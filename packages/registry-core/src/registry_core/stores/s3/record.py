"""What one key holds: its content, and the journal of the writes that led to it.

Strategy of the journal: every write of a key raises its `revision` by one and adds the id of its
operation to `operations`, and so does a write over a tombstone: the journal belongs to the key, not
to the model. A writer whose reply got lost reads the key back and knows from the journal whether
its write is in it, even if others have written since. That is exact, because operation n of the
journal is the only one that can have turned revision n-1 into n.

A journal forgets its oldest operations, and the times in the ids alone say what it has forgotten,
never a clock: an operation goes only for one that began `JOURNAL_MILLISECONDS` later, or
for `JOURNAL_MAX_ENTRIES` others. The later one stays behind as evidence, or goes for one that is
later still. So an operation that nothing in the journal is that much younger than was never there,
however old the document is and whatever the clocks of the machines said (`Record.has`).
"""

from __future__ import annotations

import secrets
from typing import TypeAlias

import attrs

from registry_core.documents import ModelDocument
from registry_core.idempotency import KEEP_SECONDS, KeptKey
from registry_core.models import Webhook
from registry_core.store import Clock
from registry_core.stores.s3.event_log import NO_EVENTS, EventLog

JOURNAL_MIN_ENTRIES = 8
"""Operations a journal keeps whatever their age: enough for a key that is written now and then."""

JOURNAL_MILLISECONDS = 60_000
"""How much younger than an operation one must be to push it out of the journal, by the times in
their ids. Longer than any writer tries to find its own, and than the clocks of machines differ.
"""

JOURNAL_MAX_ENTRIES = 512
"""Operations a journal never exceeds, about 12 kB, however hot the key."""

KEPT_KEYS_MAX_COUNT = 2_000
"""Idempotency keys that an object keeps, about 250 kB. A client that creates more versions of one
model in a day under keys finds the oldest of them forgotten before the day is over."""

_TIME_DIGITS = 11


@attrs.frozen(kw_only=True)
class Model:
    """A registered model."""

    document: ModelDocument
    log: EventLog = NO_EVENTS
    """What was done to it."""

    @property
    def model_id(self) -> str:
        """The id of the model, which stays when it is renamed."""
        return self.document.model_id


@attrs.frozen(kw_only=True)
class RenameIntent:
    """A model on its way to this key from another; whether it is here, the other key decides.

    It is here once the journal of `source` has `operation`, and never if `source` has been written
    by anybody else since `base`. See `models.settle`.
    """

    document: ModelDocument
    log: EventLog = NO_EVENTS
    """What was done to the model, the rename included."""
    source: str
    """The name that the model has, or had."""
    base: str
    """The last operation on `source` that `document` knows of."""
    operation: str
    """The operation that makes the key of `source` a tombstone."""
    deleted: int | None = None
    """Of a deleted model that is restored, and whose name is in use again: the number of its
    deletion, under which its events were put away. That object has the place of `source`."""

    @property
    def model_id(self) -> str:
        """The id of the model."""
        return self.document.model_id


@attrs.frozen(kw_only=True)
class Tombstone:
    """No model: it was deleted, or went to `renamed_to`."""

    name: str
    model_id: str | None = None
    renamed_to: str | None = None
    log: EventLog = NO_EVENTS
    """What was done to a model that was deleted, the deletion included."""


@attrs.frozen(kw_only=True)
class Deleted:
    """What is kept of a model that was deleted: its events, the deletion last."""

    model_id: str
    log: EventLog


Content: TypeAlias = Model | RenameIntent | Tombstone | Webhook


@attrs.frozen(kw_only=True)
class Moved:
    """A model that was at a key, and is not any more."""

    operation: str
    model_id: str
    renamed_to: str | None = None
    """None if it was deleted."""


@attrs.frozen(kw_only=True)
class Record:
    """The content of a key and its journal; without content, nothing is there."""

    content: Content | None = None
    revision: int = 0
    operations: tuple[str, ...] = ()
    """The ids of the latest operations; the last one made this revision."""
    departures: tuple[Moved, ...] = ()
    """Those of them that took a model away, so that who lists the bucket can go after it."""
    kept_keys: tuple[KeptKey, ...] = ()
    """What was made under idempotency keys, oldest first. It belongs to the key, as the journal."""

    def kept_key(self, key_id: str) -> KeptKey | None:
        """Return what was made under an idempotency key, if anything was."""
        return next((each for each in self.kept_keys if each.id == key_id), None)

    def then(self, operation: str, content: Content, kept: KeptKey | None = None) -> Record:
        """Return the record after one more write, which may have an idempotency key."""
        operations = (*_kept(self.operations, operation), operation)
        departures = tuple(each for each in self.departures if each.operation in operations)
        if isinstance(content, Tombstone) and content.model_id is not None:
            gone = Moved(
                operation=operation, model_id=content.model_id, renamed_to=content.renamed_to
            )
            departures = (*departures, gone)
        return Record(
            content=content,
            revision=self.revision + 1,
            operations=operations,
            departures=departures,
            kept_keys=_young(self.kept_keys, operation) + (() if kept is None else (kept,)),
        )

    def has(self, operation: str, *, revision: int) -> bool | None:
        """Return whether this operation made that revision.

        None if the journal may have forgotten it.
        """
        position = len(self.operations) - 1 - (self.revision - revision)
        if position >= len(self.operations):
            return False
        if position >= 0:
            return self.operations[position] == operation
        return None if self._may_have_forgotten(operation, revision) else False

    def _may_have_forgotten(self, operation: str, revision: int) -> bool:
        if self.revision - revision >= JOURNAL_MAX_ENTRIES:
            return True
        latest = began(operation) + JOURNAL_MILLISECONDS
        return any(began(each) > latest for each in self.operations)


NOTHING = Record()
"""A key that has no object."""


def new_operation(clock: Clock) -> str:
    """Return an id for one operation: when it began by its store's clock, then something random."""
    return f"{clock():0{_TIME_DIGITS}x}{secrets.token_hex(4)}"


def began(operation: str) -> int:
    """Return when an operation began, by the clock of its store: milliseconds since the epoch.

    Raises:
        ValueError: it is not the id of an operation.
    """
    return int(operation[:_TIME_DIGITS], 16)


def _young(kept_keys: tuple[KeptKey, ...], operation: str) -> tuple[KeptKey, ...]:
    """What is still kept under idempotency keys when `operation` writes."""
    if not kept_keys:
        return kept_keys
    oldest = began(operation) - KEEP_SECONDS * 1000
    return tuple(each for each in kept_keys if each.time >= oldest)[1 - KEPT_KEYS_MAX_COUNT :]


def _kept(operations: tuple[str, ...], operation: str) -> tuple[str, ...]:
    """The operations that a journal keeps when `operation` is added to it."""
    start = max(0, len(operations) - JOURNAL_MAX_ENTRIES + 1)
    oldest = began(operation) - JOURNAL_MILLISECONDS
    last = len(operations) - JOURNAL_MIN_ENTRIES + 1
    while start < last and began(operations[start]) < oldest:
        start += 1
    return operations[start:]
