"""Changes of aliases and tags."""

from __future__ import annotations

from typing import ClassVar

import attrs

from registry_core import documents
from registry_core.changes.base import ModelPartChange
from registry_core.documents import ModelDocument
from registry_core.history import Action, Effect
from registry_core.permissions import Need, Permission


@attrs.frozen(kw_only=True)
class SetAlias(ModelPartChange):
    """Point an alias at a version, wherever it pointed before. No timestamp moves.

    Raises:
        ModelVersionNotFoundError: The version, or its model, does not exist.
    """

    alias: str
    version: int

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.MOVE_ALIAS, self.name, alias=self.alias),)

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
class DeleteAlias(ModelPartChange):
    """Remove an alias; it need not exist. No timestamp moves."""

    is_gated: ClassVar[bool] = False

    alias: str

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.MOVE_ALIAS, self.name, alias=self.alias),)

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
class SetModelTag(ModelPartChange):
    """Set a tag of a registered model, whatever it was. No timestamp moves."""

    is_gated: ClassVar[bool] = False

    key: str
    value: str

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.EDIT, self.name),)

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
class DeleteModelTag(ModelPartChange):
    """Remove a tag of a registered model; it need not exist. No timestamp moves."""

    is_gated: ClassVar[bool] = False

    key: str

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.EDIT, self.name),)

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
class SetVersionTag(ModelPartChange):
    """Set a tag of a model version, whatever it was. No timestamp moves."""

    version: int
    key: str
    value: str

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.EDIT, self.name),)

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
class DeleteVersionTag(ModelPartChange):
    """Remove a tag of a model version; it need not exist. No timestamp moves."""

    version: int
    key: str

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.EDIT, self.name),)

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
