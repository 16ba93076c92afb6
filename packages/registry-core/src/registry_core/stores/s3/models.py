"""Registered models under keys: found, changed, created, renamed and deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from registry_core.errors import (
    AlreadyExistsError,
    ContentionError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    RegistryError,
)
from registry_core.models import NewRegisteredModel
from registry_core.store import Clock
from registry_core.stores import documents
from registry_core.stores.changing import Change
from registry_core.stores.documents import ModelDocument
from registry_core.stores.s3.arrivals import Arrivals, PendingArrivalError, arrived, finishing
from registry_core.stores.s3.layout import Layout
from registry_core.stores.s3.record import (
    Arriving,
    Content,
    Model,
    Tombstone,
    new_model_id,
)
from registry_core.stores.s3.records import RACE_SECONDS, Entry, Records, StaleEntryError
from registry_core.stores.s3.retry import Patience
from registry_core.stores.s3.values import Values, references

PENDING_LOOKS = 3
"""Looks at a pending arrival before it is made void: a renamer at work is done by then."""

KeyChange: TypeAlias = Callable[[Entry], Content | None]
"""What that does to the key that holds the document."""


class Models:
    """The registered models of one registry."""

    def __init__(self, records: Records, values: Values, layout: Layout, clock: Clock) -> None:
        self._records = records
        self._values = values
        self._layout = layout
        self._clock = clock
        self.arrivals = Arrivals(records, layout)

    def find(self, name: str) -> ModelDocument | None:
        """The model, or None. One GET, and one more while a rename to this name is unfinished."""
        entry = self.arrivals.settle(self._records.read(self._layout.model(name)))
        return document_of(self.arrivals.finish(entry))

    def create(self, new: NewRegisteredModel) -> ModelDocument:
        """The new model. One PUT, if the name was never used."""
        operation, model_id = self._records.new_operation(), new_model_id()

        def change(entry: Entry) -> Content:
            existing = document_of(entry)
            if existing is not None:
                raise documents.taken(existing, new)
            self.arrivals.make_way(entry)
            document = documents.create_document(new, self._clock())
            return self._model(document, None, model_id=model_id, operation=operation)

        key = self._layout.model(new.name)
        recent = self._records.recent(key)
        with self._records.queued(key):
            return _written(self._commit(key, change, operation, recent or Entry(key=key)))

    def change(self, name: str, change: Change, *, version: int | None = None) -> ModelDocument:
        """The model afterwards. One GET and one PUT, or one PUT if the key was seen just now.

        `version` is what the call is about, for the error when the model is missing.
        """
        operation = self._records.new_operation()

        def changed(entry: Entry) -> Content | None:
            model = model_in(entry, name, version)
            after = change(model.document, self._clock())
            if after is model.document:
                return None
            return self._model(after, model, model_id=model.model_id, operation=operation)

        key = self._layout.model(name)
        with self._records.queued(key):
            return _written(self._commit(key, changed, operation, self._records.recent(key)))

    def delete(self, name: str) -> None:
        """Makes the model's key a tombstone, then removes its large texts."""
        deleted: list[Model] = []

        def change(entry: Entry) -> Content:
            deleted[:] = [model_in(entry, name)]
            return Tombstone(name=name, model_id=deleted[0].model_id)

        key = self._layout.model(name)
        with self._records.queued(key):
            self._commit(key, change, self._records.new_operation(), self._records.recent(key))
        self._clear(*deleted)

    def rename(self, name: str, new_name: str) -> ModelDocument:
        """The model under its new name. One GET and three PUTs, if that name was never used."""
        if new_name == name:
            return self.change(name, lambda doc, now: documents.rename(doc, new_name=name, now=now))
        with self._records.queued(self._layout.model(name)):
            try:
                return self._renamed(name, new_name)
            except (ContentionError, RegisteredModelNotFoundError):
                self._withdraw(new_name)
                raise

    # The steps of a rename; see `arrivals`.

    def _renamed(self, name: str, new_name: str) -> ModelDocument:
        key, patience = self._layout.model(name), Patience()
        deadline = time.monotonic() + RACE_SECONDS
        while time.monotonic() < deadline:
            old = self.arrivals.settle(self._records.read(key))
            arriving = self._arriving(old, name, new_name)
            try:
                announced = self._announce(arriving)
                self._depart(old, arriving)
            except AlreadyExistsError:
                # True if the old name was taken at that moment too: or else it was this very model.
                if self._records.read(key).etag == old.etag:
                    raise
                continue
            except StaleEntryError:
                patience.pause()
                continue
            self.arrivals.finish(arrived(announced, arriving))
            return arriving.document
        raise ContentionError(f"Other writers of '{key}' were faster; it was not renamed")

    def _arriving(self, old: Entry, name: str, new_name: str) -> Arriving:
        model = model_in(old, name)
        return Arriving(
            model_id=model.model_id,
            document=documents.rename(model.document, new_name=new_name, now=self._clock()),
            source=name,
            base=old.record.operations[-1],
            operation=self._records.new_operation(),
        )

    def _announce(self, arriving: Arriving) -> Entry:
        new_name = arriving.document.name

        def change(entry: Entry) -> Content:
            if isinstance(entry.content, Model):
                raise AlreadyExistsError(new_name)
            self.arrivals.make_way(entry)
            return arriving

        key = self._layout.model(new_name)
        first = self._records.recent(key) or Entry(key=key)
        return self._commit(key, change, self._records.new_operation(), first)

    def _depart(self, old: Entry, arriving: Arriving) -> None:
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
            old.key, change, settle=self.arrivals.settle, first=old, operation=arriving.operation
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
        patience, deadline = Patience(), time.monotonic() + RACE_SECONDS
        looks = 0
        while time.monotonic() < deadline:
            try:
                return self._records.commit(
                    key, change, settle=self.arrivals.settle, first=first, operation=operation
                )
            except PendingArrivalError as pending:
                looks += 1
                patience.pause()
                if looks >= PENDING_LOOKS:
                    self.arrivals.make_void(pending.arriving)
                first = None
        raise ContentionError(f"Renames to '{key}' were always under way; nothing was written")

    def _model(
        self,
        after: ModelDocument,
        before: Model | None,
        *,
        model_id: str,
        operation: str,
    ) -> Model:
        document = self._values.put_away(
            after,
            None if before is None else before.document,
            model_id=model_id,
            operation=operation,
        )
        return Model(model_id=model_id, document=document)

    def _clear(self, *deleted: Model) -> None:
        # Its id is used by nobody now. What stays behind after a failure, `fsck` finds.
        for model in deleted:
            if next(references(model.document), None) is None:
                continue
            try:
                self._values.remove_all(model.model_id)
            except RegistryError:
                return


def model_in(entry: Entry, name: str, version: int | None = None) -> Model:
    """The model that a settled entry holds.

    Raises:
        RegisteredModelNotFoundError: there is none, and the call is about the model.
        ModelVersionNotFoundError: there is none, and the call is about `version` of it.
    """
    if isinstance(entry.content, Model):
        return entry.content
    if version is None:
        raise RegisteredModelNotFoundError(name)
    raise ModelVersionNotFoundError(name, version)


def document_of(entry: Entry) -> ModelDocument | None:
    """The model that a settled entry holds, if any."""
    match entry.content:
        case Model(document=document):
            return document
    return None


def _written(entry: Entry) -> ModelDocument:
    assert isinstance(entry.content, Model), "only a model was written"
    return entry.content.document
