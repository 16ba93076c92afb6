"""Changes of a registered model."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import attrs

from registry_core import documents, history
from registry_core.changes.base import (
    ModelChange,
    ModelPartChange,
    NamedChange,
)
from registry_core.changes.playing import fields_of, text_if_any, text_of, times_of
from registry_core.documents import FIRST_VERSION, ModelDocument
from registry_core.history import MODEL_TEXTS, Action, Effect, Event, Value, new_model_id
from registry_core.idempotency import Idempotency, KeptKey
from registry_core.models import (
    ModelFields,
    NewRegisteredModel,
    RegisteredModel,
    WebhookAction,
)
from registry_core.permissions import Need, Permission
from registry_core.topics import OF_MODELS, Topics, mlflow_topics, own_topics


@attrs.frozen
class CreateModel(ModelChange):
    """Create a registered model.

    Raises:
        AlreadyExistsError: The name is taken; the error says whether either side is a prompt (the
            tag `validation.PROMPT_TAG` is present, whatever its value).
    """

    action: ClassVar[Action] = Action.CREATE_MODEL
    permission: ClassVar[Permission] = Permission.REGISTER
    topics: ClassVar[Topics] = mlflow_topics(OF_MODELS, WebhookAction.CREATED)
    is_gated: ClassVar[bool] = False

    new: NewRegisteredModel
    model_id: str = attrs.field(factory=new_model_id, kw_only=True)
    idempotency: Idempotency | None = attrs.field(default=None, kw_only=True)

    @property
    def model(self) -> str:
        """See `Change`."""
        return self.new.name

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (Need(Permission.REGISTER, self.model, is_new=True),)

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`. Both timestamps are now."""
        if document is not None:
            raise documents.taken(document, self.new)
        return documents.create_document(self.new, now, model_id=self.model_id)

    def repeated(self, kept: KeptKey, document: ModelDocument | None) -> RegisteredModel:
        """See `Change`: the model as it is, or as it was made if it was deleted since."""
        there = None if document is None else documents.registered_model(document)
        return self.made_before(kept, there)

    def made_before(self, kept: KeptKey, there: RegisteredModel | None) -> RegisteredModel:
        """As `repeated`, of the model of that name, if there is one."""
        assert self.idempotency is not None, "nothing else is recognised"
        self.idempotency.check(kept)
        if there is not None and there.creation_timestamp == kept.time:
            return there
        return self.new.created(now=kept.time)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        """See `Change`."""
        assert after is not None, "the change makes the model"
        return [self.effect(after)]

    def effect(self, created: ModelFields) -> Effect:
        """Return what the change has done, from the model that it has created."""
        return Effect(action=Action.CREATE_MODEL, after=history.model_fields(created))

    @classmethod
    def replay(cls, document: ModelDocument | None, event: Event) -> ModelDocument:  # noqa: ARG003
        """See `Change`. A beginning says what the model was like."""
        fields = fields_of(event)
        texts: dict[str, Any] = {name: fields.get(name) for name in MODEL_TEXTS if name != "name"}
        created = ModelDocument(
            name=fields["name"],
            model_id=event.model_id,
            **texts,
            tags=fields.get("tags", {}),
            next_version=fields.get("next_version", FIRST_VERSION),
            **times_of(event),
        )
        return documents.build(created, ())

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:  # noqa: ARG003
        """See `Change`: there was no model."""
        return None


@attrs.frozen(kw_only=True)
class UpdateModel(NamedChange, ModelChange):
    """Set a registered model's description; None erases it. The model is updated now."""

    action: ClassVar[Action] = Action.UPDATE_MODEL
    permission: ClassVar[Permission] = Permission.EDIT
    topics: ClassVar[Topics] = own_topics(OF_MODELS, WebhookAction.UPDATED)
    is_gated: ClassVar[bool] = False

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

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(name=event.name, description=text_if_any(event))

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:  # noqa: ARG003
        """See `Change`."""
        return document.description


@attrs.frozen(kw_only=True)
class RenameModel(NamedChange, ModelChange):
    """Give a registered model another name, with all it has; the version counter moves along.

    The model and every version are updated now. The same name is allowed and does only that.

    Raises:
        RegisteredModelNotFoundError: There is no `name`.
        AlreadyExistsError: `new_name` is taken by another model; a store sees to that, since the
            other model is another document.
    """

    action: ClassVar[Action] = Action.RENAME_MODEL
    permission: ClassVar[Permission] = Permission.EDIT
    topics: ClassVar[Topics] = own_topics(OF_MODELS, WebhookAction.RENAMED)

    new_name: str

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        return (
            Need(Permission.EDIT, self.name),
            # The name goes, as of a model that is deleted, and another one comes, with all aliases.
            Need(Permission.DELETE, self.name),
            Need(Permission.REGISTER, self.new_name, moves_all_aliases=True, is_new=True),
        )

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        before = documents.present(document, self.name)
        return documents.rename(before, new_name=self.new_name, now=now)

    def effects(
        self, before: ModelDocument | None = None, after: ModelDocument | None = None
    ) -> list[Effect]:
        """See `Change`. They are known beforehand."""
        return [Effect(action=Action.RENAME_MODEL, before=self.name, after=self.new_name)]

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(name=event.name, new_name=text_of(event))

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:  # noqa: ARG003
        """See `Change`."""
        return document.name


@attrs.frozen(kw_only=True)
class DeleteModel(ModelPartChange):
    """Remove a registered model, its versions, tags, aliases and version counter."""

    action: ClassVar[Action] = Action.DELETE_MODEL
    permission: ClassVar[Permission] = Permission.DELETE
    topics: ClassVar[Topics] = own_topics(OF_MODELS, WebhookAction.DELETED)
    is_gated: ClassVar[bool] = False

    def apply(self, document: ModelDocument | None, now: int) -> None:
        """See `Change`."""
        documents.present(document, self.name)

    def effects(
        self, before: ModelDocument | None = None, after: ModelDocument | None = None
    ) -> list[Effect]:
        """See `Change`. They are known beforehand."""
        return [Effect(action=Action.DELETE_MODEL)]

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """See `Change`."""
        return cls(name=event.name)

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:  # noqa: ARG003
        """See `Change`: an event says nothing of it."""
        return None
