"""A `Store` in SQLite or PostgreSQL.

Strategy for races: whatever has to be ordered with other changes of its model starts by updating
the model's row, whose lock the database then holds to the end of the transaction; each statement
after that sees everything committed before (PostgreSQL runs READ COMMITTED, SQLite has one writer).
Tags and aliases do not take that lock: foreign keys see to it that none is left on a version or
model that another transaction removes or renames meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from registry_core import validation
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    RegistryError,
    WebhookNotFoundError,
)
from registry_core.fsck import GRACE_SECONDS, Report
from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    NewWebhook,
    RegisteredModel,
    Stage,
    Status,
    Webhook,
    WebhookChanges,
)
from registry_core.search import Page, Query, paging
from registry_core.store import Clock, system_clock
from registry_core.stores import documents
from registry_core.stores.sql import rows, searches
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Connection, Database, Row, Values
from registry_core.stores.sql.errors import DuplicateError, MissingParentError
from registry_core.stores.sql.fsck import SqlFsck
from registry_core.stores.sql.operations import Operations, settled
from registry_core.stores.sql.results import CutRows
from registry_core.stores.sql.statements import statements


class SqlStore:
    """See `registry_core.store.Store`."""

    def __init__(self, database: Database, *, clock: Clock = system_clock) -> None:
        self._database = database
        self._clock = clock
        self._sql = statements(database.driver.dialect, database.driver.insert)
        self._operations = Operations(database, self._sql)

    @property
    def reads_pause(self) -> bool:
        """See `ReadsAtOnce`."""
        return self._database.driver.waits_for_sockets

    # Registered models

    def create_registered_model(self, new: NewRegisteredModel) -> RegisteredModel:
        """See `Store`."""
        now = self._clock()
        values = {
            "name": new.name,
            "name_folded": rows.folded(new.name),
            "description": new.description,
            "deployment_job_id": new.deployment_job_id,
            "now": now,
            "tags": rows.tag_rows(new.tags),
        }

        if not self._create_model(values, has_tags=bool(new.tags)):
            raise self._taken(new)
        return rows.created_model(new, now)

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

    def update_registered_model(self, name: str, *, description: str | None) -> RegisteredModel:
        """See `Store`."""
        values = {"name": name, "description": description, "now": self._clock()}

        def change(connection: Connection) -> RegisteredModel:
            if not connection.run(self._sql.update_model, values):
                raise RegisteredModelNotFoundError(name)
            return self._model(connection, name)

        return self._database.transaction(change, model=name)

    def rename_registered_model(self, name: str, *, new_name: str) -> RegisteredModel:
        """See `Store`."""
        values = {
            "name": name,
            "new_name": new_name,
            "name_folded": rows.folded(new_name),
            "now": self._clock(),
        }

        def change(connection: Connection) -> RegisteredModel:
            if not connection.run(self._sql.rename_model, values):
                raise RegisteredModelNotFoundError(name)
            connection.run(self._sql.touch_versions, {"name": new_name, "now": values["now"]})
            return self._model(connection, new_name)

        try:
            return self._database.transaction(change, model=name)
        except DuplicateError as error:
            raise AlreadyExistsError(new_name) from error

    def delete_registered_model(self, name: str) -> None:
        """See `Store`."""
        if not self._database.write(self._sql.delete_model, {"name": name}):
            raise RegisteredModelNotFoundError(name)

    # Model versions

    def create_model_version(self, new: NewModelVersion) -> ModelVersion:
        """See `Store`."""
        now = self._clock()
        values = rows.new_version(new, now)
        if self._database.driver.writes_at_once:
            created = self._operations.run(self._sql.create_version_at_once, values)
        else:
            created = self._database.transaction(
                lambda connection: self._create_version(connection, values), model=new.name
            )
        if not created:
            raise RegisteredModelNotFoundError(new.name)
        return new.created(created[0][0], now=now)

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `Store`."""
        found = self._database.read(self._sql.get_version, _version(name, version))
        if not found:
            raise ModelVersionNotFoundError(name, version)
        return rows.model_version(found[0])

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """See `Store`."""
        found = self._search(query)
        versions = [rows.model_version(row) for row in found]
        return paging.page(query, versions, is_cut=isinstance(found, CutRows))

    def update_model_version(
        self, name: str, version: int, *, description: str | None
    ) -> ModelVersion:
        """See `Store`."""
        values = _version(name, version) | {"description": description, "now": self._clock()}
        return self._database.transaction(
            lambda connection: self._change_version(connection, values, self._sql.update_version),
            model=name,
        )

    def finalize_model_version(
        self,
        name: str,
        version: int,
        *,
        status: Status,
        status_message: str | None = None,
        source: str | None = None,
        storage_location: str | None = None,
    ) -> ModelVersion:
        """See `Store`."""
        values = _version(name, version) | {
            "pending": Status.PENDING_REGISTRATION.value,
            "status": status.value,
            "status_message": status_message,
            "source": source,
            "source_folded": rows.folded(source),
            "storage_location": storage_location,
            "now": self._clock(),
        }

        def change(connection: Connection) -> ModelVersion:
            changed = connection.run(self._sql.finalize_version, values)
            found = self._version(connection, values)
            if not changed:
                raise documents.not_pending(found)
            return found

        return self._database.transaction(change, model=name)

    def transition_model_version_stage(
        self, name: str, version: int, *, stage: Stage, archive_existing_versions: bool
    ) -> ModelVersion:
        """See `Store`."""
        move = (
            self._sql.transition_and_archive if archive_existing_versions else self._sql.transition
        )
        values = _version(name, version) | {"stage": stage.value, "now": self._clock()}
        return self._database.transaction(
            lambda connection: self._change_version(
                connection, values, self._sql.touch_model, move
            ),
            model=name,
        )

    def delete_model_version(self, name: str, version: int) -> None:
        """See `Store`."""
        values = _version(name, version) | {"now": self._clock()}

        def delete(connection: Connection) -> None:
            connection.run(self._sql.touch_model, values)
            if not connection.run(self._sql.delete_version, values):
                raise ModelVersionNotFoundError(name, version)

        self._database.transaction(delete, model=name)

    # Aliases

    def set_registered_model_alias(self, name: str, alias: str, *, version: int) -> None:
        """See `Store`."""
        values = _version(name, version) | {"alias": alias}
        self._put_part(
            self._sql.set_alias,
            values,
            owner=(self._sql.lock_model, self._sql.version_exists),
            missing=lambda: ModelVersionNotFoundError(name, version),
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

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """See `Store`."""
        self._delete_part(self._sql.delete_alias, {"name": name, "alias": alias})

    # Tags

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        """See `Store`."""
        self._put_part(
            self._sql.set_model_tag,
            {"name": name} | rows.tag_to_set(key, value),
            owner=(self._sql.lock_model,),
            missing=lambda: RegisteredModelNotFoundError(name),
            too_many=validation.too_many_tags,
        )

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """See `Store`."""
        self._delete_part(self._sql.delete_model_tag, {"name": name, "key": key})

    def set_model_version_tag(self, name: str, version: int, key: str, value: str) -> None:
        """See `Store`."""
        self._put_part(
            self._sql.set_version_tag,
            _version(name, version) | rows.tag_to_set(key, value),
            owner=(self._sql.lock_version,),
            missing=lambda: ModelVersionNotFoundError(name, version),
            too_many=validation.too_many_tags,
        )

    def delete_model_version_tag(self, name: str, version: int, key: str) -> None:
        """See `Store`."""
        self._delete_part(
            self._sql.delete_version_tag, _version(name, version) | {"key": key}, version
        )

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

    def _create_model(self, values: Values, *, has_tags: bool) -> list[Row]:
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

    def _create_version(self, connection: Connection, values: dict[str, Any]) -> list[Row]:
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


def _version(name: str, version: int) -> dict[str, Any]:
    # Numbers beyond the column's range are as absent as the first beyond ours.
    within = min(max(version, 0), validation.VERSION_MAX + 1)
    return {"name": name, "version": within, "asked_version": version}
