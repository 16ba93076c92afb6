"""The `Store` protocol, and the promises that every backend keeps.

A store receives valid, parsed values (`Registry` has checked them) and persists: it answers reads,
and makes changes (`registry_core.changes`). It is synchronous and thread-safe. The conformance kit
in `registry_core.testing` tests exactly the promises written here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from registry_core.authors import Author
from registry_core.changes import Change
from registry_core.history import Event, EventQuery
from registry_core.models import (
    Approval,
    ModelVersion,
    NewWebhook,
    RegisteredModel,
    Webhook,
    WebhookChanges,
)
from registry_core.search import Page, Query

ResultT = TypeVar("ResultT")

Clock: TypeAlias = Callable[[], int]
"""Gives the current time in milliseconds since the epoch, UTC."""


def system_clock() -> int:
    """Return the machine's time, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def approvals_of(store: object, name: str) -> Mapping[int, tuple[Approval, ...]]:
    """Return the approvals of a model's versions; none where the store keeps none.

    Raises:
        RegisteredModelNotFoundError: the model does not exist.
    """
    return store.approvals(name) if isinstance(store, KeepsApprovals) else {}


class Reads(Protocol):
    """The reading side of a store: registered models and model versions."""

    def get_registered_model(self, name: str) -> RegisteredModel:
        """Return a model as of one moment, with tags, aliases and the newest version of each stage.

        Costs the same whatever the number of its versions.

        Raises:
            RegisteredModelNotFoundError: there is none.
        """
        ...

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        """Return a page of models, complete as from `get_registered_model`."""
        ...

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """Return the version with its tags and aliases.

        Raises:
            ModelVersionNotFoundError: it, or its model, does not exist.
        """
        ...

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """Return a page of versions, complete as from `get_model_version`."""
        ...

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """Return the version that the alias names, with its tags and aliases.

        Raises:
            RegisteredModelNotFoundError: the model does not exist.
            AliasNotFoundError: the model has no such alias.
        """
        ...


class Histories(Protocol):
    """What was done to the registered models of a store."""

    def events(self, query: EventQuery) -> list[Event]:
        """Return the wanted events, at most `query.max_results` of them.

        Raises:
            RegisteredModelNotFoundError: the query names a model that does not exist. Of an id
                that no model has or had there are simply no events.
        """
        ...


@runtime_checkable
class KeepsApprovals(Protocol):
    """A store that keeps approvals of model versions."""

    def approvals(self, name: str) -> Mapping[int, tuple[Approval, ...]]:
        """Return the approvals of a model's versions that have any, each by actor.

        Raises:
            RegisteredModelNotFoundError: the model does not exist.
        """
        ...


@runtime_checkable
class CountsModels(Protocol):
    """A store that counts models for less than reading them."""

    def count_registered_models(self, query: Query) -> tuple[int, bool]:
        """Return how many models match, up to `query.max_results`, and whether there are more."""
        ...


def count_of(store: Reads, query: Query) -> tuple[int, bool]:
    """Return how many models match, as `CountsModels` does; of any store."""
    if isinstance(store, CountsModels):
        return store.count_registered_models(query)
    page = store.search_registered_models(query)
    return len(page.items), page.next_page_token is not None


class Writes(Protocol):
    """The one way to change a registered model."""

    def apply(self, change: Change[ResultT], *, by: Author) -> ResultT:
        """Make the change, all of it or nothing, and return what its class says.

        Each class of `registry_core.changes` documents what it does and raises; its method `apply`
        is the rule. A change that is about a version raises `ModelVersionNotFoundError` when the
        version or its model does not exist, any other `RegisteredModelNotFoundError` when its model
        does not exist. A change with an idempotency key that the store has made within
        `idempotency.KEEP_SECONDS` is not made again: its caller gets what `Change.repeated` says.
        The key is kept in the same atomic step. A store that cannot make a class of change raises
        `UnsupportedBackendError`.

        Args:
            change: What to do; its values are valid.
            by: Who does it, through what and why.
        """
        ...


class Webhooks(Protocol):
    """The webhooks of a registry (contract 6). Delivery is the server's; this keeps them."""

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """Create a webhook under `new.webhook_id` and return it; both timestamps are now.

        Raises:
            AlreadyExistsError: There is a webhook of that id.
        """
        ...

    def get_webhook(self, webhook_id: str) -> Webhook:
        """Return the webhook.

        Raises:
            WebhookNotFoundError: there is none.
        """
        ...

    def list_webhooks(self) -> list[Webhook]:
        """Return all webhooks, newest first, then by id. They are few: not paged in the store."""
        ...

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """Set the fields of a webhook that `changes` has, and return it; last updated now."""
        ...

    def delete_webhook(self, webhook_id: str) -> None:
        """Remove the webhook.

        Raises:
            WebhookNotFoundError: there is none.
        """
        ...


@runtime_checkable
class Store(Reads, Histories, Writes, Webhooks, Protocol):
    """Keeps a registry.

    - Atomic: all of a change happens, or nothing and an error.
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

    Example:
        >>> store = open_store("memory:")
        >>> isinstance(store, Store)
        True
    """

    def ping(self) -> None:
        """Return when the backend answers.

        Raises:
            StoreUnavailableError: it does not.
        """
        ...

    def close(self) -> None:
        """Free connections. The store may not be used afterwards; closing twice is harmless."""
        ...
