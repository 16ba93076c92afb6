"""What makers of changes have in common: locks, requirements, events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias, TypeVar

from registry_core.authors import Author
from registry_core.changes import Change
from registry_core.changes.base import VersionChange
from registry_core.errors import (
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    RegistryError,
    UnsupportedBackendError,
)
from registry_core.gates import GatesPass
from registry_core.history import Effect
from registry_core.idempotency import KeptKey
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.outbox import Unchanged
from registry_core.requirements import AliasIs, FilesAreAt, Requirement, StageIs, TagIs
from registry_core.store import Clock
from registry_core.stores.sql import events, outbox, rows
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.driver import Connection, Values
from registry_core.stores.sql.errors import ChangedMeanwhileError, DuplicateError
from registry_core.stores.sql.makers.gates import read_for_gates, version_key
from registry_core.stores.sql.operations import Operations
from registry_core.stores.sql.results import Row
from registry_core.stores.sql.statements import Statements

WEBHOOKS_EXPECTED_SECONDS = 60.0
"""Seconds for which a process that has met an active webhook tries the statements first that queue
events. They are always right, and take a tenth longer; the others do nothing where
there is one, and have to be followed by them or by a transaction."""

WriteForms: TypeAlias = tuple[Statement, Statement]
"""PostgreSQL's statements for one change: the first does nothing where there is an active webhook,
the second queues the event."""


NO_KEY: dict[str, Any] = dict.fromkeys(("idempotency_key", "request", "kept_time"))
"""The values of what is created without an idempotency key."""


MAKERS: dict[type[Change[Any]], Callable[[Any, Any, Author], Any]] = {}
"""What makes each class of change: see `makes`."""

MakeT = TypeVar("MakeT", bound=Callable[..., Any])


def makes(*classes: type[Change[Any]]) -> Callable[[MakeT], MakeT]:
    """Say of a method that it makes the changes of these classes."""

    def register(method: MakeT) -> MakeT:
        MAKERS.update(dict.fromkeys(classes, method))
        return method

    return register


class Maker:
    """Makes changes, and notes them as events."""

    def __init__(
        self, database: Database, sql: Statements, clock: Clock, unchanged: Unchanged
    ) -> None:
        self._database = database
        self._unchanged = unchanged
        self._webhooks_until = float("-inf")
        self._clock = clock
        self._sql = sql
        self._operations = Operations(database, sql)

    def _wrote(self, change: Change[Any], forms: WriteForms, values: Values) -> bool | None:
        """Whether one statement has made the change and noted it.

        False: it says that there is nothing to change. None: it does not say why not.
        """
        try:
            queues = self._expects_webhooks()
            sent = {**values, **outbox.values_of(change)} if queues else values
            noted = self._database.write(forms[queues], sent)
        except ChangedMeanwhileError:
            return None
        return noted[0][0] is not None if noted else None

    def _created(self, change: Change[Any], forms: WriteForms, values: dict[str, Any]) -> list[Row]:
        """The row of one statement that has created something and noted it, if it could."""
        if self._expects_webhooks():
            return self._operations.run(forms[True], {**values, **outbox.values_of(change)})
        created = self._operations.run(forms[False], values)
        if not created:
            queueing = {**values, **outbox.values_of(change)}
            created = self._operations.run(forms[True], queueing)
            # What the other form did not make, and this one did, was for a webhook.
            self._remember_webhooks(has_webhooks=bool(created))
        return created

    def _once(
        self,
        change: Change[Any],
        create: Callable[[dict[str, Any]], list[Row]],
        values: dict[str, Any],
        by: Author,
        now: int,
    ) -> KeptKey | list[Row]:
        """The rows of what `create` has created, or what was kept of an earlier one.

        `create` is given the values, and those of the change's idempotency key.
        """
        key = change.idempotency
        if key is None:
            return create({**values, **NO_KEY})
        key_id = key.id(model=change.model, by=by)
        values |= {"idempotency_key": key_id, "request": key.request, "kept_time": now}
        refusal: DuplicateError | None = None
        try:
            created = create(values)
        except DuplicateError as error:
            created, refusal = [], error
        self._operations.prune()
        records = created or self._operations.kept(values)
        if not records:
            if refusal is not None:
                raise refusal
            return []
        version, request, time_ = records[0]
        if created and (request, time_) == (key.request, now):
            return created
        return KeptKey(id=key_id, request=request, time=time_, version=version)

    def _expects_webhooks(self) -> bool:
        """Whether there was an active webhook lately: a guess, of which nothing is wrong."""
        return time.monotonic() < self._webhooks_until

    def _remember_webhooks(self, *, has_webhooks: bool) -> None:
        if has_webhooks:
            self._webhooks_until = time.monotonic() + WEBHOOKS_EXPECTED_SECONDS

    def _changes(self, connection: Connection, statement: Statement, values: Values) -> bool:
        """Whether a statement that writes has changed anything."""
        if not self._database.driver.has_one_writer:
            return bool(connection.run(statement, values))
        written = connection.rows_written()
        connection.run(statement, values)
        return connection.rows_written() != written

    def _begin(
        self,
        connection: Connection,
        change: OfPart,
        owner: Statement,
        values: Values,
    ) -> list[Effect]:
        """Lock the model, so that what the change depends on stays as it is, and check it.

        Returns what the history says of what the change requires.
        """
        if self._database.driver.has_one_writer and not change.requires:
            return []
        if not connection.run(self._sql.lock_model, {"name": change.name}):
            raise missing_error(change)
        if not change.requires:
            return []
        if not connection.run(owner, values):
            raise missing_error(change)
        return self._check(connection, change.requires)

    def _note_version(
        self,
        connection: Connection,
        change: VersionChange,
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

    def _check(self, connection: Connection, requirements: Iterable[Requirement]) -> list[Effect]:
        """Accept what is required, and return what the history says of it."""
        decided: list[Effect] = []
        for requirement in requirements:
            current = self._current(connection, requirement)
            requirement.check(current)
            decided += requirement.decided(current)
        return decided

    def _current(self, connection: Connection, requirement: Requirement) -> Any:
        match requirement:
            case GatesPass():
                return read_for_gates(connection, self._sql, requirement)
            case AliasIs():
                values = {"name": requirement.name, "alias": requirement.alias}
                records = connection.run(self._sql.get_alias, values)
            case StageIs():
                values = version_key(requirement.name, requirement.version)
                records = connection.run(self._sql.get_stage, values)
                if not records:
                    raise ModelVersionNotFoundError(requirement.name, requirement.version)
            case FilesAreAt():
                values = version_key(requirement.name, requirement.version)
                return self._version(connection, values).download_uri
            case TagIs(version=None):
                values = {"name": requirement.name, "key": requirement.key}
                records = connection.run(self._sql.get_model_tag, values)
            case TagIs(version=int(version)):
                values = version_key(requirement.name, version) | {"key": requirement.key}
                records = connection.run(self._sql.get_version_tag, values)
            case _:
                raise UnsupportedBackendError(f"A database cannot check {type(requirement)}")
        return records[0][0] if records else None

    def _note(
        self, connection: Connection, name: str, effects: list[Effect], by: Author, now: int
    ) -> dict[str, Any]:
        """Add the events of a change to its transaction, which locks the model.

        Returns what `_queue` needs to know of the last one.
        """
        if self._database.driver.writes_in_one_statement and len(effects) == 1:
            event = events.event_values(effects[0], by, now)
            event["name"] = name
            records = connection.run(self._sql.note_event, event)
            if not records:
                raise RegisteredModelNotFoundError(name)
            sequence, model_id, has_webhooks = records[0]
            self._remember_webhooks(has_webhooks=has_webhooks)
            return noted_values(name, model_id, sequence, now, has_webhooks)
        numbers = {"name": name, "count": len(effects)}
        taken = connection.run(self._sql.take_numbers, numbers)
        if not taken:
            raise RegisteredModelNotFoundError(name)
        model_id, last, has_webhooks = taken[0]
        noted = noted_values(name, model_id, last, now, has_webhooks)
        if len(effects) == 1:
            values = events.event_values(effects[0], by, now)
            connection.run_later(self._sql.add_event, values | noted)
            return noted
        common = events.author_values(by, now) | {"name": name, "model_id": model_id}
        listed = events.events_value(effects, by, now, first=last - len(effects) + 1)
        connection.run(self._sql.add_events, common | {"events": listed})
        return noted

    def _add_event(
        self, connection: Connection, change: Change[Any], values: dict[str, Any]
    ) -> None:
        """Add an event whose number is known, and queue it for each webhook that wants it."""
        connection.run_later(self._sql.add_event, values)
        self._queue(connection, change, values)

    def _queue(
        self,
        connection: Connection,
        change: Change[Any],
        noted: dict[str, Any],
        version: ModelVersion | None = None,
    ) -> None:
        """Queue an event of this transaction for each webhook that wants it.

        `version` is the result of a finalization.
        """
        if not noted["has_webhooks"]:
            return
        topics = outbox.values_of(change, version)
        if outbox.is_told(topics):
            connection.run(self._sql.queue_event, {**noted, **topics})

    def _queue_all(
        self, connection: Connection, change: Change[Any], noted: dict[str, Any], count: int
    ) -> None:
        """Queue so many events of this transaction, of which the last one was noted."""
        if noted["has_webhooks"]:
            after = {"after_sequence": noted["sequence"] - count}
            topics = outbox.values_of(change)
            connection.run(self._sql.queue_events, {**noted, **topics, **after})

    def _model(self, connection: Connection, name: str) -> RegisteredModel:
        return rows.registered_model(connection.run(self._sql.get_model, {"name": name})[0])

    def _version(self, connection: Connection, values: Values) -> ModelVersion:
        """The version; when there is none, the transaction is undone."""
        records = connection.run(self._sql.get_version, values)
        if not records:
            raise ModelVersionNotFoundError(values["name"], values["asked_version"])
        return rows.model_version(records[0])


class OfModel(Protocol):
    """A change that names its model."""

    @property
    def name(self) -> str:
        """See `changes`."""
        ...


class OfPart(OfModel, Protocol):
    """A change of a tag or an alias."""

    @property
    def requires(self) -> tuple[Requirement, ...]:
        """See `changes`."""
        ...


class OfVersion(OfModel, Protocol):
    """A change that is about one version."""

    @property
    def version(self) -> int:
        """See `changes`."""
        ...


def key_of(change: OfVersion) -> dict[str, Any]:
    """Return the values that name the version of a change."""
    return version_key(change.name, change.version)


def noted_values(
    name: str, model_id: str, sequence: int, now: int, has_webhooks: Any
) -> dict[str, Any]:
    """Return what `Making._queue` needs to know of an event."""
    return {
        "name": name,
        "model_id": model_id,
        "sequence": sequence,
        "event_time": now,
        "has_webhooks": has_webhooks,
    }


def missing_error(change: OfModel) -> RegistryError:
    """Return the error for a change whose model or version does not exist."""
    version = getattr(change, "version", None)
    if version is None:
        return RegisteredModelNotFoundError(change.name)
    return ModelVersionNotFoundError(change.name, version)
