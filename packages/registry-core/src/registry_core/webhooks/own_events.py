"""The webhook events that MLflow does not know: which of them an event is, and what its data is.

A receiver gets what the model's history says of it: what was before and is afterwards, who did it,
why, and under which number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from registry_core.authors import Origin
from registry_core.changes import CHANGES
from registry_core.history import Action, Event, Value
from registry_core.models import Stage, Status, WebhookAction, WebhookEntity, WebhookEvent
from registry_core.outbox import is_published
from registry_core.topics import Topics


def topics_of(event: Event) -> Topics:
    """Return the webhook events that an event of a model's history is."""
    made_by = CHANGES.get(event.action)
    if made_by is None:
        # They do not hear of a gate that was passed: the event of what has passed it says so.
        return Topics()
    topics = made_by.topics
    if event.action is Action.FINALIZE_VERSION and not _is_ready(event.after):
        return attrs.evolve(topics, of_model=None, of_prompt=None)
    return topics


def _is_ready(after: Value) -> bool:
    return isinstance(after, Mapping) and is_published(Status(after["status"]))


def data_of(event: Event) -> Mapping[str, object]:
    """Return what a receiver gets of an event as one of ours."""
    return {
        "name": event.name,
        "model_id": event.model_id,
        "sequence": event.sequence,
        "version": event.version,
        "key": event.key,
        "before": event.before,
        "after": event.after,
        "actor": event.actor,
        "is_authenticated": event.is_authenticated,
        "origin": event.origin.value,
        "reason": event.reason,
    }


def sample(event: WebhookEvent) -> Mapping[str, object]:
    """Return the data of a test delivery of one of our events."""
    is_of_version = event.entity in (WebhookEntity.MODEL_VERSION, WebhookEntity.PROMPT_VERSION)
    is_of_prompt = event.entity in (WebhookEntity.PROMPT, WebhookEntity.PROMPT_VERSION)
    action, before, after = _SAMPLES[is_of_version, event.action]
    if event.entity is WebhookEntity.REGISTERED_MODEL_TAG:
        is_set = event.action is WebhookAction.SET
        action = Action.SET_MODEL_TAG if is_set else Action.DELETE_MODEL_TAG
        before, after = "old value", "new value" if is_set else None
    return data_of(
        Event(
            model_id="0123456789abcdef",
            name="example_prompt" if is_of_prompt else "example_model",
            sequence=7,
            time=1_700_000_000_000,
            actor="example_user",
            is_authenticated=True,
            origin=Origin.HTTP,
            reason="an example",
            action=action,
            version=1 if is_of_version else None,
            key=_sample_key(event, action),
            before=before,
            after=after,
        )
    )


def _sample_key(event: WebhookEvent, action: Action) -> str | None:
    if action in (Action.APPROVE_VERSION, Action.WITHDRAW_APPROVAL):
        return "example_user"
    return "example_key" if event.entity is WebhookEntity.REGISTERED_MODEL_TAG else None


_PENDING = {"status": Status.PENDING_REGISTRATION.value}
_APPROVAL = {"digest": f"sha256:{'0' * 64}", "time": 1_700_000_000_000, "is_authenticated": True}
_SAMPLES: Final[Mapping[tuple[bool, WebhookAction], tuple[Action, Value, Value]]] = {
    (False, WebhookAction.UPDATED): (Action.UPDATE_MODEL, "an old text", "a new text"),
    (False, WebhookAction.RENAMED): (Action.RENAME_MODEL, "example_model", "renamed_model"),
    (False, WebhookAction.SET): (Action.SET_MODEL_TAG, "old value", "new value"),
    (False, WebhookAction.DELETED): (Action.DELETE_MODEL, None, None),
    (False, WebhookAction.RESTORED): (
        Action.RESTORE_MODEL,
        "example_model",
        "example_model",
    ),
    (True, WebhookAction.UPDATED): (Action.UPDATE_VERSION, "an old text", "a new text"),
    (True, WebhookAction.TRANSITIONED): (
        Action.TRANSITION_VERSION,
        Stage.STAGING.value,
        Stage.PRODUCTION.value,
    ),
    (True, WebhookAction.FINALIZED): (
        Action.FINALIZE_VERSION,
        _PENDING,
        {"status": Status.READY.value},
    ),
    (True, WebhookAction.RELOCATED): (
        Action.RELOCATE_VERSION,
        {"source": "s3://bucket/old"},
        {"source": "s3://bucket/new"},
    ),
    (True, WebhookAction.DELETED): (Action.DELETE_VERSION, {"source": "models:/123"}, None),
    (True, WebhookAction.RESTORED): (Action.RESTORE_VERSION, None, {"source": "models:/123"}),
    (True, WebhookAction.APPROVED): (Action.APPROVE_VERSION, None, _APPROVAL),
    (True, WebhookAction.APPROVAL_WITHDRAWN): (Action.WITHDRAW_APPROVAL, _APPROVAL, None),
}
"""Action, before and after of the samples: of models and of versions, by what happened."""
