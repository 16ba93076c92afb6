"""Registered models under keys: found, changed, created, renamed and deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

from registry_core.authors import Author
from registry_core.changes import (
    Change,
    CreateModel,
    DeleteModel,
    RenameModel,
    RestoreModel,
)
from registry_core.documents import ModelDocument
from registry_core.errors import (
    AlreadyExistsError,
    ContentionError,
    RegisteredModelNotFoundError,
    RegistryError,
)
from registry_core.outbox import Unchanged
from registry_core.stores.s3.blobs import Blobs
from registry_core.stores.s3.journal import RACE_SECONDS, Entry, StaleEntryError
from registry_core.stores.s3.making import Making, model_of
from registry_core.stores.s3.prefix import Prefix
from registry_core.stores.s3.queueing import Queueing
from registry_core.stores.s3.record import Content, Model, RenameIntent, Tombstone
from registry_core.stores.s3.renames import PendingRenameError, arrived, finishing
from registry_core.stores.s3.retry import RetryBudget

PENDING_LOOKS = 3
"""Looks at a pending arrival before it is made void: a renamer at work is done by then."""

KeyChange: TypeAlias = Callable[[Entry], Content | None]
"""What that does to the key that holds the document."""


class Models:
    """The registered models of one registry."""

    def __init__(
        self, prefix: Prefix, values: Blobs, queueing: Queueing, unchanged: Unchanged
    ) -> None:
        self._records = prefix.journal
        self._values = values
        self._queueing = queueing
        self._unchanged = unchanged
        self._chunks = prefix.chunks
        self._layout = prefix.layout
        self._clock = prefix.clock
        self._renames = prefix.renames

    def find(self, name: str) -> Model | None:
        """The model, or None. One GET, and one more while a rename to this name is unfinished."""
        entry = self._renames.settle(self._records.read(self._layout.model(name)))
        return model_of(self._renames.finish(entry))

    def commit(self, change: Change[Any], by: Author) -> ModelDocument | None:
        """Make a change, and return the model's document after it; None when it was deleted.

        Its events are in the same PUT. For each webhook that wants to be told there is one more.

        Creating a model costs one PUT if the name was never used, a rename one GET and three PUTs,
        any other change one GET and one PUT, or one PUT if the key was seen just now.
        """
        self._queueing.look(change)
        match change:
            case CreateModel() | RestoreModel():
                return self._create(change, by)
            case RenameModel() if change.new_name != change.name:
                return self._rename(change, by)
            case DeleteModel():
                self._delete(change, by)
                return None
        return self._change(change, by)

    def _create(self, change: CreateModel | RestoreModel, by: Author) -> ModelDocument:
        making = self._making(change, by)

        def created(entry: Entry) -> Content:
            made = making.made(entry)
            assert made is not None, "a creation changes something"
            self._renames.make_way(entry)
            return made

        key = self._layout.model(change.model)
        recent = self._records.recent(key)
        with self._records.queued(key):
            return _written(self._commit(key, created, making.operation, recent or Entry(key=key)))

    def _change(self, change: Change[Any], by: Author) -> ModelDocument:
        making = self._making(change, by)
        key = self._layout.model(change.model)
        with self._records.queued(key):
            recent = self._records.recent(key)
            written = self._commit(key, making.made, making.operation, recent)
        if making.operation not in written.record.operations:
            self._unchanged(change)
        return _written(written)

    def _delete(self, change: DeleteModel, by: Author) -> None:
        # The model's key becomes a tombstone. Its events stay, and the texts they refer to.
        making = self._making(change, by)
        key = self._layout.model(change.model)
        with self._records.queued(key):
            recent = self._records.recent(key)
            self._commit(key, making.gone, making.operation, recent)

    def _making(self, change: Change[Any], by: Author) -> Making:
        return Making(
            change=change,
            by=by,
            operation=self._records.new_operation(),
            values=self._values,
            chunks=self._chunks,
            queueing=self._queueing,
            clock=self._clock,
        )

    def _rename(self, change: RenameModel, by: Author) -> ModelDocument:
        with self._records.queued(self._layout.model(change.name)):
            try:
                return self._renamed(change, by)
            except (ContentionError, RegisteredModelNotFoundError):
                self._withdraw(change.new_name)
                raise

    # The steps of a rename; see `renames`.

    def _renamed(self, change: RenameModel, by: Author) -> ModelDocument:
        key, budget = self._layout.model(change.name), RetryBudget()
        deadline = time.monotonic() + RACE_SECONDS
        while time.monotonic() < deadline:
            old = self._renames.settle(self._records.read(key))
            arriving = self._arriving(old, change, by)
            try:
                announced = self._announce(arriving)
                self._depart(old, arriving)
            except AlreadyExistsError:
                # True if the old name was taken at that moment too: or else it was this very model.
                if self._records.read(key).etag == old.etag:
                    raise
                continue
            except StaleEntryError:
                budget.pause()
                continue
            self._renames.finish(arrived(announced, arriving))
            return arriving.document
        raise ContentionError(f"Other writers of '{key}' were faster; it was not renamed")

    def _arriving(self, old: Entry, change: RenameModel, by: Author) -> RenameIntent:
        making = self._making(change, by)
        renamed = making.made(old)
        assert renamed is not None, "a rename changes something"
        return RenameIntent(
            document=renamed.document,
            log=renamed.log,
            source=change.name,
            base=old.record.operations[-1],
            operation=making.operation,
        )

    def _announce(self, arriving: RenameIntent) -> Entry:
        new_name = arriving.document.name

        def change(entry: Entry) -> Content:
            if isinstance(entry.content, Model):
                raise AlreadyExistsError(new_name)
            self._renames.make_way(entry)
            return arriving

        key = self._layout.model(new_name)
        first = self._records.recent(key) or Entry(key=key)
        return self._commit(key, change, self._records.new_operation(), first)

    def _depart(self, old: Entry, arriving: RenameIntent) -> None:
        gone = Tombstone(
            name=arriving.source,
            model_id=arriving.model_id,
            renamed_to=arriving.document.name,
        )

        def change(entry: Entry) -> Content:
            if entry.etag != old.etag:
                raise StaleEntryError(entry.key)
            return gone

        self._records.commit(
            old.key, change, settle=self._renames.settle, first=old, operation=arriving.operation
        )

    def _withdraw(self, new_name: str) -> None:
        # A void arrival is nothing to anybody; a tombstone says so without a look elsewhere.
        try:
            self._commit(
                self._layout.model(new_name), finishing, self._records.new_operation(), None
            )
        except RegistryError:
            return

    def _commit(self, key: str, change: KeyChange, operation: str, first: Entry | None) -> Entry:
        budget, deadline = RetryBudget(), time.monotonic() + RACE_SECONDS
        looks = 0
        while time.monotonic() < deadline:
            try:
                return self._records.commit(
                    key, change, settle=self._renames.settle, first=first, operation=operation
                )
            except PendingRenameError as pending:
                looks += 1
                budget.pause()
                if looks >= PENDING_LOOKS:
                    self._renames.make_void(pending.arriving)
                first = None
        raise ContentionError(f"Renames to '{key}' were always under way; nothing was written")


def _written(entry: Entry) -> ModelDocument:
    assert isinstance(entry.content, Model), "only a model was written"
    return entry.content.document
