"""What makes changes of registered models."""

from __future__ import annotations

from typing import Any

from registry_core import validation
from registry_core.authors import Author
from registry_core.changes import (
    CreateModel,
    DeleteModel,
    RenameModel,
    UpdateModel,
)
from registry_core.errors import (
    AlreadyExistsError,
    RegisteredModelNotFoundError,
)
from registry_core.history import Action, Effect
from registry_core.idempotency import KeptKey
from registry_core.models import NewRegisteredModel, RegisteredModel
from registry_core.stores.sql import events, rows
from registry_core.stores.sql.driver import Connection
from registry_core.stores.sql.errors import DuplicateError
from registry_core.stores.sql.makers.base import Maker, makes
from registry_core.stores.sql.results import Row


class ModelMaker(Maker):
    """Makes changes of registered models."""

    @makes(CreateModel)
    def create_model(self, change: CreateModel, by: Author) -> RegisteredModel:
        """See `Making`."""
        new, now = change.new, self._clock()
        created = new.created(now=now)
        values = rows.to_create(created)
        values |= events.event_values(change.effect(created), by, now)
        values["model_id"] = change.model_id
        made = self._once(change, lambda keyed: self._insert_model(change, keyed), values, by, now)
        if isinstance(made, KeptKey):
            records = self._database.read(self._sql.get_model, {"name": new.name})
            there = rows.registered_model(records[0]) if records else None
            return change.made_before(made, there)
        if not made:
            raise self._taken(new)
        return created

    def _insert_model(self, change: CreateModel, values: dict[str, Any]) -> list[Row]:
        """A row if the name was free."""
        sql, has_tags = self._sql, bool(change.new.tags)
        if self._database.driver.writes_in_one_statement:
            forms = (sql.create_model_direct, sql.create_model_queueing)
            if has_tags:
                forms = (sql.create_tagged_model_direct, sql.create_tagged_model_queueing)
            return self._created(change, forms, values)

        def create(connection: Connection) -> list[Row]:
            if not self._changes(connection, sql.create_model, values):
                return []
            if has_tags:
                connection.run(sql.create_model_tags, values)
            ((has_webhooks,),) = connection.run_once(sql.has_webhooks)
            noted = {"sequence": 1, "has_webhooks": has_webhooks}
            self._add_event(connection, change, {**values, **noted})
            if values["idempotency_key"] is not None:
                return [self._operations.keep(connection, None, values)]
            return [(None,)]

        return self._database.transaction(create)

    def _taken(self, new: NewRegisteredModel) -> AlreadyExistsError:
        return AlreadyExistsError(
            new.name,
            existing_is_prompt=bool(self._database.read(self._sql.prompt_tags, {"name": new.name})),
            wanted_prompt=validation.PROMPT_TAG in new.tags,
        )

    @makes(UpdateModel)
    def update_model(self, change: UpdateModel, by: Author) -> RegisteredModel:
        """See `Making`."""
        now = self._clock()
        values = {"name": change.name, "description": change.description, "now": now}
        effect = Effect(action=Action.UPDATE_MODEL, after=change.description or None)

        def update(connection: Connection) -> RegisteredModel:
            if not connection.run(self._sql.update_model, values):
                raise RegisteredModelNotFoundError(change.name)
            self._check(connection, change.requires)
            noted = self._note(connection, change.name, [effect], by, now)
            self._queue(connection, change, noted)
            return self._model(connection, change.name)

        return self._database.transaction(update, model=change.name)

    @makes(RenameModel)
    def rename_model(self, change: RenameModel, by: Author) -> RegisteredModel:
        """See `Making`."""
        name, new_name, now = change.name, change.new_name, self._clock()
        values = {
            "name": name,
            "new_name": new_name,
            "name_folded": rows.folded(new_name),
            "now": now,
        }

        def rename(connection: Connection) -> RegisteredModel:
            if change.requires and not connection.run(self._sql.lock_model, values):
                raise RegisteredModelNotFoundError(name)
            decided = self._check(connection, change.requires)
            # The event has the name that the model had.
            noted = self._note(connection, name, [*decided, *change.effects()], by, now)
            if not connection.run(self._sql.rename_model, values):
                raise RegisteredModelNotFoundError(name)
            connection.run(self._sql.touch_versions, {"name": new_name, "now": now})
            self._queue(connection, change, noted | {"name": new_name})
            return self._model(connection, new_name)

        try:
            return self._database.transaction(rename, model=name)
        except DuplicateError as error:
            raise AlreadyExistsError(new_name) from error

    @makes(DeleteModel)
    def delete_model(self, change: DeleteModel, by: Author) -> None:
        """See `Making`."""
        values, now = {"name": change.name}, self._clock()
        (effect,) = change.effects()
        if self._database.driver.writes_in_one_statement and not change.requires:
            forms = (self._sql.delete_model_direct, self._sql.delete_model_queueing)
            if self._wrote(change, forms, values | events.event_values(effect, by, now)):
                return

        def delete(connection: Connection) -> None:
            noted = self._note(connection, change.name, [effect], by, now)
            self._check(connection, change.requires)
            # While it has tags that say what it is.
            self._queue(connection, change, noted)
            connection.run(self._sql.delete_model, values)

        self._database.transaction(delete, model=change.name)
