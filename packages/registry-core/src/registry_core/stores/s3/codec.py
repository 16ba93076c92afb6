"""Records as JSON objects: the format of the bucket, which is read by people too.

- `format_version` is 1; a reader refuses a higher one, and any key it does not know, rather than
  drop what a newer release wrote. The types are checked as strictly: nothing is coerced.
- One field per line, one version per line: a document can be read, compared and searched as text.
- What has its default is left out; `last_updated_timestamp` of a version too, while it is the
  creation's. A version carries neither its name nor its aliases: both are the document's.
- A large text is `{"large": "<sha256>-<operation>", "bytes": <size>}` where its text would be.
- `registry_core.wire` has another format, and neither follows when the other changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import cattrs

from registry_core import documents
from registry_core.documents import ModelDocument
from registry_core.errors import StoreCorruptedError
from registry_core.models import (
    ModelVersion,
    Webhook,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
)
from registry_core.stores.s3.format import (
    ENVELOPE_FIELDS,
    Envelope,
    StoredArrival,
    StoredModel,
    StoredVersion,
    StoredWebhook,
    Text,
    from_plain,
    render,
    to_plain,
)
from registry_core.stores.s3.large_text import LargeText
from registry_core.stores.s3.record import Content, Model, Record, RenameIntent, Tombstone, began

FORMAT_VERSION = 1
"""What this release reads and writes."""

CONTENT_TYPE = "application/json"

MESSAGE_MAX_LENGTH = 1_000
"""Characters of a message about a damaged object; one may be damaged in very many places."""


def encode(record: Record) -> bytes:
    """The bytes of an object that holds a record."""
    assert record.content is not None, "what is not there has no bytes"
    kind, fields = _fields(record.content)
    envelope = Envelope(
        format_version=FORMAT_VERSION,
        kind=kind,
        revision=record.revision,
        operations=record.operations,
        departures=record.departures,
    )
    return render({**to_plain(envelope), **fields})


def decode(key: str, body: bytes) -> Record:
    """The record in the bytes of an object.

    Raises:
        StoreCorruptedError: they are not what this release, or an older one, writes.
    """
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _damaged(key, str(error)) from error
    match plain:
        case {"format_version": int(version)} if version > FORMAT_VERSION:
            raise _damaged(
                key,
                f"it has format_version {version}, and this release knows {FORMAT_VERSION} only; "
                "use a newer release",
            )
        case dict():
            return _checked(key, plain)
    raise _damaged(key, "it is not a JSON object")


def _checked(key: str, plain: dict[str, Any]) -> Record:
    try:
        return _record(plain)
    except cattrs.BaseValidationError as error:
        raise _damaged(key, "; ".join(cattrs.transform_error(error))) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(key, f"{type(error).__name__}: {error}") from error


def _damaged(key: str, why: str) -> StoreCorruptedError:
    # Pieces of what is stored are in it, and it goes to logs and terminals.
    shown = f"The object '{key}' cannot be read: {why}"[:MESSAGE_MAX_LENGTH]
    return StoreCorruptedError("".join(map(_printable, shown)))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def _record(plain: dict[str, Any]) -> Record:
    envelope = from_plain(
        {field: plain.pop(field) for field in ENVELOPE_FIELDS if field in plain}, Envelope
    )
    if not 0 < len(envelope.operations) <= envelope.revision:
        raise ValueError("its journal does not lead to its revision")
    for operation in envelope.operations:
        began(operation)
    return Record(
        content=_content(envelope.kind, plain),
        revision=envelope.revision,
        operations=envelope.operations,
        departures=envelope.departures,
    )


def _content(kind: str, plain: dict[str, Any]) -> Content:
    match kind:
        case "registered_model":
            stored = from_plain(plain, StoredModel)
            return Model(model_id=stored.model_id, document=_document(stored))
        case "arriving_registered_model":
            arrival = from_plain(plain.pop("arriving"), StoredArrival)
            stored = from_plain(plain, StoredModel)
            return RenameIntent(
                model_id=stored.model_id,
                document=_document(stored),
                source=arrival.source,
                base=arrival.base,
                operation=arrival.operation,
            )
        case "tombstone":
            return from_plain(plain, Tombstone)
        case "webhook":
            return _webhook(from_plain(plain, StoredWebhook))
    raise ValueError(f"its kind '{kind}' is unknown")


def _fields(content: Content) -> tuple[str, dict[str, Any]]:
    match content:
        case Model():
            return "registered_model", _model_fields(content.model_id, content.document)
        case RenameIntent():
            arrival = StoredArrival(
                source=content.source, base=content.base, operation=content.operation
            )
            fields = _model_fields(content.model_id, content.document)
            return "arriving_registered_model", {"arriving": to_plain(arrival), **fields}
        case Tombstone():
            return "tombstone", to_plain(content)
        case Webhook():
            return "webhook", _webhook_fields(content)


# Models


def _model_fields(model_id: str, document: ModelDocument) -> dict[str, Any]:
    stored = StoredModel(
        name=document.name,
        model_id=model_id,
        creation_timestamp=document.creation_timestamp,
        last_updated_timestamp=document.last_updated_timestamp,
        description=_text(document.description),
        deployment_job_id=document.deployment_job_id,
        deployment_job_state=document.deployment_job_state,
        tags=_texts(document.tags),
        aliases=dict(document.aliases),
        next_version=document.next_version,
        versions=[],
    )
    fields = to_plain(stored)
    for last in ("next_version", "versions"):
        fields[last] = fields.pop(last)
    fields["versions"] = [_version_fields(version) for version in document.versions.values()]
    return fields


def _version_fields(version: ModelVersion) -> dict[str, Any]:
    touched = version.last_updated_timestamp != version.creation_timestamp
    stored = StoredVersion(
        version=version.version,
        creation_timestamp=version.creation_timestamp,
        last_updated_timestamp=version.last_updated_timestamp if touched else None,
        current_stage=version.current_stage,
        source=version.source,
        storage_location=version.storage_location,
        run_id=version.run_id,
        run_link=version.run_link,
        status=version.status,
        status_message=_text(version.status_message),
        description=_text(version.description),
        user_id=version.user_id,
        model_id=version.model_id,
        tags=_texts(version.tags),
    )
    return to_plain(stored)


def _document(stored: StoredModel) -> ModelDocument:
    def text(value: Text | None) -> str | None:
        return None if value is None else _owned(value, stored.model_id)

    def texts(tags: dict[str, Text]) -> dict[str, str]:
        return {key: _owned(value, stored.model_id) for key, value in tags.items()}

    versions = (
        ModelVersion(
            name=stored.name,
            version=each.version,
            creation_timestamp=each.creation_timestamp,
            last_updated_timestamp=(
                each.creation_timestamp
                if each.last_updated_timestamp is None
                else each.last_updated_timestamp
            ),
            current_stage=each.current_stage,
            source=each.source,
            storage_location=each.storage_location,
            run_id=each.run_id,
            run_link=each.run_link,
            status=each.status,
            status_message=text(each.status_message),
            description=text(each.description),
            user_id=each.user_id,
            model_id=each.model_id,
            tags=texts(each.tags),
        )
        for each in stored.versions
    )
    document = ModelDocument(
        name=stored.name,
        creation_timestamp=stored.creation_timestamp,
        last_updated_timestamp=stored.last_updated_timestamp,
        description=text(stored.description),
        deployment_job_id=stored.deployment_job_id,
        deployment_job_state=stored.deployment_job_state,
        tags=texts(stored.tags),
        aliases=stored.aliases,
        next_version=stored.next_version,
    )
    built = documents.build(document, versions)
    if len(built.versions) < len(stored.versions):
        raise ValueError("two of its versions have one number")
    return built


def _text(value: str | None) -> Text | None:
    return None if value is None else Text(value)


def _texts(tags: Mapping[str, str]) -> dict[str, Text]:
    return {key: Text(value) for key, value in tags.items()}


def _owned(value: str, model_id: str) -> str:
    # A document names its model once; a reference in memory has to name it every time.
    if not isinstance(value, LargeText):
        return value
    return LargeText.to(model_id=model_id, value_id=value.value_id, size=value.size)


# Webhooks


def _webhook_fields(webhook: Webhook) -> dict[str, Any]:
    stored = StoredWebhook(
        webhook_id=webhook.webhook_id,
        name=webhook.name,
        url=webhook.url,
        events=[f"{event.entity.value}.{event.action.value}" for event in webhook.events],
        description=webhook.description,
        status=webhook.status,
        secret=webhook.secret,
        creation_timestamp=webhook.creation_timestamp,
        last_updated_timestamp=webhook.last_updated_timestamp,
    )
    return to_plain(stored)


def _webhook(stored: StoredWebhook) -> Webhook:
    return Webhook(
        webhook_id=stored.webhook_id,
        name=stored.name,
        url=stored.url,
        events=tuple(_event(text) for text in stored.events),
        description=stored.description,
        status=stored.status,
        secret=stored.secret,
        creation_timestamp=stored.creation_timestamp,
        last_updated_timestamp=stored.last_updated_timestamp,
    )


def _event(text: str) -> WebhookEvent:
    entity, _, action = text.partition(".")
    return WebhookEvent(WebhookEntity(entity), WebhookAction(action))
