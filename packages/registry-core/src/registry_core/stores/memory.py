"""The reference store: documents in a dict, gone with the process.

It is what the other stores are compared with, the fake that tests use, and a registry for a
notebook. What its methods do to a model is written in `registry_core.stores.documents`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

from registry_core import validation
from registry_core.errors import AlreadyExistsError, BackendError, WebhookNotFoundError
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
from registry_core.search.evaluate import search
from registry_core.store import Clock, system_clock
from registry_core.stores import documents
from registry_core.stores.documents import ModelDocument

URL = "memory:"

Change: TypeAlias = Callable[[ModelDocument, int], ModelDocument]
"""What a method does to a document at a moment."""


def open_store(url: str = URL, *, clock: Clock = system_clock) -> MemoryStore:
    """A new, empty store; each call gives another one.

    Raises:
        BackendError: the URL says more than `memory:`, and nothing could honour it.
    """
    if url != URL:
        raise BackendError(f"A memory store has no name or options: '{url}' must be '{URL}'")
    return MemoryStore(clock)


class MemoryStore:
    """A `Store` in this process.

    Strategy: documents are immutable values, so one short lock around looking up and replacing
    makes every method atomic, and a search works on a snapshot without holding anybody up.
    """

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._documents: dict[str, ModelDocument] = {}
        self._webhooks: dict[str, Webhook] = {}

    def create_registered_model(self, new: NewRegisteredModel) -> RegisteredModel:
        """See `Store`."""
        with self._lock:
            existing = self._documents.get(new.name)
            if existing is not None:
                raise documents.taken(existing, new)
            created = documents.create_document(new, self._clock())
            self._documents[new.name] = created
        return documents.registered_model(created)

    def get_registered_model(self, name: str) -> RegisteredModel:
        """See `Store`."""
        return documents.registered_model(self._document(name))

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        """See `Store`."""
        snapshot = self._snapshot()
        rows = (documents.registered_model(doc) for doc in snapshot.values())
        return search(query, rows, is_prompt=lambda name: _is_prompt(snapshot[name]))

    def update_registered_model(self, name: str, *, description: str | None) -> RegisteredModel:
        """See `Store`."""
        return documents.registered_model(
            self._change(
                name, lambda doc, now: documents.update(doc, description=description, now=now)
            )
        )

    def rename_registered_model(self, name: str, *, new_name: str) -> RegisteredModel:
        """See `Store`."""
        with self._lock:
            before = documents.present(self._documents.get(name), name)
            if new_name != name and new_name in self._documents:
                raise AlreadyExistsError(new_name)
            after = documents.rename(before, new_name=new_name, now=self._clock())
            del self._documents[name]
            self._documents[new_name] = after
        return documents.registered_model(after)

    def delete_registered_model(self, name: str) -> None:
        """See `Store`."""
        with self._lock:
            documents.present(self._documents.pop(name, None), name)

    def create_model_version(self, new: NewModelVersion) -> ModelVersion:
        """See `Store`."""
        return documents.last_created(
            self._change(new.name, lambda doc, now: documents.create_version(doc, new, now=now))
        )

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `Store`."""
        return documents.model_version(self._document(name, version), version)

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """See `Store`."""
        snapshot = self._snapshot()
        rows = (version for doc in snapshot.values() for version in doc.versions.values())
        return search(query, rows, is_prompt=lambda name: _is_prompt(snapshot[name]))

    def update_model_version(
        self, name: str, version: int, *, description: str | None
    ) -> ModelVersion:
        """See `Store`."""
        return self._change_version(
            name,
            version,
            lambda doc, now: documents.update_version(
                doc, version, description=description, now=now
            ),
        )

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
        """See `Store`."""
        return self._change_version(
            name,
            version,
            lambda doc, now: documents.finalize_version(
                doc,
                version,
                status=status,
                status_message=status_message,
                source=source,
                storage_location=storage_location,
                now=now,
            ),
        )

    def transition_model_version_stage(
        self, name: str, version: int, *, stage: Stage, archive_existing_versions: bool
    ) -> ModelVersion:
        """See `Store`."""
        return self._change_version(
            name,
            version,
            lambda doc, now: documents.transition(
                doc,
                version,
                stage=stage,
                archive_existing_versions=archive_existing_versions,
                now=now,
            ),
        )

    def delete_model_version(self, name: str, version: int) -> None:
        """See `Store`."""
        self._change(
            name,
            lambda doc, now: documents.delete_version(doc, version, now=now),
            version=version,
        )

    def set_registered_model_alias(self, name: str, alias: str, *, version: int) -> None:
        """See `Store`."""
        self._change(
            name,
            lambda doc, _: documents.set_alias(doc, alias, version=version),
            version=version,
        )

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `Store`."""
        return documents.by_alias(self._document(name), alias)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """See `Store`."""
        self._change(name, lambda doc, _: documents.delete_alias(doc, alias))

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        """See `Store`."""
        self._change(name, lambda doc, _: documents.set_tag(doc, key, value))

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """See `Store`."""
        self._change(name, lambda doc, _: documents.delete_tag(doc, key))

    def set_model_version_tag(self, name: str, version: int, key: str, value: str) -> None:
        """See `Store`."""
        self._change(
            name,
            lambda doc, _: documents.set_version_tag(doc, version, key, value),
            version=version,
        )

    def delete_model_version_tag(self, name: str, version: int, key: str) -> None:
        """See `Store`."""
        self._change(
            name,
            lambda doc, _: documents.delete_version_tag(doc, version, key),
            version=version,
        )

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """See `Store`."""
        with self._lock:
            created = documents.create_webhook(new, self._clock())
            self._webhooks[new.webhook_id] = created
        return created

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `Store`."""
        with self._lock:
            return self._webhook(webhook_id)

    def list_webhooks(self) -> list[Webhook]:
        """See `Store`."""
        with self._lock:
            return documents.newest_first(self._webhooks.values())

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """See `Store`."""
        with self._lock:
            before = self._webhook(webhook_id)
            after = documents.apply_changes(before, changes, self._clock())
            self._webhooks[webhook_id] = after
        return after

    def delete_webhook(self, webhook_id: str) -> None:
        """See `Store`."""
        with self._lock:
            self._webhook(webhook_id)
            del self._webhooks[webhook_id]

    def ping(self) -> None:
        """See `Store`."""

    def close(self) -> None:
        """See `Store`."""

    def _document(self, name: str, version: int | None = None) -> ModelDocument:
        with self._lock:
            return documents.present(self._documents.get(name), name, version)

    def _snapshot(self) -> dict[str, ModelDocument]:
        with self._lock:
            return dict(self._documents)

    def _change(self, name: str, change: Change, *, version: int | None = None) -> ModelDocument:
        # `version` is what the call is about, for the error when the model is missing.
        with self._lock:
            before = documents.present(self._documents.get(name), name, version)
            after = change(before, self._clock())
            self._documents[name] = after
        return after

    def _change_version(self, name: str, version: int, change: Change) -> ModelVersion:
        return documents.model_version(self._change(name, change, version=version), version)

    def _webhook(self, webhook_id: str) -> Webhook:
        found = self._webhooks.get(webhook_id)
        if found is None:
            raise WebhookNotFoundError(webhook_id)
        return found


def _is_prompt(doc: ModelDocument) -> bool:
    # Searches leave out the exact value `true` only (contract 4.5).
    return doc.tags.get(validation.PROMPT_TAG) == "true"
