"""The fields of the objects in a bucket, and the converter that reads and writes them.

Strict where the wire is lenient: nothing is coerced, no key is unknown. See `codec` for the format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NewType, TypeVar

import attrs
import cattrs
from cattrs.gen import make_dict_unstructure_fn

from registry_core.authors import Origin
from registry_core.fields import Field, fields_of
from registry_core.history import Action
from registry_core.idempotency import KeptKey
from registry_core.models import ModelFields, ModelVersion, Stage, Status, WebhookStatus
from registry_core.stores.s3.large_text import LargeText
from registry_core.stores.s3.record import Moved

Text = NewType("Text", str)
"""A text that may lie beside the document."""

T = TypeVar("T")


def _texts_of(entity: type[attrs.AttrsInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in fields_of(entity) if field.about.may_be_apart)


MODEL_TEXTS, VERSION_TEXTS = _texts_of(ModelFields), _texts_of(ModelVersion)
"""The fields that may lie beside the document, as the values of tags may."""


def _stored(name: str, entity: type[attrs.AttrsInstance], special: dict[str, Any]) -> Any:
    """Make the class of an entity in a document, from the table of its fields.

    `special` are the fields that a document has in another way, those that it has besides, and
    with None those that it has not.
    """
    fields = {field.name: _stored_field(field) for field in fields_of(entity)} | special
    made = {name: attribute for name, attribute in fields.items() if attribute is not None}
    return attrs.make_class(name, made, frozen=True, kw_only=True)


def _stored_field(field: Field) -> Any:
    kind = Text if field.about.may_be_apart else _TYPES.get(field.type, field.type)
    return _attribute(kind | None if field.is_optional else kind, default=field.default)


def _attribute(kind: Any, default: Any = attrs.NOTHING) -> Any:
    return attrs.field(type=kind, default=default)


_TYPES: Mapping[Any, Any] = {Mapping[str, str]: dict[str, Text], Mapping[str, int]: dict[str, int]}
"""How a document has what is more than one value."""

StoredVersion = _stored(
    "StoredVersion",
    ModelVersion,
    {
        "name": None,
        "aliases": None,
        "last_updated_timestamp": _attribute(int | None, default=None),
    },
)
"""A version, without what its document says."""


@attrs.frozen(kw_only=True)
class StoredApproval:
    """An approval of a version; see `models.Approval`."""

    version: int
    actor: str
    is_authenticated: bool = False
    groups: tuple[str, ...] = ()
    digest: str
    reason: str | None = None
    time: int


StoredModel = _stored(
    "StoredModel",
    ModelFields,
    {
        "model_id": _attribute(str),
        "next_version": _attribute(int),
        "versions": _attribute(list[StoredVersion]),  # type: ignore[valid-type]  # made above,
        "approvals": _attribute(tuple[StoredApproval, ...], default=()),
    },
)
"""A registered model."""


@attrs.frozen(kw_only=True)
class StoredRenameIntent:
    """Where an arriving model comes from; see `record.RenameIntent`."""

    source: str
    base: str
    operation: str
    deleted: int | None = None


@attrs.frozen(kw_only=True)
class StoredTombstone:
    """Where no model is; see `record.Tombstone`."""

    name: str
    model_id: str | None = None
    renamed_to: str | None = None


@attrs.frozen(kw_only=True)
class StoredEvent:
    """An event, without the id of its model; see `history.Event`."""

    sequence: int
    time: int
    name: str
    actor: str
    is_authenticated: bool = False
    origin: Origin = Origin.LIBRARY
    reason: str | None = None
    action: Action
    version: int | None = None
    key: str | None = None
    before: Any = None
    after: Any = None
    checksum: str | None = None
    """Of all the others and of the model's id; see `event_format`."""


@attrs.frozen(kw_only=True)
class StoredWebhook:
    """A webhook; an event is `entity.action`."""

    webhook_id: str
    name: str
    url: str
    events: list[str]
    description: str | None = None
    status: WebhookStatus
    secret: str | None = None
    copied_as: str | None = None
    creation_timestamp: int
    last_updated_timestamp: int


@attrs.frozen(kw_only=True)
class Envelope:
    """What every object has, whatever it holds."""

    format_version: int
    kind: str
    revision: int
    operations: tuple[str, ...]
    departures: tuple[Moved, ...] = ()
    idempotency_keys: tuple[KeptKey, ...] = ()


def render(fields: Mapping[str, Any]) -> bytes:
    """Return the bytes of an object with these fields, for people as well."""
    lines = ",\n".join(_lines(fields))
    return f"{{\n{lines}\n}}\n".encode()


def _lines(fields: Mapping[str, Any]) -> Iterator[str]:
    for key, value in fields.items():
        if key == "versions" and value:
            rows = ",\n".join(dump(version) for version in value)
            yield f"{dump(key)}: [\n{rows}\n]"
        elif key == "events" and isinstance(value, tuple):
            rows = ",\n".join(value)  # events are lines already
            yield f"{dump(key)}: [\n{rows}\n]"
        else:
            yield f"{dump(key)}: {dump(value)}"


dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _make_converter(*, detailed_validation: bool) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=detailed_validation)
    for plain in (str, int, bool):
        converter.register_structure_hook(plain, strict)
    for words in (
        Stage,
        Status,
        WebhookStatus,
        Action,
        Origin,
    ):  # or else they would be read as any other str
        converter.register_structure_hook(words, _read_word)
    converter.register_structure_hook(Text, _read_text)
    converter.register_unstructure_hook(Text, _write_text)
    for class_ in (
        StoredVersion,
        StoredApproval,
        StoredModel,
        StoredRenameIntent,
        StoredTombstone,
        StoredEvent,
        StoredWebhook,
        Moved,
        Envelope,
    ):
        converter.register_unstructure_hook(
            class_, make_dict_unstructure_fn(class_, converter, _cattrs_omit_if_default=True)
        )
    return converter


def strict(value: Any, type_: type[T]) -> T:
    """Return a value that is of exactly this type."""
    if type(value) is not type_:
        raise TypeError(f"{type(value).__name__} instead of {type_.__name__}")
    return value


def _read_word(value: Any, type_: type[StrEnum]) -> StrEnum:
    return type_(strict(value, str))


def _read_text(value: Any, _: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, dict) and value.keys() == {"large", "bytes"}:
        value_id, size = strict(value["large"], str), strict(value["bytes"], int)
        return LargeText.to(model_id="", value_id=value_id, size=size)
    raise TypeError(f"{type(value).__name__} instead of a text")


def _write_text(value: str) -> object:
    if isinstance(value, LargeText):
        return {"large": value.value_id, "bytes": value.size}
    return value


_converter = _make_converter(detailed_validation=False)
_explaining_converter = _make_converter(detailed_validation=True)
"""Three times slower, and says where the damage is."""

ENVELOPE_FIELDS = tuple(field.name for field in attrs.fields(Envelope))


def to_plain(stored: object) -> dict[str, Any]:
    """Return the fields of a stored value, as JSON has them."""
    plain: dict[str, Any] = _converter.unstructure(stored)
    return plain


def from_plain(plain: Mapping[str, Any], class_: type[T]) -> T:
    """Return the stored value in JSON's fields.

    Raises whatever fits, naming the place of the damage.
    """
    try:
        return _converter.structure(plain, class_)
    except Exception:  # noqa: BLE001 whatever it is, the slower converter can word it
        return _explaining_converter.structure(plain, class_)
