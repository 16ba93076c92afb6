"""`Calls`: a store with a method for each change, so that a test reads like a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from registry_core.authors import Author
from registry_core.changes import (
    ApproveVersion,
    Change,
    CreateModel,
    CreateVersion,
    DeleteAlias,
    DeleteModel,
    DeleteModelTag,
    DeleteVersion,
    DeleteVersionTag,
    FinalizeVersion,
    RelocateVersion,
    RenameModel,
    RestoreDeletedModel,
    RestoreLargeModel,
    RestoreModel,
    RestoreVersion,
    SetAlias,
    SetModelTag,
    SetVersionTag,
    TransitionVersion,
    UpdateModel,
    UpdateVersion,
    WithdrawApproval,
    restores_in_pieces,
)
from registry_core.history import Event, EventQuery
from registry_core.models import (
    Approval,
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
from registry_core.pruning import NewBeginning, ReplacesBeginnings
from registry_core.requirements import FilesAreAt
from registry_core.search import Page, Query
from registry_core.snapshot_pieces import SpooledSnapshot
from registry_core.snapshots import ModelSnapshot
from registry_core.store import Store

ResultT = TypeVar("ResultT")

TESTER = Author(actor="tester")
"""Who makes the changes of a test."""


class Calls:
    """A store whose changes are methods. What it does not know is the store's own."""

    def __init__(self, store: Store) -> None:
        self.backend = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    # From Python 3.12 on, protocols look for methods in the class, and find none of `__getattr__`.
    @property  # type: ignore[misc] # that of other objects can be set, too
    def __class__(self) -> type:
        """The store's: what protocols the store fits, this does."""
        return type(self.backend)

    def __dir__(self) -> list[str]:
        return [*dir(Calls), *dir(self.backend)]

    # The store's own methods

    def events(self, query: EventQuery) -> list[Event]:
        """See `Store`."""
        return self.backend.events(query)

    def replace_beginning(self, beginning: NewBeginning) -> None:
        """See `pruning.ReplacesBeginnings`."""
        backend = self.backend
        assert isinstance(backend, ReplacesBeginnings), "the store can prune"
        backend.replace_beginning(beginning)

    def apply(self, change: Change[ResultT], *, by: Author = TESTER) -> ResultT:
        """See `Store`."""
        return self.backend.apply(change, by=by)

    def get_registered_model(self, name: str) -> RegisteredModel:
        """See `Store`."""
        return self.backend.get_registered_model(name)

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        """See `Store`."""
        return self.backend.search_registered_models(query)

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `Store`."""
        return self.backend.get_model_version(name, version)

    def search_model_versions(self, query: Query) -> Page[ModelVersion]:
        """See `Store`."""
        return self.backend.search_model_versions(query)

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `Store`."""
        return self.backend.get_model_version_by_alias(name, alias)

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """See `Store`."""
        return self.backend.create_webhook(new)

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `Store`."""
        return self.backend.get_webhook(webhook_id)

    def list_webhooks(self) -> list[Webhook]:
        """See `Store`."""
        return self.backend.list_webhooks()

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """See `Store`."""
        return self.backend.update_webhook(webhook_id, changes)

    def delete_webhook(self, webhook_id: str) -> None:
        """See `Store`."""
        self.backend.delete_webhook(webhook_id)

    def ping(self) -> None:
        """See `Store`."""
        self.backend.ping()

    def close(self) -> None:
        """See `Store`."""
        self.backend.close()

    # Changes

    def create_registered_model(self, new: NewRegisteredModel) -> RegisteredModel:
        """See `CreateModel`."""
        return self.apply(CreateModel(new))

    def update_registered_model(self, name: str, *, description: str | None) -> RegisteredModel:
        """See `UpdateModel`."""
        return self.apply(UpdateModel(name=name, description=description))

    def rename_registered_model(self, name: str, *, new_name: str) -> RegisteredModel:
        """See `RenameModel`."""
        return self.apply(RenameModel(name=name, new_name=new_name))

    def restore(self, snapshot: ModelSnapshot, *, replaces: bool = False) -> RegisteredModel:
        """Write a whole model; see `RestoreModel`."""
        return self.apply(RestoreModel(snapshot=snapshot, replaces=replaces))

    def restore_large(self, snapshot: SpooledSnapshot) -> RegisteredModel:
        """Write a whole model that is in a file; see `RestoreLargeModel`."""
        change = RestoreLargeModel(snapshot=snapshot)
        return self.apply(change if restores_in_pieces(self.backend) else change.whole())

    def delete_registered_model(self, name: str) -> None:
        """See `DeleteModel`."""
        self.apply(DeleteModel(name=name))

    def create_model_version(self, new: NewModelVersion) -> ModelVersion:
        """See `CreateVersion`."""
        return self.apply(CreateVersion(new))

    def update_model_version(
        self, name: str, version: int, *, description: str | None
    ) -> ModelVersion:
        """See `UpdateVersion`."""
        return self.apply(UpdateVersion(name=name, version=version, description=description))

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
        """See `FinalizeVersion`."""
        return self.apply(
            FinalizeVersion(
                name=name,
                version=version,
                status=status,
                status_message=status_message,
                source=source,
                storage_location=storage_location,
            )
        )

    def relocate_model_version(
        self,
        name: str,
        version: int,
        *,
        source: str,
        storage_location: str | None = None,
        tags: Mapping[str, str] | None = None,
        expected: str | None = None,
    ) -> ModelVersion:
        """See `RelocateVersion`; `expected` is where the files have to be."""
        requires = (
            () if expected is None else (FilesAreAt(name=name, version=version, uri=expected),)
        )
        return self.apply(
            RelocateVersion(
                name=name,
                version=version,
                source=source,
                storage_location=storage_location,
                tags=tags or {},
                requires=requires,
            )
        )

    def transition_model_version_stage(
        self, name: str, version: int, *, stage: Stage, archive_existing_versions: bool
    ) -> ModelVersion:
        """See `TransitionVersion`."""
        return self.apply(
            TransitionVersion(
                name=name,
                version=version,
                stage=stage,
                archive_existing_versions=archive_existing_versions,
            )
        )

    def delete_model_version(self, name: str, version: int) -> None:
        """See `DeleteVersion`."""
        self.apply(DeleteVersion(name=name, version=version))

    def restore_registered_model(
        self, snapshot: ModelSnapshot, *, was_named: str
    ) -> RegisteredModel:
        """See `RestoreDeletedModel`."""
        return self.apply(RestoreDeletedModel(snapshot=snapshot, was_named=was_named))

    def restore_model_version(self, name: str, version: ModelVersion) -> ModelVersion:
        """See `RestoreVersion`."""
        return self.apply(RestoreVersion(name=name, version=version.version, restored=version))

    def set_registered_model_alias(self, name: str, alias: str, *, version: int) -> None:
        """See `SetAlias`."""
        self.apply(SetAlias(name=name, alias=alias, version=version))

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """See `DeleteAlias`."""
        self.apply(DeleteAlias(name=name, alias=alias))

    def approve_model_version(self, name: str, version: int, approval: Approval) -> Approval:
        """See `ApproveVersion`."""
        return self.apply(ApproveVersion(name=name, version=version, approval=approval))

    def withdraw_approval(self, name: str, version: int, actor: str) -> None:
        """See `WithdrawApproval`."""
        self.apply(WithdrawApproval(name=name, version=version, actor=actor))

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        """See `SetModelTag`."""
        self.apply(SetModelTag(name=name, key=key, value=value))

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """See `DeleteModelTag`."""
        self.apply(DeleteModelTag(name=name, key=key))

    def set_model_version_tag(self, name: str, version: int, key: str, value: str) -> None:
        """See `SetVersionTag`."""
        self.apply(SetVersionTag(name=name, version=version, key=key, value=value))

    def delete_model_version_tag(self, name: str, version: int, key: str) -> None:
        """See `DeleteVersionTag`."""
        self.apply(DeleteVersionTag(name=name, version=version, key=key))
