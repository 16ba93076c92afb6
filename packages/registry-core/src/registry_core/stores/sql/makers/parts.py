"""What makes changes of aliases and tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from registry_core import validation
from registry_core.authors import Author
from registry_core.changes import (
    Change,
    DeleteAlias,
    DeleteModelTag,
    DeleteVersionTag,
    SetAlias,
    SetModelTag,
    SetVersionTag,
)
from registry_core.errors import RegistryError
from registry_core.history import Effect
from registry_core.outbox import Unchanged
from registry_core.store import Clock
from registry_core.stores.sql import events, rows
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.driver import Connection
from registry_core.stores.sql.errors import (
    MissingParentError,
)
from registry_core.stores.sql.makers.base import Maker, WriteForms, key_of, makes, missing_error
from registry_core.stores.sql.results import Row
from registry_core.stores.sql.statements import Statements


class _Part(NamedTuple):
    """What sets one kind of tag or alias, and how it is refused."""

    put: Statement
    forms: WriteForms
    """They set the part and note the event; see `parts`."""
    get: Statement
    owner: Statement
    too_many: Callable[[], RegistryError]


def _kinds(sql: Statements) -> Mapping[type[Change[None]], _Part]:
    """What sets each kind of tag or alias, by the class of the change."""
    return {
        SetAlias: _Part(
            put=sql.set_alias,
            forms=(sql.set_alias_direct, sql.set_alias_queueing),
            get=sql.get_alias,
            owner=sql.version_exists,
            too_many=validation.too_many_aliases,
        ),
        SetModelTag: _Part(
            put=sql.set_model_tag,
            forms=(sql.set_model_tag_direct, sql.set_model_tag_queueing),
            get=sql.get_model_tag,
            owner=sql.model_exists,
            too_many=validation.too_many_tags,
        ),
        SetVersionTag: _Part(
            put=sql.set_version_tag,
            forms=(sql.set_version_tag_direct, sql.set_version_tag_queueing),
            get=sql.get_version_tag,
            owner=sql.version_exists,
            too_many=validation.too_many_tags,
        ),
    }


class PartMaker(Maker):
    """Makes changes of aliases and tags."""

    def __init__(
        self, database: Database, sql: Statements, clock: Clock, unchanged: Unchanged
    ) -> None:
        super().__init__(database, sql, clock, unchanged)
        self._kinds = _kinds(sql)

    @makes(SetAlias)
    def set_alias(self, change: SetAlias, by: Author) -> None:
        """See `Making`."""
        self._put_part(change, by, {**key_of(change), "alias": change.alias})

    @makes(SetModelTag)
    def set_model_tag(self, change: SetModelTag, by: Author) -> None:
        """See `Making`."""
        tag = rows.tag_to_set(change.key, change.value)
        self._put_part(change, by, {"name": change.name, **tag})

    @makes(SetVersionTag)
    def set_version_tag(self, change: SetVersionTag, by: Author) -> None:
        """See `Making`."""
        tag = rows.tag_to_set(change.key, change.value)
        self._put_part(change, by, {**key_of(change), **tag})

    def _put_part(
        self,
        change: SetAlias | SetModelTag | SetVersionTag,
        by: Author,
        values: dict[str, Any],
    ) -> None:
        """Set a tag or alias, where its owner has room for it.

        Strategy: without a lock, those who set parts of one owner at the same moment do not see
        each other's. So one statement does it while the owner has less than half of what it may
        have: so many do not meet in one moment. Nearer to the limit, and where something is
        required, the model's row is locked before anything is read.
        """
        part, now = self._kinds[type(change)], self._clock()
        # What it was before is said by the event before it.
        effect = change.effect(None)

        def put_in_turn(connection: Connection) -> bool:
            room = {**values, **rows.ROOM}
            decided = self._begin(connection, change, part.owner, room)
            if self._changes(connection, part.put, room):
                noted = self._note(connection, change.name, [*decided, effect], by, now)
                self._queue(connection, change, noted)
                return True
            if not _is_so(connection.run(part.get, room), effect):
                raise part.too_many() if connection.run(part.owner, room) else missing_error(change)
            return False

        has_changed: bool | None = None
        try:
            if self._database.driver.writes_in_one_statement and not change.requires:
                event = events.event_values(effect, by, now)
                sent = {**values, **rows.HALF_ROOM, **event}
                has_changed = self._wrote(change, part.forms, sent)
            if has_changed is None:
                has_changed = self._database.transaction(put_in_turn, model=change.name)
        except MissingParentError as error:
            raise missing_error(change) from error
        if not has_changed:
            self._unchanged(change)

    @makes(DeleteAlias)
    def delete_alias(self, change: DeleteAlias, by: Author) -> None:
        """See `Making`."""
        values = {"name": change.name, "alias": change.alias}
        sql = self._sql
        forms = (sql.delete_alias_direct, sql.delete_alias_queueing)
        self._delete_part(change, by, values, sql=(sql.delete_alias, forms), owner=sql.model_exists)

    @makes(DeleteModelTag)
    def delete_model_tag(self, change: DeleteModelTag, by: Author) -> None:
        """See `Making`."""
        values = {"name": change.name, "key": change.key}
        sql = self._sql
        forms = (sql.delete_model_tag_direct, sql.delete_model_tag_queueing)
        self._delete_part(
            change, by, values, sql=(sql.delete_model_tag, forms), owner=sql.model_exists
        )

    @makes(DeleteVersionTag)
    def delete_version_tag(self, change: DeleteVersionTag, by: Author) -> None:
        """See `Making`."""
        values = key_of(change) | {"key": change.key}
        sql = self._sql
        forms = (sql.delete_version_tag_direct, sql.delete_version_tag_queueing)
        self._delete_part(
            change, by, values, sql=(sql.delete_version_tag, forms), owner=sql.version_exists
        )

    def _delete_part(
        self,
        change: DeleteAlias | DeleteModelTag | DeleteVersionTag,
        by: Author,
        values: dict[str, Any],
        *,
        sql: tuple[Statement, WriteForms],
        owner: Statement,
    ) -> None:
        """Delete a tag or alias. It need not exist, but its owner must."""
        delete, forms = sql
        now = self._clock()

        def delete_in_turn(connection: Connection) -> bool:
            decided = self._begin(connection, change, owner, values)
            gone = connection.run(delete, values)
            if gone:
                effects = [*decided, change.effect(gone[0][1])]
                noted = self._note(connection, change.name, effects, by, now)
                self._queue(connection, change, noted)
            elif not connection.run(owner, values):
                raise missing_error(change)
            return bool(gone)

        if self._database.driver.writes_in_one_statement and not change.requires:
            effect = change.effect(0 if isinstance(change, DeleteAlias) else None)  # type: ignore[arg-type]
            event = events.event_values(effect, by, now)
            if self._wrote(change, forms, values | event):
                return
        if not self._database.transaction(delete_in_turn, model=change.name):
            self._unchanged(change)


def _is_so(rows: list[Row], effect: Effect) -> bool:
    """Whether a tag or alias that was read is what the change would make of it."""
    return bool(rows) and rows[0][0] == effect.after
