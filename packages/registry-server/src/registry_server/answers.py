"""The shapes of successful answers: how each is written, and its JSON schema for OpenAPI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs

from registry_core import ModelVersion, Page, RegisteredModel
from registry_core.wire import Json, payloads

ResultT = TypeVar("ResultT")


@attrs.frozen
class Answer(Generic[ResultT]):
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

REGISTERED_MODEL: Answer[RegisteredModel] = Answer(
    "RegisteredModelAnswer",
    payloads.registered_model,
    {"registered_model": _one("RegisteredModel")},
    required=("registered_model",),
)
REGISTERED_MODELS: Answer[Page[RegisteredModel]] = Answer(
    "RegisteredModelsAnswer",
    payloads.registered_models,
    {
        "registered_models": _many("RegisteredModel"),
        "next_page_token": _TOKEN,
        "unreadable": _UNREADABLE,
    },
)
MODEL_VERSION: Answer[ModelVersion] = Answer(
    "ModelVersionAnswer",
    payloads.model_version,
    {"model_version": _one("ModelVersion")},
    required=("model_version",),
)
MODEL_VERSIONS: Answer[Page[ModelVersion]] = Answer(
    "ModelVersionsAnswer",
    payloads.model_versions,
    {"model_versions": _many("ModelVersion"), "next_page_token": _TOKEN, "unreadable": _UNREADABLE},
)
LATEST_VERSIONS: Answer[tuple[ModelVersion, ...]] = Answer(
    "LatestVersionsAnswer",
    payloads.latest_versions,
    {"model_versions": _many("ModelVersion")},
)
ARTIFACT_URI: Answer[str] = Answer(
    "ArtifactUriAnswer",
    payloads.artifact_uri,
    {"artifact_uri": {"type": "string"}},
    required=("artifact_uri",),
)
NOTHING: Answer[Any] = Answer("EmptyAnswer", payloads.nothing, {})
