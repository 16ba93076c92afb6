"""Which request of MLflow's API makes which change, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import attrs

from registry_core import snapshot_format, uris, wire
from registry_core.changes import (
    ApproveVersion,
    Change,
    CreateVersion,
    FinalizeVersion,
    RelocateVersion,
    RestoreDeletedModel,
    RestoreLargeModel,
    RestoreModel,
    TransitionVersion,
    WithdrawApproval,
)
from registry_core.documents import registered_model
from registry_core.errors import UnsupportedBackendError
from registry_core.models import ModelVersion, Status
from registry_core.stores.rest import compare_and_set
from registry_core.stores.rest.answers import approval_of, model_of, version_of
from registry_core.wire import approvals, snapshots
from registry_core.wire.prefixes import own_path
from registry_core.wire.routes import ROUTES, Returned


@attrs.frozen
class Route:
    """A request that makes one class of change."""

    method: str
    path: str
    request: Callable[[Any], Any]
    """Makes the request of the change."""
    result: Callable[[Any, wire.Json], Any]
    """Makes the change's result of the change and the answer."""


def refuse(what: str) -> NoReturn:
    """Raise the error for what MLflow's API cannot say."""
    raise UnsupportedBackendError(f"A server with MLflow's REST API has no way to {what}.")


def _check_new_version(change: CreateVersion) -> None:
    new = change.new
    if new.status is not Status.READY:
        refuse("reserve a model version before its artifacts are in place")
    if new.storage_location is not None and not uris.is_model_uri(new.source):
        refuse("keep a storage location apart from the source")


def _created_version(change: CreateVersion, answer: wire.Json) -> ModelVersion:
    return attrs.evolve(version_of(answer), storage_location=change.new.storage_location)


def _nothing(_: Change[None], __: wire.Json) -> None:
    return None


_RESULTS: Mapping[Returned, Callable[[Any, wire.Json], Any]] = {
    Returned.NOTHING: _nothing,
    Returned.MODEL: lambda _, answer: model_of(answer),
    Returned.VERSION: lambda _, answer: version_of(answer),
}

REFUSED: Mapping[type[Change[Any]], str] = {
    FinalizeVersion: "finalize a model version",
    RelocateVersion: "say where a version's files are",
    RestoreLargeModel: "write a whole model",
}
"""What no request makes, by the class of change."""

APPROVALS: Mapping[type[Change[Any]], Route] = {
    ApproveVersion: Route(
        "POST",
        "",
        lambda change: approvals.ApproveModelVersion(
            name=change.name, version=str(change.version), digest=change.approval.digest
        ),
        lambda _, answer: approval_of(answer),
    ),
    WithdrawApproval: Route(
        "DELETE",
        "",
        lambda change: approvals.WithdrawModelVersionApproval(
            name=change.name, version=str(change.version)
        ),
        _nothing,
    ),
}
"""The routes of approvals; `approvals_path` is that of both."""


def route_of(change: Change[Any]) -> Route:
    """Return the route that makes a change.

    Raises:
        UnsupportedBackendError: There is none.
    """
    if isinstance(change, RestoreModel) and not isinstance(change, RestoreDeletedModel):
        return _route_that_restores(change)
    if change.requires:
        body = compare_and_set.body_of(change)
        if body is None:
            refuse(f"make the change {type(change).__name__} only where something holds")
        return _own_route(change, body)
    if isinstance(change, ApproveVersion | WithdrawApproval):
        path = approvals_path(change.name, change.version)
        return attrs.evolve(APPROVALS[type(change)], path=path)
    return _plain_route(change)


def _plain_route(change: Change[Any]) -> Route:
    """The route that makes a change whatever else holds."""
    row = ROUTES.get(type(change))
    if row is None:
        refuse(REFUSED.get(type(change), f"make the change {type(change).__name__}"))
    result = _RESULTS[row.returned]
    if isinstance(change, CreateVersion):
        _check_new_version(change)
        result = _created_version
    request = row.request_of(change)
    return Route(row.method, row.path_of(request), lambda _: request, result)


def approvals_path(name: str, version: int) -> str:
    """Return the path of our own server's route for the approvals of a version."""
    return own_path(name, "versions", str(version), "approvals")


def _route_that_restores(change: RestoreModel) -> Route:
    """A route of our own server; MLflow's has no way to say a number, a time or a history."""
    if change.requires or change.also:
        refuse("restore a model only where something holds, or with further events")
    body = snapshots.PutModelSnapshot(
        name=change.model,
        snapshot=snapshot_format.dumps(change.snapshot.with_id(change.model_id)),
        replaces=change.replaces,
    )
    path = own_path(change.model, "snapshot")
    return Route("PUT", path, lambda _: body, lambda _, __: registered_model(change.document))


def _own_route(change: Change[Any], body: compare_and_set.Body) -> Route:
    """A route of our own server; MLflow's has none that looks at anything before it changes."""
    is_transition = isinstance(change, TransitionVersion)
    return Route(
        body.method,
        body.path,
        lambda _: body.request,
        (lambda _, answer: version_of(answer)) if is_transition else _nothing,
    )
