"""Snapshots as JSON: what a backup, an export and our own routes carry.

- One object for a model: its fields, then `versions`, then `events`, named as in the documents of a
  bucket. `format_version` is the lowest that a reader has to know; a higher one is refused, and so
  is a field that this release does not know, rather than drop what a newer one wrote.
- What has its default is left out; `last_updated_timestamp` of a version too, while it is the
  creation's. A version has neither its name nor its aliases, an event not the model's id: all of
  them are the model's.
- A version has its `approvals`, which the format has from 2 on.
- From 3 on the object of a large model says how many `pieces` follow it, and has neither versions
  nor events itself: see `snapshot_pieces`.
- The order of everything is fixed, so that equal snapshots are equal bytes.
- Types are checked and nothing is coerced. What is legal, `snapshots.check` says.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import attrs

from registry_core import documents
from registry_core.authors import Origin
from registry_core.documents import ModelDocument
from registry_core.errors import InvalidArgumentError
from registry_core.fields import Field, fields_of
from registry_core.history import Action, Event
from registry_core.models import Approval, ModelFields, ModelVersion
from registry_core.snapshots import ModelSnapshot

Json: TypeAlias = dict[str, Any]

T = TypeVar("T")

FORMAT_VERSION = 3
"""The highest that this release reads, and what it writes of a model in pieces."""

_APPROVALS_FORMAT_VERSION = 2
"""What it writes of a model in one piece where there are approvals."""

_PLAIN_FORMAT_VERSION = 1
"""What it writes otherwise: the lowest that a reader has to know."""

KIND = "model_snapshot"
"""What the object of a model calls itself."""

_MODEL = fields_of(ModelFields)
_VERSION = tuple(
    field for field in fields_of(ModelVersion) if field.name not in ("name", "aliases")
)
_UPDATED = "last_updated_timestamp"
_APPROVALS = "approvals"

Approvals: TypeAlias = Mapping[int, tuple[Approval, ...]]
"""Approvals by the number of their version."""


# Writing


def encode(snapshot: ModelSnapshot) -> Json:
    """Return a snapshot as a JSON object."""
    return {
        **encode_model(snapshot.document),
        "versions": encode_versions(snapshot.versions.values(), snapshot.document.approvals),
        "events": [encode_event(event) for event in snapshot.events],
    }


def dumps(snapshot: ModelSnapshot) -> str:
    """Return a snapshot as one line of JSON, without its end; equal snapshots are equal lines."""
    return line_of(encode(snapshot))


line_of = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Makes a line of a JSON object: equal objects are equal lines."""


def encode_model(document: ModelDocument) -> Json:
    """Return a model without its versions as a JSON object."""
    written = _APPROVALS_FORMAT_VERSION if document.approvals else _PLAIN_FORMAT_VERSION
    fields = {"format_version": written, "kind": KIND, "name": document.name}
    if document.model_id:
        fields["model_id"] = document.model_id
    return fields | encode_fields(document) | {"next_version": document.next_version}


def encode_fields(model: ModelFields) -> Json:
    """Return the fields that a model has of its own as a JSON object."""
    return {field.name: _plain(field, model) for field in _MODEL if _is_given(field, model)}


def encode_versions(versions: Iterable[ModelVersion], approvals: Approvals) -> list[Json]:
    """Return versions, with their approvals among those given, as JSON objects."""
    return [encode_version(version, approvals.get(version.version, ())) for version in versions]


def encode_version(version: ModelVersion, approvals: Iterable[Approval]) -> Json:
    """Return a version with its approvals as a JSON object."""
    fields = {field.name: _plain(field, version) for field in _VERSION if _is_given(field, version)}
    if version.last_updated_timestamp == version.creation_timestamp:
        del fields[_UPDATED]
    if encoded := [encode_approval(approval) for approval in approvals]:
        fields[_APPROVALS] = encoded
    return fields


def encode_approval(approval: Approval) -> Json:
    """Return an approval as a JSON object."""
    fields = attrs.asdict(approval) | {"groups": list(approval.groups)}
    return {name: value for name, value in fields.items() if value not in (None, False, [])}


def _is_given(field: Field, entity: object) -> bool:
    value = getattr(entity, field.name)
    if isinstance(value, Mapping):
        return bool(value)
    return value is not None if field.is_optional else bool(value != field.default)


def _plain(field: Field, entity: object) -> Any:
    value = getattr(entity, field.name)
    if isinstance(value, Mapping):
        return dict(value)
    return value.value if isinstance(value, enum.Enum) else value


def encode_event(event: Event) -> Json:
    """Return an event as a JSON object."""
    optional = (
        (attribute.name, attribute.default, getattr(event, attribute.name))
        for attribute in attrs.fields(Event)
        if attribute.name != "model_id"
    )
    return {
        name: value.value if isinstance(value, enum.Enum) else value
        for name, default, value in optional
        if value != default or default is attrs.NOTHING
    }


# Reading


def loads(line: str | bytes) -> ModelSnapshot:
    """Return the snapshot in a line of JSON.

    Raises:
        InvalidArgumentError: It is none.
    """
    try:
        return decode(json.loads(line))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        raise InvalidArgumentError(f"This is not a snapshot of a model: {error}") from error


def decode(fields: object) -> ModelSnapshot:
    """Return the snapshot in a JSON object.

    Raises:
        InvalidArgumentError: It is none, or one of a newer release.
    """
    check_kind(fields)
    return reading(lambda: _snapshot(_object(fields)))


def check_kind(fields: object) -> None:
    """Accept the object of a model, in pieces or not, that this release can read.

    Raises:
        InvalidArgumentError: It is none, or one of a newer release.
    """
    match fields:
        case {"format_version": int(version)} if version > FORMAT_VERSION:
            raise InvalidArgumentError(
                f"The snapshot has format_version {version}, and this release reads up to "
                f"{FORMAT_VERSION}; use a newer release"
            )
        case {"format_version": int(), "kind": "model_snapshot"}:
            return
    raise InvalidArgumentError(f"This is not a snapshot of a model: its kind is not '{KIND}'")


def reading(read: Callable[[], T]) -> T:
    """Return what `read` does; what it finds wrong is an `InvalidArgumentError`."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidArgumentError(f"The snapshot cannot be read: {what}") from error


def _snapshot(fields: Json) -> ModelSnapshot:
    del fields["format_version"], fields["kind"]
    events = _list(fields.pop("events", []))
    versions = _list(fields.pop("versions", []))
    model_id = _text(fields.pop("model_id", ""))
    next_version = _integer(fields.pop("next_version"))
    document = ModelDocument(
        model_id=model_id, next_version=next_version, **_values(fields, _MODEL)
    )
    decoded_versions, approvals = decode_versions(versions, document)
    built = documents.build(attrs.evolve(document, approvals=approvals), decoded_versions)
    if len(built.versions) < len(versions):
        raise ValueError("two of its versions have one number")
    decoded = tuple(decode_event(each, model_id) for each in events)
    return ModelSnapshot(document=built, events=decoded)


def decode_head(fields: Json) -> tuple[ModelDocument, int]:
    """Return the model in the object of one in pieces, and how many of them follow.

    Raises:
        InvalidArgumentError: It is none.
    """

    def head() -> tuple[ModelDocument, int]:
        known = {
            name: each for name, each in fields.items() if name not in ("format_version", "kind")
        }
        pieces, model_id = _integer(known.pop("pieces")), _text(known.pop("model_id", ""))
        next_version = _integer(known.pop("next_version"))
        values = _values(known, _MODEL)
        return ModelDocument(model_id=model_id, next_version=next_version, **values), pieces

    return reading(head)


def decode_parts(
    fields: object, versions: object
) -> tuple[ModelFields, list[ModelVersion], Approvals]:
    """Return the fields of a model in a JSON object, and versions in an array with their approvals.

    Raises:
        InvalidArgumentError: They are none.
    """

    def parts() -> tuple[ModelFields, list[ModelVersion], Approvals]:
        model = ModelFields(**_values(_object(fields), _MODEL))
        return model, *decode_versions(_list(versions), model)

    return reading(parts)


def decode_versions(
    listed: Iterable[object], model: ModelFields
) -> tuple[list[ModelVersion], Approvals]:
    """Return the versions in JSON objects, and their approvals.

    Raises:
        KeyError, TypeError, ValueError: They are none.
    """
    versions, approvals = [], {}
    for each in listed:
        known = _object(each)
        decoded = [decode_approval(approval) for approval in _list(known.pop(_APPROVALS, []))]
        known.setdefault(_UPDATED, known.get("creation_timestamp"))
        version = ModelVersion(name=model.name, **_values(known, _VERSION))
        versions.append(version)
        if decoded:
            approvals[version.version] = tuple(decoded)
    return versions, approvals


def decode_approval(fields: object) -> Approval:
    """Return the approval in a JSON object.

    Raises:
        KeyError, TypeError: It is none.
    """
    known = _object(fields)
    texts = {name: _text(known[name]) for name in ("actor", "digest")}
    reason = known.get("reason")
    is_authenticated = known.get("is_authenticated", False)
    if type(is_authenticated) is not bool:
        raise TypeError("is_authenticated is not a boolean")
    if type(known.get("is_intact")) not in (bool, type(None)):
        raise TypeError("is_intact is not a boolean")
    if unknown := known.keys() - {field.name for field in attrs.fields(Approval)}:
        raise TypeError(f"it has a field that this release does not know: {min(unknown)!r}")
    return Approval(
        **texts,
        is_authenticated=is_authenticated,
        groups=tuple(_text(each) for each in _list(known.get("groups", []))),
        reason=None if reason is None else _text(reason),
        time=_integer(known["time"]),
    )


def decode_event(fields: object, model_id: str) -> Event:
    """Return the event in a JSON object.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    known = _object(fields)
    for name in ("sequence", "time"):
        _integer(known[name])
    for name in ("name", "actor"):
        _text(known[name])
    for name in ("reason", "key"):
        known[name] = None if known.get(name) is None else _text(known[name])
    if known.get("version") is not None:
        _integer(known["version"])
    known["action"] = Action(known["action"])
    known["origin"] = Origin(known.get("origin", Origin.LIBRARY))
    if type(known.get("is_authenticated", False)) is not bool:
        raise TypeError("is_authenticated is not a boolean")
    return Event(model_id=model_id, **known)


def _values(fields: Json, expected: Iterable[Field]) -> Json:
    values: Json = {}
    for field in expected:
        if field.name in fields:
            values[field.name] = _value(field, fields.pop(field.name))
    if fields:
        raise ValueError(f"it has a field that this release does not know: {min(fields)!r}")
    return values


def _value(field: Field, value: object) -> Any:
    if field.type is int:
        return _integer(value)
    if field.type is str:
        return _text(value)
    if field.is_word:
        return field.type(value)
    check = _integer if field.type == Mapping[str, int] else _text
    return {key: check(each) for key, each in sorted(_object(value).items())}


def _text(value: object) -> str:
    if type(value) is not str:
        raise TypeError(f"{json.dumps(value)[:100]} is not a text")
    return value


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{json.dumps(value)[:100]} is not a whole number")
    return value


def _object(value: object) -> Json:
    if type(value) is not dict:
        raise TypeError(f"{json.dumps(value)[:100]} is not an object")
    return dict(value)


def _list(value: object) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"{json.dumps(value)[:100]} is not a list")
    return value
