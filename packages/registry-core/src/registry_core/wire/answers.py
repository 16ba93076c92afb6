"""The objects in MLflow's answers, as they are written.

Strategy: a page of models holds hundreds of objects with a dozen fields each. A struct is filled by
one call and read by an encoder in C: two thirds of the time of a mapping, a third of its memory.
What has its default is left out. None of them refers to what refers to it, so the collector may
leave them alone.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec


class TagObject(msgspec.Struct, frozen=True, gc=False):
    """A tag of a registered model or a model version."""

    key: str
    value: str


class AliasObject(msgspec.Struct, frozen=True, gc=False):
    """An alias in a registered model; one of a model version is its name alone."""

    alias: str
    version: str


class ModelVersionObject(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A model version."""

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    current_stage: str
    source: str
    status: str
    description: str | None = None
    run_id: str | None = None
    run_link: str | None = None
    status_message: str | None = None
    user_id: str | None = None
    model_id: str | None = None
    tags: list[TagObject] = []
    aliases: list[str] = []


class RegisteredModelObject(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A registered model."""

    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str | None = None
    latest_versions: list[ModelVersionObject] = []
    tags: list[TagObject] = []
    aliases: list[AliasObject] = []
    deployment_job_id: str | None = None
    deployment_job_state: str | None = None


def plain(answer: object) -> dict[str, Any]:
    """The object of an answer as a JSON object: mappings, lists, texts and numbers."""
    return cast("dict[str, Any]", msgspec.to_builtins(answer))
