"""The input of each operation, one class per operation (contract 2).

A field without a default is required: absent, null and empty all count as missing. Fields are
checked in the order they are written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import attrs

from registry_core.validation import (
    DEFAULT_PAGE_SIZE,
    MODEL_VERSIONS_MAX_RESULTS,
    REGISTERED_MODELS_MAX_RESULTS,
)


@attrs.frozen
class AtMost:
    """The largest integer that a field accepts."""

    limit: int


# Registered models


@attrs.frozen(kw_only=True)
class CreateRegisteredModel:
    """A registered model to create. `deployment_job_id` is accepted and has no effect."""

    name: str
    tags: Mapping[str, str] = attrs.field(factory=dict)
    description: str | None = None
    deployment_job_id: str | None = None


@attrs.frozen(kw_only=True)
class RenameRegisteredModel:
    """A registered model's new name."""

    name: str
    new_name: str


@attrs.frozen(kw_only=True)
class UpdateRegisteredModel:
    """A registered model's new description; none erases it."""

    name: str
    description: str | None = None
    deployment_job_id: str | None = None


@attrs.frozen(kw_only=True)
class DeleteRegisteredModel:
    """The registered model to delete."""

    name: str


@attrs.frozen(kw_only=True)
class GetRegisteredModel:
    """The registered model to get."""

    name: str


@attrs.frozen(kw_only=True)
class SearchRegisteredModels:
    """A search over registered models."""

    filter: str | None = None
    max_results: Annotated[int, AtMost(REGISTERED_MODELS_MAX_RESULTS)] = DEFAULT_PAGE_SIZE
    order_by: tuple[str, ...] = ()
    page_token: str | None = None


@attrs.frozen(kw_only=True)
class ListRegisteredModels:
    """The wanted page of all registered models, by name."""

    max_results: Annotated[int, AtMost(REGISTERED_MODELS_MAX_RESULTS)] = DEFAULT_PAGE_SIZE
    page_token: str | None = None


@attrs.frozen(kw_only=True)
class GetLatestVersions:
    """The stages whose newest versions are wanted; none means all four."""

    name: str
    stages: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class SetRegisteredModelTag:
    """A tag to set on a registered model."""

    name: str
    key: str
    value: str = ""


@attrs.frozen(kw_only=True)
class DeleteRegisteredModelTag:
    """A tag to remove from a registered model."""

    name: str
    key: str


@attrs.frozen(kw_only=True)
class SetRegisteredModelAlias:
    """An alias to point at a version."""

    name: str
    alias: str
    version: str


@attrs.frozen(kw_only=True)
class DeleteRegisteredModelAlias:
    """An alias to remove."""

    name: str
    alias: str


@attrs.frozen(kw_only=True)
class GetModelVersionByAlias:
    """The alias whose version is wanted."""

    name: str
    alias: str


# Model versions


@attrs.frozen(kw_only=True)
class CreateModelVersion:
    """A model version to create.

    None and an empty `run_id` or `model_id` differ: a `models:/` source passes its own on where
    none is given, and must agree with one that is.
    """

    name: str
    source: str
    run_id: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict)
    run_link: str | None = None
    description: str | None = None
    model_id: str | None = None


@attrs.frozen(kw_only=True)
class UpdateModelVersion:
    """A model version's new description; none erases it, an empty one is kept."""

    name: str
    version: str
    description: str | None = None


@attrs.frozen(kw_only=True)
class TransitionModelVersionStage:
    """A model version's new stage."""

    name: str
    version: str
    stage: str
    archive_existing_versions: bool = False


@attrs.frozen(kw_only=True)
class DeleteModelVersion:
    """The model version to delete."""

    name: str
    version: str


@attrs.frozen(kw_only=True)
class GetModelVersion:
    """The model version to get."""

    name: str
    version: str


@attrs.frozen(kw_only=True)
class SearchModelVersions:
    """A search over model versions."""

    filter: str | None = None
    max_results: Annotated[int, AtMost(MODEL_VERSIONS_MAX_RESULTS)] = MODEL_VERSIONS_MAX_RESULTS
    order_by: tuple[str, ...] = ()
    page_token: str | None = None


@attrs.frozen(kw_only=True)
class GetModelVersionDownloadUri:
    """The model version whose artifacts are wanted. What is missing fails as an empty text."""

    name: str = ""
    version: str = ""


@attrs.frozen(kw_only=True)
class SetModelVersionTag:
    """A tag to set on a model version."""

    name: str
    version: str
    key: str
    value: str = ""


@attrs.frozen(kw_only=True)
class DeleteModelVersionTag:
    """A tag to remove from a model version."""

    name: str
    version: str
    key: str
