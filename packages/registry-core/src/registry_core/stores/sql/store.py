"""A `Store` in SQLite or PostgreSQL.

Strategy for races: whatever has to be ordered with other changes of its model starts by updating
the model's row, whose lock the database then holds to the end of the transaction; each statement
after that sees everything committed before (PostgreSQL runs READ COMMITTED, SQLite has one writer).
Tags and aliases do not take that lock: foreign keys see to it that none is left on a version or
model that another transaction removes or renames meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from registry_core import webhook_records
from registry_core.authors import Author
from registry_core.changes import (
    Change,
)
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    WebhookNotFoundError,
)
from registry_core.fsck import GRACE_SECONDS, Report
from registry_core.history import Event, EventQuery
from registry_core.history_fsck import check_histories
from registry_core.inloop import LoopReads
from registry_core.metering import Amounts, PoolState
from registry_core.models import (
    Approval,
    ModelVersion,
    NewWebhook,
    RegisteredModel,
    Webhook,
    WebhookChanges,
    WebhookStatus,
)
from registry_core.outbox import Outbox
from registry_core.pruning import NewBeginning
from registry_core.search import Page, Query, paging
from registry_core.snapshot_reading import Parts, versions_after
from registry_core.store import Clock, system_clock
from registry_core.stores.sql import (
    approvals,
    event_pages,
    event_rows,
    rows,
    scoped_searches,
    scopes,
    searches,
)
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.driver import Connection
from registry_core.stores.sql.errors import DuplicateError
from registry_core.stores.sql.fsck import SqlFsck
from registry_core.stores.sql.histories import Histories
from registry_core.stores.sql.makers import Making, version_key
from registry_core.stores.sql.operations import settled
from registry_core.stores.sql.outbox import SqlOutbox
from registry_core.stores.sql.results import CutRows, Row
from registry_core.stores.sql.statements import statements

ResultT = TypeVar("ResultT")

_AMOUNTS = Statement(
    "SELECT (SELECT count(*) FROM registered_models), (SELECT count(*) FROM model_versions), "
    "(SELECT count(*) FROM webhook_outbox), (SELECT count(*) FROM webhook_dead_letters)",
    (),
    prepare=False,
    is_search=True,
)
"""It reads an index of each table, and is given up when it takes too long, as searches are."""


class SqlStore:
    """See `registry_core.store.Store`."""

    keeps_idempotency_keys = True
    """See `registry_core.idempotency`."""

    applies_scopes = True
    """See `registry_core.access`."""

    restores_in_pieces = True
    """See `changes.restores`."""

    def __init__(self, database: Database, *, clock: Clock = system_clock) -> None:
        self._database = database
        self._clock = clock
        self._sql = statements(database.driver.dialect, database.driver.insert)
        self._outbox = SqlOutbox(database, clock)
        self._making = Making(database, self._sql, clock, unchanged=self._outbox.unchanged)

    def loop_reads(self) -> LoopReads | None:
        """See `inloop.loop_reads_of`."""
        return self._database.driver.loop_reads

    def apply(self, change: Change[ResultT], *, by: Author) -> ResultT:
        """See `Store`."""
        return self._making.make(change, by)

    def replace_beginning(self, beginning: NewBeginning) -> None:
        """See `pruning.ReplacesBeginnings`."""
        self._making.replace_beginning(beginning)

    def events(self, query: EventQuery) -> list[Event]:
        """See `Store`."""
        statement = event_pages.page(self._database.driver.dialect, event_pages.shape(query))
        records = self._database.read(
            statement, event_pages.page_values(query, self._database.driver)
        )
        if not records and query.name is not None:
            values = {"name": query.name}
            if not self._database.read(self._sql.model_exists, values):
                raise RegisteredModelNotFoundError(query.name)
        return [event_rows.event_of(row) for row in records]

    def get_registered_model(self, name: str) -> RegisteredModel:
        """See `Store`."""
        records = self._database.read(self._sql.get_model, {"name": name})
        if not records:
            raise RegisteredModelNotFoundError(name)
        return rows.registered_model(records[0])

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        """See `Store`."""
        records = self._search(query)
        models = [rows.registered_model(row) for row in records]
        return paging.page(query, models, is_cut=isinstance(records, CutRows))

    def count_registered_models(self, query: Query) -> tuple[int, bool]:
        """See `registry_core.store.CountsModels`."""
        count, most = (
            len(self._search(query, searches.names_statement)),
            paging.most_entities(query),
        )
        return min(count, most), count > most

    # Model versions

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `Store`."""
        records = self._database.read(self._sql.get_version, version_key(name, version))
        if not records:
            raise ModelVersionNotFoundError(name, version)
        return rows.model_version(records[0])

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """See `Store`."""
        records = self._search(query)
        versions = [rows.model_version(row) for row in records]
        return paging.page(query, versions, is_cut=isinstance(records, CutRows))

    # Aliases

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `Store`."""
        records = self._database.read(
            self._sql.get_version_by_alias, {"name": name, "alias": alias}
        )
        if not records:
            raise RegisteredModelNotFoundError(name)
        if records[0][0] is None:
            raise AliasNotFoundError(name, alias)
        return rows.model_version(records[0])

    # Approvals

    def approvals(self, name: str) -> Mapping[int, tuple[Approval, ...]]:
        """See `registry_core.store.KeepsApprovals`."""
        records = self._database.read(self._sql.list_approvals, {"name": name})
        if not records and not self._database.read(self._sql.model_exists, {"name": name}):
            raise RegisteredModelNotFoundError(name)
        return approvals.approvals_of(records)

    def snapshot_piece(self, name: str, after: int, most: int) -> Parts:
        """See `snapshot_reading.GivesPieces`."""
        versions = versions_after(self, name, after, most=most)
        given = self._database.read(self._sql.list_approvals, {"name": name})
        return self.get_registered_model(name), versions, approvals.approvals_of(given)

    # Webhooks

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """See `Store`."""
        created = webhook_records.create_webhook(new, self._clock())
        values = rows.webhook_values(created)
        # Its id is its own: no second one can be created.
        try:
            settled(
                lambda: self._database.write(self._sql.create_webhook, values),
                lambda: self._database.read(self._sql.get_webhook, values),
            )
        except DuplicateError:
            raise AlreadyExistsError(new.name) from None
        return created

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `Store`."""
        records = self._database.read(self._sql.get_webhook, {"webhook_id": webhook_id})
        if not records:
            raise WebhookNotFoundError(webhook_id)
        return rows.webhook(records[0])

    def list_webhooks(self) -> list[Webhook]:
        """See `Store`."""
        records = self._database.read(self._sql.list_webhooks, {})
        return webhook_records.newest_first(rows.webhook(row) for row in records)

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """See `Store`."""
        now = self._clock()

        def change(connection: Connection) -> Webhook:
            records = connection.run(
                self._sql.touch_webhook, {"webhook_id": webhook_id, "now": now}
            )
            if not records:
                raise WebhookNotFoundError(webhook_id)
            before = rows.webhook(records[0])
            changed = webhook_records.apply_changes(before, changes, now)
            connection.run(self._sql.update_webhook, rows.webhook_values(changed))
            was_active = before.status is WebhookStatus.ACTIVE
            if was_active and changed.status is not WebhookStatus.ACTIVE:
                self._outbox.forget_queued(connection, webhook_id)
            return changed

        return self._database.transaction(change)

    def delete_webhook(self, webhook_id: str) -> None:
        """See `Store`."""
        values = {"webhook_id": webhook_id}

        def remove(connection: Connection) -> list[Row]:
            self._outbox.forget(connection, webhook_id)
            return connection.run(self._sql.delete_webhook, values)

        if not self._database.transaction(remove):
            raise WebhookNotFoundError(webhook_id)

    def outbox(self) -> Outbox:
        """See `registry_core.outbox.outbox_of`."""
        return self._outbox

    # The whole

    def fsck(self, *, repair: bool = False, grace_seconds: float = GRACE_SECONDS) -> Report:
        """See `registry_core.fsck.Fsck`. Reads every row, though not every text.

        A transaction leaves nothing behind that a period of grace would be for.
        """
        del grace_seconds
        fsck, listed = SqlFsck(self._database), Histories(self._database)
        reports = [fsck.run(repair=repair)]
        names = (each for each in listed.names() if each not in fsck.incomplete_models)
        reports.append(check_histories(self, names, listed.deleted()))
        return Report.of(reports)

    def amounts(self) -> Amounts:
        """See `metering.amounts_of`."""
        models, versions, queued, dead = self._database.read(_AMOUNTS, {})[0]
        return Amounts(models=models, versions=versions, queued=queued, dead_letters=dead)

    def pool_state(self) -> PoolState:
        """See `metering.pool_of`."""
        return self._database.pool_state()

    def ping(self) -> None:
        """See `Store`."""
        self._database.read(self._sql.ping, {})

    def close(self) -> None:
        """See `Store`."""
        self._database.close()

    def _search(
        self, query: Query, made: Callable[..., Statement] = searches.statement
    ) -> list[Row]:
        def searched(part: Query, ranges: Sequence[scopes.Range] = ()) -> list[Row]:
            statement = made(part, driver.dialect, is_of_ranges=bool(ranges))
            values = searches.values(part, driver) | scopes.range_values(ranges)
            return self._database.read(statement, values)

        driver = self._database.driver
        if scopes.is_needed(query) and scoped_searches.is_by_pieces(query):
            return scoped_searches.read(query, searched)
        return searched(query)
