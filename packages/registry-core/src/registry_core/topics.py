"""`Topics`: the webhook events that a change is, MLflow's and ours."""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from registry_core.models import WebhookAction, WebhookEntity, WebhookEvent


@attrs.frozen
class Topics:
    """The webhook events that a change is: of a model and of a prompt, MLflow's and ours."""

    of_model: WebhookEvent | None = None
    of_prompt: WebhookEvent | None = None
    own_of_model: WebhookEvent | None = None
    own_of_prompt: WebhookEvent | None = None

    def topic(self, *, is_prompt: bool) -> WebhookEvent | None:
        """Return the event of MLflow's that the change is, if any, for a model or a prompt."""
        return self.of_prompt if is_prompt else self.of_model

    def topics(self, *, is_prompt: bool) -> tuple[WebhookEvent, ...]:
        """Return the events that the change is, for a model or a prompt; MLflow's is the first.

        A webhook that asks for both gets the first.
        """
        own = self.own_of_prompt if is_prompt else self.own_of_model
        return tuple(each for each in (self.topic(is_prompt=is_prompt), own) if each is not None)

    @property
    def all(self) -> tuple[WebhookEvent, ...]:
        """All of them."""
        return (*self.topics(is_prompt=False), *self.topics(is_prompt=True))


Entities: TypeAlias = tuple[WebhookEntity | None, WebhookEntity | None]
"""What an event is about where the model is one, and where it is a prompt; None for no event."""

OF_MODELS: Final[Entities] = WebhookEntity.REGISTERED_MODEL, WebhookEntity.PROMPT
OF_VERSIONS: Final[Entities] = WebhookEntity.MODEL_VERSION, WebhookEntity.PROMPT_VERSION
OF_VERSION_TAGS: Final[Entities] = (
    WebhookEntity.MODEL_VERSION_TAG,
    WebhookEntity.PROMPT_VERSION_TAG,
)
OF_ALIASES: Final[Entities] = WebhookEntity.MODEL_VERSION_ALIAS, WebhookEntity.PROMPT_ALIAS


def mlflow_topics(entities: Entities, action: WebhookAction) -> Topics:
    """Return the events of MLflow's that a change is (contract 6.1)."""
    model, prompt = entities
    return Topics(of_model=_event(model, action), of_prompt=_event(prompt, action))


def own_topics(entities: Entities, action: WebhookAction, beside: Topics = Topics()) -> Topics:
    """Return the events of ours that a change is, beside those of MLflow's.

    A webhook gets them only if it was created through our own route.
    """
    model, prompt = entities
    return attrs.evolve(
        beside, own_of_model=_event(model, action), own_of_prompt=_event(prompt, action)
    )


def _event(entity: WebhookEntity | None, action: WebhookAction) -> WebhookEvent | None:
    return None if entity is None else WebhookEvent(entity, action)
