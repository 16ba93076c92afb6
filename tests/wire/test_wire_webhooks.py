"""Webhooks as MLflow's JSON, both ways."""

from __future__ import annotations

import pytest

from registry_core import wire
from registry_core.errors import InvalidArgumentError, StoreCorruptedError
from registry_core.models import (
    UNSET,
    Webhook,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.search import Page
from registry_core.wire import webhooks
from registry_core.wire.webhooks import (
    CreateWebhook,
    ListWebhooks,
    TestResult,
    TestWebhook,
    UpdateWebhook,
)

EVENT = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
EVENT_JSON = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
BODY = {"name": "h", "url": "https://e.com", "events": [EVENT_JSON]}
HOOK = Webhook(
    webhook_id="9524b1eb",
    name="st",
    url="https://8.8.8.8/x",
    events=(EVENT,),
    description="d",
    status=WebhookStatus.DISABLED,
    secret="token",
    creation_timestamp=1795417484003,
    last_updated_timestamp=1795417484004,
)
HOOK_JSON = {
    "webhook_id": "9524b1eb",
    "name": "st",
    "description": "d",
    "url": "https://8.8.8.8/x",
    "events": [EVENT_JSON],
    "status": "DISABLED",
    "creation_timestamp": 1795417484003,
    "last_updated_timestamp": 1795417484004,
}


def create(**fields) -> CreateWebhook:
    return wire.decode_request(CreateWebhook, {**BODY, **fields})


def update(**fields) -> UpdateWebhook:
    return wire.decode_request(UpdateWebhook, {"webhook_id": "i", **fields})


def test_create_reads_what_is_required_and_fills_in_the_rest():
    """A webhook is active, unsigned and without description unless told otherwise."""
    assert create() == CreateWebhook(name="h", url="https://e.com", events=(EVENT,))
    full = create(description="d", secret="s", status="DISABLED")
    assert (full.description, full.secret, full.status) == ("d", "s", WebhookStatus.DISABLED)
    assert "'s'" not in repr(full)


@pytest.mark.parametrize("field", ["name", "url", "events"])
@pytest.mark.parametrize("value", [None, ""])
def test_create_without_a_required_field_is_refused(field, value):
    """Absent, null and empty are the same."""
    with pytest.raises(InvalidArgumentError) as caught:
        create(**{field: value})
    assert str(caught.value) == (
        f"Missing value for required parameter '{field}'. See the API docs for more information "
        "about request parameters."
    )


@pytest.mark.parametrize(
    ("given", "event"),
    [
        (EVENT_JSON, EVENT),
        ({"entity": 1, "action": 1}, EVENT),
        ({"entity": "1", "action": "1", "x": 0}, EVENT),
        ({"entity": 3, "action": 4}, WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET)),
        ({"entity": 9, "action": 3}, WebhookEvent(WebhookEntity.PROMPT_ALIAS, WebhookAction.DELETED)),
        ({"entity": 10, "action": 5}, WebhookEvent(WebhookEntity.BUDGET_POLICY, WebhookAction.EXCEEDED)),
    ],
)  # fmt: skip
def test_events_are_read_by_name_and_by_number(given, event):
    """The numbers are those of MLflow's protocol."""
    assert create(events=[given]).events == (event,)
    decoded = wire.decode_request(TestWebhook, {"webhook_id": "i", "event": given})
    assert decoded.event == event


def test_enumerations_have_mlflows_numbers():
    """Compared with the protocol that the real client carries."""
    protocol = pytest.importorskip("mlflow.protos.webhooks_pb2")
    for kind, theirs in (
        (webhooks._ENTITY_NUMBERS, protocol.WebhookEntity),
        (webhooks._ACTION_NUMBERS, protocol.WebhookAction),
        (webhooks._STATUS_NUMBERS, protocol.WebhookStatus),
    ):
        numbers = {member.name: number for number, member in kind.items()}
        assert numbers == {name: n for name, n in theirs.items() if n}


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"entity": "registered_model", "action": "CREATED"}, "Invalid value 'registered_model' for parameter 'entity'"),
        ({"entity": "ENTITY_UNSPECIFIED", "action": "CREATED"}, "parameter 'entity'"),
        ({"entity": 0, "action": 1}, "Invalid value 0 for parameter 'entity'"),
        ({"entity": 11, "action": 1}, "Invalid value 11 for parameter 'entity'"),
        ({"entity": 1, "action": "created"}, "Invalid value 'created' for parameter 'action'"),
        ({"entity": 1, "action": True}, "Invalid value True for parameter 'action'"),
        ({"entity": [], "action": 1}, "parameter 'entity'"),
        ({"entity": 1}, "Missing value for required parameter 'action'"),
        ({"entity": None, "action": 1}, "Missing value for required parameter 'entity'"),
    ],
)  # fmt: skip
def test_event_that_is_unknown_is_refused(event, message):
    """MLflow answers these with a server error, which its client repeats for minutes."""
    with pytest.raises(InvalidArgumentError, match=message):
        create(events=[event])


@pytest.mark.parametrize("events", ["prompt.created", {}, 1, [None], ["prompt.created"], [[]]])
def test_events_of_the_wrong_type_are_refused(events):
    """The message is the one for any field of the wrong type."""
    with pytest.raises(InvalidArgumentError, match="for parameter 'events' supplied:  Hint"):
        create(events=events)


def test_empty_list_of_events_is_left_to_the_rules_of_webhooks():
    """It has a message of its own, which is not about a missing field."""
    assert create(events=[]).events == ()


@pytest.mark.parametrize(
    ("given", "status"), [("ACTIVE", "ACTIVE"), (2, "DISABLED"), ("2", "DISABLED")]
)
def test_status_is_read_by_name_and_by_number(given, status):
    """In a new webhook as in a change."""
    assert create(status=given).status == status
    assert update(status=given).changes().status == status


@pytest.mark.parametrize("status", ["active", "", "PAUSED", 0, 3, False, ["ACTIVE"]])
def test_status_that_is_unknown_is_refused(status):
    """MLflow ignores it, and a webhook that was to be disabled goes on."""
    for decode in (create, update):
        with pytest.raises(InvalidArgumentError, match="it must be one of ACTIVE, DISABLED"):
            decode(status=status)


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({}, {}),
        ({"name": "", "url": "", "events": []}, {}),
        ({"name": None, "url": None, "events": None, "description": None, "secret": None, "status": None}, {}),
        ({"description": "", "secret": ""}, {"description": "", "secret": ""}),
        (
            {"name": "n", "url": "u", "events": [EVENT_JSON], "description": "d", "secret": "s", "status": "ACTIVE"},
            {"name": "n", "url": "u", "events": (EVENT,), "description": "d", "secret": "s", "status": WebhookStatus.ACTIVE},
        ),
    ],
)  # fmt: skip
def test_update_tells_what_stays_from_what_is_erased(fields, changes):
    """Contract 6.2, the rule on PATCH."""
    assert update(**fields).changes() == WebhookChanges(**changes)
    if not changes:
        assert update(**fields).changes().description is UNSET


def test_list_reads_numbers_from_a_query():
    """Zero is passed on: it means the usual size."""
    fields = wire.fields_of_query(ListWebhooks, b"max_results=7&page_token=t")
    assert wire.decode_request(ListWebhooks, fields) == ListWebhooks(max_results=7, page_token="t")
    assert wire.decode_request(ListWebhooks, {}).max_results == 0


def test_webhook_is_written_as_recorded_and_without_its_secret():
    """The object of contract 6.1."""
    assert webhooks.webhook(HOOK) == {"webhook": HOOK_JSON}


def test_page_is_empty_when_there_is_nothing():
    """An empty list is left out (contract 1.3)."""
    assert webhooks.webhooks(Page([])) == {}
    assert webhooks.webhooks(Page([HOOK], "t")) == {"webhooks": [HOOK_JSON], "next_page_token": "t"}


def test_webhook_without_description_has_none_in_its_json():
    """None and empty are the same to a reader."""
    for description in (None, ""):
        hook = Webhook(webhook_id="i", name="n", url="u", events=(EVENT,), description=description,
                       creation_timestamp=1, last_updated_timestamp=1)  # fmt: skip
        assert "description" not in webhooks.encode_webhook(hook)


def test_result_of_a_test_leaves_out_what_it_does_not_have():
    """Contract 6.4."""
    assert webhooks.test_result(
        TestResult(success=True, response_status=200, response_body="")
    ) == {"result": {"success": True, "response_status": 200, "response_body": ""}}
    assert webhooks.test_result(TestResult(success=False, error_message="no")) == {
        "result": {"success": False, "error_message": "no"}
    }


def test_answer_is_read_back():
    """What a server wrote is what a client has, but for the secret."""
    read = webhooks.decode_webhook(HOOK_JSON)
    assert webhooks.encode_webhook(read) == HOOK_JSON
    assert read.secret is None
    numbers = {**HOOK_JSON, "creation_timestamp": "1795417484003"}
    assert webhooks.decode_webhook(numbers) == read


@pytest.mark.parametrize(
    "raw",
    [None, [], "x", {}, {**HOOK_JSON, "events": None}, {**HOOK_JSON, "status": "X"},
     {**HOOK_JSON, "creation_timestamp": "x"}, {**HOOK_JSON, "events": [{"entity": "NEW"}]}],
)  # fmt: skip
def test_answer_that_is_no_webhook_is_reported(raw):
    """A server that speaks something else is no reason for a KeyError."""
    with pytest.raises(StoreCorruptedError):
        webhooks.decode_webhook(raw)


def test_request_is_written_as_it_is_read():
    """A client's request, read by a server, is the same request."""
    for request in (
        create(),
        create(description="", secret="s", status="DISABLED"),
    ):
        body = webhooks.encode_webhook_request(request)
        assert wire.decode_request(CreateWebhook, body) == request
    change = update(name="n", events=[EVENT_JSON], description="", status="ACTIVE")
    body = webhooks.encode_webhook_request(change)
    assert "webhook_id" not in body
    assert update(**body) == change
