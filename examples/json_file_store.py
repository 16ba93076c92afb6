"""A whole registry in one JSON file: the store that docs/writing-a-store.md builds.

Every write takes a lock on the file, reads it, applies one pure function of
`registry_core.stores.documents`, and replaces the file. So it is atomic and durable, and safe in
any number of processes of one machine; it is not fast.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import cattrs.preconf.json

from registry_core.errors import AlreadyExistsError, StoreUnavailableError, WebhookNotFoundError
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
from registry_core.validation import PROMPT_TAG

_converter = cattrs.preconf.json.make_converter()


@attrs.define
class Content:
    """All that the file holds."""

    models: dict[str, ModelDocument] = attrs.field(factory=dict)
    webhooks: dict[str, Webhook] = attrs.field(factory=dict)


class JsonFileStore:
    """A `registry_core.store.Store` in one file."""

    def __init__(self, path: Path, clock: Clock = system_clock) -> None:
        self._path = path
        self._clock = clock

    def ping(self) -> None:
        self._read()

    def close(self) -> None:
        """Nothing is held open."""

    # Reading and writing the file

    def _read(self) -> Content:
        try:
            raw = self._path.read_text()
        except FileNotFoundError:
            return Content()
        except OSError as error:
            raise StoreUnavailableError(f"{self._path} cannot be read: {error}") from error
        return _converter.structure(json.loads(raw), Content)

    @contextmanager
    def _writing(self) -> Iterator[Content]:
        """The content; what the block makes of it is kept, unless it raises."""
        with locked(self._path):
            content = self._read()
            yield content
            partial = self._path.with_suffix(".partial")
            with partial.open("w") as file:
                json.dump(_converter.unstructure(content), file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)

    def _change(
        self,
        name: str,
        change: Callable[[ModelDocument, int], ModelDocument],
        *,
        version: int | None = None,
    ) -> ModelDocument:
        with self._writing() as content:
            before = documents.present(content.models.get(name), name, version)
            content.models[name] = after = change(before, self._clock())
        return after

    def _document(self, name: str, version: int | None = None) -> ModelDocument:
        return documents.present(self._read().models.get(name), name, version)

    # Registered models

    def create_registered_model(self, new: NewRegisteredModel) -> RegisteredModel:
        with self._writing() as content:
            if new.name in content.models:
                raise documents.taken(content.models[new.name], new)
            content.models[new.name] = created = documents.create_document(new, self._clock())
        return documents.registered_model(created)

    def get_registered_model(self, name: str) -> RegisteredModel:
        return documents.registered_model(self._document(name))

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        models = self._read().models
        rows = (documents.registered_model(doc) for doc in models.values())
        return search(query, rows, is_prompt=lambda name: _is_prompt(models[name]))

    def update_registered_model(self, name: str, *, description: str | None) -> RegisteredModel:
        changed = self._change(
            name, lambda doc, now: documents.update(doc, description=description, now=now)
        )
        return documents.registered_model(changed)

    def rename_registered_model(self, name: str, *, new_name: str) -> RegisteredModel:
        with self._writing() as content:
            before = documents.present(content.models.get(name), name)
            if new_name != name and new_name in content.models:
                raise AlreadyExistsError(new_name)
            after = documents.rename(before, new_name=new_name, now=self._clock())
            del content.models[name]
            content.models[new_name] = after
        return documents.registered_model(after)

    def delete_registered_model(self, name: str) -> None:
        with self._writing() as content:
            documents.present(content.models.pop(name, None), name)

    # Model versions

    def create_model_version(self, new: NewModelVersion) -> ModelVersion:
        changed = self._change(
            new.name, lambda doc, now: documents.create_version(doc, new, now=now)
        )
        return documents.last_created(changed)

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        return documents.model_version(self._document(name, version), version)

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        models = self._read().models
        rows = (version for doc in models.values() for version in doc.versions.values())
        return search(query, rows, is_prompt=lambda name: _is_prompt(models[name]))

    def update_model_version(
        self, name: str, version: int, *, description: str | None
    ) -> ModelVersion:
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
        self._change(
            name, lambda doc, now: documents.delete_version(doc, version, now=now), version=version
        )

    def _change_version(
        self, name: str, version: int, change: Callable[[ModelDocument, int], ModelDocument]
    ) -> ModelVersion:
        return documents.model_version(self._change(name, change, version=version), version)

    # Aliases and tags

    def set_registered_model_alias(self, name: str, alias: str, *, version: int) -> None:
        self._change(
            name, lambda doc, _: documents.set_alias(doc, alias, version=version), version=version
        )

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        return documents.by_alias(self._document(name), alias)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        self._change(name, lambda doc, _: documents.delete_alias(doc, alias))

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        self._change(name, lambda doc, _: documents.set_tag(doc, key, value))

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        self._change(name, lambda doc, _: documents.delete_tag(doc, key))

    def set_model_version_tag(self, name: str, version: int, key: str, value: str) -> None:
        self._change(
            name,
            lambda doc, _: documents.set_version_tag(doc, version, key, value),
            version=version,
        )

    def delete_model_version_tag(self, name: str, version: int, key: str) -> None:
        self._change(
            name,
            lambda doc, _: documents.delete_version_tag(doc, version, key),
            version=version,
        )

    # Webhooks

    def create_webhook(self, new: NewWebhook) -> Webhook:
        with self._writing() as content:
            content.webhooks[new.webhook_id] = created = documents.create_webhook(
                new, self._clock()
            )
        return created

    def get_webhook(self, webhook_id: str) -> Webhook:
        return _webhook(self._read(), webhook_id)

    def list_webhooks(self) -> list[Webhook]:
        return documents.newest_first(self._read().webhooks.values())

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        with self._writing() as content:
            before = _webhook(content, webhook_id)
            changed = documents.apply_changes(before, changes, self._clock())
            content.webhooks[webhook_id] = changed
        return changed

    def delete_webhook(self, webhook_id: str) -> None:
        with self._writing() as content:
            del content.webhooks[_webhook(content, webhook_id).webhook_id]


def open_store(url: str) -> JsonFileStore:
    """The store at `jsonfile:///path/to/registry.json`."""
    return JsonFileStore(Path(url.removeprefix("jsonfile://")))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else writes the file during the block; the system unlocks it when a process dies."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _webhook(content: Content, webhook_id: str) -> Webhook:
    if webhook_id not in content.webhooks:
        raise WebhookNotFoundError(webhook_id)
    return content.webhooks[webhook_id]


def _is_prompt(doc: ModelDocument) -> bool:
    return doc.tags.get(PROMPT_TAG) == "true"
