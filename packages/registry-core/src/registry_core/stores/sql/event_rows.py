"""Events as rows, each with the checksum that shows whether it is what was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from registry_core.authors import Origin
from registry_core.errors import StoreCorruptedError
from registry_core.history import DAMAGED, Action, Event, Value, subject
from registry_core.models import Stage
from registry_core.stores.sql.event_checksums import checksum
from registry_core.stores.sql.events import COLUMNS, dumped


def row_values(event: Event) -> dict[str, Any]:
    """Return the values of the row of an event, by the names of its columns.

    What came damaged from elsewhere stays known to be damaged.
    """
    values = {
        "model_id": event.model_id,
        "sequence": event.sequence,
        "name": event.name,
        "time": event.time,
        "actor": event.actor,
        "is_authenticated": int(event.is_authenticated),
        "origin": event.origin.value,
        "reason": event.reason,
        "action": event.action.value,
        "subject": event.subject,
        "version": event.version,
        "key": event.key,
        "before": dumped(event.before),
        "after": dumped(event.after),
    }
    named = {f"event_{column}": value for column, value in values.items()}
    is_damaged = event.is_intact is False
    return values | {"checksum": DAMAGED if is_damaged else checksum(event.action, named)}


def event_of(row: tuple[Any, ...]) -> Event:
    """Return the event in a row of `page`.

    Raises:
        StoreCorruptedError: no call can have written the row.
    """
    *own, previous, version, model = row
    fields = dict(zip(COLUMNS, own, strict=True))
    try:
        action = Action(fields["action"])
        is_intact = _is_intact(action, fields)
        for name in ("action", "subject", "checksum"):
            del fields[name]
        before, after = _loaded(fields.pop("before")), _loaded(fields.pop("after"))
        if before is None and action in _LEFT_OUT:
            before = _before(action, fields["key"], previous, version, model)
        return Event(
            action=action,
            origin=Origin(fields.pop("origin")),
            is_authenticated=bool(fields.pop("is_authenticated")),
            before=before,
            after=after,
            is_intact=is_intact,
            **fields,
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreCorruptedError(
            f"The row of event {own[1]} of model {own[2]!r} cannot be read: {error}"
        ) from error


_LEFT_OUT = frozenset(
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


def _before(
    action: Action, key: str | None, previous: str | None, version: str | None, model: str | None
) -> Value:
    value: Value
    if previous is not None:
        value = _loaded(previous)
        return value
    owner: dict[str, Any] = {}
    if action is Action.UPDATE_MODEL or action is Action.SET_MODEL_TAG:
        owner = _loaded(model) or {}
    elif action is not Action.SET_ALIAS:
        owner = _loaded(version) or {}
    if action is Action.TRANSITION_VERSION:
        value = owner.get("current_stage", Stage.NONE.value)
    elif action in (Action.UPDATE_MODEL, Action.UPDATE_VERSION):
        value = owner.get("description")
    else:
        value = owner.get("tags", {}).get(key)
    return value


def _is_intact(action: Action, row: Mapping[str, Any]) -> bool | None:
    """Whether a row is what was written, by its checksum and by what its columns repeat."""
    if row["checksum"] is None:
        return None
    is_same: bool = row["checksum"] == checksum(
        action, {f"event_{name}": row[name] for name in row}
    )
    return is_same and row["subject"] == subject(action, row["version"], row["key"])


def _loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)
