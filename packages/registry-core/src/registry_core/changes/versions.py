"""Changes of a model version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

import attrs

from registry_core import documents, history
from registry_core.authors import Origin
from registry_core.changes.base import (
    Change,
    ModelPartChange,
    VersionChange,
)
from registry_core.changes.playing import (
    fields_of,
    number_of,
    text_if_any,
    version_before,
    version_of,
)
from registry_core.documents import ModelDocument
from registry_core.gates import Becomes
from registry_core.history import Action, Effect, Event, Value
from registry_core.idempotency import Idempotency, KeptKey
from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    Status,
    WebhookAction,
)
from registry_core.permissions import Need, Permission
from registry_core.topics import OF_VERSIONS, Topics, mlflow_topics, own_topics


@attrs.frozen
class CreateVersion(Change[ModelVersion]):
    """Create the next version of a registered model, numbered one more than any it ever had.

    The version's timestamps, and the model's last update, are one and the same moment.

    Raises:
        RegisteredModelNotFoundError: The model does not exist.
    """

    action: ClassVar[Action] = Action.CREATE_VERSION
    permission: ClassVar[Permission] = Permission.REGISTER
    topics: ClassVar[Topics] = mlflow_topics(OF_VERSIONS, WebhookAction.CREATED)
    is_gated: ClassVar[bool] = False

    new: NewModelVersion
    idempotency: Idempotency | None = attrs.field(default=None, kw_only=True)

    @property
    def model(self) -> str:
        """See `Change`."""
        return self.new.name

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.new.name)
        return documents.create_version(before, self.new, now=now)

    def result(self, document: ModelDocument | None) -> ModelVersion:
        """See `Change`."""
        assert document is not None, "the change keeps the model"
        return documents.last_created(document)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert after is not None, "the change keeps the model"
        return [self.effect(documents.last_created(after))]

    def repeated(self, kept: KeptKey, document: ModelDocument | None) -> ModelVersion:
        """See `Change`: the version as it is, or as it was made if it was deleted since."""
        there = None
        number = kept.version
        if document is not None and number is not None and number in document.versions:
            there = documents.model_version(document, number)
        return self.made_before(kept, there)

    def made_before(self, kept: KeptKey, there: ModelVersion | None) -> ModelVersion:
        """As `repeated`, of the version of that number, if there is one."""
        assert self.idempotency is not None, "nothing else is recognised"
        self.idempotency.check(kept)
        assert kept.version is not None, "the same request has made a version"
        if there is not None and there.creation_timestamp == kept.time:
            return there
        return self.new.created(kept.version, now=kept.time)

    def effect(self, created: ModelVersion) -> Effect:
        """Return what the change has done, from the version that it has created."""
        fields = history.version_fields(created)
        return Effect(action=Action.CREATE_VERSION, version=created.version, after=fields)

    @classmethod
    def replay(cls, document: ModelDocument | None, event: Event) -> ModelDocument:
        """See `Change`. A beginning says the times, which an event that made a version has."""
        before = documents.present(document, event.name)
        version = version_of(event, before.name)
        number = version.version
        is_there = "creation_timestamp" in fields_of(event)
        # In place: nobody else has seen the mapping, and a copy for each of many versions takes
        # long.
        versions = before.versions if isinstance(before.versions, dict) else {**before.versions}
        versions[number] = version
        return attrs.evolve(
            before,
            versions=versions,
            next_version=max(before.next_version, number + 1),
            last_updated_timestamp=before.last_updated_timestamp if is_there else event.time,
        )

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:  # noqa: ARG003
        """See `Change`: there was no such version."""
        return None

    @classmethod
    def contradictions(cls, document: ModelDocument | None, event: Event) -> Iterator[str]:
        """See `Change`. Numbers follow each other, but at a beginning."""
        if document is None:
            return
        is_new = event.origin is not Origin.BASELINE
        if is_new and event.version != document.next_version:
            yield f"it makes version {event.version!r} after {document.next_version - 1}"
        yield from super().contradictions(document, event)


@attrs.frozen(kw_only=True)
class UpdateVersion(VersionChange):
    """Set a version's description; None erases it. The version, not its model, is updated now."""

    action: ClassVar[Action] = Action.UPDATE_VERSION
    permission: ClassVar[Permission] = Permission.EDIT
    topics: ClassVar[Topics] = own_topics(OF_VERSIONS, WebhookAction.UPDATED)
    is_gated: ClassVar[bool] = False

    description: str | None

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name, self.version)
        return documents.update_version(before, self.version, description=self.description, now=now)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing version is updated"
        return [self.effect(before.versions[self.version])]

    def effect(self, before: ModelVersion) -> Effect:
        """Return what the change does to a version."""
        return Effect(
            action=Action.UPDATE_VERSION,
            version=self.version,
            before=before.description,
            after=self.description,
        )

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(name=event.name, version=number_of(event), description=text_if_any(event))

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        return version_before(document, event).description


@attrs.frozen(kw_only=True)
class FinalizeVersion(VersionChange):
    """Move a version once from PENDING_REGISTRATION to READY or FAILED_REGISTRATION.

    `source` and `storage_location` replace the stored ones where they are given. The version, not
    its model, is updated now. Of an uploader and a repair that race, one wins.

    Raises:
        ConflictError: The version is no longer pending, and is unchanged.
    """

    action: ClassVar[Action] = Action.FINALIZE_VERSION
    permission: ClassVar[Permission] = Permission.REGISTER
    topics: ClassVar[Topics] = own_topics(
        OF_VERSIONS,
        WebhookAction.FINALIZED,
        mlflow_topics(OF_VERSIONS, WebhookAction.CREATED),
    )
    is_gated: ClassVar[bool] = False

    status: Status
    status_message: str | None = None
    source: str | None = None
    storage_location: str | None = None

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name, self.version)
        return documents.finalize_version(
            before,
            self.version,
            status=self.status,
            status_message=self.status_message,
            source=self.source,
            storage_location=self.storage_location,
            now=now,
        )

    def effects(
        self, before: ModelDocument | None = None, after: ModelDocument | None = None
    ) -> list[Effect]:
        """See `Change`. They are known beforehand."""
        return [
            Effect(
                action=Action.FINALIZE_VERSION,
                version=self.version,
                before={"status": Status.PENDING_REGISTRATION.value},
                after=history.finalized(
                    self.status, self.status_message, self.source, self.storage_location
                ),
            )
        ]

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        fields = fields_of(event)
        return cls(
            name=event.name,
            version=number_of(event),
            status=Status(fields["status"]),
            status_message=fields.get("status_message"),
            source=fields.get("source"),
            storage_location=fields.get("storage_location"),
        )

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        return {"status": version_before(document, event).status.value}


@attrs.frozen(kw_only=True)
class RelocateVersion(VersionChange):
    """Say where the files of a version are from now on. The version, not its model, is updated now.

    What it names already is left as it is, and makes no event.
    """

    action: ClassVar[Action] = Action.RELOCATE_VERSION
    permission: ClassVar[Permission] = Permission.REGISTER
    topics: ClassVar[Topics] = own_topics(OF_VERSIONS, WebhookAction.RELOCATED)

    source: str
    storage_location: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict)
    """Tags that are set in the same step: what the files are. Each has an event, whatever it was,
    as a tag that is set by itself: a store may not know a large text that it has."""

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.REGISTER, self.name), Need(Permission.EDIT, self.name))

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name, self.version)
        if not self.moves(documents.model_version(before, self.version)):
            return before
        after = before
        for key, value in self.tags.items():
            after = documents.set_version_tag(after, self.version, key, value)
        return documents.relocate_version(
            after,
            self.version,
            source=self.source,
            storage_location=self.storage_location,
            now=now,
        )

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing version has files"
        return self.moves(before.versions[self.version])

    def moves(self, version: ModelVersion) -> list[Effect]:
        """Return what the change does to a version as it is before: its tags are set first."""
        old = history.location(version.source, version.storage_location)
        new = history.location(self.source, self.storage_location)
        if old == new:
            return []
        tagged = [
            Effect(
                action=Action.SET_VERSION_TAG,
                version=self.version,
                key=key,
                before=version.tags.get(key),
                after=value,
            )
            for key, value in self.tags.items()
        ]
        moved = Effect(action=Action.RELOCATE_VERSION, version=self.version, before=old, after=new)
        return [*tagged, moved]

    def becomes(self) -> Becomes:
        """Return what it makes of its version, for gates."""
        return Becomes(
            version=self.version,
            source=self.source,
            storage_location=self.storage_location,
            tags=self.tags,
        )

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`. Its tags have events of their own."""
        fields = fields_of(event)
        return cls(
            name=event.name,
            version=number_of(event),
            source=fields.get("source", ""),
            storage_location=fields.get("storage_location"),
        )

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        version = version_before(document, event)
        return history.location(version.source, version.storage_location)


@attrs.frozen(kw_only=True)
class DeleteVersion(ModelPartChange):
    """Remove a version, its tags and its aliases; the model is updated now."""

    action: ClassVar[Action] = Action.DELETE_VERSION
    permission: ClassVar[Permission] = Permission.DELETE
    topics: ClassVar[Topics] = own_topics(OF_VERSIONS, WebhookAction.DELETED)
    is_gated: ClassVar[bool] = False

    version: int

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name, self.version)
        return documents.delete_version(before, self.version, now=now)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing version is deleted"
        return self.removes(before.versions[self.version])

    def removes(self, version: ModelVersion) -> list[Effect]:
        """Return what the change does to a version as it is before: first its aliases go."""
        aliases = [
            Effect(action=Action.DELETE_ALIAS, version=self.version, key=alias, before=self.version)
            for alias in version.aliases
        ]
        fields = history.version_fields(version)
        return [
            *aliases,
            Effect(action=Action.DELETE_VERSION, version=self.version, before=fields),
        ]

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(name=event.name, version=number_of(event))

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        return history.version_fields(version_before(document, event))
