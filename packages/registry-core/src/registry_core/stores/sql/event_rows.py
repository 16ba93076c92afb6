"""Events as rows, each with the checksum that shows whether it is what was written."""

from __future__ import annotations

from typing import Any

import msgspec

from registry_core.authors import Origin
from registry_core.errors import StoreCorruptedError
from registry_core.history import DAMAGED, Action, Event, Value, subject
from registry_core.models import Stage
from registry_core.stores.sql.event_checksums import checksum_of_row
from registry_core.stores.sql.events import BEFORE_LEFT_OUT, dumped

_decode = msgspec.json.Decoder().decode


def row_of(event: Event) -> tuple[Any, ...]:
    """Return the row of an event: the values of `events.COLUMNS`.

    What came damaged from elsewhere stays known to be damaged.
    """
    said = (
        event.time,
        event.actor,
        int(event.is_authenticated),
        event.origin._value_,
        event.reason,
        event.action._value_,
        event.subject,
        event.version,
        event.key,
        dumped(event.before),
        dumped(event.after),
    )
    is_damaged = event.is_intact is False
    written = DAMAGED if is_damaged else checksum_of_row(event.action, said)
    return (event.model_id, event.sequence, event.name, *said, written)


def event_of(row: tuple[Any, ...]) -> Event:
    """Return the event in a row of `page`.

    Raises:
        StoreCorruptedError: no call can have written the row.
    """
    model_id, sequence, name, *said, written, previous, of_version, of_model = row
    time, actor, is_authenticated, origin, reason, action_, about, version, key, old, new = said
    try:
        action = Action(action_)
        before, after = _loaded(old), _loaded(new)
        if before is None and action in BEFORE_LEFT_OUT:
            before = _before(action, key, previous, of_version, of_model)
        is_intact = None
        if written is not None:
            # By what was written of it, and by what its columns repeat.
            is_same = written == checksum_of_row(action, said)
            is_intact = is_same and about == subject(action, version, key)
        return Event(
            model_id=model_id,
            name=name,
            sequence=sequence,
            time=time,
            actor=actor,
            is_authenticated=bool(is_authenticated),
            origin=Origin(origin),
            reason=reason,
            action=action,
            version=version,
            key=key,
            before=before,
            after=after,
            is_intact=is_intact,
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreCorruptedError(
            f"The row of event {sequence} of model {name!r} cannot be read: {error}"
        ) from error


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


def _loaded(text: str | None) -> Any:
    return None if text is None else _decode(text)
