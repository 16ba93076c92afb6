"""What one key holds: its content, and the journal of the writes that led to it.

Strategy of the journal: every write of a key raises its `revision` by one and adds the id of its
operation to `operations`, and so does a write over a tombstone: the journal belongs to the key, not
to the model. A writer whose reply got lost reads the key back and knows from the journal whether
its write is in it, even if others have written since. That is exact, because operation n of the
journal is the only one that can have turned revision n-1 into n.
"""

from __future__ import annotations

import secrets
import time
from typing import TypeAlias

import attrs

from registry_core.errors import StoreUnavailableError
from registry_core.models import Webhook
from registry_core.stores.documents import ModelDocument

JOURNAL_MIN_ENTRIES = 8
"""Operations a journal keeps whatever their age: enough for a key that is written now and then."""

JOURNAL_SECONDS = 60.0
"""Seconds for which a journal keeps an operation: longer than any writer tries to find its own."""

JOURNAL_MAX_ENTRIES = 512
"""Operations a journal never exceeds, about 12 kB, however hot the key."""

_TIME_DIGITS = 11


@attrs.frozen(kw_only=True)
class Model:
    """A registered model. `model_id` is random, and stays when the model is renamed."""

    model_id: str
    document: ModelDocument


@attrs.frozen(kw_only=True)
class Arriving:
    """A model on its way to this key from another; whether it is here, the other key decides.

    It is here once the journal of `source` has `operation`, and never if `source` has been written
    by anybody else since `base`. See `models.settle`.
    """

    model_id: str
    document: ModelDocument
    source: str
    """The name that the model has, or had."""
    base: str
    """The last operation on `source` that `document` knows of."""
    operation: str
    """The operation that makes the key of `source` a tombstone."""


@attrs.frozen(kw_only=True)
class Tombstone:
    """No model: it was deleted, or went to `renamed_to`."""

    name: str
    model_id: str | None = None
    renamed_to: str | None = None


Content: TypeAlias = Model | Arriving | Tombstone | Webhook


@attrs.frozen(kw_only=True)
class Departure:
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
    departures: tuple[Departure, ...] = ()
    """Those of them that took a model away, so that who lists the bucket can go after it."""

    def then(self, operation: str, content: Content) -> Record:
        """The record after one more write."""
        operations = (*_recent(self.operations), operation)
        departures = tuple(each for each in self.departures if each.operation in operations)
        if isinstance(content, Tombstone) and content.model_id is not None:
            gone = Departure(
                operation=operation, model_id=content.model_id, renamed_to=content.renamed_to
            )
            departures = (*departures, gone)
        return Record(
            content=content,
            revision=self.revision + 1,
            operations=operations,
            departures=departures,
        )

    def has(self, operation: str, *, revision: int) -> bool:
        """Whether this operation made that revision.

        Raises:
            StoreUnavailableError: the journal does not reach back that far.
        """
        position = len(self.operations) - 1 - (self.revision - revision)
        if position >= len(self.operations):
            return False
        if position < 0:
            raise StoreUnavailableError(
                "A write was not answered, and too many others followed to tell whether it was made"
            )
        return self.operations[position] == operation


NOTHING = Record()
"""A key that has no object."""


def new_operation() -> str:
    """An id for one operation: when it began, then something random; ids sort by time."""
    return f"{time.time_ns() // 1_000_000:0{_TIME_DIGITS}x}{secrets.token_hex(4)}"


def new_model_id() -> str:
    """An id that no other model has or had."""
    return secrets.token_hex(8)


def _recent(operations: tuple[str, ...]) -> tuple[str, ...]:
    start = max(0, len(operations) - JOURNAL_MAX_ENTRIES + 1)
    oldest = int((time.time() - JOURNAL_SECONDS) * 1000)
    last = len(operations) - JOURNAL_MIN_ENTRIES + 1
    while start < last and int(operations[start][:_TIME_DIGITS], 16) < oldest:
        start += 1
    return operations[start:]
