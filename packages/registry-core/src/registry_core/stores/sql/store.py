"""A `Store` in SQLite or PostgreSQL.

Strategy for races: whatever has to be ordered with other changes of its model starts by updating
the model's row, whose lock the database then holds to the end of the transaction; each statement
after that sees everything committed before (PostgreSQL runs READ COMMITTED, SQLite has one writer).
Tags and aliases do not take that lock: foreign keys see to it that none is left on a version or
model that another transaction removes or renames meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    AliasNotFoundError,
    AlreadyExistsError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    RegistryError,
    UnsupportedBackendError,
    WebhookNotFoundError,
)
from registry_core.fsck import GRACE_SECONDS, Report
from registry_core.inloop import LoopReads
from registry_core.models import (
    ModelVersion,
    NewRegisteredModel,
    NewWebhook,
    RegisteredModel,
    Status,
    Webhook,
    WebhookChanges,
)
from registry_core.search import Page, Query, paging
from registry_core.store import Clock, system_clock
from registry_core.stores.sql import rows, searches
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Connection, Database, Row, Values
from registry_core.stores.sql.errors import DuplicateError, MissingParentError
from registry_core.stores.sql.fsck import SqlFsck
from registry_core.stores.sql.operations import Operations, settled
from registry_core.stores.sql.results import CutRows
from registry_core.stores.sql.statements import statements

ResultT = TypeVar("ResultT")


class SqlStore:
    """See `registry_core.store.Store`."""

    def __init__(self, database: Database, *, clock: Clock = system_clock) -> None:
        self._database = database
        self._clock = clock
        self._sql = statements(database.driver.dialect, database.driver.insert)
        self._operations = Operations(database, self._sql)

    def loop_reads(self) -> LoopReads | None:
        """See `inloop.loop_reads_of`."""
        return self._database.driver.loop_reads

    def apply(self, change: Change[ResultT], *, by: Author) -> ResultT:  # noqa: ARG002 kept with history
        """See `Store`."""
        make = self._MAKERS.get(type(change))
        if make is None:
            raise UnsupportedBackendError(f"A database cannot make the change {type(change)}")
        result: ResultT = make(self, change)
        return result

    # Registered models

    def _create_model(self, change: CreateModel) -> RegisteredModel:
        new, now = change.new, self._clock()
        values = rows.new_model(new, now)
        if not self._insert_model(values, has_tags=bool(new.tags)):
            raise self._taken(new)
        return new.created(now=now)

    def get_registered_model(self, name: str) -> RegisteredModel:
        """See `Store`."""
        found = self._database.read(self._sql.get_model, {"name": name})
        if not found:
            raise RegisteredModelNotFoundError(name)
        return rows.registered_model(found[0])

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        """See `Store`."""
        found = self._search(query)
        models = [rows.registered_model(row) for row in found]
        return paging.page(query, models, is_cut=isinstance(found, CutRows))

    def _update_model(self, change: UpdateModel) -> RegisteredModel:
        values = {"name": change.name, "description": change.description, "now": self._clock()}

        def update(connection: Connection) -> RegisteredModel:
            if not connection.run(self._sql.update_model, values):
                raise RegisteredModelNotFoundError(change.name)
            return self._model(connection, change.name)

        return self._database.transaction(update, model=change.name)

    def _rename_model(self, change: RenameModel) -> RegisteredModel:
        name, new_name = change.name, change.new_name
        values = {
            "name": name,
            "new_name": new_name,
            "name_folded": rows.folded(new_name),
            "now": self._clock(),
        }

        def rename(connection: Connection) -> RegisteredModel:
            if not connection.run(self._sql.rename_model, values):
                raise RegisteredModelNotFoundError(name)
            connection.run(self._sql.touch_versions, {"name": new_name, "now": values["now"]})
            return self._model(connection, new_name)

        try:
            return self._database.transaction(rename, model=name)
        except DuplicateError as error:
            raise AlreadyExistsError(new_name) from error

    def _delete_model(self, change: DeleteModel) -> None:
        if not self._database.write(self._sql.delete_model, {"name": change.name}):
            raise RegisteredModelNotFoundError(change.name)

    # Model versions

    def _create_version(self, change: CreateVersion) -> ModelVersion:
        new, now = change.new, self._clock()
        values = rows.new_version(new, now)
        if self._database.driver.writes_at_once:
            created = self._operations.run(self._sql.create_version_at_once, values)
        else:
            created = self._database.transaction(
                lambda connection: self._insert_version(connection, values), model=new.name
            )
        if not created:
            raise RegisteredModelNotFoundError(new.name)
        return new.created(created[0][0], now=now)

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `Store`."""
        found = self._database.read(self._sql.get_version, _version_key(name, version))
        if not found:
            raise ModelVersionNotFoundError(name, version)
        return rows.model_version(found[0])

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """See `Store`."""
        found = self._search(query)
        versions = [rows.model_version(row) for row in found]
        return paging.page(query, versions, is_cut=isinstance(found, CutRows))

    def _update_version(self, change: UpdateVersion) -> ModelVersion:
        values = _version(change) | {"description": change.description, "now": self._clock()}
        return self._database.transaction(
            lambda connection: self._change_version(connection, values, self._sql.update_version),
            model=change.name,
        )

    def _finalize_version(self, change: FinalizeVersion) -> ModelVersion:
        values = _version(change) | {
            "pending": Status.PENDING_REGISTRATION.value,
            "status": change.status.value,
            "status_message": change.status_message,
            "source": change.source,
            "source_folded": rows.folded(change.source),
            "storage_location": change.storage_location,
            "now": self._clock(),
        }

        def finalize(connection: Connection) -> ModelVersion:
            changed = connection.run(self._sql.finalize_version, values)
            found = self._version(connection, values)
            if not changed:
                raise documents.not_pending(found)
            return found

        return self._database.transaction(finalize, model=change.name)

    def _transition_version(self, change: TransitionVersion) -> ModelVersion:
        move = (
            self._sql.transition_and_archive
            if change.archive_existing_versions
            else self._sql.transition
        )
        values = _version(change) | {"stage": change.stage.value, "now": self._clock()}
        return self._database.transaction(
            lambda connection: self._change_version(
                connection, values, self._sql.touch_model, move
            ),
            model=change.name,
        )

    def _delete_version(self, change: DeleteVersion) -> None:
        values = _version(change) | {"now": self._clock()}

        def delete(connection: Connection) -> None:
            connection.run(self._sql.touch_model, values)
            if not connection.run(self._sql.delete_version, values):
                raise ModelVersionNotFoundError(change.name, change.version)

        self._database.transaction(delete, model=change.name)

    # Aliases

    def _set_alias(self, change: SetAlias) -> None:
        self._put_part(
            self._sql.set_alias,
            _version(change) | {"alias": change.alias},
            owner=(self._sql.lock_model, self._sql.version_exists),
            missing=lambda: ModelVersionNotFoundError(change.name, change.version),
            too_many=validation.too_many_aliases,
        )

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `Store`."""
        found = self._database.read(self._sql.get_version_by_alias, {"name": name, "alias": alias})
        if not found:
            raise RegisteredModelNotFoundError(name)
        if found[0][0] is None:
            raise AliasNotFoundError(name, alias)
        return rows.model_version(found[0])

    def _delete_alias(self, change: DeleteAlias) -> None:
        values = {"name": change.name, "alias": change.alias}
        self._delete_part(self._sql.delete_alias, values)

    # Tags

    def _set_model_tag(self, change: SetModelTag) -> None:
        self._put_part(
            self._sql.set_model_tag,
            {"name": change.name} | rows.tag_to_set(change.key, change.value),
            owner=(self._sql.lock_model,),
            missing=lambda: RegisteredModelNotFoundError(change.name),
            too_many=validation.too_many_tags,
        )

    def _delete_model_tag(self, change: DeleteModelTag) -> None:
        values = {"name": change.name, "key": change.key}
        self._delete_part(self._sql.delete_model_tag, values)

    def _set_version_tag(self, change: SetVersionTag) -> None:
        self._put_part(
            self._sql.set_version_tag,
            _version(change) | rows.tag_to_set(change.key, change.value),
            owner=(self._sql.lock_version,),
            missing=lambda: ModelVersionNotFoundError(change.name, change.version),
            too_many=validation.too_many_tags,
        )

    def _delete_version_tag(self, change: DeleteVersionTag) -> None:
        values = _version(change) | {"key": change.key}
        self._delete_part(self._sql.delete_version_tag, values, change.version)

    _MAKERS: ClassVar[Mapping[type[Change[Any]], Callable[[Any, Any], Any]]] = {
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

    # Webhooks

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """See `Store`."""
        created = documents.create_webhook(new, self._clock())
        values = rows.webhook_values(created)
        # Its id is its own: no second one can be created.
        settled(
            lambda: self._database.write(self._sql.create_webhook, values),
            lambda: self._database.read(self._sql.get_webhook, values),
        )
        return created

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `Store`."""
        found = self._database.read(self._sql.get_webhook, {"webhook_id": webhook_id})
        if not found:
            raise WebhookNotFoundError(webhook_id)
        return rows.webhook(found[0])

    def list_webhooks(self) -> list[Webhook]:
        """See `Store`."""
        found = self._database.read(self._sql.list_webhooks, {})
        return documents.newest_first(rows.webhook(row) for row in found)

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """See `Store`."""
        now = self._clock()

        def change(connection: Connection) -> Webhook:
            found = connection.run(self._sql.touch_webhook, {"webhook_id": webhook_id, "now": now})
            if not found:
                raise WebhookNotFoundError(webhook_id)
            changed = documents.apply_changes(rows.webhook(found[0]), changes, now)
            connection.run(self._sql.update_webhook, rows.webhook_values(changed))
            return changed

        return self._database.transaction(change)

    def delete_webhook(self, webhook_id: str) -> None:
        """See `Store`."""
        if not self._database.write(self._sql.delete_webhook, {"webhook_id": webhook_id}):
            raise WebhookNotFoundError(webhook_id)

    # The whole

    def fsck(self, *, repair: bool = False, grace_seconds: float = GRACE_SECONDS) -> Report:
        """See `registry_core.fsck.Fsck`. Reads every row, though not every text.

        A transaction leaves nothing behind that a period of grace would be for.
        """
        del grace_seconds
        return SqlFsck(self._database).run(repair=repair)

    def ping(self) -> None:
        """See `Store`."""
        self._database.read(self._sql.ping, {})

    def close(self) -> None:
        """See `Store`."""
        self._database.close()

    def _search(self, query: Query) -> list[Row]:
        driver = self._database.driver
        values = searches.values(query, driver)
        return self._database.read(searches.statement(query, driver.dialect), values)

    def _taken(self, new: NewRegisteredModel) -> AlreadyExistsError:
        return AlreadyExistsError(
            new.name,
            existing_is_prompt=bool(self._database.read(self._sql.prompt_tags, {"name": new.name})),
            wanted_prompt=validation.PROMPT_TAG in new.tags,
        )

    def _insert_model(self, values: Values, *, has_tags: bool) -> list[Row]:
        """A row if the name was free."""
        sql = self._sql
        if self._database.driver.writes_at_once:
            once = sql.create_tagged_model_at_once if has_tags else sql.create_model_at_once
            return self._operations.run(once, values)
        if not has_tags:
            return self._database.write(sql.create_model, values)

        def create(connection: Connection) -> list[Row]:
            created = connection.run(sql.create_model, values)
            if created:
                connection.run(sql.create_model_tags, values)
            return created

        return self._database.transaction(create)

    def _model(self, connection: Connection, name: str) -> RegisteredModel:
        return rows.registered_model(connection.run(self._sql.get_model, {"name": name})[0])

    def _version(self, connection: Connection, values: Values) -> ModelVersion:
        found = connection.run(self._sql.get_version, values)
        if not found:
            raise ModelVersionNotFoundError(values["name"], values["asked_version"])
        return rows.model_version(found[0])

    def _change_version(
        self, connection: Connection, values: Values, *changes: Statement
    ) -> ModelVersion:
        """The version after the changes; when there is no such version, they are undone."""
        for change in changes:
            connection.run(change, values)
        return self._version(connection, values)

    def _insert_version(self, connection: Connection, values: dict[str, Any]) -> list[Row]:
        taken = connection.run(self._sql.take_version, values)
        if not taken:
            return []
        _, version = taken[0]
        numbered = values | {"version": version}
        connection.run(self._sql.create_version, numbered)
        connection.run(self._sql.create_version_tags, numbered)
        return [(version,)]

    def _put_part(
        self,
        put: Statement,
        values: dict[str, Any],
        *,
        owner: tuple[Statement, ...],
        missing: Callable[[], RegistryError],
        too_many: Callable[[], RegistryError],
    ) -> None:
        """Sets a tag or alias, where its owner has room for it; `owner` locks and looks at it.

        Strategy: without a lock, those who set parts of one owner at the same moment do not see
        each other's. So one statement does it while the owner has less than half of what it may
        have: so many do not meet in one moment. Nearer to the limit they take turns.
        """
        room = values | rows.room()

        def put_in_turn(connection: Connection) -> None:
            if not all(connection.run(statement, room) for statement in owner):
                raise missing()
            if not connection.run(put, room):
                raise too_many()

        one_writer = self._database.driver.has_one_writer
        try:
            if not self._database.write(put, room if one_writer else values | rows.room(half=True)):
                self._database.transaction(put_in_turn, model=values["name"])
        except MissingParentError as error:
            raise missing() from error

    def _delete_part(self, delete: Statement, values: Values, version: int | None = None) -> None:
        """Deletes a tag or alias. To delete an absent one is no error, unless its owner is absent.

        Strategy: no lock is needed to tell the two apart. When nothing was there to delete, and
        the owner exists afterwards, deleting once more leaves a moment in between at which the
        owner was there and the part was not, whatever others did meanwhile.
        """
        if self._database.write(delete, values):
            return
        owner = self._sql.model_exists if version is None else self._sql.version_exists
        if self._database.read(owner, values):
            self._database.write(delete, values)
        elif version is None:
            raise RegisteredModelNotFoundError(values["name"])
        else:
            raise ModelVersionNotFoundError(values["name"], version)


def _version_key(name: str, version: int) -> dict[str, Any]:
    # Numbers beyond the column's range are as absent as the first beyond ours.
    within = min(max(version, 0), validation.VERSION_MAX + 1)
    return {"name": name, "version": within, "asked_version": version}


class _OfVersion(Protocol):
    """A change that is about one version."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...


def _version(change: _OfVersion) -> dict[str, Any]:
    return _version_key(change.name, change.version)
