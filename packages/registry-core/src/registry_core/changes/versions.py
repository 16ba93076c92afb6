"""Changes of a model version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import attrs

from registry_core import documents, history
from registry_core.changes.base import (
    Change,
    ModelPartChange,
    VersionChange,
)
from registry_core.documents import ModelDocument
from registry_core.errors import ConflictError
from registry_core.history import Action, Effect
from registry_core.idempotency import Idempotency, KeptKey
from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    Stage,
    Status,
)
from registry_core.permissions import STAGE_PREFIX, Need, Permission


@attrs.frozen
class CreateVersion(Change[ModelVersion]):
    """Create the next version of a registered model, numbered one more than any it ever had.

    The version's timestamps, and the model's last update, are one and the same moment.

    Raises:
        RegisteredModelNotFoundError: The model does not exist.
    """

    is_gated: ClassVar[bool] = False

    new: NewModelVersion
    idempotency: Idempotency | None = attrs.field(default=None, kw_only=True)

    @property
    def model(self) -> str:
        """See `Change`."""
        return self.new.name

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.REGISTER, self.model),)

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
        return [self.effect(after.next_version - 1)]

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

    def effect(self, version: int) -> Effect:
        """Return what the change has done, when the version has got its number."""
        return Effect(
            action=Action.CREATE_VERSION,
            version=version,
            after=history.created_version(self.new),
        )


@attrs.frozen(kw_only=True)
class UpdateVersion(VersionChange):
    """Set a version's description; None erases it. The version, not its model, is updated now."""

    is_gated: ClassVar[bool] = False

    description: str | None

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.EDIT, self.name),)

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


@attrs.frozen(kw_only=True)
class FinalizeVersion(VersionChange):
    """Move a version once from PENDING_REGISTRATION to READY or FAILED_REGISTRATION.

    `source` and `storage_location` replace the stored ones where they are given. The version, not
    its model, is updated now. Of an uploader and a repair that race, one wins.

    Raises:
        ConflictError: The version is no longer pending, and is unchanged.
    """

    is_gated: ClassVar[bool] = False

    status: Status
    status_message: str | None = None
    source: str | None = None
    storage_location: str | None = None

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.REGISTER, self.name),)

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


@attrs.frozen(kw_only=True)
class RelocateVersion(VersionChange):
    """Say where the files of a version are from now on. The version, not its model, is updated now.

    What it names already is left as it is, and makes no event.
    """

    source: str
    storage_location: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict)
    """Tags that are set in the same step: what the files are."""

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
            if version.tags.get(key) != value
        ]
        moved = Effect(action=Action.RELOCATE_VERSION, version=self.version, before=old, after=new)
        return [*tagged, moved]


@attrs.frozen(kw_only=True)
class TransitionVersion(VersionChange):
    """Move a version to a stage; it and its model are updated now, also if it was there.

    With `archive_existing_versions` every other version in the stage becomes Archived and is
    updated now, in the same step.
    """

    stage: Stage
    archive_existing_versions: bool = False

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.MOVE_ALIAS, self.name, alias=f"{STAGE_PREFIX}{self.stage.value}"),)

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name, self.version)
        return documents.transition(
            before,
            self.version,
            stage=self.stage,
            archive_existing_versions=self.archive_existing_versions,
            now=now,
        )

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing version changes its stage"
        return self.moves(before.versions.values())

    def moves(self, versions: Iterable[ModelVersion]) -> list[Effect]:
        """Return what the change does to the versions, as they are before it: archived ones first."""  # noqa: E501
        archived = [
            _moved(each, Stage.ARCHIVED)
            for each in versions
            if self.archive_existing_versions
            and each.current_stage is self.stage
            and each.version != self.version
        ]
        moved = [_moved(each, self.stage) for each in versions if each.version == self.version]
        return archived + moved


@attrs.frozen(kw_only=True)
class DeleteVersion(ModelPartChange):
    """Remove a version, its tags and its aliases; the model is updated now."""

    is_gated: ClassVar[bool] = False

    version: int

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.DELETE, self.name),)

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


@attrs.frozen(kw_only=True)
class RestoreVersion(VersionChange):
    """Bring a deleted version back, with its number and times; the model is updated now.

    Raises:
        ConflictError: The version exists.
        RegisteredModelNotFoundError: The model does not exist.
    """

    restored: ModelVersion = attrs.field(repr=lambda version: str(version.version))
    """The version as it was, without aliases; its name does not matter."""
    stage: Stage | None = None
    """The stage that it is moved to in the same step; None for the one that it was in."""

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        restoring = Need(Permission.RESTORE, self.name)
        stage = self.restored.current_stage if self.stage is None else self.stage
        if not stage.is_active:
            return (restoring,)
        # Others may be in the stage by now: it is a move to it.
        moved = f"{STAGE_PREFIX}{stage.value}"
        return (restoring, Need(Permission.MOVE_ALIAS, self.name, alias=moved))

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name)
        after = put_back(before, self.restored, now=now)
        if self.stage is None:
            return after
        return documents.transition(
            after, self.version, stage=self.stage, archive_existing_versions=False, now=now
        )

    def effects(
        self, before: ModelDocument | None = None, after: ModelDocument | None = None
    ) -> list[Effect]:
        """See `Change`. They are known beforehand."""
        fields = history.version_as_it_is(self.restored)
        restored = Effect(action=Action.RESTORE_VERSION, version=self.version, after=fields)
        return [restored] if self.stage is None else [restored, _moved(self.restored, self.stage)]


def put_back(document: ModelDocument, version: ModelVersion, *, now: int) -> ModelDocument:
    """Return the model with a version that was deleted.

    Raises:
        ConflictError: there is a version of that number.
    """
    if version.version in document.versions:
        raise version_exists(version)
    restored = attrs.evolve(version, name=document.name, aliases=())
    versions = dict(sorted({**document.versions, version.version: restored}.items()))
    return attrs.evolve(document, versions=versions, last_updated_timestamp=now)


def version_exists(version: ModelVersion) -> ConflictError:
    """Return the error for restoring a version that has been restored."""
    return ConflictError(
        f"Model Version (name={version.name}, version={version.version}) exists already"
    )


def _moved(version: ModelVersion, stage: Stage) -> Effect:
    return Effect(
        action=Action.TRANSITION_VERSION,
        version=version.version,
        before=version.current_stage.value,
        after=stage.value,
    )
