"""What makes each class of change in a database.

Strategy: whatever a change depends on is decided by one statement, or under the lock of the model's
row, which a transaction takes before it does anything else. The number of an event is taken under
the same lock; see `events`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from registry_core import documents, validation
from registry_core.authors import Author
from registry_core.changes import (
    Change,
    CreateModel,
    CreateVersion,
    DeleteAlias,
    DeleteModel,
    DeleteModelTag,
    DeleteVersion,
    DeleteVersionTag,
    FinalizeVersion,
    RenameModel,
    SetAlias,
    SetModelTag,
    SetVersionTag,
    TransitionVersion,
    UpdateModel,
    UpdateVersion,
)
from registry_core.errors import (
    AlreadyExistsError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    RegistryError,
    UnsupportedBackendError,
)
from registry_core.history import Action, Effect
from registry_core.models import ModelVersion, NewRegisteredModel, RegisteredModel, Stage, Status
from registry_core.outbox import Unchanged
from registry_core.requirements import AliasIs, Requirement, StageIs, TagIs
from registry_core.store import Clock
from registry_core.stores.sql import events, outbox, rows
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.driver import Connection, Values
from registry_core.stores.sql.errors import (
    ChangedMeanwhileError,
    DuplicateError,
    MissingParentError,
)
from registry_core.stores.sql.operations import Operations
from registry_core.stores.sql.results import Row
from registry_core.stores.sql.statements import Statements

ResultT = TypeVar("ResultT")


class Making:
    """Makes changes, and notes them as events."""

    def __init__(
        self, database: Database, sql: Statements, clock: Clock, unchanged: Unchanged
    ) -> None:
        self._database = database
        self._unchanged = unchanged
        self._clock = clock
        self._sql = sql
        self._operations = Operations(database, sql)

    def make(self, change: Change[ResultT], by: Author) -> ResultT:
        """Return the result of a change that has been made durable."""
        make = self._MAKERS.get(type(change))
        if make is None:
            raise UnsupportedBackendError(f"A database cannot make the change {type(change)}")
        result: ResultT = make(self, change, by)
        return result

    # Registered models

    def _create_model(self, change: CreateModel, by: Author) -> RegisteredModel:
        new, now = change.new, self._clock()
        (effect,) = change.effects()
        values = rows.new_model(new, now) | {"model_id": change.model_id}
        event = events.event_values(effect, by, now) | outbox.values_of(change)
        if not self._insert_model(values, event, new):
            raise self._taken(new)
        return new.created(now=now)

    def _insert_model(
        self, values: dict[str, Any], event: dict[str, Any], new: NewRegisteredModel
    ) -> list[Row]:
        """A row if the name was free."""
        sql, has_tags = self._sql, bool(new.tags)
        if self._database.driver.writes_at_once:
            once = sql.create_tagged_model_at_once if has_tags else sql.create_model_at_once
            return self._operations.run(once, values | event)

        def create(connection: Connection) -> list[Row]:
            created = connection.run(sql.create_model, values)
            if created:
                if has_tags:
                    connection.run(sql.create_model_tags, values)
                heard = {"sequence": 1, "is_heard": created[0][-1]}
                self._add_event(connection, values | event | heard)
            return created

        return self._database.transaction(create)

    def _taken(self, new: NewRegisteredModel) -> AlreadyExistsError:
        return AlreadyExistsError(
            new.name,
            existing_is_prompt=bool(self._database.read(self._sql.prompt_tags, {"name": new.name})),
            wanted_prompt=validation.PROMPT_TAG in new.tags,
        )

    def _update_model(self, change: UpdateModel, by: Author) -> RegisteredModel:
        now = self._clock()
        values = {"name": change.name, "description": change.description, "now": now}
        effect = Effect(action=Action.UPDATE_MODEL, after=change.description or None)

        def update(connection: Connection) -> RegisteredModel:
            if not connection.run(self._sql.update_model, values):
                raise RegisteredModelNotFoundError(change.name)
            self._check(connection, change.requires)
            self._note(connection, change.name, [effect], by, now)
            return self._model(connection, change.name)

        return self._database.transaction(update, model=change.name)

    def _rename_model(self, change: RenameModel, by: Author) -> RegisteredModel:
        name, new_name, now = change.name, change.new_name, self._clock()
        values = {
            "name": name,
            "new_name": new_name,
            "name_folded": rows.folded(new_name),
            "now": now,
        }

        def rename(connection: Connection) -> RegisteredModel:
            # The event has the name that the model had.
            self._note(connection, name, change.effects(), by, now)
            self._check(connection, change.requires)
            if not connection.run(self._sql.rename_model, values):
                raise RegisteredModelNotFoundError(name)
            connection.run(self._sql.touch_versions, {"name": new_name, "now": now})
            return self._model(connection, new_name)

        try:
            return self._database.transaction(rename, model=name)
        except DuplicateError as error:
            raise AlreadyExistsError(new_name) from error

    def _delete_model(self, change: DeleteModel, by: Author) -> None:
        values, now = {"name": change.name}, self._clock()
        (effect,) = change.effects()
        if self._database.driver.writes_at_once and not change.requires:
            event = events.event_values(effect, by, now)
            if not self._database.write(self._sql.delete_model_at_once, values | event):
                raise RegisteredModelNotFoundError(change.name)
            return

        def delete(connection: Connection) -> None:
            self._note(connection, change.name, [effect], by, now)
            self._check(connection, change.requires)
            connection.run(self._sql.delete_model, values)

        self._database.transaction(delete, model=change.name)

    # Model versions

    def _create_version(self, change: CreateVersion, by: Author) -> ModelVersion:
        new, now = change.new, self._clock()
        values = rows.new_version(new, now)
        event = events.event_values(change.effect(0), by, now) | outbox.values_of(change)
        if self._database.driver.writes_at_once:
            created = self._operations.run(self._sql.create_version_at_once, values | event)
        else:
            created = self._database.transaction(
                lambda connection: self._insert_version(connection, values, event), model=new.name
            )
        if not created:
            raise RegisteredModelNotFoundError(new.name)
        return new.created(created[0][0], now=now)

    def _insert_version(
        self, connection: Connection, values: dict[str, Any], event: dict[str, Any]
    ) -> list[Row]:
        taken = connection.run(self._sql.take_version, values)
        if not taken:
            return []
        _, version, model_id, sequence, is_heard = taken[0]
        numbered = values | {"version": version}
        connection.run(self._sql.create_version, numbered)
        connection.run(self._sql.create_version_tags, numbered)
        about = {"event_version": version, "event_subject": f"version:{version}"}
        noted = {"name": values["name"], "model_id": model_id, "sequence": sequence}
        noted["is_heard"] = is_heard
        self._add_event(connection, event | about | noted)
        return [(version,)]

    def _update_version(self, change: UpdateVersion, by: Author) -> ModelVersion:
        now = self._clock()
        values = _version(change) | {"description": change.description, "now": now}
        effect = Effect(
            action=Action.UPDATE_VERSION, version=change.version, after=change.description or None
        )

        def update(connection: Connection) -> ModelVersion:
            self._note_version(connection, change, [effect], by, now)
            connection.run(self._sql.update_version, values)
            return self._version(connection, values)

        return self._database.transaction(update, model=change.name)

    def _finalize_version(self, change: FinalizeVersion, by: Author) -> ModelVersion:
        now = self._clock()
        values = _version(change) | {
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
            found = self._version(connection, values)
            if not finalized:
                raise documents.not_pending(found)
            self._queue(connection, noted, outbox.values_of(change, found))
            return found

        return self._database.transaction(finalize, model=change.name)

    def _transition_version(self, change: TransitionVersion, by: Author) -> ModelVersion:
        sql, now = self._sql, self._clock()
        move = sql.transition_and_archive if change.archive_existing_versions else sql.transition
        values = _version(change) | {"stage": change.stage.value, "now": now}

        def transition(connection: Connection) -> ModelVersion:
            if not connection.run(sql.touch_model, values):
                raise ModelVersionNotFoundError(change.name, change.version)
            self._check(connection, change.requires)
            moved = sorted(version for (version,) in connection.run(move, values))
            found = self._version(connection, values)
            self._note(connection, change.name, _moves(change, moved), by, now)
            return found

        return self._database.transaction(transition, model=change.name)

    def _delete_version(self, change: DeleteVersion, by: Author) -> None:
        now = self._clock()
        values = _version(change) | {"now": now}

        def delete(connection: Connection) -> None:
            if not connection.run(self._sql.touch_model, values):
                raise ModelVersionNotFoundError(change.name, change.version)
            self._check(connection, change.requires)
            effects = change.removes(self._version(connection, values))
            connection.run(self._sql.delete_version, values)
            self._note(connection, change.name, effects, by, now)

        self._database.transaction(delete, model=change.name)

    # Aliases and tags

    def _set_alias(self, change: SetAlias, by: Author) -> None:
        self._put_part(
            change,
            by,
            _version(change) | {"alias": change.alias},
            sql=(self._sql.set_alias, self._sql.set_alias_at_once, self._sql.get_alias),
            owner=self._sql.version_exists,
            missing=lambda: ModelVersionNotFoundError(change.name, change.version),
            too_many=validation.too_many_aliases,
        )

    def _set_model_tag(self, change: SetModelTag, by: Author) -> None:
        sql = self._sql
        self._put_part(
            change,
            by,
            {"name": change.name} | rows.tag_to_set(change.key, change.value),
            sql=(sql.set_model_tag, sql.set_model_tag_at_once, sql.get_model_tag),
            owner=sql.model_exists,
            missing=lambda: RegisteredModelNotFoundError(change.name),
            too_many=validation.too_many_tags,
        )

    def _set_version_tag(self, change: SetVersionTag, by: Author) -> None:
        sql = self._sql
        self._put_part(
            change,
            by,
            _version(change) | rows.tag_to_set(change.key, change.value),
            sql=(sql.set_version_tag, sql.set_version_tag_at_once, sql.get_version_tag),
            owner=sql.version_exists,
            missing=lambda: ModelVersionNotFoundError(change.name, change.version),
            too_many=validation.too_many_tags,
        )

    def _put_part(
        self,
        change: SetAlias | SetModelTag | SetVersionTag,
        by: Author,
        values: dict[str, Any],
        *,
        sql: tuple[Statement, Statement, Statement],
        owner: Statement,
        missing: Callable[[], RegistryError],
        too_many: Callable[[], RegistryError],
    ) -> None:
        """Set a tag or alias, where its owner has room for it.

        Strategy: without a lock, those who set parts of one owner at the same moment do not see
        each other's. So one statement does it while the owner has less than half of what it may
        have: so many do not meet in one moment. Nearer to the limit, where something is required,
        and where nothing changes, the model's row is locked before anything is read.
        """
        put, at_once, get = sql
        now = self._clock()
        effect = change.effect(None)  # What it was before is said by the event before it.
        room = values | rows.room()

        def put_in_turn(connection: Connection) -> bool:
            self._begin(connection, change, owner, room, missing)
            if connection.run(put, room):
                noted = self._note(connection, change.name, [effect], by, now)
                self._queue(connection, noted, outbox.values_of(change))
                return True
            current = connection.run(get, room)
            if not current or current[0][0] != effect.after:
                raise too_many() if connection.run(owner, room) else missing()
            return False

        try:
            if self._database.driver.writes_at_once and not change.requires:
                event = events.event_values(effect, by, now) | outbox.values_of(change)
                if self._wrote(at_once, values | rows.room(half=True) | event):
                    return
                # Mostly it is as it should be, which one look without a lock can tell.
                current = self._database.read(get, room)
                if current and current[0][0] == effect.after:
                    self._unchanged(change)
                    return
            if not self._database.transaction(put_in_turn, model=change.name):
                self._unchanged(change)
        except MissingParentError as error:
            raise missing() from error

    def _delete_alias(self, change: DeleteAlias, by: Author) -> None:
        values = {"name": change.name, "alias": change.alias}
        sql = (self._sql.delete_alias, self._sql.delete_alias_at_once)
        self._delete_part(change, by, values, sql=sql, owner=self._sql.model_exists)

    def _delete_model_tag(self, change: DeleteModelTag, by: Author) -> None:
        values = {"name": change.name, "key": change.key}
        sql = (self._sql.delete_model_tag, self._sql.delete_model_tag_at_once)
        self._delete_part(change, by, values, sql=sql, owner=self._sql.model_exists)

    def _delete_version_tag(self, change: DeleteVersionTag, by: Author) -> None:
        values = _version(change) | {"key": change.key}
        sql = (self._sql.delete_version_tag, self._sql.delete_version_tag_at_once)
        self._delete_part(change, by, values, sql=sql, owner=self._sql.version_exists)

    def _delete_part(
        self,
        change: DeleteAlias | DeleteModelTag | DeleteVersionTag,
        by: Author,
        values: dict[str, Any],
        *,
        sql: tuple[Statement, Statement],
        owner: Statement,
    ) -> None:
        """Delete a tag or alias. An absent one is no error, unless its owner is absent."""
        delete, at_once = sql
        now = self._clock()

        def delete_in_turn(connection: Connection) -> bool:
            self._begin(connection, change, owner, values, lambda: _missing(change))
            gone = connection.run(delete, values)
            if gone:
                effects = [change.effect(gone[0][1])]
                noted = self._note(connection, change.name, effects, by, now)
                self._queue(connection, noted, outbox.values_of(change))
            elif not connection.run(owner, values):
                raise _missing(change)
            return bool(gone)

        if self._database.driver.writes_at_once and not change.requires:
            effect = change.effect(0 if isinstance(change, DeleteAlias) else None)  # type: ignore[arg-type]
            event = events.event_values(effect, by, now) | outbox.values_of(change)
            if self._wrote(at_once, values | event):
                return
        if not self._database.transaction(delete_in_turn, model=change.name):
            self._unchanged(change)

    def _wrote(self, at_once: Statement, values: Values) -> bool:
        """Whether one statement has made the change and noted it."""
        try:
            return bool(self._database.write(at_once, values))
        except ChangedMeanwhileError:
            return False

    # What transactions have in common

    def _begin(
        self,
        connection: Connection,
        change: _OfPart,
        owner: Statement,
        values: Values,
        missing: Callable[[], RegistryError],
    ) -> None:
        """Lock the model, so that what the change depends on stays as it is, and check it."""
        if self._database.driver.has_one_writer and not change.requires:
            return
        if not connection.run(self._sql.lock_model, {"name": change.name}):
            raise missing()
        if change.requires:
            if not connection.run(owner, values):
                raise missing()
            self._check(connection, change.requires)

    def _note_version(
        self,
        connection: Connection,
        change: UpdateVersion | FinalizeVersion,
        effects: list[Effect],
        by: Author,
        now: int,
    ) -> dict[str, Any]:
        """Add the events of a change, and check what it requires; all is undone if it fails."""
        try:
            noted = self._note(connection, change.name, effects, by, now)
        except RegisteredModelNotFoundError as error:
            raise ModelVersionNotFoundError(change.name, change.version) from error
        self._check(connection, change.requires)
        return noted

    def _check(self, connection: Connection, requirements: Iterable[Requirement]) -> None:
        for requirement in requirements:
            requirement.check(self._current(connection, requirement))

    def _current(self, connection: Connection, requirement: Requirement) -> Any:
        match requirement:
            case AliasIs():
                values = {"name": requirement.name, "alias": requirement.alias}
                found = connection.run(self._sql.get_alias, values)
            case StageIs():
                values = version_key(requirement.name, requirement.version)
                found = connection.run(self._sql.get_stage, values)
                if not found:
                    raise ModelVersionNotFoundError(requirement.name, requirement.version)
            case TagIs(version=None):
                values = {"name": requirement.name, "key": requirement.key}
                found = connection.run(self._sql.get_model_tag, values)
            case TagIs(version=int(version)):
                values = version_key(requirement.name, version) | {"key": requirement.key}
                found = connection.run(self._sql.get_version_tag, values)
            case _:
                raise UnsupportedBackendError(f"A database cannot check {type(requirement)}")
        return found[0][0] if found else None

    def _note(
        self, connection: Connection, name: str, effects: list[Effect], by: Author, now: int
    ) -> dict[str, Any]:
        """Add the events of a change to its transaction, which locks the model.

        Returns what `_queue` needs to know of the last one.
        """
        if self._database.driver.writes_at_once and len(effects) == 1:
            event = events.event_values(effects[0], by, now)
            event["name"] = name
            found = connection.run(self._sql.note_event, event)
            if not found:
                raise RegisteredModelNotFoundError(name)
            sequence, model_id, is_heard = found[0]
            return _noted(name, model_id, sequence, now, is_heard)
        numbers = {"name": name, "count": len(effects)}
        taken = connection.run(self._sql.take_numbers, numbers)
        if not taken:
            raise RegisteredModelNotFoundError(name)
        model_id, last, is_heard = taken[0]
        noted = _noted(name, model_id, last, now, is_heard)
        if len(effects) == 1:
            values = events.event_values(effects[0], by, now)
            connection.run(self._sql.add_event, values | noted)
            return noted
        common = events.author_values(by, now) | {"name": name, "model_id": model_id}
        listed = events.events_value(effects, first=last - len(effects) + 1)
        connection.run(self._sql.add_events, common | {"events": listed})
        return noted

    def _add_event(self, connection: Connection, values: dict[str, Any]) -> None:
        """Add an event whose number is known, and queue it for those who want to be told."""
        connection.run(self._sql.add_event, values)
        self._queue(connection, values, {})

    def _queue(
        self, connection: Connection, noted: dict[str, Any], told: Mapping[str, Any]
    ) -> None:
        """Queue an event of this transaction for those who want to be told."""
        values = {**noted, **told}
        if values["is_heard"] and values["topic_of_prompt"] is not None:
            connection.run(self._sql.queue_event, values)

    def _model(self, connection: Connection, name: str) -> RegisteredModel:
        return rows.registered_model(connection.run(self._sql.get_model, {"name": name})[0])

    def _version(self, connection: Connection, values: Values) -> ModelVersion:
        """The version; when there is none, the transaction is undone."""
        found = connection.run(self._sql.get_version, values)
        if not found:
            raise ModelVersionNotFoundError(values["name"], values["asked_version"])
        return rows.model_version(found[0])

    _MAKERS: ClassVar[Mapping[type[Change[Any]], Callable[[Any, Any, Author], Any]]] = {
        CreateModel: _create_model,
        UpdateModel: _update_model,
        RenameModel: _rename_model,
        DeleteModel: _delete_model,
        CreateVersion: _create_version,
        UpdateVersion: _update_version,
        FinalizeVersion: _finalize_version,
        TransitionVersion: _transition_version,
        DeleteVersion: _delete_version,
        SetAlias: _set_alias,
        DeleteAlias: _delete_alias,
        SetModelTag: _set_model_tag,
        DeleteModelTag: _delete_model_tag,
        SetVersionTag: _set_version_tag,
        DeleteVersionTag: _delete_version_tag,
    }
    """What makes each class of change."""


class _OfModel(Protocol):
    """A change that names its model."""

    @property
    def name(self) -> str: ...


class _OfPart(_OfModel, Protocol):
    """A change of a tag or an alias."""

    @property
    def requires(self) -> tuple[Requirement, ...]: ...


class _OfVersion(_OfModel, Protocol):
    """A change that is about one version."""

    @property
    def version(self) -> int: ...


def _version(change: _OfVersion) -> dict[str, Any]:
    return version_key(change.name, change.version)


def version_key(name: str, version: int) -> dict[str, Any]:
    """The values that name a version."""
    return {"name": name, "version": events.stored_version(version), "asked_version": version}


def _noted(name: str, model_id: str, sequence: int, now: int, is_heard: Any) -> dict[str, Any]:
    """What `Making._queue` needs to know of an event."""
    return {
        "name": name,
        "model_id": model_id,
        "sequence": sequence,
        "event_time": now,
        "is_heard": is_heard,
    }


def _missing(change: _OfModel) -> RegistryError:
    version = getattr(change, "version", None)
    if version is None:
        return RegisteredModelNotFoundError(change.name)
    return ModelVersionNotFoundError(change.name, version)


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
