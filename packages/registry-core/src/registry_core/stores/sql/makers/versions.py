"""What makes changes of model versions."""

from __future__ import annotations

from typing import Any

from registry_core import documents, validation
from registry_core.authors import Author
from registry_core.changes import (
    CreateVersion,
    DeleteVersion,
    FinalizeVersion,
    RelocateVersion,
    TransitionVersion,
    UpdateVersion,
)
from registry_core.documents import FIRST_VERSION
from registry_core.errors import (
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
)
from registry_core.history import Action, Effect
from registry_core.idempotency import KeptKey
from registry_core.models import ModelVersion, Stage, Status
from registry_core.stores.sql import events, rows
from registry_core.stores.sql.driver import Connection, Values
from registry_core.stores.sql.makers.base import Maker, key_of, makes
from registry_core.stores.sql.makers.gates import version_key
from registry_core.stores.sql.results import Row


class VersionMaker(Maker):
    """Makes changes of model versions."""

    @makes(CreateVersion)
    def create_version(self, change: CreateVersion, by: Author) -> ModelVersion:
        """See `Making`."""
        new, now = change.new, self._clock()
        # The database says which number it has.
        created = new.created(FIRST_VERSION, now=now)
        values = rows.to_create(created)
        values |= events.event_values(change.effect(created), by, now)
        made = self._once(
            change, lambda keyed: self._insert_version(change, keyed), values, by, now
        )
        if isinstance(made, KeptKey):
            return change.made_before(made, self._version_if_any(new.name, made.version))
        if not made:
            raise RegisteredModelNotFoundError(new.name)
        return new.created(made[0][0], now=now)

    def _version_if_any(self, name: str, version: int | None) -> ModelVersion | None:
        if version is None:
            return None
        records = self._database.read(self._sql.get_version, version_key(name, version))
        return rows.model_version(records[0]) if records else None

    def _insert_version(self, change: CreateVersion, values: dict[str, Any]) -> list[Row]:
        """A row with its number if there is the model."""
        sql = self._sql
        if self._database.driver.writes_in_one_statement:
            forms = (sql.create_version_direct, sql.create_version_queueing)
            if change.new.tags:
                forms = (sql.create_tagged_version_direct, sql.create_tagged_version_queueing)
            return self._created(change, forms, values)
        return self._database.transaction(
            lambda connection: self._insert_in_steps(connection, change, values),
            model=values["name"],
        )

    def _insert_in_steps(
        self, connection: Connection, change: CreateVersion, values: Values
    ) -> list[Row]:
        taken = connection.run(self._sql.take_version, values)
        if not taken:
            return []
        _, version, model_id, sequence, has_webhooks = taken[0]
        numbered = {**values, "version": version}
        connection.run(self._sql.create_version, numbered)
        if change.new.tags:
            connection.run(self._sql.create_version_tags, numbered)
        about = {"event_version": version, "event_subject": f"version:{version}"}
        noted = {"model_id": model_id, "sequence": sequence, "has_webhooks": has_webhooks}
        self._add_event(connection, change, {**values, **about, **noted})
        if values["idempotency_key"] is not None:
            return [self._operations.keep(connection, version, values)]
        return [(version,)]

    @makes(UpdateVersion)
    def update_version(self, change: UpdateVersion, by: Author) -> ModelVersion:
        """See `Making`."""
        now = self._clock()
        values = key_of(change) | {"description": change.description, "now": now}
        effect = Effect(
            action=Action.UPDATE_VERSION, version=change.version, after=change.description
        )

        def update(connection: Connection) -> ModelVersion:
            noted = self._note_version(connection, change, [effect], by, now)
            connection.run(self._sql.update_version, values)
            self._queue(connection, change, noted)
            return self._version(connection, values)

        return self._database.transaction(update, model=change.name)

    @makes(FinalizeVersion)
    def finalize_version(self, change: FinalizeVersion, by: Author) -> ModelVersion:
        """See `Making`."""
        now = self._clock()
        values = key_of(change) | {
            "pending": Status.PENDING_REGISTRATION.value,
            "status": change.status.value,
            "status_message": change.status_message,
            "source": change.source,
            "source_folded": rows.folded(change.source),
            "storage_location": change.storage_location,
            "now": now,
        }

        def finalize(connection: Connection) -> ModelVersion:
            noted = self._note_version(connection, change, change.effects(), by, now)
            finalized = connection.run(self._sql.finalize_version, values)
            version = self._version(connection, values)
            if not finalized:
                raise documents.not_pending(version)
            self._queue(connection, change, noted, version)
            return version

        return self._database.transaction(finalize, model=change.name)

    @makes(RelocateVersion)
    def relocate_version(self, change: RelocateVersion, by: Author) -> ModelVersion:
        """See `Making`."""
        sql, now = self._sql, self._clock()
        values = key_of(change) | {
            "source": change.source,
            "source_folded": rows.folded(change.source),
            "storage_location": change.storage_location,
            "now": now,
        }

        def relocate(connection: Connection) -> ModelVersion:
            if not connection.run(sql.lock_model, {"name": change.name}):
                raise ModelVersionNotFoundError(change.name, change.version)
            before = self._version(connection, values)
            decided = self._check(connection, change.requires)
            effects = change.moves(before)
            if not effects:
                return before
            validation.tags_together({**before.tags, **change.tags})
            for key, value in change.tags.items():
                tag = {**key_of(change), **rows.tag_to_set(key, value), **rows.ROOM}
                connection.run(sql.set_version_tag, tag)
            connection.run(sql.relocate_version, values)
            noted = self._note(connection, change.name, [*decided, *effects], by, now)
            self._queue(connection, change, noted)
            return self._version(connection, values)

        return self._database.transaction(relocate, model=change.name)

    @makes(TransitionVersion)
    def transition_version(self, change: TransitionVersion, by: Author) -> ModelVersion:
        """See `Making`."""
        sql, now = self._sql, self._clock()
        move = sql.transition_and_archive if change.archive_existing_versions else sql.transition
        values = key_of(change) | {"stage": change.stage.value, "now": now}

        def transition(connection: Connection) -> ModelVersion:
            if not connection.run(sql.touch_model, values):
                raise ModelVersionNotFoundError(change.name, change.version)
            decided = self._check(connection, change.requires)
            moved = sorted(version for (version,) in connection.run(move, values))
            version_ = self._version(connection, values)
            effects = _moves(change, moved)
            noted = self._note(connection, change.name, [*decided, *effects], by, now)
            self._queue_all(connection, change, noted, len(effects))
            return version_

        return self._database.transaction(transition, model=change.name)

    @makes(DeleteVersion)
    def delete_version(self, change: DeleteVersion, by: Author) -> None:
        """See `Making`."""
        now = self._clock()
        values = key_of(change) | {"now": now}

        def delete(connection: Connection) -> None:
            if not connection.run(self._sql.touch_model, values):
                raise ModelVersionNotFoundError(change.name, change.version)
            self._check(connection, change.requires)
            effects = change.removes(self._version(connection, values))
            connection.run(self._sql.delete_version, values)
            noted = self._note(connection, change.name, effects, by, now)
            self._queue(connection, change, noted)

        self._database.transaction(delete, model=change.name)


def _moves(change: TransitionVersion, moved: list[int]) -> list[Effect]:
    """The effects of a transition on the versions that it has changed: archived ones first."""
    archived = [
        Effect(
            action=Action.TRANSITION_VERSION,
            version=version,
            before=change.stage.value,
            after=Stage.ARCHIVED.value,
        )
        for version in moved
        if version != change.version
    ]
    return [
        *archived,
        Effect(action=Action.TRANSITION_VERSION, version=change.version, after=change.stage.value),
    ]
