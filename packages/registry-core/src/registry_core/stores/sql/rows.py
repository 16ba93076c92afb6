"""Rows of `statements` as entities, and drafts as values for it.

Strategy: a page of models is hundreds of entities. The attributes of what is read are put where
the class's own `__init__` puts them, in less than half its time: the row has all of them, and there
is nothing to check. The function that does it is written out from the table of fields.
"""

from __future__ import annotations

import enum
import functools
import json
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from registry_core import validation
from registry_core.documents import FIRST_VERSION
from registry_core.errors import StoreCorruptedError
from registry_core.fields import define, scalars_of
from registry_core.models import (
    ModelFields,
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
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
    VERSION_FIELDS,
    VERSION_TAGS,
)
from registry_core.stores.sql.tables import VALUE_HEAD

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)

_STAGES = {stage.value: place for place, stage in enumerate(Stage)}
_VERSION = VERSION_FIELDS.index("version")
_STAGE = VERSION_FIELDS.index("current_stage")

_EMPTY = frozenset({"{}", "[]"})

_decode = msgspec.json.Decoder().decode


def model_version(row: Row) -> ModelVersion:
    """Return the version in a row of `statements.version_columns`.

    Raises:
        StoreCorruptedError: no call can have written the row.
    """
    tags, aliases = _loaded(row[VERSION_TAGS]), _loaded(row[VERSION_ALIASES])
    return _model_version(
        row[:VERSION_TAGS], _by_key(tags), tuple(sorted(aliases)) if aliases else ()
    )


def registered_model(row: Row) -> RegisteredModel:
    """Return the model in a row of `statements.model_columns`; raises as `model_version`."""
    aliases = _by_key(_loaded(row[MODEL_ALIASES]))
    model = _registered_model(row[:MODEL_TAGS], _by_key(_loaded(row[MODEL_TAGS])), aliases)
    text = row[LATEST_VERSIONS]
    model.__dict__["latest_versions"] = () if text is None else _latest(_decode(text), aliases)
    return model


def _latest(documents: list[Any], aliases: Mapping[str, int]) -> tuple[ModelVersion, ...]:
    """The newest versions of a model, by stage; what has no stage that there is, is left out."""
    if len(documents) > 1:
        documents.sort(key=_place_of_stage)
    numbers = aliases.values()
    found = []
    for fields, tags in documents:
        if fields[_STAGE] in _STAGES:
            number = fields[_VERSION]
            named: tuple[str, ...] = ()
            if number in numbers:
                named = tuple([alias for alias in aliases if aliases[alias] == number])
            found.append(_model_version(fields, _by_key(tags), named))
    return tuple(found)


def _place_of_stage(document: Any) -> int:
    return _STAGES.get(document[0][_STAGE], 0)


def _unpacking(entity: type[EntityT]) -> Callable[[Sequence[Any], Any, Any], EntityT]:
    """Make the entity of its fields in the order of the table, its tags and its aliases.

    What is written out is what one would write: one assignment for all fields, then the words.
    """
    fields = scalars_of(entity)
    words: dict[str, type[enum.Enum]] = {each.name: each.type for each in fields if each.is_word}
    targets = [each.name if each.is_word else f"values[{each.name!r}]" for each in fields]
    lines = (
        "def unpack(fields, tags, aliases):",
        "    entity = new(entity_class)",
        "    values = entity.__dict__",
        f"    ({', '.join(targets)},) = fields",
        *(_checked(f"values[{name!r}] = {name}_of[{name}]" for name in words)),
        "    values['tags'] = tags",
        "    values['aliases'] = aliases",
        "    return entity",
    )
    members = {f"{name}_of": {member.value: member for member in words[name]} for name in words}
    return define(
        "\n".join(lines),
        new=object.__new__,
        entity_class=entity,
        unreadable=_unreadable,
        **members,
    )


def _checked(assignments: Iterable[str]) -> Iterator[str]:
    for each in assignments:
        yield "    try:"
        yield f"        {each}"
        yield "    except KeyError as error:"
        yield "        raise unreadable(fields, error) from error"


def _unreadable(fields: Sequence[Any], error: KeyError) -> StoreCorruptedError:
    return StoreCorruptedError(
        f"The row of version {fields[_VERSION]} of model {fields[0]!r} has no stage or "
        f"status that there is: {error}"
    )


_model_version = _unpacking(ModelVersion)
_registered_model = _unpacking(RegisteredModel)


def _loaded(text: str | None) -> Any:
    # The usual case, without the parser.
    return None if text is None or text in _EMPTY else _decode(text)


def _by_key(mapping: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if not mapping:
        return {}
    # Indexes have them in order already, but no database promises it.
    last = ""
    for key in mapping:
        if key < last:
            return dict(sorted(mapping.items()))
        last = key
    return mapping


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


def room(*, half: bool = False) -> dict[str, int]:
    """Return how much the tags and aliases of one owner may be, for the statements that set one."""
    part = 2 if half else 1
    return {
        "most_tags": validation.TAGS_MAX_COUNT // part,
        "most_bytes": validation.TAGS_MAX_BYTES // part,
        "most_aliases": validation.ALIASES_MAX_COUNT // part,
    }


def tag_rows(tags: Mapping[str, str]) -> str:
    """Return the tags for the parameter `tags` of a statement."""
    return json.dumps(
        [(key, *tag_value(value).values()) for key, value in tags.items()], ensure_ascii=False
    )


NO_TAGS = tag_rows({})
"""The parameter `tags` where there are none."""


def new_model(new: NewRegisteredModel, now: int) -> dict[str, Any]:
    """Return the values of a model to create."""
    return _values(new.created(now=now)) | {"now": now}


def new_version(new: NewModelVersion, now: int) -> dict[str, Any]:
    """Return the values of a version to create; its number is not among them."""
    values = _values(new.created(FIRST_VERSION, now=now))
    del values["version"]
    return values


def _values(entity: RegisteredModel | ModelVersion) -> dict[str, Any]:
    """The values of all columns of an entity, and its tags."""
    return {"tags": tag_rows(entity.tags), **values_of(entity)}


def values_of(entity: ModelFields | ModelVersion) -> dict[str, Any]:
    """Return the values of all columns of an entity."""
    values: dict[str, Any] = {}
    kind = ModelVersion if isinstance(entity, ModelVersion) else ModelFields
    for name, column, is_word, folded_column in _columns(kind):
        value = getattr(entity, name)
        values[column] = value.value if is_word else value
        if folded_column is not None:
            values[folded_column] = folded(value)
    return values


@functools.cache
def _columns(entity: type[Any]) -> tuple[tuple[str, str, bool, str | None], ...]:
    """Name, column, whether it is a word, and the column in lower case, of each field."""
    return tuple(
        (
            field.name,
            field.column,
            field.is_word,
            field.folded_column if field.about.is_folded else None,
        )
        for field in scalars_of(entity)
    )


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
