"""Changes of aliases and tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Self

import attrs

from registry_core import documents
from registry_core.changes.base import ModelPartChange
from registry_core.changes.playing import key_of, number_of, text_of, version_before
from registry_core.documents import ModelDocument
from registry_core.gates import Becomes, Pointing
from registry_core.gates.identity import is_content
from registry_core.history import Action, Effect, Event, Value
from registry_core.models import WebhookAction, WebhookEntity
from registry_core.permissions import Need, Permission
from registry_core.topics import (
    OF_ALIASES,
    OF_VERSION_TAGS,
    Entities,
    Topics,
    mlflow_topics,
    own_topics,
)

_MODEL_TAG: Entities = (WebhookEntity.REGISTERED_MODEL_TAG, None)
"""MLflow has events of the tags of a prompt only."""
_PROMPT_TAG: Entities = (None, WebhookEntity.PROMPT_TAG)


@attrs.frozen(kw_only=True)
class _AliasChange(ModelPartChange):
    """What changes of an alias have in common."""

    permission: ClassVar[Permission] = Permission.MOVE_ALIAS

    alias: str

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(self.permission, self.name, alias=self.alias),)

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        return document.aliases.get(key_of(event))

    @classmethod
    def contradictions(cls, document: ModelDocument | None, event: Event) -> Iterator[str]:
        """See `Change`. An event repeats the version that the alias points at, or pointed at."""
        said = event.after if cls.action is Action.SET_ALIAS else event.before
        if event.version != said:
            yield f"it is about version {event.version!r}, and about {said!r}"
        yield from super().contradictions(document, event)


@attrs.frozen(kw_only=True)
class SetAlias(_AliasChange):
    """Point an alias at a version, wherever it pointed before. No timestamp moves.

    Raises:
        ModelVersionNotFoundError: The version, or its model, does not exist.
    """

    action: ClassVar[Action] = Action.SET_ALIAS
    topics: ClassVar[Topics] = mlflow_topics(OF_ALIASES, WebhookAction.CREATED)

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

    def pointing(self) -> Pointing:
        """Return what it makes point at a version, for gates."""
        return Pointing(alias=self.alias, version=self.version)

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(name=event.name, alias=key_of(event), version=number_of(event))


@attrs.frozen(kw_only=True)
class DeleteAlias(_AliasChange):
    """Remove an alias; it need not exist. No timestamp moves."""

    action: ClassVar[Action] = Action.DELETE_ALIAS
    topics: ClassVar[Topics] = mlflow_topics(OF_ALIASES, WebhookAction.DELETED)
    is_gated: ClassVar[bool] = False

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

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(name=event.name, alias=key_of(event))


@attrs.frozen(kw_only=True)
class SetModelTag(ModelPartChange):
    """Set a tag of a registered model, whatever it was. No timestamp moves."""

    action: ClassVar[Action] = Action.SET_MODEL_TAG
    permission: ClassVar[Permission] = Permission.EDIT
    topics: ClassVar[Topics] = own_topics(
        _MODEL_TAG, WebhookAction.SET, mlflow_topics(_PROMPT_TAG, WebhookAction.SET)
    )
    is_gated: ClassVar[bool] = False

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

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(name=event.name, key=key_of(event), value=text_of(event))

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        return document.tags.get(key_of(event))


@attrs.frozen(kw_only=True)
class DeleteModelTag(ModelPartChange):
    """Remove a tag of a registered model; it need not exist. No timestamp moves."""

    action: ClassVar[Action] = Action.DELETE_MODEL_TAG
    permission: ClassVar[Permission] = Permission.EDIT
    topics: ClassVar[Topics] = own_topics(
        _MODEL_TAG, WebhookAction.DELETED, mlflow_topics(_PROMPT_TAG, WebhookAction.DELETED)
    )
    is_gated: ClassVar[bool] = False

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

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(name=event.name, key=key_of(event))

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        return document.tags.get(key_of(event))


@attrs.frozen(kw_only=True)
class SetVersionTag(ModelPartChange):
    """Set a tag of a model version, whatever it was. No timestamp moves."""

    action: ClassVar[Action] = Action.SET_VERSION_TAG
    permission: ClassVar[Permission] = Permission.EDIT
    topics: ClassVar[Topics] = mlflow_topics(OF_VERSION_TAGS, WebhookAction.SET)

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

    def becomes(self) -> Becomes | None:
        """Return what it makes of its version, for gates; None where it stays what it is."""
        if not is_content(self.key):
            return None
        return Becomes(version=self.version, tags={self.key: self.value})

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(
            name=event.name,
            version=number_of(event),
            key=key_of(event),
            value=text_of(event),
        )

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        return version_before(document, event).tags.get(key_of(event))


@attrs.frozen(kw_only=True)
class DeleteVersionTag(ModelPartChange):
    """Remove a tag of a model version; it need not exist. No timestamp moves."""

    action: ClassVar[Action] = Action.DELETE_VERSION_TAG
    permission: ClassVar[Permission] = Permission.EDIT
    topics: ClassVar[Topics] = mlflow_topics(OF_VERSION_TAGS, WebhookAction.DELETED)

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

    def becomes(self) -> Becomes | None:
        """Return what it makes of its version, for gates; None where it stays what it is."""
        if not is_content(self.key):
            return None
        return Becomes(version=self.version, tags={self.key: None})

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(
            name=event.name,
            version=number_of(event),
            key=key_of(event),
        )

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """See `Change`."""
        return version_before(document, event).tags.get(key_of(event))
