"""What each kind of result looks like: its columns, its record, its name, its wire JSON.

A record has all fields of the table of fields, but for those of deployment jobs, which no command
sets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import registry_core
from registry_cli.times import when
from registry_core import ModelUri, ModelVersion, RegisteredModel
from registry_core.fields import Field, arranged, fields_of

if TYPE_CHECKING:
    from registry_core.artifacts import Manifest

T = TypeVar("T")


class View(NamedTuple, Generic[T]):
    """How to show one kind of result.

    `one` and `many` are the keys that the wire puts one result, or a list of them, under.
    """

    one: str
    many: str
    header: Sequence[str]
    row: Callable[[T], Sequence[str]]
    record: Callable[[T], Sequence[tuple[str, str]]]
    name: Callable[[T], str]
    wire: Callable[[T], Mapping[str, Any]]


def _pairs(mapping: Mapping[str, object], separator: str = ", ") -> str:
    return separator.join(f"{key}={value}" for key, value in mapping.items())


def _newest(model: RegisteredModel) -> str:
    return str(max((version.version for version in model.latest_versions), default=""))


def _shown(entity: Any, field: Field) -> str:
    """The value of a field as a record shows it."""
    value = getattr(entity, field.name)
    if value is None:
        return ""
    if field.type is int and field.name.endswith("_timestamp"):
        return when(value)
    if isinstance(value, Mapping):
        return _pairs(value, "\n")
    if field.type == tuple[ModelVersion, ...]:
        return "\n".join(f"{version.version} ({version.current_stage})" for version in value)
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _record(fields: Sequence[Field]) -> Callable[[Any], Sequence[tuple[str, str]]]:
    return lambda entity: [(field.label, _shown(entity, field)) for field in fields]


def shown_fields(version: ModelVersion) -> Mapping[str, str]:
    """Return the fields of a version but its key and times, as a record shows them, by label."""
    left_out = ("name", "version", "creation_timestamp", "last_updated_timestamp")
    fields = (field for field in fields_of(ModelVersion) if field.name not in left_out)
    return {field.label: _shown(version, field) for field in fields}


def _row(entity: Any, names: Sequence[str]) -> list[str]:
    fields = {field.name: field for field in fields_of(type(entity))}
    return [_shown(entity, fields[name]) for name in names]


_LAST = ("creation_timestamp", "last_updated_timestamp", "tags", "aliases", "latest_versions")
"""What a record ends with. What it begins with is named below; a new field comes between."""

_MODEL_RECORD = arranged(
    (f for f in fields_of(RegisteredModel) if not f.name.startswith("deployment_job_")),
    first=("name", "description"),
    last=_LAST,
)
_VERSION_RECORD = arranged(
    fields_of(ModelVersion),
    first=(
        *("name", "version", "current_stage", "status", "status_message", "description"),
        *("source", "storage_location", "run_id", "run_link", "model_id", "user_id"),
    ),
    last=_LAST,
)
_labels = {field.name: field.label for field in fields_of(ModelVersion)}
_VERSION_ROW = (
    *("name", "version", "current_stage", "status", "aliases"),
    *("last_updated_timestamp", "source"),
)


def _encode_model(model: RegisteredModel) -> Mapping[str, Any]:
    wire = registry_core.wire  # Loaded by its first use: tables and names need no converter.
    return wire.plain(wire.encode_registered_model(model))


def _encode_version(version: ModelVersion) -> Mapping[str, Any]:
    wire = registry_core.wire
    return wire.plain(wire.encode_model_version(version))


MODEL: View[RegisteredModel] = View(
    one="registered_model",
    many="registered_models",
    header=("NAME", "LATEST", "ALIASES", "UPDATED", "TAGS"),
    row=lambda model: (
        model.name,
        _newest(model),
        _pairs(model.aliases),
        when(model.last_updated_timestamp),
        _pairs(model.tags),
    ),
    record=_record(_MODEL_RECORD),
    name=lambda model: model.name,
    wire=_encode_model,
)
"""Registered models; LATEST is the highest version number."""

VERSION: View[ModelVersion] = View(
    one="model_version",
    many="model_versions",
    header=[_labels[name].upper() for name in _VERSION_ROW],
    row=lambda version: _row(version, _VERSION_ROW),
    record=_record(_VERSION_RECORD),
    name=lambda version: str(ModelUri(name=version.name, version=version.version)),
    wire=_encode_version,
)
"""Model versions; their name is their `models:/` URI."""


def manifest_fields(
    name: str, version: int | str, manifest: Manifest
) -> dict[str, str | int | None]:
    """Return what is shown of the files of a version as a whole."""
    return {
        "version": f"models:/{name}/{version}",
        "digest": manifest.digest,
        "files": len(manifest.files),
        "bytes": manifest.size,
    }
