"""What restores registered models."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

import attrs
from sqlalchemy import Table

from registry_core import documents
from registry_core.authors import Author
from registry_core.changes import (
    RestoreDeletedModel,
    RestoreLargeModel,
    RestoreModel,
    RestoreVersion,
)
from registry_core.changes.stages import version_exists
from registry_core.documents import ModelDocument
from registry_core.errors import RegisteredModelNotFoundError
from registry_core.history import Action, Event
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.pruning import NewBeginning
from registry_core.stores.sql import approvals, event_rows, restoring, rows
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.driver import Connection
from registry_core.stores.sql.errors import DuplicateError
from registry_core.stores.sql.makers.base import Maker, makes, noted_values
from registry_core.stores.sql.makers.gates import version_key
from registry_core.stores.sql.operations import settled
from registry_core.stores.sql.tables import (
    VALUE_HEAD,
    model_version_approvals,
    registered_model_aliases,
    registered_model_tags,
)

ResultT = TypeVar("ResultT")


class RestoreMaker(Maker):
    """Makes the change that writes a whole model, in one transaction."""

    @makes(RestoreModel, RestoreDeletedModel)
    def restore_model(self, change: RestoreModel, by: Author) -> RegisteredModel:
        """See `Making`."""
        history = change.history(self._clock(), by)
        document = change.document
        last = next(each for each in reversed(history) if each.action is not Action.PASS_GATE)
        if not self._is_restored_alone(change, history):

            def insert(connection: Connection) -> None:
                self._insert_all(connection, document, history)

            self._restore(change, insert, last=last, count=history[-1].sequence)
        return documents.registered_model(document)

    @makes(RestoreLargeModel)
    def restore_large_model(self, change: RestoreLargeModel, _: Author) -> RegisteredModel:
        """See `Making`. It is read piece by piece, inside the transaction."""
        now = self._clock()
        last = change.snapshot.with_id(change.model_id).newest
        if last is None:
            for last in change.each_event(now):  # noqa: B007 a baseline, whose end is wanted
                pass
        assert last is not None, "every history has a first event"

        def insert(connection: Connection) -> RegisteredModel:
            self._insert_pieces(connection, change, now)
            return self._model(connection, change.model)

        return self._restore(change, insert, last=last, count=last.sequence)

    def _restore(
        self,
        change: RestoreModel | RestoreLargeModel,
        insert: Callable[[Connection], ResultT],
        *,
        last: Event,
        count: int,
    ) -> ResultT:
        """Make room for a model, and insert it, in one transaction.

        Args:
            change: What is restored.
            insert: Inserts all but the row of the model itself.
            last: The last event that webhooks may hear of.
            count: The number of the last event of all.
        """
        document = change.document

        def restore(connection: Connection) -> ResultT:
            gone: set[str] = set()
            if change.replaces or change.requires:
                gone |= self._make_room(connection, change)
            restored = connection.run(self._sql.restore_model, _model_values(document, count))
            if not restored:
                existing = self._model(connection, change.model)
                raise documents.taken_by(existing, document)
            # Nobody else can restore it from here on: no two models have one id.
            has_webhooks, newest = restored[0]
            change.check_kept(newest or 0)
            if newest:
                # Of a model of this id that is gone; the events are all in the snapshot.
                connection.run(self._sql.remove_history, {"model_id": document.model_id})
                gone.add(document.model_id)
            result = insert(connection)
            self._forget_deliveries(connection, gone)
            noted = noted_values(
                document.name, document.model_id, last.sequence, last.time, has_webhooks
            )
            self._queue(connection, change, noted)
            return result

        try:
            return self._database.transaction(restore, model=change.model)
        except DuplicateError as error:
            raise change.id_taken() from error

    @makes(RestoreVersion)
    def restore_version(self, change: RestoreVersion, by: Author) -> ModelVersion:
        """See `Making`."""
        now, version = self._clock(), attrs.evolve(change.restored, name=change.name)
        if change.stage is not None:
            version = attrs.evolve(version, current_stage=change.stage, last_updated_timestamp=now)

        def restore(connection: Connection) -> None:
            if not connection.run(self._sql.touch_model, {"name": change.name, "now": now}):
                raise RegisteredModelNotFoundError(change.name)
            self._check(connection, change.requires)
            values = version_key(change.name, change.version)
            if connection.run(self._sql.version_exists, values):
                raise version_exists(version)
            self._insert(connection, self._sql.restore_versions, [rows.version_row(version)])
            self._insert(connection, self._sql.restore_version_tags, _version_tags([version]))
            effects = change.effects()
            noted = self._note(connection, change.name, effects, by, now)
            # Webhooks hear of the restoring, which is the first of them.
            noted["sequence"] -= len(effects) - 1
            self._queue(connection, change, noted)

        self._database.transaction(restore, model=change.name)
        return version

    def replace_beginning(self, beginning: NewBeginning) -> None:
        """See `pruning.ReplacesBeginnings`."""
        oldest, newest = beginning.oldest.sequence, beginning.newest.sequence
        values = {"model_id": beginning.oldest.model_id, "oldest": oldest, "sequence": newest}

        def replace(connection: Connection) -> None:
            locked = connection.run(self._sql.lock_model, {"name": beginning.name})
            if not locked:
                raise RegisteredModelNotFoundError(beginning.name)
            ends = connection.run(self._sql.beginning, values)
            beginning.check(locked[0][0], ((number, time) for number, time in ends))
            if connection.run(self._sql.awaited, values):
                raise beginning.awaited()
            connection.run(self._sql.remove_beginning, values)
            self._insert(
                connection, self._sql.restore_events, map(event_rows.row_of, beginning.events)
            )

        self._database.transaction(replace, model=beginning.name)

    def _is_restored_alone(self, change: RestoreModel, history: Sequence[Event]) -> bool:
        """Whether one statement has written a new model, and nothing else was to be done.

        Strategy: of a registry of small models that is copied, each round trip is a tenth.
        """
        if type(change) is not RestoreModel or change.replaces or change.requires:
            return False
        document = change.document
        parts = self._at_once(document, history)
        if parts is None:
            return False
        values = parts | _model_values(document, history[-1].sequence)
        look = restoring.restored(self._database.driver.dialect)
        try:
            rows_ = settled(
                lambda: self._database.write(self._sql.restore_new, values),
                lambda: self._database.read(look, values),
            )
        except DuplicateError as error:
            raise change.id_taken() from error
        return bool(rows_)

    def _at_once(self, document: ModelDocument, history: Sequence[Event]) -> dict[str, str] | None:
        """What a small model has, for one statement; None if the database cannot take it."""
        is_small = len(document.versions) + len(history) <= restoring.INSERT_ROWS
        if not self._database.driver.writes_in_one_statement or not is_small:
            return None
        batches = [[*restoring.batches(listed)] for _, listed in self._parts(document, history)]
        if any(len(each) > 1 for each in batches):
            return None
        lists = (each[0] if each else "[]" for each in batches)
        return dict(zip(restoring.PARTS, lists, strict=True))

    def _insert_all(
        self, connection: Connection, document: ModelDocument, history: Sequence[Event]
    ) -> None:
        """Insert what a model has; what is small in one round trip, where the database can."""
        parts = self._at_once(document, history)
        if parts is not None:
            connection.run(self._sql.restore_parts, parts)
            return
        for statement, listed in self._parts(document, history):
            self._insert(connection, statement, listed)

    def _insert_pieces(self, connection: Connection, change: RestoreLargeModel, now: int) -> None:
        document = change.document
        self._insert(connection, self._sql.restore_model_tags, _model_tags(document))
        for some in restoring.portions(change.snapshot.each_version()):
            approvals = {version.version: approvals for version, approvals in some}
            part = attrs.evolve(
                document,
                versions={version.version: version for version, _ in some},
                approvals=approvals,
            )
            self._insert(
                connection,
                self._sql.restore_versions,
                map(rows.version_row, part.versions.values()),
            )
            tags = _version_tags(part.versions.values())
            self._insert(connection, self._sql.restore_version_tags, tags)
            self._insert(connection, self._sql.restore_approvals, _approvals(part))
        self._insert(connection, self._sql.restore_aliases, _aliases(document))
        self._insert(
            connection, self._sql.restore_events, map(event_rows.row_of, change.each_event(now))
        )

    def _insert(
        self, connection: Connection, statement: Statement, listed: Iterable[tuple[Any, ...]]
    ) -> None:
        for batch in restoring.batches(listed):
            connection.run(statement, {"rows": batch})

    def _forget_deliveries(self, connection: Connection, model_ids: Iterable[str]) -> None:
        """Forget what waits for delivery, or is a dead letter, of events that are not there."""
        for statement in restoring.forgetting_deliveries(self._database.driver.dialect):
            for model_id in model_ids:
                connection.run(statement, {"model_id": model_id})

    def _make_room(
        self, connection: Connection, change: RestoreModel | RestoreLargeModel
    ) -> set[str]:
        """Lock the model of the name, and remove it if it is replaced; the ids of what is gone."""
        locked = connection.run(self._sql.lock_model, {"name": change.model})
        if not locked:
            if change.requires:
                documents.present(None, change.model)
            return set()
        self._check(connection, change.requires)
        if change.expected is not None:
            ((model_id,),) = locked
            newest = connection.run(self._sql.newest_event, {"model_id": model_id})
            change.check_replaced(model_id, newest[0][0] if newest else 0)
        if not change.replaces:
            return set()
        replaced = connection.run(self._sql.replace_model, {"name": change.model})
        for (model_id,) in replaced:
            connection.run(self._sql.remove_history, {"model_id": model_id})
        return {model_id for (model_id,) in replaced}

    def _parts(
        self, document: ModelDocument, history: Iterable[Event]
    ) -> Iterator[tuple[Statement, Iterable[tuple[Any, ...]]]]:
        versions = document.versions.values()
        yield self._sql.restore_model_tags, _model_tags(document)
        yield self._sql.restore_versions, map(rows.version_row, versions)
        yield self._sql.restore_version_tags, _version_tags(versions)
        yield self._sql.restore_aliases, _aliases(document)
        yield self._sql.restore_approvals, _approvals(document)
        yield self._sql.restore_events, map(event_rows.row_of, history)


def _model_values(document: ModelDocument, last_event: int) -> dict[str, Any]:
    """The values of the row of the model itself."""
    values = {**rows.values_of(document), "next_version": document.next_version}
    return values | {"model_id": document.model_id, "last_event": last_event}


@functools.cache
def _picking(table: Table) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """What makes the row of a table from its values by column."""
    return itemgetter(*restoring.columns_of(table))


def _row(table: Table, values: Mapping[str, Any]) -> tuple[Any, ...]:
    return _picking(table)(values)


def _model_tags(document: ModelDocument) -> Iterator[tuple[Any, ...]]:
    for key, value in document.tags.items():
        tag = {"name": document.name, "key": key, **rows.tag_value(value)}
        yield _row(registered_model_tags, tag)


def _version_tags(versions: Iterable[ModelVersion]) -> Iterator[tuple[Any, ...]]:
    for version in versions:
        name, number, updated = version.name, version.version, version.last_updated_timestamp
        for key, value in version.tags.items():
            head, in_lower_case = value[:VALUE_HEAD], rows.folded(value)
            yield name, number, key, value, head, in_lower_case, updated


def _aliases(document: ModelDocument) -> Iterator[tuple[Any, ...]]:
    for alias, version in document.aliases.items():
        values = {"name": document.name, "alias": alias, "version": version}
        yield _row(registered_model_aliases, values)


def _approvals(document: ModelDocument) -> Iterator[tuple[Any, ...]]:
    for version, of_version in document.approvals.items():
        for approval in of_version:
            values = approvals.values_of(document.name, version, approval)
            yield _row(model_version_approvals, values)
