"""`ROUTES`: the request that makes each class of change, for who sends it and for who answers it.

One row for each. From it come the operation of a server, who may call it, its place in the OpenAPI
document, and the way of the REST store to it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import quote

import attrs

from registry_core.changes import (
    Change,
    CreateModel,
    CreateVersion,
    DeleteAlias,
    DeleteModel,
    DeleteModelTag,
    DeleteVersion,
    DeleteVersionTag,
    RenameModel,
    RestoreDeletedModel,
    RestoreVersion,
    SetAlias,
    SetModelTag,
    SetVersionTag,
    TransitionVersion,
    UpdateModel,
    UpdateVersion,
)
from registry_core.changes.base import ModelChange, VersionChange
from registry_core.wire import history, requests
from registry_core.wire.prefixes import API, OWN_API

Method: TypeAlias = Literal["POST", "PUT", "PATCH", "DELETE"]


class Returned(enum.Enum):
    """What the answer to a request has."""

    NOTHING = enum.auto()
    MODEL = enum.auto()
    VERSION = enum.auto()


@attrs.frozen(kw_only=True)
class Route:
    """The request that makes one class of change."""

    change: type[Change[Any]]
    id: str
    """Its name in the OpenAPI document."""
    method: Method
    path: str
    """Below `prefix`; `{name}` in it is a field of the request, in our own API alone."""
    request: type[attrs.AttrsInstance]
    call: str
    """The method of `Registry` that a server calls. A field of the request is its argument of that
    name."""
    summary: str
    prefix: str = API
    ignored: tuple[str, ...] = ()
    """Fields of the request that are accepted and have no effect."""
    names: tuple[str, ...] = ("name",)
    """The fields that name models for which the caller needs the permission of the change."""
    has_long_body: bool = False
    """Whether the body may have many tags, or other values of any length."""
    spelled: Callable[[Any], Any] | None = None
    """Makes the request of the change, where the fields of both differ."""

    def __attrs_post_init__(self) -> None:
        if self.spelled is None:
            known = {field.name for field in attrs.fields(cast("Any", self.change))}
            for field in attrs.fields(self.request):
                if field.default is attrs.NOTHING and field.name not in known:
                    raise TypeError(
                        f"{self.id}: `spelled` has to say what the {field.name} of a "
                        f"{self.request.__name__} is, which {self.change.__name__} does not have"
                    )

    @property
    def returned(self) -> Returned:
        """What the answer has: what the caller of the change gets."""
        if issubclass(self.change, ModelChange):
            return Returned.MODEL
        is_of_version = issubclass(self.change, VersionChange | CreateVersion)
        return Returned.VERSION if is_of_version else Returned.NOTHING

    def request_of(self, change: Change[Any]) -> Any:
        """Return the request that makes a change."""
        if self.spelled is not None:
            return self.spelled(change)
        fields: dict[str, Any] = {}
        for field in attrs.fields(self.request):
            value = getattr(change, field.name, None)
            if value is not None:
                # Versions are numbers, and stages words, that the wire has as texts.
                is_text = field.type in ("str", str)
                fields[field.name] = str(value) if is_text else value
        return self.request(**fields)

    def path_of(self, request: Any) -> str:
        """Return the path of a request: below `API` if it is MLflow's, else as a whole."""
        if self.prefix == API:
            return self.path
        fields = attrs.asdict(request, recurse=False)
        filled = {name: quote(str(value), safe="") for name, value in fields.items()}
        return self.prefix + self.path.format_map(filled)


def _created_model(change: CreateModel) -> requests.CreateRegisteredModel:
    return requests.CreateRegisteredModel(
        name=change.new.name,
        tags=change.new.tags,
        description=change.new.description,
        deployment_job_id=change.new.deployment_job_id,
    )


def _created_version(change: CreateVersion) -> requests.CreateModelVersion:
    new = change.new
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


def _restored_model(change: RestoreDeletedModel) -> history.RestoreDeletedModel:
    return history.RestoreDeletedModel(
        name=change.was_named, model_id=change.model_id, new_name=change.model
    )


_ROWS = (
    Route(
        change=CreateModel,
        id="createRegisteredModel",
        method="POST",
        path="/registered-models/create",
        request=requests.CreateRegisteredModel,
        call="create_registered_model",
        summary="Create a registered model.",
        ignored=("deployment_job_id",),
        has_long_body=True,
        spelled=_created_model,
    ),
    Route(
        change=RenameModel,
        id="renameRegisteredModel",
        method="POST",
        path="/registered-models/rename",
        request=requests.RenameRegisteredModel,
        call="rename_registered_model",
        summary="Rename a registered model, with all it has.",
    ),
    Route(
        change=UpdateModel,
        id="updateRegisteredModel",
        method="PATCH",
        path="/registered-models/update",
        request=requests.UpdateRegisteredModel,
        call="update_registered_model",
        summary="Set the description of a registered model; none erases it.",
        ignored=("deployment_job_id",),
    ),
    Route(
        change=DeleteModel,
        id="deleteRegisteredModel",
        method="DELETE",
        path="/registered-models/delete",
        request=requests.DeleteRegisteredModel,
        call="delete_registered_model",
        summary="Delete a registered model with all its versions.",
    ),
    Route(
        change=SetModelTag,
        id="setRegisteredModelTag",
        method="POST",
        path="/registered-models/set-tag",
        request=requests.SetRegisteredModelTag,
        call="set_registered_model_tag",
        summary="Set a tag of a registered model.",
    ),
    Route(
        change=DeleteModelTag,
        id="deleteRegisteredModelTag",
        method="DELETE",
        path="/registered-models/delete-tag",
        request=requests.DeleteRegisteredModelTag,
        call="delete_registered_model_tag",
        summary="Delete a tag of a registered model.",
    ),
    Route(
        change=SetAlias,
        id="setRegisteredModelAlias",
        method="POST",
        path="/registered-models/alias",
        request=requests.SetRegisteredModelAlias,
        call="set_registered_model_alias",
        summary="Point an alias at a model version.",
    ),
    Route(
        change=DeleteAlias,
        id="deleteRegisteredModelAlias",
        method="DELETE",
        path="/registered-models/alias",
        request=requests.DeleteRegisteredModelAlias,
        call="delete_registered_model_alias",
        summary="Delete an alias.",
    ),
    Route(
        change=CreateVersion,
        id="createModelVersion",
        method="POST",
        path="/model-versions/create",
        request=requests.CreateModelVersion,
        call="create_model_version",
        summary="Create the next version of a registered model.",
        has_long_body=True,
        spelled=_created_version,
    ),
    Route(
        change=UpdateVersion,
        id="updateModelVersion",
        method="PATCH",
        path="/model-versions/update",
        request=requests.UpdateModelVersion,
        call="update_model_version",
        summary="Set the description of a model version; none erases it.",
    ),
    Route(
        change=TransitionVersion,
        id="transitionModelVersionStage",
        method="POST",
        path="/model-versions/transition-stage",
        request=requests.TransitionModelVersionStage,
        call="transition_model_version_stage",
        summary="Move a model version to a stage.",
    ),
    Route(
        change=DeleteVersion,
        id="deleteModelVersion",
        method="DELETE",
        path="/model-versions/delete",
        request=requests.DeleteModelVersion,
        call="delete_model_version",
        summary="Delete a model version; its number is not used again.",
    ),
    Route(
        change=SetVersionTag,
        id="setModelVersionTag",
        method="POST",
        path="/model-versions/set-tag",
        request=requests.SetModelVersionTag,
        call="set_model_version_tag",
        summary="Set a tag of a model version.",
    ),
    Route(
        change=DeleteVersionTag,
        id="deleteModelVersionTag",
        method="DELETE",
        path="/model-versions/delete-tag",
        request=requests.DeleteModelVersionTag,
        call="delete_model_version_tag",
        summary="Delete a tag of a model version.",
    ),
    Route(
        change=RestoreDeletedModel,
        id="restoreDeletedModel",
        method="POST",
        path="/deleted-models/restore",
        request=history.RestoreDeletedModel,
        call="restore_registered_model",
        summary="Bring a deleted registered model back, as it was.",
        prefix=OWN_API,
        names=("name", "new_name"),
        spelled=_restored_model,
    ),
    Route(
        change=RestoreVersion,
        id="restoreDeletedVersion",
        method="POST",
        path="/deleted-versions/restore",
        request=history.RestoreDeletedVersion,
        call="restore_model_version",
        summary="Bring a deleted model version back, as it was, without its aliases.",
        prefix=OWN_API,
    ),
)

ROUTES: Final[Mapping[type[Change[Any]], Route]] = {row.change: row for row in _ROWS}
"""The routes that make a change whatever else holds, by its class, in the order of the document."""
