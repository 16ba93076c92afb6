"""Every change of a registered model, as a value.

A store has one method that writes: it takes one of these. A change says which registered model it
is about, applies itself to the model's document, and says what its caller gets. Whatever has to
look at changes (a store, a history, a permission, a webhook) looks at their class and fields.

| change | what it does |
| --- | --- |
| `CreateModel`, `UpdateModel`, `RenameModel`, `DeleteModel` | a registered model |
| `CreateVersion`, `UpdateVersion`, `FinalizeVersion`, `TransitionVersion`, `DeleteVersion` | a model version |
| `SetAlias`, `DeleteAlias` | an alias |
| `SetModelTag`, `DeleteModelTag`, `SetVersionTag`, `DeleteVersionTag` | a tag |

Values are valid when a change is made: `Registry` has checked them.
"""  # noqa: E501 a table

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import attrs

from registry_core import documents, history
from registry_core.documents import ModelDocument
from registry_core.history import Action, Effect, new_model_id
from registry_core.models import (
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
    Status,
)
from registry_core.requirements import Requirement

ResultT = TypeVar("ResultT")


def _as_it_is(value: Any) -> Any:
    return value


class Change(ABC, Generic[ResultT]):
    """One change of one registered model; `ResultT` is what its caller gets."""

    requires: tuple[Requirement, ...] = ()
    """What must hold for the change to happen."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The name of the registered model that the change is about."""

    def make(
        self,
        document: ModelDocument | None,
        now: int,
        *,
        whole: Callable[[Any], Any] = _as_it_is,
    ) -> ModelDocument | None:
        """Return the document after the change, as `apply`, if all that it requires holds.

        Args:
            document: As for `apply`.
            now: As for `apply`.
            whole: Gives the value that one in the document stands for, for a store that keeps some
                of them elsewhere.

        Raises:
            StaleValueError: Something that it requires does not hold.
            RegistryError: As `apply`.
        """
        after = self.apply(document, now)
        if document is not None:
            for requirement in self.requires:
                requirement.check(whole(requirement.current(document)))
        return after

    @abstractmethod
    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument | None:
        """Return the model's document after the change. Pure.

        Args:
            document: The model as it is; None where there is none.
            now: Milliseconds since the epoch, for what the change dates.

        Returns:
            None when the change removes the model, and the very same document when it changes
            nothing. A document with another name is a rename.

        Raises:
            RegistryError: The errors that `registry_core.store.Store` lists for this change.
        """

    @abstractmethod
    def result(self, document: ModelDocument | None) -> ResultT:
        """Return what the caller gets, from the document that `apply` returned."""

    @abstractmethod
    def effects(
        self, before: ModelDocument | None, after: ModelDocument | None
    ) -> Iterable[Effect]:
        """Return what the change has done, in order, from the documents around it.

        A change that returned the very same document has no effects, and nobody asks for them.
        """


class _ModelChange(Change[RegisteredModel]):
    """A change whose caller gets the registered model."""

    def result(self, document: ModelDocument | None) -> RegisteredModel:
        """See `Change`."""
        assert document is not None, "the change keeps the model"
        return documents.registered_model(document)


@attrs.frozen(kw_only=True)
class _NamedChange:
    """The name of the model that a change is about, as a field of its own."""

    name: str
    requires: tuple[Requirement, ...] = ()

    @property
    def model(self) -> str:
        """See `Change`."""
        return self.name


@attrs.frozen(kw_only=True)
class _ModelPartChange(_NamedChange, Change[None]):
    """A change of a model's tags or aliases, which returns nothing."""

    def result(self, document: ModelDocument | None) -> None:
        """See `Change`."""


@attrs.frozen(kw_only=True)
class _VersionChange(_NamedChange, Change[ModelVersion]):
    """A change whose caller gets the model version."""

    version: int

    def result(self, document: ModelDocument | None) -> ModelVersion:
        """See `Change`."""
        assert document is not None, "the change keeps the model"
        return documents.model_version(document, self.version)


@attrs.frozen
class CreateModel(_ModelChange):
    """Create a registered model.

    Raises:
        AlreadyExistsError: The name is taken; the error says whether either side is a prompt (the
            tag `validation.PROMPT_TAG` is present, whatever its value).
    """

    new: NewRegisteredModel
    model_id: str = attrs.field(factory=new_model_id, kw_only=True)

    @property
    def model(self) -> str:
        """See `Change`."""
        return self.new.name

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`. Both timestamps are now."""
        if document is not None:
            raise documents.taken(document, self.new)
        return documents.create_document(self.new, now, model_id=self.model_id)

    def effects(
        self, before: ModelDocument | None = None, after: ModelDocument | None = None
    ) -> list[Effect]:
        """See `Change`. They are known beforehand."""
        return [Effect(action=Action.CREATE_MODEL, after=history.created_model(self.new))]


@attrs.frozen(kw_only=True)
class UpdateModel(_NamedChange, _ModelChange):
    """Set a registered model's description; None erases it. The model is updated now."""

    description: str | None

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name)
        return documents.update(before, description=self.description, now=now)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing model is updated"
        return [
            Effect(
                action=Action.UPDATE_MODEL,
                before=before.description or None,
                after=self.description or None,
            )
        ]


@attrs.frozen(kw_only=True)
class RenameModel(_NamedChange, _ModelChange):
    """Give a registered model another name, with all it has; the version counter moves along.

    The model and every version are updated now. The same name is allowed and does only that.

    Raises:
        RegisteredModelNotFoundError: There is no `name`.
        AlreadyExistsError: `new_name` is taken by another model; a store sees to that, since the
            other model is another document.
    """

    new_name: str

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name)
        return documents.rename(before, new_name=self.new_name, now=now)

    def effects(
        self, before: ModelDocument | None = None, after: ModelDocument | None = None
    ) -> list[Effect]:
        """See `Change`. They are known beforehand."""
        return [Effect(action=Action.RENAME_MODEL, before=self.name, after=self.new_name)]


@attrs.frozen(kw_only=True)
class DeleteModel(_ModelPartChange):
    """Remove a registered model, its versions, tags, aliases and version counter."""

    def apply(self, document: ModelDocument | None, now: int) -> None:
        """See `Change`."""
        documents.present(document, self.name)

    def effects(
        self, before: ModelDocument | None = None, after: ModelDocument | None = None
    ) -> list[Effect]:
        """See `Change`. They are known beforehand."""
        return [Effect(action=Action.DELETE_MODEL)]


@attrs.frozen
class CreateVersion(Change[ModelVersion]):
    """Create the next version of a registered model, numbered one more than any it ever had.

    The version's timestamps, and the model's last update, are one and the same moment.

    Raises:
        RegisteredModelNotFoundError: The model does not exist.
    """

    new: NewModelVersion

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
        return [self.effect(after.next_version - 1)]

    def effect(self, version: int) -> Effect:
        """Return what the change has done, when the version has got its number."""
        return Effect(
            action=Action.CREATE_VERSION,
            version=version,
            after=history.created_version(self.new),
        )


@attrs.frozen(kw_only=True)
class UpdateVersion(_VersionChange):
    """Set a version's description; None erases it. The version, not its model, is updated now."""

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
            before=before.description or None,
            after=self.description or None,
        )


@attrs.frozen(kw_only=True)
class FinalizeVersion(_VersionChange):
    """Move a version once from PENDING_REGISTRATION to READY or FAILED_REGISTRATION.

    `source` and `storage_location` replace the stored ones where they are given. The version, not
    its model, is updated now. Of an uploader and a repair that race, one wins.

    Raises:
        ConflictError: The version is no longer pending, and is unchanged.
    """

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


@attrs.frozen(kw_only=True)
class TransitionVersion(_VersionChange):
    """Move a version to a stage; it and its model are updated now, also if it was there.

    With `archive_existing_versions` every other version in the stage becomes Archived and is
    updated now, in the same step.
    """

    stage: Stage
    archive_existing_versions: bool = False

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
class DeleteVersion(_ModelPartChange):
    """Remove a version, its tags and its aliases; the model is updated now."""

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


@attrs.frozen(kw_only=True)
class SetAlias(_ModelPartChange):
    """Point an alias at a version, wherever it pointed before. No timestamp moves.

    Raises:
        ModelVersionNotFoundError: The version, or its model, does not exist.
    """

    alias: str
    version: int

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name, self.version)
        return documents.set_alias(before, self.alias, version=self.version)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing model has aliases"
        return [self.effect(before.aliases.get(self.alias))]

    def effect(self, before: int | None) -> Effect:
        """Return what the change does to an alias that points at `before`."""
        return Effect(
            action=Action.SET_ALIAS,
            version=self.version,
            key=self.alias,
            before=before,
            after=self.version,
        )


@attrs.frozen(kw_only=True)
class DeleteAlias(_ModelPartChange):
    """Remove an alias; an absent one is no error. No timestamp moves."""

    alias: str

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        return documents.delete_alias(documents.present(document, self.name), self.alias)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing model has aliases"
        return [self.effect(before.aliases[self.alias])]

    def effect(self, before: int) -> Effect:
        """Return what the change does to an alias that points at `before`."""
        return Effect(action=Action.DELETE_ALIAS, version=before, key=self.alias, before=before)


@attrs.frozen(kw_only=True)
class SetModelTag(_ModelPartChange):
    """Set a tag of a registered model, whatever it was. No timestamp moves."""

    key: str
    value: str

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        return documents.set_tag(documents.present(document, self.name), self.key, self.value)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing model has tags"
        return [self.effect(before.tags.get(self.key))]

    def effect(self, before: str | None) -> Effect:
        """Return what the change does to a tag that is `before`."""
        return Effect(action=Action.SET_MODEL_TAG, key=self.key, before=before, after=self.value)


@attrs.frozen(kw_only=True)
class DeleteModelTag(_ModelPartChange):
    """Remove a tag of a registered model; an absent one is no error. No timestamp moves."""

    key: str

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        return documents.delete_tag(documents.present(document, self.name), self.key)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing model has tags"
        return [self.effect(before.tags.get(self.key))]

    def effect(self, before: str | None) -> Effect:
        """Return what the change does to a tag that is `before`."""
        return Effect(action=Action.DELETE_MODEL_TAG, key=self.key, before=before)


@attrs.frozen(kw_only=True)
class SetVersionTag(_ModelPartChange):
    """Set a tag of a model version, whatever it was. No timestamp moves."""

    version: int
    key: str
    value: str

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name, self.version)
        return documents.set_version_tag(before, self.version, self.key, self.value)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing model has tags"
        return [self.effect(before.versions[self.version].tags.get(self.key))]

    def effect(self, before: str | None) -> Effect:
        """Return what the change does to a tag that is `before`."""
        return Effect(
            action=Action.SET_VERSION_TAG,
            version=self.version,
            key=self.key,
            before=before,
            after=self.value,
        )


@attrs.frozen(kw_only=True)
class DeleteVersionTag(_ModelPartChange):
    """Remove a tag of a model version; an absent one is no error. No timestamp moves."""

    version: int
    key: str

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name, self.version)
        return documents.delete_version_tag(before, self.version, self.key)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert before is not None, "only an existing model has tags"
        return [self.effect(before.versions[self.version].tags.get(self.key))]

    def effect(self, before: str | None) -> Effect:
        """Return what the change does to a tag that is `before`."""
        return Effect(
            action=Action.DELETE_VERSION_TAG, version=self.version, key=self.key, before=before
        )


def _moved(version: ModelVersion, stage: Stage) -> Effect:
    return Effect(
        action=Action.TRANSITION_VERSION,
        version=version.version,
        before=version.current_stage.value,
        after=stage.value,
    )
