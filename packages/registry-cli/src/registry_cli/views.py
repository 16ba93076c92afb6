"""What each kind of result looks like: its columns, its record, its name, its wire JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import attrs

from registry_core import ModelUri, ModelVersion, RegisteredModel

T = TypeVar("T")
Field = tuple[str, str]


@attrs.frozen(kw_only=True)
class View(Generic[T]):
    """How to show one kind of result.

    `one` and `many` are the keys that the wire puts one result, or a list of them, under.
    """

    one: str
    many: str
    header: Sequence[str]
    row: Callable[[T], Sequence[str]]
    record: Callable[[T], Sequence[Field]]
    name: Callable[[T], str]
    wire: Callable[[T], Mapping[str, Any]]


def when(timestamp: int) -> str:
    """A moment in ISO 8601, UTC, to the second."""
    try:
        moment = datetime.fromtimestamp(timestamp // 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{timestamp} ms"  # beyond the year 9999
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _pairs(mapping: Mapping[str, object], separator: str = ", ") -> str:
    return separator.join(f"{key}={value}" for key, value in mapping.items())


def _newest(model: RegisteredModel) -> str:
    return str(max((version.version for version in model.latest_versions), default=""))


def _model_record(model: RegisteredModel) -> Sequence[Field]:
    latest = "\n".join(
        f"{version.version} ({version.current_stage})" for version in model.latest_versions
    )
    return (
        ("name", model.name),
        ("description", model.description or ""),
        ("created", when(model.creation_timestamp)),
        ("updated", when(model.last_updated_timestamp)),
        ("tags", _pairs(model.tags, "\n")),
        ("aliases", _pairs(model.aliases, "\n")),
        ("latest versions", latest),
    )


def _version_row(version: ModelVersion) -> Sequence[str]:
    return (
        version.name,
        str(version.version),
        str(version.current_stage),
        str(version.status),
        ", ".join(version.aliases),
        when(version.last_updated_timestamp),
        version.source,
    )


def _version_record(version: ModelVersion) -> Sequence[Field]:
    return (
        ("name", version.name),
        ("version", str(version.version)),
        ("stage", str(version.current_stage)),
        ("status", str(version.status)),
        ("status message", version.status_message or ""),
        ("description", version.description or ""),
        ("source", version.source),
        ("storage location", version.storage_location or ""),
        ("run id", version.run_id or ""),
        ("run link", version.run_link or ""),
        ("model id", version.model_id or ""),
        ("user id", version.user_id or ""),
        ("created", when(version.creation_timestamp)),
        ("updated", when(version.last_updated_timestamp)),
        ("tags", _pairs(version.tags, "\n")),
        ("aliases", ", ".join(version.aliases)),
    )


def _encode_model(model: RegisteredModel) -> Mapping[str, Any]:
    from registry_core import wire  # noqa: PLC0415 tables must not pay for its converter

    return wire.plain(wire.encode_registered_model(model))


def _encode_version(version: ModelVersion) -> Mapping[str, Any]:
    from registry_core import wire  # noqa: PLC0415 as above

    return wire.plain(wire.encode_model_version(version))


MODEL = View[RegisteredModel](
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
    record=_model_record,
    name=lambda model: model.name,
    wire=_encode_model,
)
"""Registered models; LATEST is the highest version number."""

VERSION = View[ModelVersion](
    one="model_version",
    many="model_versions",
    header=("NAME", "VERSION", "STAGE", "STATUS", "ALIASES", "UPDATED", "SOURCE"),
    row=_version_row,
    record=_version_record,
    name=lambda version: str(ModelUri(name=version.name, version=version.version)),
    wire=_encode_version,
)
"""Model versions; their name is their `models:/` URI."""
