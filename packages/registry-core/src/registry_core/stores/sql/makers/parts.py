"""What makes changes of aliases and tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from registry_core import validation
from registry_core.authors import Author
from registry_core.changes import (
    DeleteAlias,
    DeleteModelTag,
    DeleteVersionTag,
    SetAlias,
    SetModelTag,
    SetVersionTag,
)
from registry_core.errors import (
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    RegistryError,
)
from registry_core.stores.sql import events, outbox, rows
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.driver import Connection, Values
from registry_core.stores.sql.errors import (
    ChangedMeanwhileError,
    MissingParentError,
)
from registry_core.stores.sql.makers.base import (
    Maker,
    key_of,
    missing_error,
)


class PartMaker(Maker):
    """Makes changes of aliases and tags."""

    def set_alias(self, change: SetAlias, by: Author) -> None:
        """See `Making`."""
        self._put_part(
            change,
            by,
            key_of(change) | {"alias": change.alias},
            sql=(self._sql.set_alias, self._sql.set_alias_at_once, self._sql.get_alias),
            owner=self._sql.version_exists,
            missing=lambda: ModelVersionNotFoundError(change.name, change.version),
            too_many=validation.too_many_aliases,
        )

    def set_model_tag(self, change: SetModelTag, by: Author) -> None:
        """See `Making`."""
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

    def set_version_tag(self, change: SetVersionTag, by: Author) -> None:
        """See `Making`."""
        sql = self._sql
        self._put_part(
            change,
            by,
            key_of(change) | rows.tag_to_set(change.key, change.value),
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

    def delete_alias(self, change: DeleteAlias, by: Author) -> None:
        """See `Making`."""
        values = {"name": change.name, "alias": change.alias}
        sql = (self._sql.delete_alias, self._sql.delete_alias_at_once)
        self._delete_part(change, by, values, sql=sql, owner=self._sql.model_exists)

    def delete_model_tag(self, change: DeleteModelTag, by: Author) -> None:
        """See `Making`."""
        values = {"name": change.name, "key": change.key}
        sql = (self._sql.delete_model_tag, self._sql.delete_model_tag_at_once)
        self._delete_part(change, by, values, sql=sql, owner=self._sql.model_exists)

    def delete_version_tag(self, change: DeleteVersionTag, by: Author) -> None:
        """See `Making`."""
        values = key_of(change) | {"key": change.key}
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
            self._begin(connection, change, owner, values, lambda: missing_error(change))
            gone = connection.run(delete, values)
            if gone:
                effects = [change.effect(gone[0][1])]
                noted = self._note(connection, change.name, effects, by, now)
                self._queue(connection, noted, outbox.values_of(change))
            elif not connection.run(owner, values):
                raise missing_error(change)
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
