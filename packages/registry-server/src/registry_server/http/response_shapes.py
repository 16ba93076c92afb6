"""The shapes of successful answers: how each is written, and its JSON schema for OpenAPI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs

from registry_core import ModelVersion, Page, RegisteredModel
from registry_core.wire import Json, payloads

ResultT = TypeVar("ResultT")


@attrs.frozen
class ResponseShape(Generic[ResultT]):
    """What an operation answers with: `encode` turns its result into the object of `schema`."""

    name: str
    encode: Callable[[ResultT], Json]
    properties: Json
    required: tuple[str, ...] = ()


def _one(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _many(schema: str) -> Json:
    return {"type": "array", "items": _one(schema)}


_TOKEN: Json = {"type": "string", "description": "Present if there is a further page."}

_UNREADABLE: Json = {
    "type": "integer",
    "description": "Present if registered models may be missing because what is stored of them "
    "cannot be read: how many.",
}

REGISTERED_MODEL: ResponseShape[RegisteredModel] = ResponseShape(
    "RegisteredModelAnswer",
    payloads.registered_model,
    {"registered_model": _one("RegisteredModel")},
    required=("registered_model",),
)
REGISTERED_MODELS: ResponseShape[Page[RegisteredModel]] = ResponseShape(
    "RegisteredModelsAnswer",
    payloads.registered_models,
    {
        "registered_models": _many("RegisteredModel"),
        "next_page_token": _TOKEN,
        "unreadable": _UNREADABLE,
    },
)
MODEL_VERSION: ResponseShape[ModelVersion] = ResponseShape(
    "ModelVersionAnswer",
    payloads.model_version,
    {"model_version": _one("ModelVersion")},
    required=("model_version",),
)
MODEL_VERSIONS: ResponseShape[Page[ModelVersion]] = ResponseShape(
    "ModelVersionsAnswer",
    payloads.model_versions,
    {"model_versions": _many("ModelVersion"), "next_page_token": _TOKEN, "unreadable": _UNREADABLE},
)
LATEST_VERSIONS: ResponseShape[tuple[ModelVersion, ...]] = ResponseShape(
    "LatestVersionsAnswer",
    payloads.latest_versions,
    {"model_versions": _many("ModelVersion")},
)
ARTIFACT_URI: ResponseShape[str] = ResponseShape(
    "ArtifactUriAnswer",
    payloads.artifact_uri,
    {"artifact_uri": {"type": "string"}},
    required=("artifact_uri",),
)
NOTHING: ResponseShape[Any] = ResponseShape("EmptyAnswer", payloads.nothing, {})
