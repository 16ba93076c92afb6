"""The table of our own operations that change something only if it is as the caller expects.

The key of a tag may have slashes, which a path cannot keep apart from its own: it is in the body.
"""

from __future__ import annotations

from typing import Any, cast

from registry_core import ModelVersion
from registry_core.models import StageName, Unset
from registry_core.wire import compare_and_set as wire
from registry_core.wire.prefixes import OWN_API
from registry_server.http.operations import LONG_BODY_BYTES, Operation, RequestContext
from registry_server.http.response_shapes import MODEL_VERSION, NOTHING

_ALIAS = "/models/{name}/aliases/{alias}"
_MODEL_TAGS = "/models/{name}/tags"
_VERSION_TAGS = "/models/{name}/versions/{version}/tags"


def _put_alias(context: RequestContext, request: wire.PutAlias) -> None:
    context.registry.set_registered_model_alias(
        request.name, request.alias, request.version, expected=request.expected
    )


def _remove_alias(context: RequestContext, request: wire.RemoveAlias) -> None:
    context.registry.delete_registered_model_alias(
        request.name, request.alias, expected=request.expected
    )


def _put_model_tag(context: RequestContext, request: wire.PutModelTag) -> None:
    context.registry.set_registered_model_tag(
        request.name, request.key, request.value, expected=request.expected
    )


def _remove_model_tag(context: RequestContext, request: wire.RemoveModelTag) -> None:
    context.registry.delete_registered_model_tag(
        request.name, request.key, expected=request.expected
    )


def _put_version_tag(context: RequestContext, request: wire.PutVersionTag) -> None:
    context.registry.set_model_version_tag(
        request.name, request.version, request.key, request.value, expected=request.expected
    )


def _remove_version_tag(context: RequestContext, request: wire.RemoveVersionTag) -> None:
    context.registry.delete_model_version_tag(
        request.name, request.version, request.key, expected=request.expected
    )


def _put_stage(context: RequestContext, request: wire.PutStage) -> ModelVersion:
    return context.registry.transition_model_version_stage(
        request.name,
        request.version,
        stage=cast("StageName", request.stage),
        archive_existing_versions=request.archive_existing_versions,
        expected=cast("StageName | Unset", request.expected),
    )


COMPARE_AND_SET_OPERATIONS: tuple[Operation[Any, Any], ...] = (
    Operation(
        id="putAlias",
        prefix=OWN_API,
        method="PUT",
        path=_ALIAS,
        request=wire.PutAlias,
        call=_put_alias,
        answer=NOTHING,
        summary="Point an alias at a version, if it points where it is expected.",
    ),
    Operation(
        id="removeAlias",
        prefix=OWN_API,
        method="DELETE",
        path=_ALIAS,
        request=wire.RemoveAlias,
        call=_remove_alias,
        answer=NOTHING,
        summary="Remove an alias, if it points where it is expected.",
    ),
    Operation(
        id="putModelTag",
        prefix=OWN_API,
        method="PUT",
        path=_MODEL_TAGS,
        request=wire.PutModelTag,
        call=_put_model_tag,
        answer=NOTHING,
        summary="Set a tag of a registered model, if it is what is expected.",
        max_body_bytes=LONG_BODY_BYTES,
    ),
    Operation(
        id="removeModelTag",
        prefix=OWN_API,
        method="DELETE",
        path=_MODEL_TAGS,
        request=wire.RemoveModelTag,
        call=_remove_model_tag,
        answer=NOTHING,
        summary="Remove a tag of a registered model, if it is what is expected.",
    ),
    Operation(
        id="putVersionTag",
        prefix=OWN_API,
        method="PUT",
        path=_VERSION_TAGS,
        request=wire.PutVersionTag,
        call=_put_version_tag,
        answer=NOTHING,
        summary="Set a tag of a model version, if it is what is expected.",
        max_body_bytes=LONG_BODY_BYTES,
    ),
    Operation(
        id="removeVersionTag",
        prefix=OWN_API,
        method="DELETE",
        path=_VERSION_TAGS,
        request=wire.RemoveVersionTag,
        call=_remove_version_tag,
        answer=NOTHING,
        summary="Remove a tag of a model version, if it is what is expected.",
    ),
    Operation(
        id="putStage",
        prefix=OWN_API,
        method="PUT",
        path="/models/{name}/versions/{version}/stage",
        request=wire.PutStage,
        call=_put_stage,
        answer=MODEL_VERSION,
        summary="Move a model version to a stage, if it is in the one that is expected.",
    ),
)
"""The operations that compare before they change."""
