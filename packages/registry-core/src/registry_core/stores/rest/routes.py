"""Which request of MLflow's API makes which change, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import attrs

from registry_core import snapshot_format, uris, wire
from registry_core.changes import (
    ApproveVersion,
    Change,
    CreateModel,
    CreateVersion,
    DeleteAlias,
    DeleteModel,
    DeleteModelTag,
    DeleteVersion,
    DeleteVersionTag,
    FinalizeVersion,
    RelocateVersion,
    RenameModel,
    RestoreDeletedModel,
    RestoreLargeModel,
    RestoreModel,
    RestoreVersion,
    SetAlias,
    SetModelTag,
    SetVersionTag,
    TransitionVersion,
    UpdateModel,
    UpdateVersion,
    WithdrawApproval,
)
from registry_core.documents import registered_model
from registry_core.errors import UnsupportedBackendError
from registry_core.models import ModelVersion, Status
from registry_core.stores.rest import compare_and_set
from registry_core.stores.rest.answers import approval_of, model_of, version_of
from registry_core.wire import approvals, history, requests, snapshots
from registry_core.wire.prefixes import OWN_API, own_path


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


def _create_version(change: CreateVersion) -> requests.CreateModelVersion:
    new = change.new
    if new.status is not Status.READY:
        refuse("reserve a model version before its artifacts are in place")
    if new.storage_location is not None and not uris.is_model_uri(new.source):
        refuse("keep a storage location apart from the source")
    # An empty id would have to match a `models:/` source's own; none inherits it.
    return requests.CreateModelVersion(
        name=new.name,
        source=new.source,
        run_id=new.run_id or None,
        tags=new.tags,
        run_link=new.run_link or None,
        description=new.description or None,
        model_id=new.model_id,
    )


def _created_version(change: CreateVersion, answer: wire.Json) -> ModelVersion:
    return attrs.evolve(version_of(answer), storage_location=change.new.storage_location)


def _nothing(_: Change[None], __: wire.Json) -> None:
    return None


ROUTES: Mapping[type[Change[Any]], Route] = {
    CreateModel: Route(
        "POST",
        "/registered-models/create",
        lambda change: requests.CreateRegisteredModel(
            name=change.new.name,
            tags=change.new.tags,
            description=change.new.description,
            deployment_job_id=change.new.deployment_job_id,
        ),
        lambda _, answer: model_of(answer),
    ),
    UpdateModel: Route(
        "PATCH",
        "/registered-models/update",
        lambda change: requests.UpdateRegisteredModel(
            name=change.name, description=change.description
        ),
        lambda _, answer: model_of(answer),
    ),
    RenameModel: Route(
        "POST",
        "/registered-models/rename",
        lambda change: requests.RenameRegisteredModel(name=change.name, new_name=change.new_name),
        lambda _, answer: model_of(answer),
    ),
    DeleteModel: Route(
        "DELETE",
        "/registered-models/delete",
        lambda change: requests.DeleteRegisteredModel(name=change.name),
        _nothing,
    ),
    CreateVersion: Route("POST", "/model-versions/create", _create_version, _created_version),
    UpdateVersion: Route(
        "PATCH",
        "/model-versions/update",
        lambda change: requests.UpdateModelVersion(
            name=change.name, version=str(change.version), description=change.description
        ),
        lambda _, answer: version_of(answer),
    ),
    FinalizeVersion: Route("", "", lambda _: refuse("finalize a model version"), _nothing),
    RelocateVersion: Route("", "", lambda _: refuse("say where a version's files are"), _nothing),
    TransitionVersion: Route(
        "POST",
        "/model-versions/transition-stage",
        lambda change: requests.TransitionModelVersionStage(
            name=change.name,
            version=str(change.version),
            stage=change.stage.value,
            archive_existing_versions=change.archive_existing_versions,
        ),
        lambda _, answer: version_of(answer),
    ),
    DeleteVersion: Route(
        "DELETE",
        "/model-versions/delete",
        lambda change: requests.DeleteModelVersion(name=change.name, version=str(change.version)),
        _nothing,
    ),
    RestoreModel: Route("", "", lambda _: refuse("write a whole model"), _nothing),
    RestoreLargeModel: Route("", "", lambda _: refuse("write a whole model"), _nothing),
    RestoreDeletedModel: Route(
        "POST",
        f"{OWN_API}/deleted-models/restore",
        lambda change: history.RestoreDeletedModel(
            name=change.was_named, model_id=change.model_id, new_name=change.model
        ),
        lambda _, answer: model_of(answer),
    ),
    RestoreVersion: Route(
        "POST",
        f"{OWN_API}/deleted-versions/restore",
        lambda change: history.RestoreDeletedVersion(name=change.name, version=str(change.version)),
        lambda _, answer: version_of(answer),
    ),
    SetAlias: Route(
        "POST",
        "/registered-models/alias",
        lambda change: requests.SetRegisteredModelAlias(
            name=change.name, alias=change.alias, version=str(change.version)
        ),
        _nothing,
    ),
    DeleteAlias: Route(
        "DELETE",
        "/registered-models/alias",
        lambda change: requests.DeleteRegisteredModelAlias(name=change.name, alias=change.alias),
        _nothing,
    ),
    SetModelTag: Route(
        "POST",
        "/registered-models/set-tag",
        lambda change: requests.SetRegisteredModelTag(
            name=change.name, key=change.key, value=change.value
        ),
        _nothing,
    ),
    DeleteModelTag: Route(
        "DELETE",
        "/registered-models/delete-tag",
        lambda change: requests.DeleteRegisteredModelTag(name=change.name, key=change.key),
        _nothing,
    ),
    SetVersionTag: Route(
        "POST",
        "/model-versions/set-tag",
        lambda change: requests.SetModelVersionTag(
            name=change.name, version=str(change.version), key=change.key, value=change.value
        ),
        _nothing,
    ),
    DeleteVersionTag: Route(
        "DELETE",
        "/model-versions/delete-tag",
        lambda change: requests.DeleteModelVersionTag(
            name=change.name, version=str(change.version), key=change.key
        ),
        _nothing,
    ),
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
"""The routes by the class of change that each of them makes. `approvals_path` is that of two."""


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
    route = ROUTES.get(type(change))
    if route is None:
        refuse(f"make the change {type(change).__name__}")
    if isinstance(change, ApproveVersion | WithdrawApproval):
        return attrs.evolve(route, path=approvals_path(change.name, change.version))
    return route


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
