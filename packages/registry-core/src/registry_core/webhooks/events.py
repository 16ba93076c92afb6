"""The events of a registry: which exist, when each happens, and what a receiver gets.

Each class of change says which events it is, in `topics`; this says what receivers get of each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

import attrs

from registry_core import history, validation
from registry_core.changes import (
    Change,
    CreateModel,
    CreateVersion,
    DeleteAlias,
    DeleteModelTag,
    DeleteVersionTag,
    FinalizeVersion,
    SetAlias,
    SetModelTag,
    SetVersionTag,
)
from registry_core.errors import InvalidArgumentError
from registry_core.history import Action, Event
from registry_core.models import (
    ModelVersion,
    RegisteredModel,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
)
from registry_core.outbox import OWN_EVENTS, is_published
from registry_core.topics import Topics
from registry_core.webhooks import own_events

Data: TypeAlias = Mapping[str, object]
"""What a receiver gets for an event, as JSON."""

PROMPT_TYPE_TAG = "_mlflow_prompt_type"
"""The tag that tells text prompts from chat prompts (contract 5)."""

_PROMPT_MARKERS = frozenset({validation.PROMPT_TAG, PROMPT_TYPE_TAG})

_MODEL_CREATED: Final = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
_VERSION_CREATED: Final = WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)
_VERSION_TAG_SET: Final = WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET)
_VERSION_TAG_DELETED: Final = WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.DELETED)
_ALIAS_CREATED: Final = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
_ALIAS_DELETED: Final = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.DELETED)
_PROMPT_CREATED: Final = WebhookEvent(WebhookEntity.PROMPT, WebhookAction.CREATED)
_PROMPT_VERSION_CREATED: Final = WebhookEvent(WebhookEntity.PROMPT_VERSION, WebhookAction.CREATED)
_PROMPT_TAG_SET: Final = WebhookEvent(WebhookEntity.PROMPT_TAG, WebhookAction.SET)
_PROMPT_TAG_DELETED: Final = WebhookEvent(WebhookEntity.PROMPT_TAG, WebhookAction.DELETED)
_PROMPT_VERSION_TAG_SET: Final = WebhookEvent(WebhookEntity.PROMPT_VERSION_TAG, WebhookAction.SET)
_PROMPT_VERSION_TAG_DELETED: Final = WebhookEvent(
    WebhookEntity.PROMPT_VERSION_TAG, WebhookAction.DELETED
)
_PROMPT_ALIAS_CREATED: Final = WebhookEvent(WebhookEntity.PROMPT_ALIAS, WebhookAction.CREATED)
_PROMPT_ALIAS_DELETED: Final = WebhookEvent(WebhookEntity.PROMPT_ALIAS, WebhookAction.DELETED)
_BUDGET_EXCEEDED: Final = WebhookEvent(WebhookEntity.BUDGET_POLICY, WebhookAction.EXCEEDED)

_VERSION_SAMPLE: Final[Data] = {"name": "example_model", "version": "1"}
_PROMPT_VERSION_SAMPLE: Final[Data] = {"name": "example_prompt", "version": "1"}
_MODEL_SAMPLE: Final[Data] = {"name": "example_model"}
_PROMPT_SAMPLE: Final[Data] = {"name": "example_prompt"}
_KEY_SAMPLE: Final[Data] = {"key": "example_key"}
_TAG_SAMPLE: Final[Data] = {**_KEY_SAMPLE, "value": "example_value"}
_TAGS_SAMPLE: Final[Data] = {"tags": {"example_key": "example_value"}}
_ALIAS_SAMPLE: Final[Data] = {"alias": "example_alias"}

MLFLOW_SAMPLES: Final[Mapping[WebhookEvent, Data]] = {
    _MODEL_CREATED: {
        **_MODEL_SAMPLE,
        **_TAGS_SAMPLE,
        "description": "An example registered model",
    },
    _VERSION_CREATED: {
        **_VERSION_SAMPLE,
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        **_TAGS_SAMPLE,
        "description": "An example model version",
    },
    _VERSION_TAG_SET: {**_VERSION_SAMPLE, **_TAG_SAMPLE},
    _VERSION_TAG_DELETED: {**_VERSION_SAMPLE, **_KEY_SAMPLE},
    _ALIAS_CREATED: {**_MODEL_SAMPLE, **_ALIAS_SAMPLE, "version": "1"},
    _ALIAS_DELETED: {**_MODEL_SAMPLE, **_ALIAS_SAMPLE},
    _PROMPT_CREATED: {**_PROMPT_SAMPLE, **_TAGS_SAMPLE, "description": "An example prompt"},
    _PROMPT_VERSION_CREATED: {
        **_PROMPT_VERSION_SAMPLE,
        "template": "Hello {{name}}!",
        **_TAGS_SAMPLE,
        "description": "An example prompt version",
    },
    _PROMPT_TAG_SET: {**_PROMPT_SAMPLE, **_TAG_SAMPLE},
    _PROMPT_TAG_DELETED: {**_PROMPT_SAMPLE, **_KEY_SAMPLE},
    _PROMPT_VERSION_TAG_SET: {**_PROMPT_VERSION_SAMPLE, **_TAG_SAMPLE},
    _PROMPT_VERSION_TAG_DELETED: {**_PROMPT_VERSION_SAMPLE, **_KEY_SAMPLE},
    _PROMPT_ALIAS_CREATED: {**_PROMPT_SAMPLE, **_ALIAS_SAMPLE, "version": "1"},
    _PROMPT_ALIAS_DELETED: {**_PROMPT_SAMPLE, **_ALIAS_SAMPLE},
    # Of MLflow's gateway. A registry never sends it, but a webhook may ask for it.
    _BUDGET_EXCEEDED: {
        "budget_policy_id": "bp-abc123",
        "budget_unit": "USD",
        "budget_amount": 100.0,
        "current_spend": 105.5,
        "duration_unit": "MONTHS",
        "duration_value": 1,
        "target_scope": "ENDPOINT",
        "workspace": "default",
        "target_value": "ep-abc123",
        "window_start": 1704067200000,
    },
}
"""Every event of MLflow's, with the data of a test delivery (contract 6.4)."""

SAMPLES: Final[Mapping[WebhookEvent, Data]] = {
    **MLFLOW_SAMPLES,
    **{event: own_events.sample(event) for event in sorted(OWN_EVENTS)},
}
"""Every event a webhook may ask for, with the data of a test delivery."""


def check_events(
    events: Iterable[WebhookEvent], known: Collection[WebhookEvent] = SAMPLES
) -> tuple[WebhookEvent, ...]:
    """Return the events without duplicates, in the order in which they are stored and shown.

    Raises:
        InvalidArgumentError: there are none, or one never happens.
    """
    checked = tuple(sorted({check_event(event, known) for event in events}))
    if not checked:
        raise InvalidArgumentError(
            "Webhook events must be a non-empty list of WebhookEvent objects: []."
        )
    return checked


def check_event(event: WebhookEvent, known: Collection[WebhookEvent] = SAMPLES) -> WebhookEvent:
    """Accept an event that can happen, and that is known where it is asked for.

    Raises:
        InvalidArgumentError: the entity has no such action.
    """
    if event not in known:
        valid = sorted(each.action.value for each in known if each.entity is event.entity)
        raise InvalidArgumentError(
            f"Invalid action '{event.action}' for entity '{event.entity}'. "
            f"Valid actions are: {valid}"
        )
    return event


@attrs.frozen(kw_only=True)
class Notification:
    """Something that was done to registered model `name`, as the event that describes it.

    It is another event, or none, when the registered model is a prompt. `is_prompt` is None where
    that takes a look into the registry, which is left to the code that finds a listener.
    """

    name: str
    topics: Topics
    is_prompt: bool | None = None
    data: Data

    def event(self, *, is_prompt: bool) -> WebhookEvent | None:
        """Return the event this is, if it is one, for a model or for a prompt."""
        return self.topics.topic(is_prompt=is_prompt)

    @property
    def possible_events(self) -> tuple[WebhookEvent, ...]:
        """The events that this may turn out to be."""
        kinds = (False, True) if self.is_prompt is None else (self.is_prompt,)
        events = (self.event(is_prompt=kind) for kind in kinds)
        return tuple(event for event in events if event is not None)


def registered_model_created(model: RegisteredModel) -> Notification:
    """Note the creation of that registered model or prompt, as it was stored."""
    return _registered_model_created(
        model.name, model.tags, model.description, is_prompt=model.is_prompt
    )


def _registered_model_created(
    name: str, tags: Mapping[str, str], description: str | None, *, is_prompt: bool
) -> Notification:
    return Notification(
        name=name,
        topics=CreateModel.topics,
        is_prompt=is_prompt,
        data={
            "name": name,
            "tags": _user_tags(tags) if is_prompt else dict(tags),
            "description": description or "",
        },
    )


def model_version_created(version: ModelVersion) -> Notification | None:
    """Note the creation of that version of a model or prompt, as it was stored.

    A version whose files are still on their way makes no event yet, but when it is READY.
    """
    if not is_published(version.status):
        return None
    return _model_version_created(version.name, version.version, history.version_fields(version))


def _model_version_created(name: str, version: int, fields: Mapping[str, Any]) -> Notification:
    """The creation of a version with these fields; see `history.version_fields`."""
    tags = dict(fields.get("tags", {}))
    is_prompt = validation.is_prompt(tags)
    about: Data
    if is_prompt:
        tags = _user_tags(tags)
        about = {"template": tags.pop(validation.PROMPT_TEXT_TAG, None)}
    else:
        about = {"source": fields.get("source", ""), "run_id": fields.get("run_id") or None}
    return Notification(
        name=name,
        topics=CreateVersion.topics,
        is_prompt=is_prompt,
        data={
            "name": name,
            "version": str(version),
            **about,
            "tags": tags,
            "description": fields.get("description") or None,
        },
    )


def registered_model_tag_set(name: str, key: str, value: str) -> Notification:
    """Record that a tag of a registered model was set: an event for prompts only."""
    return Notification(
        name=name,
        topics=SetModelTag.topics,
        data={"name": name, "key": key, "value": value},
    )


def registered_model_tag_deleted(name: str, key: str) -> Notification:
    """Record that a tag of a registered model is absent now: an event for prompts only."""
    return Notification(
        name=name,
        topics=DeleteModelTag.topics,
        data={"name": name, "key": key},
    )


def model_version_tag_set(name: str, version: str, key: str, value: str) -> Notification:
    """Record that a tag of a version was set."""
    return Notification(
        name=name,
        topics=SetVersionTag.topics,
        data={"name": name, "version": version, "key": key, "value": value},
    )


def model_version_tag_deleted(name: str, version: str, key: str) -> Notification:
    """Record that a tag of a version is absent now; as on MLflow, also if it was so before."""
    return Notification(
        name=name,
        topics=DeleteVersionTag.topics,
        data={"name": name, "version": version, "key": key},
    )


def registered_model_alias_set(name: str, alias: str, version: str) -> Notification:
    """Record that an alias was created or moved: MLflow calls both a creation."""
    return Notification(
        name=name,
        topics=SetAlias.topics,
        data={"name": name, "alias": alias, "version": version},
    )


def registered_model_alias_deleted(name: str, alias: str) -> Notification:
    """Record that an alias is absent now; as on MLflow, also if it was so before."""
    return Notification(
        name=name,
        topics=DeleteAlias.topics,
        data={"name": name, "alias": alias},
    )


NOTIFICATIONS: Final[Mapping[type[Change[Any]], Callable[[Any, Any], Notification | None]]] = {
    CreateModel: lambda _, model: registered_model_created(model),
    CreateVersion: lambda _, version: model_version_created(version),
    FinalizeVersion: lambda _, version: model_version_created(version),
    SetModelTag: lambda change, _: registered_model_tag_set(change.name, change.key, change.value),
    DeleteModelTag: lambda change, _: registered_model_tag_deleted(change.name, change.key),
    SetVersionTag: lambda change, _: model_version_tag_set(
        change.name, str(change.version), change.key, change.value
    ),
    DeleteVersionTag: lambda change, _: model_version_tag_deleted(
        change.name, str(change.version), change.key
    ),
    SetAlias: lambda change, _: registered_model_alias_set(
        change.name, change.alias, str(change.version)
    ),
    DeleteAlias: lambda change, _: registered_model_alias_deleted(change.name, change.alias),
}
"""The changes that are events, by class: each gives the notification from it and its result."""


def notification_of(change: Change[Any], result: object) -> Notification | None:
    """Return the notification of a change that has been made; None where it is not an event."""
    describe = NOTIFICATIONS.get(type(change))
    return None if describe is None else describe(change, result)


def notification_of_event(
    event: Event, *, details: Mapping[str, Any] | None = None
) -> Notification | None:
    """Return the notification of an event of a model's history; None where webhooks have none.

    It is that of the change that the event comes from, as `notification_of` gives it.

    Args:
        event: The event.
        details: The fields of a version that has become READY.
    """
    tell = _OF_EVENTS.get(event.action)
    return None if tell is None else tell(event, details)


def payload_of(
    event: Event,
    *,
    is_prompt: bool,
    details: Mapping[str, Any] | None,
    subscribed: Collection[WebhookEvent],
) -> tuple[WebhookEvent, Data] | None:
    """Return what a webhook that wants some events gets of an event of a model's history.

    Of MLflow's event and ours it is MLflow's if the webhook wants both. None where it wants
    neither any more.
    """
    for topic in own_events.topics_of(event).topics(is_prompt=is_prompt):
        if topic not in subscribed:
            continue
        if topic in OWN_EVENTS:
            return topic, own_events.data_of(event)
        notification = notification_of_event(event, details=details)
        assert notification is not None, "MLflow's events have notifications"
        return topic, notification.data
    return None


def _created_model(event: Event, _: Mapping[str, Any] | None) -> Notification:
    fields = cast("Mapping[str, Any]", event.after or {})
    tags = fields.get("tags", {})
    return _registered_model_created(
        event.name, tags, fields.get("description"), is_prompt=validation.is_prompt(tags)
    )


def _created_version(event: Event, details: Mapping[str, Any] | None) -> Notification:
    fields = details if details is not None else cast("Mapping[str, Any]", event.after or {})
    assert event.version is not None, "the event is about a version"
    return _model_version_created(event.name, event.version, fields)


_OF_EVENTS: Final[Mapping[Action, Callable[[Any, Mapping[str, Any] | None], Notification]]] = {
    Action.CREATE_MODEL: _created_model,
    Action.CREATE_VERSION: _created_version,
    Action.FINALIZE_VERSION: _created_version,
    Action.SET_MODEL_TAG: lambda event, _: registered_model_tag_set(
        event.name, event.key, event.after
    ),
    Action.DELETE_MODEL_TAG: lambda event, _: registered_model_tag_deleted(event.name, event.key),
    Action.SET_VERSION_TAG: lambda event, _: model_version_tag_set(
        event.name, str(event.version), event.key, event.after
    ),
    Action.DELETE_VERSION_TAG: lambda event, _: model_version_tag_deleted(
        event.name, str(event.version), event.key
    ),
    Action.SET_ALIAS: lambda event, _: registered_model_alias_set(
        event.name, event.key, str(event.after)
    ),
    Action.DELETE_ALIAS: lambda event, _: registered_model_alias_deleted(event.name, event.key),
}


def _user_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key not in _PROMPT_MARKERS}
