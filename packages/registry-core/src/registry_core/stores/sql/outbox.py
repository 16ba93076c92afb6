"""The outbox of a database: see `registry_core.outbox`.

Strategy: the rows are written by the transaction, on PostgreSQL mostly by the statement, that makes
the change, one for each active webhook that wants the event. A row refers to the event and repeats
nothing of it. Where there is no webhook, a change only looks that there is none: what PostgreSQL
does in one statement it has in two forms, of which one queues, and the other does nothing at all
where there is an active webhook. Which one is tried first is a guess; see `makers`.

Events of one model are committed in the order of their numbers, since they are numbered under the
lock of the model's row. So the first row of a webhook and model that can be seen is the next one to
deliver, and no other one is given out.
"""

from __future__ import annotations

import functools
import json
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Select,
    Table,
    case,
    cast,
    delete,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import Insert, ReturningInsert
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.sql.selectable import CTE, CompoundSelect, FromClause

from registry_core import validation
from registry_core.changes import Change
from registry_core.models import ModelVersion, WebhookEvent, WebhookStatus
from registry_core.outbox import (
    MOST_LISTED,
    QueuedDelivery,
    Unchanged,
    Watchers,
    audience,
    delivery_id,
    oldest_kept,
)
from registry_core.store import Clock
from registry_core.stores.sql import event_rows, events
from registry_core.stores.sql.compiling import (
    Statement,
    compiled,
    labeled,
    param,
    position_of,
    waits_for_locks_briefly,
)
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.driver import Connection
from registry_core.stores.sql.results import Row
from registry_core.stores.sql.tables import (
    model_events,
    registered_model_tags,
    webhook_dead_letters,
    webhook_outbox,
    webhooks,
)
from registry_core.topics import Topics

POLL_SECONDS = 1.0
"""Seconds between two looks for what other processes have queued. A look takes 0.1 ms, and others
learn of a change that much later."""

_ZERO: ColumnElement[int] = literal_column("0")
_ONE: ColumnElement[int] = literal_column("1")

_IS_ACTIVE = webhooks.c.status == literal_column(f"'{WebhookStatus.ACTIVE.value}'")

_KEY = ("webhook_id", "model_id", "sequence")
_DELIVERY = (*_KEY, "is_prompt", "details", "failures", "due")


# What the change itself does


def _spelled(event: WebhookEvent | None) -> str | None:
    """An event as it stands in the column `webhooks.events`."""
    return None if event is None else json.dumps([event.entity.value, event.action.value])


_TOPIC_VALUES = {
    "topic_of_model": "of_model",
    "topic_of_prompt": "of_prompt",
    "own_topic_of_model": "own_of_model",
    "own_topic_of_prompt": "own_of_prompt",
}
"""The values for `queueing` that say which events a change is."""


@functools.cache
def _topic_values(topics: Topics) -> dict[str, Any]:
    return {value: _spelled(getattr(topics, name)) for value, name in _TOPIC_VALUES.items()}


NO_TOPICS: dict[str, Any] = _topic_values(Topics()) | {"is_prompt": None, "details": None}
"""The values for `queueing` of a change that webhooks do not hear of."""


def values_of(change: Change[Any], version: ModelVersion | None = None) -> dict[str, Any]:
    """Return the values for `queueing` of a change; `version` is the result of a finalization."""
    target = audience(change, version)
    if target is None:
        return NO_TOPICS
    return _topic_values(target.topics) | {
        "is_prompt": None if target.is_prompt is None else int(target.is_prompt),
        "details": None if target.details is None else json.dumps(target.details),
    }


def is_told(values: Mapping[str, Any]) -> bool:
    """Return whether webhooks hear of the change whose values these are."""
    return any(values[name] is not None for name in _TOPIC_VALUES)


def queueing(numbered: FromClause) -> Insert:
    """Queue the event whose model id and number are in `numbered` for each webhook that wants it.

    The parameter `name` is the name of its model, `event_time` its time.
    """
    return _queueing(numbered.c.model_id, numbered.c.last_event, from_=numbered)


def has_webhooks() -> ColumnElement[bool]:
    """Return whether there is an active webhook: a column that saves others a step."""
    return _listeners().label("has_webhooks")


WRITE_FORMS = {False: "direct", True: "queueing"}
"""What the names of statements end in that queue nothing, and of those that queue the event."""


def without_webhooks(*, queues: bool) -> tuple[ColumnElement[bool], ...]:
    """Return the condition of a statement that queues nothing: that there is no active webhook."""
    return () if queues else (~_listeners(),)


def queued(
    noting: ReturningInsert[Any] | CompoundSelect[Any], numbered: CTE, *, queues: bool
) -> ClauseElement:
    """Return a statement that notes an event, and that queues it if it is one of those."""
    return noting.add_cte(queueing(numbered).cte("queued")) if queues else noting


def _listeners() -> ColumnElement[bool]:
    return select(_ONE).select_from(webhooks).where(_IS_ACTIVE).exists()


def statements() -> dict[str, ClauseElement]:
    """Return what queues the event of a change of several statements, and whether it has to be."""
    model_id, sequence, event = param("model_id"), param("sequence"), model_events
    one = _queueing(model_id.label("model_id"), sequence.label("sequence"))
    several = _queueing(
        event.c.model_id,
        event.c.sequence,
        event,
        event.c.model_id == model_id,
        event.c.sequence > param("after_sequence"),
        event.c.sequence <= sequence,
    )
    asked = select(has_webhooks())
    return {"has_webhooks": asked, "queue_event": one, "queue_events": several}


def _queueing(
    model_id: ColumnElement[Any],
    sequence: ColumnElement[Any],
    from_: FromClause | None = None,
    *of_event: ColumnElement[bool],
) -> Insert:
    hook, tag = webhooks, registered_model_tags
    is_tagged = (
        select(_ONE)
        .select_from(tag)
        .where(
            tag.c.name == param("name"),
            tag.c.key == literal_column(f"'{validation.PROMPT_TAG}'"),
            func.lower(tag.c.value) == literal_column("'true'"),
        )
        .exists()
    )
    is_prompt = func.coalesce(
        cast(param("is_prompt"), BigInteger), case((is_tagged, _ONE), else_=_ZERO)
    )
    is_wanted = [
        position_of(
            hook.c.events,
            case(
                (is_prompt == _ONE, param(f"{whose}topic_of_prompt")),
                else_=param(f"{whose}topic_of_model"),
            ),
        )
        > _ZERO
        for whose in ("", "own_")
    ]
    columns = [hook.c.webhook_id, model_id, sequence, is_prompt.label("is_prompt")]
    columns += [labeled("details"), _ZERO.label("failures"), labeled("event_time").label("due")]
    selected = select(*columns).where(_IS_ACTIVE, or_(*is_wanted), *of_event)
    if from_ is not None:
        selected = selected.select_from(from_, hook)
    return insert(webhook_outbox).from_select(list(_DELIVERY), selected, include_defaults=False)


# What becomes of it afterwards


class SqlOutbox:
    """See `registry_core.outbox.Outbox`."""

    poll_seconds = POLL_SECONDS

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._watchers = Watchers()
        self._sql = _compiled(database.driver.dialect)

    def take(self, webhook_id: str, *, limit: int, lease_seconds: float) -> list[QueuedDelivery]:
        """See `Outbox`."""
        now = self._clock()
        values = {"webhook_id": webhook_id, "now": now, "most": limit}
        if not self._database.read(self._sql["ready"], {**values, "most": 1}):
            return []
        values["lease"] = secrets.token_hex(8)
        values["until"] = now + round(lease_seconds * 1000)
        # A statement whose answer is lost is not repeated; the lease then runs out.
        taken = self._database.write(self._sql["take"], values)
        lists = (self._database.read(self._sql["taken"], {**values, **_key(row)}) for row in taken)
        return sorted((_delivery(row) for rows in lists for row in rows), key=_age)

    def done(self, delivery: QueuedDelivery) -> None:
        """See `Outbox`."""
        self._database.write(self._sql["done"], _leased(delivery))

    def retry(self, delivery: QueuedDelivery, *, due: int) -> None:
        """See `Outbox`."""
        values = {"failures": delivery.failures, "first_attempt": delivery.first_attempt}
        self._database.write(self._sql["retry"], _leased(delivery) | values | {"due": due})

    def dead(self, delivery: QueuedDelivery, *, problem: str) -> None:
        """See `Outbox`."""
        now = self._clock()
        values = _leased(delivery) | {"failures": delivery.failures, "problem": problem, "now": now}
        values["before"] = oldest_kept(now)

        def bury(connection: Connection) -> None:
            connection.run(self._sql["prune"], values)
            connection.run(self._sql["bury"], values)
            connection.run(self._sql["done"], values)

        self._database.transaction(bury)

    def queued(self, webhook_id: str) -> list[QueuedDelivery]:
        """See `Outbox`."""
        values = {"webhook_id": webhook_id, "most": MOST_LISTED}
        return [_delivery(row) for row in self._database.read(self._sql["queued"], values)]

    def dead_letters(self, webhook_id: str) -> list[QueuedDelivery]:
        """See `Outbox`."""
        values = {"webhook_id": webhook_id, "most": MOST_LISTED}
        return [_delivery(row) for row in self._database.read(self._sql["dead_letters"], values)]

    def redeliver(self, webhook_id: str, delivery_ids: Collection[str]) -> int:
        """See `Outbox`."""
        chosen, now = frozenset(delivery_ids), self._clock()

        def dig_up(connection: Connection) -> int:
            count = 0
            for key in connection.run(self._sql["dead_keys"], {"webhook_id": webhook_id}):
                if delivery_id(*key) not in chosen:
                    continue
                values = _key(key) | {"now": now}
                connection.run(self._sql["queue_again"], values)
                count += len(connection.run(self._sql["dig_up"], values))
            return count

        return self._database.transaction(dig_up)

    def watch(self, unchanged: Unchanged) -> None:
        """See `Outbox`."""
        self._watchers.add(unchanged)

    def unchanged(self, change: Change[Any]) -> None:
        """See a change that has left the database as it was."""
        self._watchers.show(change)

    def forget_queued(self, connection: Connection, webhook_id: str) -> None:
        """Remove, in a transaction, the queued deliveries of a webhook."""
        connection.run(self._sql["forget_queued"], {"webhook_id": webhook_id})

    def forget(self, connection: Connection, webhook_id: str) -> None:
        """Remove, in a transaction, everything about a webhook."""
        self.forget_queued(connection, webhook_id)
        connection.run(self._sql["forget_dead"], {"webhook_id": webhook_id})


@functools.cache
def _compiled(dialect: Dialect) -> Mapping[str, Statement]:
    return {name: compiled(each, dialect) for name, each in _statements().items()}


def _statements() -> dict[str, ClauseElement]:
    row, dead = webhook_outbox, webhook_dead_letters
    ready = _ready().with_for_update(skip_locked=True, of=row)
    waiting = ready.cte("ready")
    mine = [*_is(row), row.c.lease == param("lease")]
    return {
        "ready": _ready(),
        "take": update(row)
        .where(
            tuple_(*(row.c[key] for key in _KEY)).in_(select(*waiting.c)),
            waits_for_locks_briefly(),
        )
        .values(due=param("until"), lease=param("lease"))
        .returning(*(row.c[key] for key in _KEY)),
        "taken": _reading(row).where(*mine),
        "done": delete(row).where(*mine, waits_for_locks_briefly()),
        "retry": update(row)
        .where(*mine, waits_for_locks_briefly())
        .values(
            due=param("due"),
            failures=param("failures"),
            first_attempt=param("first_attempt"),
            lease=null(),
        ),
        "queued": _listing(row).order_by(row.c.due),
        "dead_letters": _listing(dead).order_by(dead.c.due.desc()),
        **_burying(),
    }


def _burying() -> dict[str, ClauseElement]:
    row, dead = webhook_outbox, webhook_dead_letters
    mine = [*_is(row), row.c.lease == param("lease")]
    of_webhook = [table.c.webhook_id == param("webhook_id") for table in (row, dead)]
    buried: list[ColumnElement[Any]] = [row.c[name] for name in (*_KEY, "is_prompt", "details")]
    buried += [labeled("failures"), labeled("now"), labeled("problem")]
    again: list[ColumnElement[Any]] = [dead.c[name] for name in (*_KEY, "is_prompt", "details")]
    again += [_ZERO.label("failures"), labeled("now").label("due")]
    return {
        "bury": insert(dead).from_select(
            [*_DELIVERY, "problem"], select(*buried).where(*mine), include_defaults=False
        ),
        "prune": delete(dead).where(of_webhook[1], dead.c.due < param("before")),
        "dead_keys": select(*(dead.c[key] for key in _KEY)).where(of_webhook[1]),
        "queue_again": insert(row).from_select(
            list(_DELIVERY), select(*again).where(*_is(dead)), include_defaults=False
        ),
        "dig_up": delete(dead).where(*_is(dead)).returning(dead.c.sequence),
        "forget_queued": delete(row).where(of_webhook[0]),
        "forget_dead": delete(dead).where(of_webhook[1]),
    }


def _ready() -> Select[Any]:
    """The keys of what is due, where nothing earlier of its model still waits for delivery."""
    row, earlier = webhook_outbox, webhook_outbox.alias("earlier")
    is_first = ~(
        select(_ONE)
        .select_from(earlier)
        .where(
            earlier.c.webhook_id == row.c.webhook_id,
            earlier.c.model_id == row.c.model_id,
            earlier.c.sequence < row.c.sequence,
        )
        .correlate(row)
        .exists()
    )
    return (
        select(*(row.c[key] for key in _KEY))
        .where(row.c.webhook_id == param("webhook_id"), row.c.due <= param("now"), is_first)
        .order_by(row.c.due)
        .limit(param("most"))
        .offset(_ZERO)
    )


def _reading(table: Table) -> Select[Any]:
    event = model_events
    last = (
        [table.c.problem, literal_column("NULL"), literal_column("NULL")]
        if table is webhook_dead_letters
        else [literal_column("NULL"), table.c.first_attempt, table.c.lease]
    )
    return select(
        *(event.c[name] for name in events.COLUMNS),
        *events.around(event),
        *(table.c[name] for name in ("webhook_id", "is_prompt", "details", "failures", "due")),
        *last,
    ).join_from(
        table,
        event,
        (event.c.model_id == table.c.model_id) & (event.c.sequence == table.c.sequence),
    )


def _listing(table: Table) -> Select[Any]:
    of_webhook = table.c.webhook_id == param("webhook_id")
    return _reading(table).where(of_webhook).limit(param("most")).offset(_ZERO)


def _is(table: Table) -> list[ColumnElement[bool]]:
    return [table.c[key] == param(key) for key in _KEY]


def _key(row: Row) -> dict[str, Any]:
    return dict(zip(_KEY, row, strict=True))


def _leased(delivery: QueuedDelivery) -> dict[str, Any]:
    key = (delivery.webhook_id, delivery.event.model_id, delivery.event.sequence)
    return _key(key) | {"lease": delivery.lease}


def _delivery(row: Row) -> QueuedDelivery:
    *event, webhook_id, is_prompt, details, failures, due, problem, first_attempt, lease = row
    return QueuedDelivery(
        webhook_id=webhook_id,
        event=event_rows.event_of(tuple(event)),
        is_prompt=bool(is_prompt),
        details=None if details is None else json.loads(details),
        failures=failures,
        first_attempt=first_attempt,
        due=due,
        problem=problem,
        lease=lease or "",
    )


def _age(delivery: QueuedDelivery) -> tuple[int, str]:
    return delivery.event.time, delivery.event.model_id
