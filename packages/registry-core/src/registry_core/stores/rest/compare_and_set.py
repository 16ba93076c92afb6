"""Which request of our own routes makes a change only if something is as the caller expects."""

from __future__ import annotations

from typing import Any

import attrs

from registry_core.changes import (
    Change,
    DeleteAlias,
    DeleteModelTag,
    DeleteVersionTag,
    SetAlias,
    SetModelTag,
    SetVersionTag,
    TransitionVersion,
)
from registry_core.requirements import AliasIs, Requirement, StageIs, TagIs
from registry_core.wire import compare_and_set as wire
from registry_core.wire.prefixes import own_path


@attrs.frozen
class Body:
    """A request to one of our own routes."""

    method: str
    path: str
    request: Any


def body_of(change: Change[Any]) -> Body | None:
    """Return the request that makes a change which requires something; None if no route makes it.

    A route looks at nothing but what it changes.
    """
    match change, change.requires:
        case ((SetAlias() | DeleteAlias()), (AliasIs() as alias,)):
            return _alias(change, alias)
        case ((SetModelTag() | DeleteModelTag()), (TagIs() as tag,)):
            return _model_tag(change, tag)
        case ((SetVersionTag() | DeleteVersionTag()), (TagIs() as tag,)):
            return _version_tag(change, tag)
        case TransitionVersion(), (StageIs() as stage,):
            return _stage(change, stage)
    return None


def _alias(change: SetAlias | DeleteAlias, requirement: AliasIs) -> Body | None:
    if (requirement.name, requirement.alias) != (change.name, change.alias):
        return None
    fields: dict[str, Any] = {"name": change.name, "alias": change.alias, **_expected(requirement)}
    path = own_path(change.name, "aliases", change.alias)
    if isinstance(change, DeleteAlias):
        return Body("DELETE", path, wire.RemoveAlias(**fields))
    return Body("PUT", path, wire.PutAlias(version=str(change.version), **fields))


def _model_tag(change: SetModelTag | DeleteModelTag, requirement: TagIs) -> Body | None:
    if (requirement.name, requirement.version, requirement.key) != (change.name, None, change.key):
        return None
    fields: dict[str, Any] = {"name": change.name, "key": change.key, **_expected(requirement)}
    path = own_path(change.name, "tags")
    if isinstance(change, DeleteModelTag):
        return Body("DELETE", path, wire.RemoveModelTag(**fields))
    return Body("PUT", path, wire.PutModelTag(value=change.value, **fields))


def _version_tag(change: SetVersionTag | DeleteVersionTag, requirement: TagIs) -> Body | None:
    if (requirement.name, requirement.version, requirement.key) != (
        change.name,
        change.version,
        change.key,
    ):
        return None
    fields: dict[str, Any] = {
        "name": change.name,
        "version": str(change.version),
        "key": change.key,
        **_expected(requirement),
    }
    path = own_path(change.name, "versions", str(change.version), "tags")
    if isinstance(change, DeleteVersionTag):
        return Body("DELETE", path, wire.RemoveVersionTag(**fields))
    return Body("PUT", path, wire.PutVersionTag(value=change.value, **fields))


def _stage(change: TransitionVersion, requirement: StageIs) -> Body | None:
    if (requirement.name, requirement.version) != (change.name, change.version):
        return None
    request = wire.PutStage(
        name=change.name,
        version=str(change.version),
        stage=change.stage.value,
        archive_existing_versions=change.archive_existing_versions,
        if_current=requirement.stage,
    )
    return Body("PUT", own_path(change.name, "versions", request.version, "stage"), request)


def _expected(requirement: Requirement) -> dict[str, Any]:
    value = (
        requirement.version
        if isinstance(requirement, AliasIs)
        else getattr(requirement, "value", None)
    )
    return {"if_current": value, "if_absent": value is None}
