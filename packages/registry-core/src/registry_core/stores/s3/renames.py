"""Renames: the one change that touches two keys.

Strategy. One PUT decides a rename:

1. The new key gets a rename intent with the model: it names the old key, the last operation there
   that it knows of (`base`), and the operation that will decide. To readers nothing is there yet.
2. The old key becomes a tombstone that names the new one, if no other write came since `base`.
   This is the commit. From now on the model of the intent counts, and the old name is free.
3. The new key gets the model as an ordinary one.

A deleted model is restored under another name in the same way: the old key has its tombstone. If
its name is in use again, the old key is that of the object with its last events. So of several that
restore one model, one commits.

A process that meets an intent reads the old key and knows what it is (`fate`): committed, if the
journal there has the deciding operation; void, if another write came since `base`, so that
the compare-and-swap of step 2 must fail; otherwise pending, which is as good as absent to a reader.
A reader does step 3 for a renamer that died, and withdraws what is void, if it may write. A writer
that needs the new name itself first writes the old key unchanged, which makes the intent void, and
then replaces it. The tombstone of a rename stays until step 3 is done, so that a journal never
loses the decision.
"""

from __future__ import annotations

import enum

import attrs

from registry_core.errors import RegistryError
from registry_core.stores.s3 import codec
from registry_core.stores.s3.event_chunks import EventChunks
from registry_core.stores.s3.journal import Entry, Journal
from registry_core.stores.s3.layout import Layout
from registry_core.stores.s3.objects import LostRaceError
from registry_core.stores.s3.record import Content, Model, Record, RenameIntent, Tombstone
from registry_core.stores.s3.retry import TransientError


class Fate(enum.Enum):
    """What a rename intent stands for."""

    COMMITTED = enum.auto()
    PENDING = enum.auto()
    VOID = enum.auto()


class PendingRenameError(Exception):
    """The key is wanted, and a rename to it is under way or was abandoned."""

    def __init__(self, intent: RenameIntent) -> None:
        self.intent = intent
        super().__init__(intent.document.name)


def fate(intent: RenameIntent, source: Record) -> Fate:
    """Return what an intent stands for, by the settled record of the key its model comes from."""
    if intent.operation in source.operations:
        return Fate.COMMITTED
    if source.operations and source.operations[-1] == intent.base:
        return Fate.PENDING
    return Fate.VOID


class RenameResolver:
    """Decides, finishes and makes void rename intents."""

    def __init__(self, records: Journal, chunks: EventChunks, layout: Layout) -> None:
        self._records = records
        self._chunks = chunks
        self._layout = layout

    def settle(self, entry: Entry) -> Entry:
        """Return the entry with an intent turned into what it stands for.

        A committed one becomes a model, as if step 3 were done, and a void one a tombstone, as if
        it had been withdrawn. A pending one stays, and counts as absent.
        """
        intent = entry.content
        if not isinstance(intent, RenameIntent):
            return entry
        match fate(intent, self._source(intent).record):
            case Fate.PENDING:
                return entry
            case Fate.VOID:
                tombstone = Tombstone(name=intent.document.name)
                return self._records.remember(_settled(entry, intent, tombstone))
            case Fate.COMMITTED:
                return self._records.remember(arrived(entry, intent))

    def finish(self, entry: Entry) -> Entry:
        """Return the settled entry, in the bucket too if that is possible: it counts either way."""
        if not entry.unfinished:
            return entry
        try:
            return self._records.write(entry, entry.record, codec.encode(entry.record))
        except (LostRaceError, TransientError, RegistryError):
            return entry

    def make_way(self, entry: Entry) -> None:
        """Prepare for a write over a settled entry that holds no model.

        The events of a model that was deleted are put away: one PUT.

        Raises:
            PendingRenameError: see to the arrival first, with `make_void`.
        """
        match entry.content:
            case RenameIntent() as intent:
                raise PendingRenameError(intent)
            case Tombstone(renamed_to=str(target)):
                key = self._layout.model(target)
                if self.settle(self._records.read(key)).unfinished:
                    self._records.commit(key, finishing, settle=self.settle)
            case Tombstone() as gone:
                self._chunks.keep_deleted(gone)

    def make_void(self, intent: RenameIntent) -> None:
        """Write the source of a pending arrival unchanged, so that it cannot be committed."""

        def touch(entry: Entry) -> Content | None:
            if fate(intent, entry.record) is not Fate.PENDING:
                return None
            return entry.content

        self._records.commit(self._source_key(intent), touch, settle=self.settle)

    def _source_key(self, intent: RenameIntent) -> str:
        if intent.deleted is None:
            return self._layout.model(intent.source)
        return self._layout.deleted_events(intent.model_id, intent.deleted)

    def _source(self, intent: RenameIntent) -> Entry:
        # The source may itself have arrived without being finished. This ends: an arrival is only
        # ever written from a model, and over a tombstone only once that rename is finished.
        return self.settle(self._records.read(self._source_key(intent)))


def arrived(entry: Entry, intent: RenameIntent) -> Entry:
    """Return the entry of a committed arrival, as the model that it is."""
    model = Model(document=intent.document, log=intent.log)
    return _settled(entry, intent, model)


def finishing(entry: Entry) -> Content | None:
    """Return the change that writes down what an arrival has turned out to be."""
    return entry.content if entry.unfinished else None


def _settled(entry: Entry, intent: RenameIntent, content: Model | Tombstone) -> Entry:
    # Every process that settles it gets the same record, so it does not matter which one writes it.
    record = entry.record.then(intent.operation, content)
    return attrs.evolve(entry, record=record, unfinished=True)
