"""How a store that keeps models as documents changes one that exists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    RegisteredModel,
    Stage,
    Status,
)
from registry_core.stores import documents
from registry_core.stores.documents import ModelDocument

Change: TypeAlias = Callable[[ModelDocument, int], ModelDocument]
"""What a method does to a document at a moment, in milliseconds since the epoch."""

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)


class DocumentChanges(ABC):
    """The methods of a `Store` that change one model that exists, each a single change."""

    @abstractmethod
    def _change(self, name: str, change: Change, *, version: int | None = None) -> ModelDocument:
        """The document as it is after the change, which has been committed.

        `version` is what the call is about, for the error when the model is missing.
        """

    def _complete(self, written: EntityT) -> EntityT:
        """What was just written, with everything that its document only refers to."""
        return written

    def _change_version(self, name: str, version: int, change: Change) -> ModelVersion:
        changed = self._change(name, change, version=version)
        return self._complete(documents.model_version(changed, version))

    def update_registered_model(self, name: str, *, description: str | None) -> RegisteredModel:
        """See `Store`."""
        changed = self._change(
            name, lambda doc, now: documents.update(doc, description=description, now=now)
        )
        return self._complete(documents.registered_model(changed))

    def create_model_version(self, new: NewModelVersion) -> ModelVersion:
        """See `Store`."""
        changed = self._change(
            new.name, lambda doc, now: documents.create_version(doc, new, now=now)
        )
        return self._complete(documents.last_created(changed))

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
