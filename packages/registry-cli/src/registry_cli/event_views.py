"""What an event of a history looks like: its columns, its record, its name, its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from registry_cli.times import when
from registry_cli.views import View
from registry_core.history import Event
from registry_core.wire.history import encode_event


def what(event: Event) -> str:
    """Return what of its model an event is about."""
    if event.key is not None and "alias" in event.action:
        return event.key
    parts = [] if event.version is None else [f"version {event.version}"]
    return " ".join([*parts, event.key or ""]).strip()


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else str(value)


def _row(event: Event) -> Sequence[str]:
    return (
        event.name,
        str(event.sequence),
        when(event.time),
        event.actor,
        event.action.value,
        what(event),
        f"{_shown(event.before)} -> {_shown(event.after)}",
        event.reason or "",
    )


def _record(event: Event) -> Sequence[tuple[str, str]]:
    return tuple((field, _shown(value)) for field, value in encode_event(event).items())


EVENT = View[Event](
    one="event",
    many="events",
    header=("NAME", "SEQ", "TIME", "ACTOR", "ACTION", "WHAT", "CHANGE", "REASON"),
    row=_row,
    record=_record,
    name=lambda event: f"{event.name}#{event.sequence}",
    wire=encode_event,
)
"""Events; their name is that of the model with the event's number."""
