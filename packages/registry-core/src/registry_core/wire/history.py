"""Events on the wire of our own routes: how they are written and read, and what asks for them.

This is not part of MLflow's API, so nothing here follows protobuf's JSON: numbers are numbers, and
what is absent is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import attrs

from registry_core.authors import Origin
from registry_core.errors import StoreCorruptedError
from registry_core.history import EVENTS_MAX_RESULTS, Action, Event
from registry_core.validation import DEFAULT_PAGE_SIZE
from registry_core.wire.requests import AtMost

Json = dict[str, Any]


def encode_event(event: Event) -> Json:
    """Return an event as JSON."""
    return {
        "model_id": event.model_id,
        "name": event.name,
        "sequence": event.sequence,
        "time": event.time,
        "actor": event.actor,
        "is_authenticated": event.is_authenticated,
        "origin": event.origin.value,
        "reason": event.reason,
        "action": event.action.value,
        "version": event.version,
        "key": event.key,
        "before": event.before,
        "after": event.after,
        "is_intact": event.is_intact,
    }


def decode_event(fields: object) -> Event:
    """Return the event in JSON.

    Raises:
        StoreCorruptedError: It is none.
    """
    if not isinstance(fields, Mapping):
        raise StoreCorruptedError("An event is not an object.")
    names = (field.name for field in attrs.fields(Event))
    values: dict[str, Any] = {name: fields.get(name) for name in names}
    try:
        values["action"], values["origin"] = Action(values["action"]), Origin(values["origin"])
        values["sequence"], values["time"] = int(values["sequence"]), int(values["time"])
        return Event(**values)
    except (ValueError, TypeError) as error:
        raise StoreCorruptedError(f"An event cannot be read: {error}") from error


# What asks for them


@attrs.frozen(kw_only=True)
class GetModelHistory:
    """The events of a registered model that are wanted; times are milliseconds since the epoch.

    `order` is `newest_first` or `oldest_first`.
    """

    name: str
    alias: str | None = None
    version: str | None = None
    action: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    order: str = "newest_first"
    max_results: Annotated[int, AtMost(EVENTS_MAX_RESULTS)] = DEFAULT_PAGE_SIZE
    page_token: str | None = None


@attrs.frozen(kw_only=True)
class GetActivity:
    """The events of all registered models that are wanted, or of the one with `model_id`."""

    model_id: str | None = None
    action: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    order: str = "newest_first"
    max_results: Annotated[int, AtMost(EVENTS_MAX_RESULTS)] = DEFAULT_PAGE_SIZE
    page_token: str | None = None


@attrs.frozen(kw_only=True)
class RestoreDeletedModel:
    """A deleted registered model to bring back, by default the one deleted last, as `new_name`."""

    name: str
    model_id: str | None = None
    new_name: str | None = None


@attrs.frozen(kw_only=True)
class RestoreDeletedVersion:
    """A deleted model version to bring back."""

    name: str
    version: str


@attrs.frozen(kw_only=True)
class PruneModelHistory:
    """A history whose events before a moment, milliseconds since the epoch, are to be pruned.

    `dry_run` only asks what would be done.
    """

    name: str
    before: int
    dry_run: bool = False
