"""Changes that move a version: to a stage, and back from the trash."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

import attrs

from registry_core import documents, history
from registry_core.changes.base import VersionChange
from registry_core.changes.playing import number_of, text_of, version_before, version_of
from registry_core.documents import ModelDocument
from registry_core.errors import ConflictError
from registry_core.gates import Pointing
from registry_core.history import Action, Effect, Event, Value
from registry_core.models import ModelVersion, Stage, WebhookAction
from registry_core.permissions import STAGE_PREFIX, Need, Permission
from registry_core.topics import OF_VERSIONS, Topics, own_topics


@attrs.frozen(kw_only=True)
class TransitionVersion(VersionChange):
    """Move a version to a stage; it and its model are updated now, also if it was there.

    With `archive_existing_versions` every other version in the stage becomes Archived and is
    updated now, in the same step.
    """

    action: ClassVar[Action] = Action.TRANSITION_VERSION
    permission: ClassVar[Permission] = Permission.MOVE_ALIAS
    topics: ClassVar[Topics] = own_topics(OF_VERSIONS, WebhookAction.TRANSITIONED)
    tells_every_event: ClassVar[bool] = True

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

    def pointing(self) -> Pointing:
        """Return what it makes point at a version, for gates."""
        return Pointing(stage=self.stage, version=self.version)

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`. The versions that it archived have events of their own."""
        return cls(name=event.name, version=number_of(event), stage=Stage(text_of(event)))

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        return version_before(document, event).current_stage.value


@attrs.frozen(kw_only=True)
class RestoreVersion(VersionChange):
    """Bring a deleted version back, with its number and times; the model is updated now.

    Raises:
        ConflictError: The version exists.
        RegisteredModelNotFoundError: The model does not exist.
    """

    action: ClassVar[Action] = Action.RESTORE_VERSION
    permission: ClassVar[Permission] = Permission.RESTORE
    topics: ClassVar[Topics] = own_topics(OF_VERSIONS, WebhookAction.RESTORED)

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

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        version = version_of(event, event.name)
        return cls(name=event.name, version=version.version, restored=version)

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:  # noqa: ARG003
        """See `Change`: there was no such version."""
        return None


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
