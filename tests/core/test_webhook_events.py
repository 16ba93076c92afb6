"""Which events there are, and what a receiver is told of each."""

from __future__ import annotations

import json

import pytest

from registry_core.errors import InvalidArgumentError
from registry_core.models import (
    ModelVersion,
    RegisteredModel,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
)
from registry_core.webhooks import SAMPLES, events

MARK = {"mlflow.prompt.is_prompt": "true", "_mlflow_prompt_type": "text"}

PAIRS = {
    "registered_model": {"created"},
    "model_version": {"created"},
    "model_version_tag": {"set", "deleted"},
    "model_version_alias": {"created", "deleted"},
    "prompt": {"created"},
    "prompt_version": {"created"},
    "prompt_tag": {"set", "deleted"},
    "prompt_version_tag": {"set", "deleted"},
    "prompt_alias": {"created", "deleted"},
    "budget_policy": {"exceeded"},
}
"""Contract 6.1."""


def event(text: str) -> WebhookEvent:
    entity, action = text.split(".")
    return WebhookEvent(WebhookEntity(entity), WebhookAction(action))


def model(**fields) -> RegisteredModel:
    return RegisteredModel(creation_timestamp=1, last_updated_timestamp=1, **fields)


def version(**fields) -> ModelVersion:
    return ModelVersion(creation_timestamp=1, last_updated_timestamp=1, **fields)


def test_events_are_exactly_the_contracts():
    """Every pair of entity and action is either an event or refused."""
    for entity in WebhookEntity:
        for action in WebhookAction:
            pair = WebhookEvent(entity, action)
            if action.value in PAIRS.get(entity.value, ()):
                assert events.check_event(pair, events.MLFLOW_SAMPLES) is pair
            else:
                with pytest.raises(InvalidArgumentError) as caught:
                    events.check_event(pair, events.MLFLOW_SAMPLES)
                assert str(caught.value) == (
                    f"Invalid action '{action.value}' for entity '{entity.value}'. "
                    f"Valid actions are: {sorted(PAIRS.get(entity.value, ()))}"
                )


def test_events_are_kept_once_and_in_order_of_their_names():
    """As MLflow's SQLite store shows them, whatever the request's order."""
    given = [event("prompt.created"), event("model_version_tag.set"), event("prompt.created"),
             event("model_version_tag.deleted"), event("model_version.created")]  # fmt: skip
    assert events.check_events(given) == (
        event("model_version.created"),
        event("model_version_tag.deleted"),
        event("model_version_tag.set"),
        event("prompt.created"),
    )


def test_no_events_are_refused():
    """A webhook that hears of nothing is a mistake."""
    with pytest.raises(InvalidArgumentError) as caught:
        events.check_events([])
    assert str(caught.value) == (
        "Webhook events must be a non-empty list of WebhookEvent objects: []."
    )


OCCASIONS = [
    (
        events.registered_model_created(model(name="wm", tags={"a": "1"}, description="desc")),
        ["registered_model.created"],
        {"name": "wm", "tags": {"a": "1"}, "description": "desc"},
    ),
    (
        events.registered_model_created(model(name="wm")),
        ["registered_model.created"],
        {"name": "wm", "tags": {}, "description": ""},
    ),
    (
        events.model_version_created(
            version(name="wm", version=2, source="models:/wm/1", run_id="r1", description="")
        ),
        ["model_version.created"],
        {
            "name": "wm",
            "version": "2",
            "source": "models:/wm/1",
            "run_id": "r1",
            "tags": {},
            "description": None,
        },
    ),
    (
        events.model_version_created(version(name="wm", version=3, source="s3://b/k", run_id="")),
        ["model_version.created"],
        {
            "name": "wm",
            "version": "3",
            "source": "s3://b/k",
            "run_id": None,
            "tags": {},
            "description": None,
        },
    ),
    (
        events.model_version_tag_set("wm", "01", "k", "v"),
        ["model_version_tag.set", "prompt_version_tag.set"],
        {"name": "wm", "version": "01", "key": "k", "value": "v"},
    ),
    (
        events.model_version_tag_deleted("wm", "1", "k"),
        ["model_version_tag.deleted", "prompt_version_tag.deleted"],
        {"name": "wm", "version": "1", "key": "k"},
    ),
    (
        events.registered_model_alias_set("wm", "prod", "1"),
        ["model_version_alias.created", "prompt_alias.created"],
        {"name": "wm", "alias": "prod", "version": "1"},
    ),
    (
        events.registered_model_alias_deleted("wm", "prod"),
        ["model_version_alias.deleted", "prompt_alias.deleted"],
        {"name": "wm", "alias": "prod"},
    ),
    (
        events.registered_model_created(model(name="pp", tags={**MARK, "u": "1"})),
        ["prompt.created"],
        {"name": "pp", "tags": {"u": "1"}, "description": ""},
    ),
    (
        events.model_version_created(
            version(
                name="pp",
                version=1,
                source="prompt-template",
                description="c",
                tags={
                    **MARK,
                    "mlflow.prompt.is_prompt": "TRUE",
                    "mlflow.prompt.text": "Hi {{x}}",
                    "u": "2",
                    "_mlflow_prompt_model_config": "{}",
                },
            )
        ),
        ["prompt_version.created"],
        {
            "name": "pp",
            "version": "1",
            "template": "Hi {{x}}",
            "tags": {"u": "2", "_mlflow_prompt_model_config": "{}"},
            "description": "c",
        },
    ),
    (
        events.model_version_created(
            version(name="pp", version=1, source="dummy-source", tags=MARK)
        ),
        ["prompt_version.created"],
        {"name": "pp", "version": "1", "template": None, "tags": {}, "description": None},
    ),
    (
        events.registered_model_tag_set("pp", "k", "v"),
        ["prompt_tag.set"],
        {"name": "pp", "key": "k", "value": "v"},
    ),
    (
        events.registered_model_tag_deleted("pp", "k"),
        ["prompt_tag.deleted"],
        {"name": "pp", "key": "k"},
    ),
]


@pytest.mark.parametrize(("notification", "possible", "data"), OCCASIONS)
def test_occasion_tells_what_mlflow_tells(notification, possible, data):
    """The data recorded from MLflow, row by row (contract 6.3)."""
    assert notification.possible_events == tuple(event(text) for text in possible)
    assert notification.name == data["name"]
    assert json.loads(json.dumps(notification.data)) == data


@pytest.mark.parametrize(
    ("is_prompt", "expected"),
    [(False, event("model_version_tag.set")), (True, event("prompt_version_tag.set"))],
)
def test_occasion_is_one_event_once_it_is_known_whether_it_is_about_a_prompt(is_prompt, expected):
    """Tags and aliases look the same for both; only the registry knows."""
    assert events.model_version_tag_set("n", "1", "k", "v").event(is_prompt=is_prompt) == expected


def test_tag_of_a_registered_model_that_is_no_prompt_is_no_event():
    """MLflow has no such event."""
    assert events.registered_model_tag_set("n", "k", "v").event(is_prompt=False) is None


def test_samples_have_the_shape_of_the_real_thing():
    """A test delivery exercises a receiver as an event does."""
    for notification, possible, data in OCCASIONS:
        for text in possible:
            assert SAMPLES[event(text)].keys() == data.keys(), notification


def test_samples_are_mlflows():
    """The values receivers have come to filter on (contract 6.4)."""
    assert SAMPLES[event("model_version.created")] == {
        "name": "example_model",
        "version": "1",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "tags": {"example_key": "example_value"},
        "description": "An example model version",
    }
    assert SAMPLES[event("prompt_version.created")]["template"] == "Hello {{name}}!"
    assert SAMPLES[event("prompt_alias.deleted")] == {
        "name": "example_prompt",
        "alias": "example_alias",
    }
