"""Records as JSON objects: the format of the bucket, which is read by people too.

- `format_version` is the lowest that a reader must know: 4 of what has a history that was pruned, 3
  of what has approvals, 2 of what has events or idempotency keys, 1 of anything else.
  A reader refuses a higher one, and any key it does not know, rather than drop what a newer release
  wrote. The types are checked as strictly: nothing is coerced.
- One field per line, one version per line, one event per line: a document can be read, compared and
  searched as text.
- `events` are the newest events of a model, numbered without a gap. Those before them are in
  objects of their own (`event_log`), and `spilled_events` has the earliest and latest time of
  these. A document without both is of a model that nobody has changed since events are kept.
  Of a history that was pruned, `pruned_events` says what its beginning has, which comes before both
  and is in an object of its own.
- `idempotency_keys` has what was made under such keys within the last day, whatever the object
  holds by now.
- An event has neither the id of its model nor what has its default; of it, a document's reader
  checks the number and the time only (`event_format`).
- What has its default is left out; `last_updated_timestamp` of a version too, while it is the
  creation's. A version carries neither its name nor its aliases: both are the document's.
- A large text is `{"large": "<sha256>-<operation>", "bytes": <size>}` where its text would be.
- `registry_core.wire` has another format, and neither follows when the other changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import cattrs

from registry_core import documents
from registry_core.documents import ModelDocument
from registry_core.errors import StoreCorruptedError
from registry_core.fields import fields_of
from registry_core.models import (
    Approval,
    ModelFields,
    ModelVersion,
    Webhook,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
)
from registry_core.stores.s3.event_format import (
    DELETED_KIND,
    EVENTS_FORMAT_VERSION,
    PRUNED_FORMAT_VERSION,
    damaged_events,
    format_version_of,
    log_fields,
    pop_log,
)
from registry_core.stores.s3.event_log import EventLog
from registry_core.stores.s3.format import (
    ENVELOPE_FIELDS,
    MODEL_TEXTS,
    VERSION_TEXTS,
    Envelope,
    StoredApproval,
    StoredModel,
    StoredRenameIntent,
    StoredTombstone,
    StoredVersion,
    StoredWebhook,
    from_plain,
    render,
    to_plain,
)
from registry_core.stores.s3.large_text import LargeText
from registry_core.stores.s3.record import Content, Model, Record, RenameIntent, Tombstone, began

FORMAT_VERSION = 1
"""What is written where nothing needs a newer one; the marker's, too."""

APPROVALS_FORMAT_VERSION = 3
"""What is written where there are approvals: releases before this one do not know them."""

NEWEST_FORMAT_VERSION = PRUNED_FORMAT_VERSION
"""The highest that this release reads."""

PUT_AWAY = "0" * 19
"""In place of the operation that has put the events of a deleted model away, which is not kept."""

CONTENT_TYPE = "application/json"

MESSAGE_MAX_LENGTH = 1_000
"""Characters of a message about a damaged object; one may be damaged in very many places."""


def encode(record: Record) -> bytes:
    """Return the bytes of an object that holds a record."""
    assert record.content is not None, "what is not there has no bytes"
    kind, fields = _fields(record.content)
    envelope = Envelope(
        format_version=_format_version(record),
        kind=kind,
        revision=record.revision,
        operations=record.operations,
        departures=record.departures,
        idempotency_keys=record.kept_keys,
    )
    return render({**to_plain(envelope), **fields})


def _format_version(record: Record) -> int:
    content, needed = record.content, FORMAT_VERSION
    if record.kept_keys:
        needed = EVENTS_FORMAT_VERSION
    # The events of a webhook are others, which every release knows.
    if isinstance(content, Model | RenameIntent | Tombstone):
        needed = max(needed, format_version_of(content.log))
    if isinstance(content, Model | RenameIntent) and content.document.approvals:
        needed = max(needed, APPROVALS_FORMAT_VERSION)
    if isinstance(content, RenameIntent) and content.deleted is not None:
        needed = max(needed, PRUNED_FORMAT_VERSION)
    return needed


def decode(key: str, body: bytes) -> Record:
    """Return the record in the bytes of an object.

    Raises:
        StoreCorruptedError: they are not what this release, or an older one, writes.
    """
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _damaged(key, _explained(str(error), body)) from error
    match plain:
        case {"format_version": int(version)} if version > NEWEST_FORMAT_VERSION:
            raise _damaged(
                key,
                f"it has format_version {version}, and this release reads up to "
                f"{NEWEST_FORMAT_VERSION}; use a newer release",
            )
        case dict():
            return _checked(key, plain, body)
    raise _damaged(key, "it is not a JSON object")


def _checked(key: str, plain: dict[str, Any], body: bytes) -> Record:
    try:
        return _record(plain, body)
    except cattrs.BaseValidationError as error:
        raise _damaged(key, "; ".join(cattrs.transform_error(error))) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(key, _explained(f"{type(error).__name__}: {error}", body)) from error


def _explained(why: str, body: bytes) -> str:
    return "; ".join(filter(None, (why, damaged_events(body))))


def _damaged(key: str, why: str) -> StoreCorruptedError:
    # Pieces of what is stored are in it, and it goes to logs and terminals.
    shown = f"The object '{key}' cannot be read: {why}"[:MESSAGE_MAX_LENGTH]
    return StoreCorruptedError("".join(map(_printable, shown)))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def _record(plain: dict[str, Any], body: bytes) -> Record:
    if plain.get("kind") == DELETED_KIND:
        return _put_away(plain, body)
    envelope = from_plain(
        {field: plain.pop(field) for field in ENVELOPE_FIELDS if field in plain}, Envelope
    )
    if not 0 < len(envelope.operations) <= envelope.revision:
        raise ValueError("its journal does not lead to its revision")
    for operation in envelope.operations:
        began(operation)
    return Record(
        content=_content(envelope.kind, plain, body),
        revision=envelope.revision,
        operations=envelope.operations,
        departures=envelope.departures,
        kept_keys=envelope.idempotency_keys,
    )


def _put_away(plain: dict[str, Any], body: bytes) -> Record:
    """The record in an object with the last events of a deleted model, which has no journal."""
    log = pop_log(plain, body)
    gone = from_plain(
        {name: each for name, each in plain.items() if name not in ENVELOPE_FIELDS}, StoredTombstone
    )
    if gone.model_id is None or plain["format_version"] != format_version_of(log):
        raise ValueError("it is not of a deleted model")
    content = Tombstone(name=gone.name, model_id=gone.model_id, log=log)
    return Record(content=content, revision=1, operations=(PUT_AWAY,))


def _content(kind: str, plain: dict[str, Any], body: bytes) -> Content:
    match kind:
        case "registered_model":
            log = pop_log(plain, body)
            return Model(document=_document(from_plain(plain, StoredModel)), log=log)
        case "arriving_registered_model":
            stored = from_plain(plain.pop("arriving"), StoredRenameIntent)
            log = pop_log(plain, body)
            return RenameIntent(
                document=_document(from_plain(plain, StoredModel)),
                log=log,
                source=stored.source,
                base=stored.base,
                operation=stored.operation,
                deleted=stored.deleted,
            )
        case "tombstone":
            log = pop_log(plain, body)
            gone = from_plain(plain, StoredTombstone)
            return Tombstone(
                name=gone.name, model_id=gone.model_id, renamed_to=gone.renamed_to, log=log
            )
        case "webhook":
            return _webhook(from_plain(plain, StoredWebhook))
    raise ValueError(f"its kind '{kind}' is unknown")


def _fields(content: Content) -> tuple[str, dict[str, Any]]:
    match content:
        case Model():
            return "registered_model", _model_fields(content.document, content.log)
        case RenameIntent():
            stored = StoredRenameIntent(
                source=content.source,
                base=content.base,
                operation=content.operation,
                deleted=content.deleted,
            )
            fields = _model_fields(content.document, content.log)
            return "arriving_registered_model", {"arriving": to_plain(stored), **fields}
        case Tombstone():
            gone = StoredTombstone(
                name=content.name, model_id=content.model_id, renamed_to=content.renamed_to
            )
            return "tombstone", {**to_plain(gone), **log_fields(content.log)}
        case Webhook():
            return "webhook", _webhook_fields(content)


# Models


_MODEL_NAMES = tuple(field.name for field in fields_of(ModelFields))
_VERSION_NAMES = tuple(
    field.name
    for field in fields_of(ModelVersion)
    if field.name not in ("name", "last_updated_timestamp", "aliases")
)
"""The fields that a document has as they are."""


def _model_fields(document: ModelDocument, log: EventLog) -> dict[str, Any]:
    stored = StoredModel(
        model_id=document.model_id,
        next_version=document.next_version,
        versions=[],
        approvals=tuple(_stored_approvals(document)),
        **{name: getattr(document, name) for name in _MODEL_NAMES},
    )
    fields = to_plain(stored)
    # For people: the model before what belongs to it.
    head = {name: fields.pop(name) for name in ("name", "model_id")}
    for last in ("next_version", "versions", "approvals"):
        if last in fields:
            fields[last] = fields.pop(last)
    fields["versions"] = [_version_fields(version) for version in document.versions.values()]
    return {**head, **fields, **log_fields(log)}


def _version_fields(version: ModelVersion) -> dict[str, Any]:
    values = version.__dict__
    touched = version.last_updated_timestamp != version.creation_timestamp
    stored = StoredVersion(
        last_updated_timestamp=version.last_updated_timestamp if touched else None,
        **{name: values[name] for name in _VERSION_NAMES},
    )
    return to_plain(stored)


def _document(stored: Any) -> ModelDocument:
    values = {name: getattr(stored, name) for name in _MODEL_NAMES}
    _own_texts(values, MODEL_TEXTS, stored.model_id)
    document = ModelDocument(
        model_id=stored.model_id,
        next_version=stored.next_version,
        approvals=_approvals(stored.approvals),
        **values,
    )
    built = documents.build(document, (_version(each, stored) for each in stored.versions))
    if len(built.versions) < len(stored.versions):
        raise ValueError("two of its versions have one number")
    return built


def _stored_approvals(document: ModelDocument) -> Iterator[StoredApproval]:
    for number, approvals in document.approvals.items():
        for approval in approvals:
            yield StoredApproval(version=number, **attrs.asdict(approval))


def _approvals(stored: Iterable[StoredApproval]) -> dict[int, tuple[Approval, ...]]:
    approvals: dict[int, tuple[Approval, ...]] = {}
    for each in stored:
        fields = attrs.asdict(each)
        number = fields.pop("version")
        approvals[number] = (*approvals.get(number, ()), Approval(**fields))
    return approvals


def _version(stored: Any, model: Any) -> ModelVersion:
    values = {name: getattr(stored, name) for name in _VERSION_NAMES}
    _own_texts(values, VERSION_TEXTS, model.model_id)
    updated = stored.last_updated_timestamp
    return ModelVersion(
        name=model.name,
        last_updated_timestamp=stored.creation_timestamp if updated is None else updated,
        **values,
    )


def _own_texts(values: dict[str, Any], names: Iterable[str], model_id: str) -> None:
    """Makes the references among the texts of an entity those of a model."""
    for name in names:
        values[name] = None if values[name] is None else _owned(values[name], model_id)
    values["tags"] = {key: _owned(value, model_id) for key, value in values["tags"].items()}


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
        copied_as=webhook.copied_as,
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
        copied_as=stored.copied_as,
        creation_timestamp=stored.creation_timestamp,
        last_updated_timestamp=stored.last_updated_timestamp,
    )


def _event(text: str) -> WebhookEvent:
    entity, _, action = text.partition(".")
    return WebhookEvent(WebhookEntity(entity), WebhookAction(action))
