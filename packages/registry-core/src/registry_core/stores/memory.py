"""The reference store: documents in a dict, gone with the process.

It is what the other stores are compared with, the fake that tests use, and a registry for a
notebook. What its methods do to a model is written in `registry_core.stores.documents`.
"""

from __future__ import annotations

import threading

from registry_core.errors import AlreadyExistsError, InvalidUrlError, WebhookNotFoundError
from registry_core.models import (
    ModelVersion,
    NewRegisteredModel,
    NewWebhook,
    RegisteredModel,
    Webhook,
    WebhookChanges,
)
from registry_core.redaction import redacted
from registry_core.search import Page, Query
from registry_core.search.evaluate import search
from registry_core.store import Clock, system_clock
from registry_core.stores import documents
from registry_core.stores.changing import Change, DocumentChanges
from registry_core.stores.documents import ModelDocument

URL = "memory:"


def open_store(url: str = URL, *, clock: Clock = system_clock) -> MemoryStore:
    """A new, empty store; each call gives another one.

    Raises:
        InvalidUrlError: the URL says more than `memory:`, and nothing could honour it.
    """
    if url != URL:
        raise InvalidUrlError(
            f"A memory store has no name or options: '{redacted(url)}' must be '{URL}'"
        )
    return MemoryStore(clock)


class MemoryStore(DocumentChanges):
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
        return search(query, rows, is_prompt=lambda name: snapshot[name].is_hidden_prompt)

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

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `Store`."""
        return documents.model_version(self._document(name, version), version)

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """See `Store`."""
        snapshot = self._snapshot()
        rows = (version for doc in snapshot.values() for version in doc.versions.values())
        return search(query, rows, is_prompt=lambda name: snapshot[name].is_hidden_prompt)

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `Store`."""
        return documents.by_alias(self._document(name), alias)

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

    def _webhook(self, webhook_id: str) -> Webhook:
        found = self._webhooks.get(webhook_id)
        if found is None:
            raise WebhookNotFoundError(webhook_id)
        return found
