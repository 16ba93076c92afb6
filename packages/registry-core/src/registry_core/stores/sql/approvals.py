"""Approvals in a database: the statements that read and write them, and their rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.sql.elements import ClauseElement

from registry_core.errors import StoreCorruptedError
from registry_core.models import Approval
from registry_core.stores.sql.compiling import param
from registry_core.stores.sql.parts import is_version
from registry_core.stores.sql.results import Row
from registry_core.stores.sql.tables import (
    model_version_approvals,
    model_versions,
    registered_model_aliases,
)

_FIELDS = ("version", "actor", "is_authenticated", "groups", "digest", "reason", "time")


def statements() -> dict[str, ClauseElement]:
    """Return the steps of changes of approvals, and what reads them."""
    approval, version = model_version_approvals, model_versions
    alias = registered_model_aliases
    columns = [approval.c[name] for name in _FIELDS]
    of_model = approval.c.name == param("name")
    this = (*is_version(approval), approval.c.actor == param("actor"))
    return {
        "list_approvals": select(*columns)
        .where(of_model)
        .order_by(approval.c.version, approval.c.actor),
        "get_approvals": select(*columns).where(*is_version(approval)).order_by(approval.c.actor),
        "put_approval": insert(approval).values({name: param(name) for name in ("name", *_FIELDS)}),
        "delete_approval": delete(approval).where(*this).returning(approval.c.actor),
        "staged_versions": select(version.c.version)
        .where(version.c.name == param("name"), version.c.current_stage == param("stage"))
        .order_by(version.c.version),
        "list_aliases": select(alias.c.alias, alias.c.version).where(alias.c.name == param("name")),
    }


def values_of(name: str, version: int, approval: Approval) -> dict[str, Any]:
    """Return the values of the row of an approval."""
    return {
        "name": name,
        "version": version,
        "actor": approval.actor,
        "is_authenticated": int(approval.is_authenticated),
        "groups": json.dumps(approval.groups, ensure_ascii=False) if approval.groups else None,
        "digest": approval.digest,
        "reason": approval.reason,
        "time": approval.time,
    }


def approvals_of(rows: Iterable[Row]) -> Mapping[int, tuple[Approval, ...]]:
    """Return the approvals in rows, by their versions.

    Raises:
        StoreCorruptedError: no call can have written one of the rows.
    """
    approvals: dict[int, tuple[Approval, ...]] = {}
    for row in rows:
        approvals[row[0]] = (*approvals.get(row[0], ()), _approval(row))
    return approvals


def _approval(row: Row) -> Approval:
    version, actor, is_authenticated, groups, digest, reason, time = row
    try:
        return Approval(
            actor=actor,
            is_authenticated=bool(is_authenticated),
            groups=tuple(json.loads(groups)) if groups else (),
            digest=digest,
            reason=reason,
            time=time,
        )
    except (ValueError, TypeError) as error:
        raise StoreCorruptedError(
            f"The row of an approval of version {version} cannot be read: {error}"
        ) from error
