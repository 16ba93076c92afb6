"""Registered models under keys: found, changed, created, renamed and deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

from registry_core.authors import Author
from registry_core.changes import (
    Change,
    CreateModel,
    DeleteModel,
    RenameModel,
    RestoreDeletedModel,
    RestoreModel,
)
from registry_core.documents import ModelDocument
from registry_core.errors import (
    AlreadyExistsError,
    ConflictError,
    ContentionError,
    RegisteredModelNotFoundError,
    RegistryError,
)
from registry_core.outbox import Unchanged
from registry_core.stores.s3.blobs import Blobs
from registry_core.stores.s3.journal import RACE_SECONDS, Entry, Keeping, StaleEntryError
from registry_core.stores.s3.making import Making, document_of, model_of
from registry_core.stores.s3.prefix import Prefix
from registry_core.stores.s3.queueing import Queueing
from registry_core.stores.s3.record import Content, Model, RenameIntent, Tombstone
from registry_core.stores.s3.renames import PendingRenameError, arrived, finishing
from registry_core.stores.s3.retry import RetryBudget

PENDING_LOOKS = 3
"""Looks at a pending arrival before it is made void: a renamer at work is done by then."""

ResultT = TypeVar("ResultT")

KeyChange: TypeAlias = Callable[[Entry], Content | None]
"""What that does to the key that holds the document."""


class Models:
    """The registered models of one registry."""

    def __init__(
        self,
        prefix: Prefix,
        values: Blobs,
        queueing: Queueing,
        unchanged: Unchanged,
        check_id: Callable[[RestoreModel], None],
    ) -> None:
        self._records = prefix.journal
        self._values = values
        self._queueing = queueing
        self._unchanged = unchanged
        self._check_id = check_id
        self._chunks = prefix.chunks
        self._layout = prefix.layout
        self._clock = prefix.clock
        self._renames = prefix.renames

    def find(self, name: str) -> Model | None:
        """Return the model, or None.

        One GET, and one more while a rename to this name is unfinished.
        """
        entry = self._renames.settle(self._records.read(self._layout.model(name)))
        return model_of(self._renames.finish(entry))

    def commit(self, change: Change[ResultT], by: Author) -> ResultT:
        """Make a change, and return its result; see `registry_core.store.Writes`.

        Its events are in the same PUT. Each webhook that wants the event costs one more.

        Creating a model costs one PUT if the name was never used, a rename one GET and three PUTs,
        any other change one GET and one PUT, or one PUT if the key was seen just now.
        """
        self._queueing.look(change)
        if isinstance(change, RenameModel) and change.new_name != change.name:
            return cast("ResultT", change.result(self._rename(change, by)))
        if isinstance(change, RestoreDeletedModel):
            return cast("ResultT", change.result(self._restore(change, by)))
        if isinstance(change, DeleteModel):
            self._delete(change, by)
            return cast("ResultT", None)
        return self._change(change, by)

    def _change(self, change: Change[ResultT], by: Author) -> ResultT:
        making = self._making(change, by)
        key = self._layout.model(change.model)

        def created(entry: Entry) -> Content | None:
            if (made := making.made(entry)) is not None:
                self._renames.make_way(entry)
            return made

        is_creation = isinstance(change, CreateModel | RestoreModel)
        make = created if is_creation else making.made
        keeping = None if change.idempotency is None else making.keeping
        with self._records.queued(key):
            first = self._records.recent(key)
            if first is None and is_creation:
                # Most names are free, and the condition of the PUT finds out the others.
                first = Entry(key=key)
            written = self._commit(key, make, making.operation, first, keeping)
        if making.operation in written.record.operations:
            return change.result(_written(written))
        if (kept := making.kept(written)) is not None:
            return change.repeated(kept, document_of(written))
        self._unchanged(change)
        return change.result(_written(written))

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

    def _restore(self, change: RestoreDeletedModel, by: Author) -> ModelDocument:
        with self._records.queued(self._layout.model(change.was_named)):
            try:
                return self._restored(change, by)
            except ConflictError:
                self._withdraw(change.model)
                raise

    def _restored(self, change: RestoreDeletedModel, by: Author) -> ModelDocument:
        making, budget = self._making(change, by), RetryBudget()
        deadline = time.monotonic() + RACE_SECONDS
        while time.monotonic() < deadline:
            source, gone = self._deleted(change)
            is_put_away = source.key != self._layout.model(change.was_named)
            if is_put_away:
                # Who dies while creating a model of the name leaves a copy of the events: the model
                # may have been restored from its tombstone in spite of that.
                self._check_id(change)
            model = making.restored(change, gone)
            try:
                if source.key == self._layout.model(change.model):
                    self._replace(source, model, making.operation)
                    return model.document
                intent = RenameIntent(
                    document=model.document,
                    log=model.log,
                    source=change.was_named,
                    base=source.record.operations[-1],
                    operation=making.operation,
                    deleted=change.snapshot.last if is_put_away else None,
                )
                self._arrive(source, intent)
            except StaleEntryError:
                budget.pause()
            else:
                return model.document
        raise ContentionError(f"Other writers of '{change.model}' were faster; nothing was written")

    def _deleted(self, change: RestoreDeletedModel) -> tuple[Entry, Tombstone]:
        """Where the last events of a deleted model are: at its name, or put away.

        Raises:
            ConflictError: The model was restored by somebody else.
        """
        put_away = self._layout.deleted_events(change.model_id, change.snapshot.last)
        for key in self._layout.model(change.was_named), put_away:
            entry = self._renames.settle(self._records.read(key))
            match entry.content:
                case Tombstone(model_id=change.model_id, log=log) as gone if log.lines:
                    change.check_kept(log.last)
                    return entry, gone
        change.check_kept(0)
        raise AssertionError("what is deleted has events")

    def _replace(self, old: Entry, content: Content, operation: str) -> Entry:
        """Write a key that is as it was read.

        Raises:
            StaleEntryError: It is not.
        """

        def change(entry: Entry) -> Content:
            if entry.etag != old.etag:
                raise StaleEntryError(entry.key)
            return content

        return self._records.commit(
            old.key, change, settle=self._renames.settle, first=old, operation=operation
        )

    # The steps of a rename; see `renames`.

    def _arrive(self, old: Entry, intent: RenameIntent) -> None:
        written = self._write_intent(intent)
        self._depart(old, intent)
        self._renames.finish(arrived(written, intent))

    def _renamed(self, change: RenameModel, by: Author) -> ModelDocument:
        key, budget = self._layout.model(change.name), RetryBudget()
        deadline = time.monotonic() + RACE_SECONDS
        while time.monotonic() < deadline:
            old = self._renames.settle(self._records.read(key))
            intent = self._intent(old, change, by)
            try:
                self._arrive(old, intent)
            except AlreadyExistsError:
                # True if the old name was taken at that moment too: or else it was this very model.
                if self._records.read(key).etag == old.etag:
                    raise
                continue
            except StaleEntryError:
                budget.pause()
                continue
            return intent.document
        raise ContentionError(f"Other writers of '{key}' were faster; it was not renamed")

    def _intent(self, old: Entry, change: RenameModel, by: Author) -> RenameIntent:
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

    def _write_intent(self, intent: RenameIntent) -> Entry:
        new_name = intent.document.name

        def change(entry: Entry) -> Content:
            if isinstance(entry.content, Model):
                raise AlreadyExistsError(new_name)
            self._renames.make_way(entry)
            return intent

        key = self._layout.model(new_name)
        first = self._records.recent(key) or Entry(key=key)
        return self._commit(key, change, self._records.new_operation(), first)

    def _depart(self, old: Entry, intent: RenameIntent) -> None:
        gone = Tombstone(
            name=intent.source,
            model_id=intent.model_id,
            renamed_to=intent.document.name,
        )
        self._replace(old, gone, intent.operation)

    def _withdraw(self, new_name: str) -> None:
        # A void arrival is nothing to anybody; a tombstone says so without a look elsewhere.
        try:
            self._commit(
                self._layout.model(new_name), finishing, self._records.new_operation(), None
            )
        except RegistryError:
            return

    def _commit(
        self,
        key: str,
        change: KeyChange,
        operation: str,
        first: Entry | None,
        keeping: Keeping | None = None,
    ) -> Entry:
        budget, deadline = RetryBudget(), time.monotonic() + RACE_SECONDS
        looks = 0
        while time.monotonic() < deadline:
            try:
                return self._records.commit(
                    key,
                    change,
                    settle=self._renames.settle,
                    first=first,
                    operation=operation,
                    keeping=keeping,
                )
            except PendingRenameError as pending:
                looks += 1
                budget.pause()
                if looks >= PENDING_LOOKS:
                    self._renames.make_void(pending.intent)
                first = None
        raise ContentionError(f"Renames to '{key}' were always under way; nothing was written")


def _written(entry: Entry) -> ModelDocument:
    assert isinstance(entry.content, Model), "only a model was written"
    return entry.content.document
