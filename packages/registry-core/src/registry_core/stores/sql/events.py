"""Events in a database: the statements that add them with their change.

Strategy: an event is written in the transaction of its change, and gets its number under the lock
of the model's row, which the change takes before it does anything. So the order of the numbers is
the order of the effects. On PostgreSQL a small change takes all steps in one statement, in an order
that the data dictates: take a number, which locks the model, change, note the event. The steps see
one snapshot, so what a thing was before is not read there; the event before says it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import (
    Select,
    Text,
    case,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.sql.selectable import CTE, FromClause

from registry_core import validation
from registry_core.authors import Author
from registry_core.history import Action, Effect, Value, subject
from registry_core.stores.sql.compiling import (
    by_index,
    kind_first,
    labeled,
    param,
    waits_for_locks_briefly,
)
from registry_core.stores.sql.event_checksums import CHECKED_COLUMNS, checksum
from registry_core.stores.sql.json_functions import element, elements
from registry_core.stores.sql.tables import EVENTS_BY_KIND, model_events, registered_models

_ONE: ColumnElement[int] = literal_column("1")

COLUMNS = ("model_id", "sequence", "name", *CHECKED_COLUMNS, "checksum")
"""The columns of an event, in the order in which it is read."""

BEFORE_LEFT_OUT = frozenset(
    {
        Action.UPDATE_MODEL,
        Action.UPDATE_VERSION,
        Action.TRANSITION_VERSION,
        Action.SET_ALIAS,
        Action.SET_MODEL_TAG,
        Action.SET_VERSION_TAG,
    }
)
"""Events of which what was before is not written; the event before them says it."""

_GIVEN = tuple(f"event_{name}" for name in COLUMNS[3:])
"""The parameters of an event whose every value is known beforehand."""


# What is written


def next_event(*conditions: ColumnElement[bool]) -> CTE:
    """Return the model that the parameter `name` names, locked, with the number of its next event.

    The number is taken if the conditions hold, of what was there when the statement began.
    """
    model = registered_models
    return (
        update(model)
        .where(model.c.name == param("name"), *conditions, waits_for_locks_briefly())
        .values(last_event=model.c.last_event + _ONE)
        .returning(model.c.model_id, model.c.last_event, model.c.name)
        .cte("numbered")
    )


def noted(
    numbered: CTE,
    changed: FromClause,
    *,
    version: ColumnElement[Any] | None = None,
    before: ColumnElement[Any] | None = None,
) -> ReturningInsert[Any]:
    """Note, with its number, that a row was changed.

    `version` and `before` are columns of `changed` that the event gets; the parameters otherwise.

    Strategy: the conditions of `next_event` were looked at before the lock was had. Another may
    have done meanwhile what this one is about, so that nothing changes and the number is taken in
    vain. The event then has no name, which the column refuses: nothing is written, and the caller
    hears of it as `ChangedMeanwhileError`.
    """
    # Each column by itself, which costs PostgreSQL less than to join one row with another.
    name = select(changed.c.name).scalar_subquery()
    return noted_as(
        select(numbered.c.model_id, numbered.c.last_event, name),
        version=None if version is None else select(version).scalar_subquery(),
        before=None if before is None else select(before).scalar_subquery(),
    )


def noted_as(
    numbered: Select[Any],
    *,
    of_version: ColumnElement[Any] | None = None,
    version: ColumnElement[Any] | None = None,
    before: ColumnElement[Any] | None = None,
) -> ReturningInsert[Any]:
    """Note an event whose model id, number and name are selected.

    `of_version` is the version that it is about, where that is not known beforehand.
    """
    columns = {name: labeled(f"event_{name}") for name in COLUMNS[3:]}
    if version is not None:
        columns["version"] = version.label("event_version")
    if of_version is not None:
        columns["version"] = of_version.label("event_version")
        columns["subject"] = _version_subject(of_version).label("event_subject")
    if before is not None:
        columns["before"] = before.label("event_before")
    selected = numbered.add_columns(*columns.values())
    return (
        insert(model_events)
        .from_select(list(COLUMNS), selected, include_defaults=False)
        .returning(model_events.c.sequence, model_events.c.model_id)
    )


def statements(has_webhooks: ColumnElement[bool]) -> dict[str, ClauseElement]:
    """Return the steps that add events to a change of several statements.

    Those that give the number of an event give `has_webhooks`, too.
    """
    model = registered_models
    event = elements(param("events"))
    texts = ("action", "subject", "version", "key", "before", "after", "checksum")
    values = {
        name: element(event.c.value, literal_column(str(index)))
        for index, name in enumerate(("sequence", *texts))
    }
    numbers = {
        name: cast(values[name], model_events.c[name].type) for name in ("sequence", "version")
    }
    numbered = next_event()
    columns = [
        labeled("model_id"),
        numbers["sequence"].label("sequence"),
        labeled("name"),
        *(labeled(f"event_{name}").label(name) for name in ("time", "actor", "is_authenticated")),
        *(labeled(f"event_{name}").label(name) for name in ("origin", "reason")),
        values["action"].label("action"),
        values["subject"].label("subject"),
        numbers["version"].label("version"),
        *(values[name].label(name) for name in ("key", "before", "after", "checksum")),
    ]
    return {
        "take_numbers": update(model)
        .where(model.c.name == param("name"), waits_for_locks_briefly())
        .values(last_event=model.c.last_event + param("count"))
        .returning(model.c.model_id, model.c.last_event, has_webhooks),
        "note_event": noted_as(
            select(numbered.c.model_id, numbered.c.last_event, numbered.c.name)
        ).returning(has_webhooks),
        "add_event": insert(model_events).values(
            {name: param(name) for name in COLUMNS[:3]}
            | {name: param(f"event_{name}") for name in COLUMNS[3:]}
        ),
        "add_events": insert(model_events).from_select(
            list(COLUMNS), select(*columns), include_defaults=False
        ),
    }


def author_values(by: Author, now: int) -> dict[str, Any]:
    """Return the values that all events of a change have."""
    return {
        "event_time": now,
        "event_actor": by.actor,
        "event_is_authenticated": int(by.is_authenticated),
        "event_origin": by.origin._value_,
        "event_reason": by.reason,
    }


def stored_version(version: int) -> int:
    """Return the number of a version, in the range of its column.

    Those beyond are as absent as the first beyond ours.
    """
    return min(max(version, 0), validation.VERSION_MAX + 1)


def event_values(effect: Effect, by: Author, now: int) -> dict[str, Any]:
    """Return the values of one event for `noted`."""
    values = author_values(by, now)
    action, version, key = effect.action, effect.version, effect.key
    values["event_action"] = action._value_
    values["event_subject"] = subject(action, version, key)
    values["event_version"] = None if version is None else stored_version(version)
    values["event_key"] = key
    values["event_before"] = dumped(effect.before)
    values["event_after"] = dumped(effect.after)
    values["event_checksum"] = checksum(action, values)
    return values


def events_value(effects: Iterable[Effect], by: Author, now: int, *, first: int) -> str:
    """Return the value `events` of `add_events`."""
    listed = [
        (str(number), event_values(effect, by, now)) for number, effect in enumerate(effects, first)
    ]
    return json.dumps(
        [
            (number, *(_as_text(values[f"event_{each}"]) for each in _OF_ONE))
            for number, values in listed
        ],
        ensure_ascii=False,
    )


_OF_ONE = COLUMNS[8:]
"""The columns in which the events of one change differ, beside their number."""


def _as_text(value: str | int | None) -> str | None:
    return str(value) if isinstance(value, int) else value


_encode = msgspec.json.Encoder().encode


def dumped(value: Value) -> str | None:
    """Return what a thing was or is, as its column holds it."""
    return None if value is None else _encode(value).decode()


# What is read of each


def around(event: FromClause) -> Iterable[ColumnElement[Any]]:
    """Yield what `event_of` needs besides: the thing before, and what its owner began with.

    Nothing is looked up for an event that says itself what was before.
    """
    owner = _version_subject(event.c.version)
    actions = sorted(f"'{action.value}'" for action in BEFORE_LEFT_OUT)
    is_left_out = event.c.before.is_(None) & or_(
        *(event.c.action == literal_column(action) for action in actions)
    )
    itself = kind_first(event.c.subject)
    of_which = {"thing": itself, "owner": owner, "model": literal_column("'model'")}
    for name, subject_ in of_which.items():
        before = by_index(model_events, EVENTS_BY_KIND, f"before_of_{name}")
        found = (
            # An event that left nothing is not the same as no event.
            select(func.coalesce(before.c.after, literal_column("'null'")))
            .where(
                before.c.model_id == event.c.model_id,
                kind_first(before.c.subject) == subject_,
                before.c.sequence < event.c.sequence,
                *([before.c.after.is_not(None)] if subject_ is not itself else []),
            )
            .order_by(before.c.sequence.desc())
            .limit(_ONE)
            .offset(literal_column("0"))
            .correlate(event)
            .scalar_subquery()
        )
        yield case((is_left_out, found))


def _version_subject(version: ColumnElement[Any]) -> ColumnElement[str]:
    """The subject of the creation and deletion of a version."""
    return literal_column("'version:'").op("||")(cast(version, Text))
