"""What gates look at, read in the transaction of the change that they are about."""

from __future__ import annotations

from typing import Any

from registry_core.errors import ModelVersionNotFoundError, RegisteredModelNotFoundError
from registry_core.gates import GatesPass
from registry_core.gates.requirement import Seen
from registry_core.models import Approval, ModelVersion
from registry_core.stores.sql import approvals, events, rows
from registry_core.stores.sql.driver import Connection
from registry_core.stores.sql.statements import Statements


def read_for_gates(connection: Connection, sql: Statements, requirement: GatesPass) -> Seen:
    """Return what a database has of what gates look at.

    Raises:
        ModelVersionNotFoundError: a version that the change points at does not exist.
    """
    name = requirement.name
    locked = connection.run(sql.lock_model, {"name": name})
    if not locked:
        raise RegisteredModelNotFoundError(name)
    versions: list[ModelVersion] = []
    by_version: dict[int, tuple[Approval, ...]] = {}
    for number in requirement.numbers:
        key = version_key(name, number)
        records = connection.run(sql.get_version, key)
        if not records:
            raise ModelVersionNotFoundError(name, number)
        versions.append(rows.model_version(records[0]))
        by_version |= approvals.approvals_of(connection.run(sql.get_approvals, key))
    # Of a change of one alias or stage, what there is to know is where the version stands.
    aliases = {alias: each.version for each in versions for alias in each.aliases}
    staged: list[tuple[Any, int]] = [(each.current_stage, each.version) for each in versions]
    if requirement.is_whole:
        aliases = dict(connection.run(sql.list_aliases, {"name": name}))
        staged = [*_staged(connection, sql, requirement)]
    return requirement.seen(
        model_id=locked[0][0],
        aliases=aliases,
        staged=staged,
        versions=versions,
        approvals=by_version,
    )


def _staged(
    connection: Connection, sql: Statements, requirement: GatesPass
) -> list[tuple[Any, int]]:
    stages = {stage for gate in requirement.gates for stage in gate.stages}
    return [
        (stage, number)
        for stage in stages
        for (number,) in connection.run(
            sql.staged_versions, {"name": requirement.name, "stage": stage.value}
        )
    ]


def version_key(name: str, version: int) -> dict[str, Any]:
    """Return the values that name a version."""
    return {"name": name, "version": events.stored_version(version), "asked_version": version}
