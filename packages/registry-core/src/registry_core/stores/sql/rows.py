"""Rows of `statements` as entities, and drafts as values for it."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from registry_core import models, validation
from registry_core.errors import StoreCorruptedError
from registry_core.fields import define, scalars_of
from registry_core.models import (
    ModelFields,
    ModelVersion,
    RegisteredModel,
    Webhook,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.stores.sql.results import Row
from registry_core.stores.sql.statements import (
    LATEST_VERSIONS,
    MODEL_ALIASES,
    MODEL_TAGS,
    VERSION_ALIASES,
    VERSION_TAGS,
)
from registry_core.stores.sql.tables import VALUE_HEAD
from registry_core.stores.sql.unpacking import unpacking
from registry_core.stores.sql.written_versions import WrittenVersions, by_key

_EMPTY = frozenset({"{}", "[]"})

_decode = msgspec.json.Decoder().decode


def model_version(row: Row) -> ModelVersion:
    """Return the version in a row of `statements.version_columns`.

    Raises:
        StoreCorruptedError: no call can have written the row.
    """
    tags, aliases = _loaded(row[VERSION_TAGS]), _loaded(row[VERSION_ALIASES])
    return _model_version(
        row[:VERSION_TAGS], by_key(tags), tuple(sorted(aliases)) if aliases else ()
    )


def registered_model(row: Row) -> RegisteredModel:
    """Return the model in a row of `statements.model_columns`; raises as `model_version`."""
    aliases = by_key(_loaded(row[MODEL_ALIASES]))
    model = _registered_model(row[:MODEL_TAGS], by_key(_loaded(row[MODEL_TAGS])), aliases)
    text = row[LATEST_VERSIONS]
    if text is None:
        model.__dict__["latest_versions"] = ()
    else:
        models.LATEST_VERSIONS.put(model, WrittenVersions(text, aliases))
    return model


_model_version = unpacking(ModelVersion, scalars_of(ModelVersion))
_registered_model = unpacking(RegisteredModel, scalars_of(RegisteredModel))


def _loaded(text: str | None) -> Any:
    # The usual case, without the parser.
    return None if text is None or text in _EMPTY else _decode(text)


def folded(text: str | None) -> str | None:
    """Return what a `*_folded` column holds for a text; see `tables`."""
    if text is None or text.isascii():
        return None
    lowered = text.lower()
    return None if lowered == text.translate(_LOWER_ASCII) else lowered


_LOWER_ASCII = {ord(upper): upper.lower() for upper in string.ascii_uppercase}


def tag_value(value: str) -> dict[str, Any]:
    """Return the value of a tag, in all its forms."""
    return {"value": value, "value_head": value[:VALUE_HEAD], "value_folded": folded(value)}


def tag_to_set(key: str, value: str) -> dict[str, Any]:
    """Return a tag for the statements that set one."""
    return {"key": key, "bytes": validation.tag_bytes(key, value), **tag_value(value)}


def _room(*, part: int) -> Mapping[str, int]:
    return {
        "most_tags": validation.TAGS_MAX_COUNT // part,
        "most_bytes": validation.TAGS_MAX_BYTES // part,
        "most_aliases": validation.ALIASES_MAX_COUNT // part,
    }


ROOM, HALF_ROOM = _room(part=1), _room(part=2)
"""How much the tags and aliases of one owner may be, for the statements that set one."""


def tag_rows(tags: Mapping[str, str]) -> str:
    """Return the tags for the parameter `tags` of a statement."""
    if not tags:
        return NO_TAGS
    return _encode([(key, *tag_value(value).values()) for key, value in tags.items()])


_encode = json.JSONEncoder(ensure_ascii=False).encode


NO_TAGS = "[]"
"""The parameter `tags` where there are none."""


def to_create(entity: RegisteredModel | ModelVersion) -> dict[str, Any]:
    """Return the values of an entity to create. A version may yet get another number."""
    return {**values_of(entity), "tags": tag_rows(entity.tags)}


def _written_out(entity: type[Any]) -> Iterator[tuple[str, str]]:
    """Each column of an entity, and the code of its value."""
    for field in scalars_of(entity):
        yield field.column, f"entity.{field.name}{'._value_' if field.is_word else ''}"
        if field.about.is_folded:
            yield field.folded_column, f"folded(entity.{field.name})"


def _packing(entity: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Make what gives the values of all columns of an entity, written out as `unpacking` does."""
    values = ", ".join(value for _, value in _written_out(entity))
    lines = ("def pack(entity):", f"    return ({values},)")
    return define("\n".join(lines), folded=folded)


version_row = _packing(ModelVersion)
"""Return the row of a version: the values of the columns of `tables.model_versions`."""


def _valuing(entity: type[Any]) -> Callable[[Any], dict[str, Any]]:
    """Make what gives the values of all columns of an entity by their names, written out, too."""
    values = ", ".join(f"{column!r}: {value}" for column, value in _written_out(entity))
    lines = ("def values(entity):", f"    return {{{values}}}")
    return define("\n".join(lines), folded=folded)


_model_values, _version_values = _valuing(ModelFields), _valuing(ModelVersion)


def values_of(entity: ModelFields | ModelVersion) -> dict[str, Any]:
    """Return the values of all columns of an entity."""
    return _version_values(entity) if isinstance(entity, ModelVersion) else _model_values(entity)


def webhook(row: Row) -> Webhook:
    """Return the webhook in a row of `statements.WEBHOOK_FIELDS`.

    Raises:
        StoreCorruptedError: no call can have written the row.
    """
    webhook_id, name, url, events, description, status, secret, created, updated, copied = row
    try:
        parsed, known = _events(events), WebhookStatus(status)
    except (ValueError, TypeError) as error:
        raise StoreCorruptedError(
            f"The row of webhook {webhook_id!r} cannot be read: {error}"
        ) from error
    return Webhook(
        webhook_id=webhook_id,
        name=name,
        url=url,
        events=parsed,
        description=description,
        status=known,
        secret=secret,
        creation_timestamp=created,
        last_updated_timestamp=updated,
        copied_as=copied,
    )


def _events(text: str) -> tuple[WebhookEvent, ...]:
    return tuple(
        WebhookEvent(WebhookEntity(entity), WebhookAction(action))
        for entity, action in json.loads(text)
    )


def webhook_values(webhook: Webhook) -> dict[str, Any]:
    """Return the values of a webhook to write."""
    events = [(event.entity.value, event.action.value) for event in webhook.events]
    return {
        "webhook_id": webhook.webhook_id,
        "name": webhook.name,
        "url": webhook.url,
        "events": json.dumps(events),
        "description": webhook.description,
        "status": webhook.status.value,
        "secret": webhook.secret,
        "creation_time": webhook.creation_timestamp,
        "last_updated_time": webhook.last_updated_timestamp,
        "copied_as": webhook.copied_as,
    }
