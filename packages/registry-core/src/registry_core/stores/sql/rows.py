"""Rows of `statements` as entities, and drafts as values for it.

Strategy: a page of models is hundreds of entities. The attributes of what is read are put where
the class's own `__init__` puts them, in less than half its time: the row has all of them, and there
is nothing to check.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from registry_core import validation
from registry_core.errors import StoreCorruptedError
from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
    Status,
    Webhook,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.stores.sql.database import Row
from registry_core.stores.sql.tables import VALUE_HEAD

_STAGES = {stage.value: stage for stage in Stage}
_STATUSES = {status.value: status for status in Status}
_VERSION, _STAGE = 1, 4
"""The places of number and stage in `statements.VERSION_FIELDS`."""

_EMPTY = frozenset({"{}", "[]"})

_decode = msgspec.json.Decoder().decode


def model_version(row: Row) -> ModelVersion:
    """The version in a row of `statements.version_columns`.

    Raises:
        StoreCorruptedError: no call can have written the row.
    """
    *fields, tags, aliases = row
    return _model_version(fields, _loaded(tags), _loaded(aliases))


def registered_model(row: Row) -> RegisteredModel:
    """The model in a row of `statements.model_columns`; raises as `model_version`."""
    model = object.__new__(RegisteredModel)
    values = model.__dict__
    (
        values["name"],
        values["creation_timestamp"],
        values["last_updated_timestamp"],
        values["description"],
        values["deployment_job_id"],
        values["deployment_job_state"],
        tags,
        aliases,
        latest,
    ) = row
    found = {document[0][_STAGE]: document for document in _loaded(latest) or () if document}
    values["tags"] = _by_key(_loaded(tags))
    values["aliases"] = _by_key(_loaded(aliases))
    named: dict[int, list[str]] = {}
    for alias, number in values["aliases"].items():
        named.setdefault(number, []).append(alias)
    values["latest_versions"] = tuple(
        [
            _model_version(fields, tags, named.get(fields[_VERSION]))
            for fields, tags in [found[stage] for stage in _STAGES if stage in found]
        ]
    )
    return model


def _model_version(
    fields: Sequence[Any], tags: Mapping[str, str] | None, aliases: Sequence[str] | None
) -> ModelVersion:
    version = object.__new__(ModelVersion)
    values = version.__dict__
    (
        values["name"],
        values["version"],
        values["creation_timestamp"],
        values["last_updated_timestamp"],
        stage,
        values["source"],
        values["storage_location"],
        values["run_id"],
        values["run_link"],
        status,
        values["status_message"],
        values["description"],
        values["user_id"],
        values["model_id"],
    ) = fields
    try:
        values["current_stage"] = _STAGES[stage]
        values["status"] = _STATUSES[status]
    except KeyError as error:
        raise StoreCorruptedError(
            f"The row of version {version.version} of model {version.name!r} has no stage or "
            f"status that there is: {error}"
        ) from error
    values["tags"] = _by_key(tags)
    values["aliases"] = tuple(sorted(aliases)) if aliases else ()
    return version


def _loaded(text: str | None) -> Any:
    # The usual case, without the parser.
    return None if text is None or text in _EMPTY else _decode(text)


def _by_key(mapping: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if not mapping:
        return {}
    # Indexes have them in order already, which nobody promises.
    last = ""
    for key in mapping:
        if key < last:
            return dict(sorted(mapping.items()))
        last = key
    return mapping


def folded(text: str | None) -> str | None:
    """What a `*_folded` column holds for a text; see `tables`."""
    if text is None or text.isascii():
        return None
    lowered = text.lower()
    return None if lowered == text.translate(_LOWER_ASCII) else lowered


_LOWER_ASCII = {ord(upper): upper.lower() for upper in string.ascii_uppercase}


def tag_value(value: str) -> dict[str, Any]:
    """The value of a tag, in all its forms."""
    return {"value": value, "value_head": value[:VALUE_HEAD], "value_folded": folded(value)}


def tag_to_set(key: str, value: str) -> dict[str, Any]:
    """A tag for the statements that set one."""
    return {"key": key, "bytes": validation.tag_bytes(key, value), **tag_value(value)}


def room(*, half: bool = False) -> dict[str, int]:
    """How much the tags and aliases of one owner may be, for the statements that set one."""
    part = 2 if half else 1
    return {
        "most_tags": validation.TAGS_MAX_COUNT // part,
        "most_bytes": validation.TAGS_MAX_BYTES // part,
        "most_aliases": validation.ALIASES_MAX_COUNT // part,
    }


def tag_rows(tags: Mapping[str, str]) -> str:
    """Tags for the parameter `tags` of a statement."""
    return json.dumps(
        [(key, *tag_value(value).values()) for key, value in tags.items()], ensure_ascii=False
    )


def new_version(new: NewModelVersion, now: int) -> dict[str, Any]:
    """The values of a version to create."""
    return {
        "name": new.name,
        "creation_time": now,
        "last_updated_time": now,
        "current_stage": Stage.NONE.value,
        "source": new.source,
        "source_folded": folded(new.source),
        "storage_location": new.storage_location,
        "run_id": new.run_id,
        "run_id_folded": folded(new.run_id),
        "run_link": new.run_link,
        "status": new.status.value,
        "status_message": None,
        "description": new.description,
        "user_id": new.user_id,
        "model_id": new.model_id,
        "tags": tag_rows(new.tags),
    }


def created_model(new: NewRegisteredModel, now: int) -> RegisteredModel:
    """The model that `new` has become; a new one has no versions and aliases."""
    return RegisteredModel(
        name=new.name,
        creation_timestamp=now,
        last_updated_timestamp=now,
        description=new.description,
        deployment_job_id=new.deployment_job_id,
        tags=_by_key(new.tags),
    )


def webhook(row: Row) -> Webhook:
    """The webhook in a row of `statements.WEBHOOK_FIELDS`.

    Raises:
        StoreCorruptedError: no call can have written the row.
    """
    webhook_id, name, url, events, description, status, secret, created, updated = row
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
    )


def _events(text: str) -> tuple[WebhookEvent, ...]:
    return tuple(
        WebhookEvent(WebhookEntity(entity), WebhookAction(action))
        for entity, action in json.loads(text)
    )


def webhook_values(webhook: Webhook) -> dict[str, Any]:
    """The values of a webhook to write."""
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
    }
