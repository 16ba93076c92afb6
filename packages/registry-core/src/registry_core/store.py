"""The `Store` protocol, and the promises that every backend keeps.

A store receives valid, parsed arguments (`Registry` has checked them) and persists. It is
synchronous and thread-safe. The conformance kit in `registry_core.testing` tests exactly the
promises written here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    NewWebhook,
    RegisteredModel,
    Stage,
    Status,
    Webhook,
    WebhookChanges,
)
from registry_core.search import Page, Query

Clock: TypeAlias = Callable[[], int]
"""Gives the current time in milliseconds since the epoch, UTC."""


def system_clock() -> int:
    """The machine's time, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class RegisteredModels(Protocol):
    """The registered models of a store."""

    def create_registered_model(self, new: NewRegisteredModel) -> RegisteredModel:
        """The model as stored; both timestamps are now.

        Raises:
            AlreadyExistsError: the name is taken; says whether either side is a prompt (the tag
                `validation.PROMPT_TAG` is present, whatever its value).
        """
        ...

    def get_registered_model(self, name: str) -> RegisteredModel:
        """The model with tags, aliases and the newest version of each stage, as of one moment.

        Costs the same whatever the number of its versions.

        Raises:
            RegisteredModelNotFoundError: there is none.
        """
        ...

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        """A page of models, complete as from `get_registered_model`."""
        ...

    def update_registered_model(self, name: str, *, description: str | None) -> RegisteredModel:
        """The model with that description (None erases it) and last updated now."""
        ...

    def rename_registered_model(self, name: str, *, new_name: str) -> RegisteredModel:
        """The model under its new name, with all it had.

        The model and every version are last updated now. The same name is allowed and does only
        that. The version counter moves along.

        Raises:
            RegisteredModelNotFoundError: there is no `name`.
            AlreadyExistsError: `new_name` is taken by another model.
        """
        ...

    def delete_registered_model(self, name: str) -> None:
        """Removes the model, its versions, tags, aliases and version counter.

        Raises:
            RegisteredModelNotFoundError: there is none.
        """
        ...


class ModelVersions(Protocol):
    """The model versions of a store. Methods that name a version raise
    `ModelVersionNotFoundError` when it, or its model, does not exist.
    """  # noqa: D205 one sentence

    def create_model_version(self, new: NewModelVersion) -> ModelVersion:
        """The version as stored, numbered one more than any version the model ever had.

        Its timestamps, and the model's last update, are one and the same moment.

        Raises:
            RegisteredModelNotFoundError: the model does not exist.
        """
        ...

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """The version with its tags and aliases."""
        ...

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """A page of versions, complete as from `get_model_version`."""
        ...

    def update_model_version(
        self, name: str, version: int, *, description: str | None
    ) -> ModelVersion:
        """The version with that description (None erases it); it, not its model, is updated now."""
        ...

    def finalize_model_version(
        self,
        name: str,
        version: int,
        *,
        status: Status,
        status_message: str | None = None,
        source: str | None = None,
        storage_location: str | None = None,
    ) -> ModelVersion:
        """The version, moved once from PENDING_REGISTRATION to READY or FAILED_REGISTRATION.

        `source` and `storage_location` replace the stored ones where given. The version, not its
        model, is updated now. This is not a composition of other methods: of an uploader and a
        repair that race, one must win.

        Raises:
            ConflictError: the version is no longer pending, and is unchanged.
        """
        ...

    def transition_model_version_stage(
        self, name: str, version: int, *, stage: Stage, archive_existing_versions: bool
    ) -> ModelVersion:
        """The version in that stage; it and its model are updated now, also if it was there.

        With `archive_existing_versions` every other version in the stage becomes Archived and is
        updated now, in the same step.
        """
        ...

    def delete_model_version(self, name: str, version: int) -> None:
        """Removes the version, its tags and its aliases; the model is updated now."""
        ...


class Aliases(Protocol):
    """The aliases of registered models: each names one version, a version has any number."""

    def set_registered_model_alias(self, name: str, alias: str, *, version: int) -> None:
        """Points the alias at that version, wherever it pointed before. No timestamp moves.

        Raises:
            ModelVersionNotFoundError: the version, or its model, does not exist.
            InvalidArgumentError: the model has `validation.ALIASES_MAX_COUNT` others.
        """
        ...

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """The version that the alias names, with its tags and aliases.

        Raises:
            RegisteredModelNotFoundError: the model does not exist.
            AliasNotFoundError: the model has no such alias.
        """
        ...

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Removes the alias; an absent one is no error. No timestamp moves.

        Raises:
            RegisteredModelNotFoundError: the model does not exist.
        """
        ...


class Tags(Protocol):
    """Tags of models and versions. No timestamp moves; deleting an absent tag is no error.

    A missing model or version raises as elsewhere. To set a tag raises `InvalidArgumentError` where
    the model or version would have more of them then than `validation.tags_together` accepts.
    """

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        """Sets a tag of a registered model, whatever it was."""
        ...

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Removes a tag of a registered model."""
        ...

    def set_model_version_tag(self, name: str, version: int, key: str, value: str) -> None:
        """Sets a tag of a model version, whatever it was."""
        ...

    def delete_model_version_tag(self, name: str, version: int, key: str) -> None:
        """Removes a tag of a model version."""
        ...


class Webhooks(Protocol):
    """The webhooks of a registry (contract 6). Delivery is the server's; this keeps them."""

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """The webhook as stored, under `new.webhook_id`; both timestamps are now."""
        ...

    def get_webhook(self, webhook_id: str) -> Webhook:
        """The webhook.

        Raises:
            WebhookNotFoundError: there is none.
        """
        ...

    def list_webhooks(self) -> list[Webhook]:
        """All webhooks, newest first, then by id. They are few: not paged in the store."""
        ...

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """The webhook with the fields of `changes` that are set; last updated now."""
        ...

    def delete_webhook(self, webhook_id: str) -> None:
        """Removes the webhook.

        Raises:
            WebhookNotFoundError: there is none.
        """
        ...


@runtime_checkable
class Store(RegisteredModels, ModelVersions, Aliases, Tags, Webhooks, Protocol):
    """Keeps a registry.

    - Atomic: all of a method happens, or nothing and an error.
    - Durable: what was acknowledged survives the death of any process at any moment.
    - Linearizable per registered model: a read or search after an acknowledged write sees it, from
      any process or machine.
    - A version number is handed out once per model, in order, and not again after the version is
      deleted. Only deleting the model resets it.
    - A search ends in a total order; paging visits every row that existed throughout exactly once.
    - A lost race is retried inside, with jitter and a bound, then raises `ContentionError` with
      nothing written. An unreachable backend raises `StoreUnavailableError` within seconds, as
      `StoreBusyError` only where it is certain that nothing was written, and the store works again
      by itself when the backend is back.
    - One meaning: the same calls give the same results, order and errors on every backend.
      Timestamps are milliseconds since the epoch, UTC, from the store's clock.
    """

    def ping(self) -> None:
        """Returns when the backend answers.

        Raises:
            StoreUnavailableError: it does not.
        """
        ...

    def close(self) -> None:
        """Frees connections. The store may not be used afterwards; closing twice is no error."""
        ...
