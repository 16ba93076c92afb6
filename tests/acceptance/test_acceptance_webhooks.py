"""Webhooks through MLflow's client, and what is delivered to a receiver that listens."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import queue
import re
import threading
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import attrs
import pytest

from services.acceptance import Recorded, failure, invalid

URL = "https://8.8.8.8/hook"
SECRET = "s3cret \u00e9"
DELIVERY_SECONDS = 60
"""Seconds for a delivery to arrive; it takes milliseconds."""


@attrs.frozen
class Delivery:
    """One request that the receiver got."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The body, parsed."""
        return json.loads(self.body)


class Receiver:
    """An HTTP server on loopback that keeps what is posted to it."""

    def __init__(self) -> None:
        self.deliveries: queue.Queue[Delivery] = queue.Queue()
        deliveries = self.deliveries

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                deliveries.put(Delivery(dict(self.headers), body))
                self.send_response(200)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"done")

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def next(self, about: str) -> Delivery:
        """The next delivery about names that start so, waiting for it.

        Others may use the same server: every webhook is told of every model.
        """
        while True:
            delivery = self.deliveries.get(timeout=DELIVERY_SECONDS)
            if delivery.event["data"]["name"].startswith(about):
                return delivery

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that listens."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def hooks(client: Recorded) -> Iterator[list[str]]:
    """The ids of webhooks to remove afterwards, so that no later test delivers to them."""
    ids: list[str] = []
    yield ids
    for webhook_id in ids:
        with contextlib.suppress(Exception):
            client.delete_webhook(webhook_id)


@pytest.mark.covers("MlflowClient.create_webhook", "MlflowClient.get_webhook")
def test_create_webhook_returns_what_was_given(
    client: Recorded, name: str, hooks: list[str]
) -> None:
    """Every field but the secret comes back, from the creation and from a read."""
    made = client.create_webhook(
        name,
        URL,
        ["registered_model.created", "prompt_tag.set"],
        description="d",
        secret=SECRET,
        status="DISABLED",
    )
    hooks.append(made.webhook_id)
    for webhook in (made, client.get_webhook(made.webhook_id)):
        assert (webhook.name, webhook.url, webhook.description) == (name, URL, "d")
        assert sorted(map(str, webhook.events)) == ["prompt_tag.set", "registered_model.created"]
        assert webhook.status == "DISABLED"
        assert webhook.secret is None
        assert webhook.creation_timestamp == webhook.last_updated_timestamp > 0


@pytest.mark.covers("MlflowClient.create_webhook")
@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"name": "-x"}, "Webhook name '-x' is invalid"),
        ({"url": " "}, "Webhook URL cannot be empty or just whitespace"),
        ({"url": "ftp://8.8.8.8/"}, "Invalid webhook URL scheme: 'ftp'"),
        ({"events": []}, "Missing value for required parameter 'events'"),
    ],
)
def test_create_webhook_checks_what_is_given(
    client: Recorded, name: str, bad: dict[str, Any], sentence: str
) -> None:
    """Each illegal field is refused with MLflow's sentence."""
    given = {"name": name, "url": URL, "events": ["registered_model.created"], **bad}
    with invalid(re.compile(sentence)):
        client.create_webhook(**given)


@pytest.mark.covers("MlflowClient.list_webhooks", "MlflowClient.create_webhook")
def test_list_webhooks_newest_first_in_pages(client: Recorded, name: str, hooks: list[str]) -> None:
    """The pages hold every webhook once."""
    for number in range(5):
        made = client.create_webhook(f"{name}-{number}", URL, ["model_version.created"])
        hooks.append(made.webhook_id)
    listed, token = [], None
    while True:
        page = client.list_webhooks(max_results=2, page_token=token)
        assert len(page) <= 2
        listed += page
        token = page.token
        if not token:
            break
    mine = [webhook for webhook in listed if webhook.name.startswith(name)]
    assert {webhook.webhook_id for webhook in mine} == set(hooks)
    assert len(mine) == 5
    times = [webhook.creation_timestamp for webhook in listed]
    assert times == sorted(times, reverse=True)
    with invalid("max_results must be between 1 and 1000."):
        client.list_webhooks(max_results=1001)


@pytest.mark.covers("MlflowClient.update_webhook")
def test_update_webhook_changes_only_what_is_given(
    client: Recorded, name: str, hooks: list[str]
) -> None:
    """Fields that are not given stay as they were."""
    made = client.create_webhook(name, URL, ["prompt.created"], description="d")
    hooks.append(made.webhook_id)
    changed = client.update_webhook(made.webhook_id, url=f"{URL}/2", status="DISABLED")
    assert (changed.name, changed.url, changed.description) == (name, f"{URL}/2", "d")
    assert [str(event) for event in changed.events] == ["prompt.created"]
    assert changed.status == "DISABLED"
    changed = client.update_webhook(
        made.webhook_id, name=f"{name}-2", description="e", events=["prompt_alias.created"]
    )
    assert (changed.name, changed.description) == (f"{name}-2", "e")
    assert [str(event) for event in changed.events] == ["prompt_alias.created"]
    assert changed.creation_timestamp == made.creation_timestamp
    assert vars(client.get_webhook(made.webhook_id)) == vars(changed)


@pytest.mark.covers("MlflowClient.delete_webhook", "MlflowClient.get_webhook")
def test_delete_webhook_hides_it(client: Recorded, name: str) -> None:
    """A deleted webhook is as one that never was."""
    webhook_id = client.create_webhook(name, URL, ["prompt.created"]).webhook_id
    client.delete_webhook(webhook_id)
    for call in (client.get_webhook, client.delete_webhook):
        with failure("RESOURCE_DOES_NOT_EXIST", f"Webhook with ID {webhook_id} not found."):
            call(webhook_id)
    assert webhook_id not in [webhook.webhook_id for webhook in client.list_webhooks()]


@pytest.mark.covers("MlflowClient.test_webhook")
def test_test_webhook_posts_a_sample(
    client: Recorded, name: str, hooks: list[str], receiver: Receiver
) -> None:
    """The receiver gets a signed sample of the event, and the caller its answer."""
    made = client.create_webhook(
        name, receiver.url, ["model_version_tag.set"], secret=SECRET, status="DISABLED"
    )
    hooks.append(made.webhook_id)
    result = client.test_webhook(made.webhook_id)
    assert (result.success, result.response_status, result.response_body) == (True, 200, "done")
    delivery = receiver.next("example")
    assert (delivery.event["entity"], delivery.event["action"]) == ("model_version_tag", "set")
    assert delivery.event["data"] == {
        "name": "example_model",
        "version": "1",
        "key": "example_key",
        "value": "example_value",
    }
    assert_signed(delivery)
    client.test_webhook(made.webhook_id, "prompt_alias.created")
    assert receiver.next("example").event["data"] == {
        "name": "example_prompt",
        "alias": "example_alias",
        "version": "1",
    }


@pytest.mark.covers("MlflowClient.create_webhook")
def test_webhooks_are_told_what_happens(
    client: Recorded, name: str, hooks: list[str], receiver: Receiver
) -> None:
    """Each call that makes an event delivers it, signed, to the webhooks that want it."""
    events = ["registered_model.created", "model_version.created", "model_version_tag.set"]
    events += ["model_version_tag.deleted", "model_version_alias.created", "prompt.created"]
    events += ["model_version_alias.deleted", "prompt_version.created"]
    made = client.create_webhook(name, receiver.url, events, secret=SECRET)
    hooks.append(made.webhook_id)

    def told(call: str, *args: object, **kwargs: object) -> tuple[str, dict[str, Any]]:
        getattr(client, call)(*args, **kwargs)
        delivery = receiver.next(name)
        assert_signed(delivery)
        event = delivery.event
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)", event["timestamp"])
        return f"{event['entity']}.{event['action']}", event["data"]

    version = {"name": name, "version": "1"}
    assert told("create_registered_model", name, {"a": "1"}, "d") == (
        "registered_model.created",
        {"name": name, "tags": {"a": "1"}, "description": "d"},
    )
    event, data = told("create_model_version", name, "s3://b/p", "r1", {"k": "v"})
    assert event == "model_version.created"
    assert data == {
        **version,
        "source": "s3://b/p",
        "run_id": "r1",
        "tags": {"k": "v"},
        "description": None,
    }
    assert told("set_model_version_tag", name, "1", "k", "w") == (
        "model_version_tag.set",
        {**version, "key": "k", "value": "w"},
    )
    assert told("delete_model_version_tag", name, "1", "k") == (
        "model_version_tag.deleted",
        {**version, "key": "k"},
    )
    assert told("set_registered_model_alias", name, "al", "1") == (
        "model_version_alias.created",
        {**version, "alias": "al"},
    )
    assert told("delete_registered_model_alias", name, "al") == (
        "model_version_alias.deleted",
        {"name": name, "alias": "al"},
    )
    prompt = f"{name}-p"
    assert told("create_prompt", prompt, "d", {"u": "1"}) == (
        "prompt.created",
        {"name": prompt, "tags": {"u": "1"}, "description": "d"},
    )
    event, data = told("create_prompt_version", prompt, "Hi {{x}}", "c", {"u": "2"})
    assert (event, data["template"], data["tags"]) == (
        "prompt_version.created",
        "Hi {{x}}",
        {"u": "2"},
    )


def assert_signed(delivery: Delivery) -> None:
    """The signature is that of the body, its id and its time with the secret."""
    sent = {key.lower(): value for key, value in delivery.headers.items()}
    signed = f"{sent['x-mlflow-delivery-id']}.{sent['x-mlflow-timestamp']}.".encode()
    digest = hmac.new(SECRET.encode(), signed + delivery.body, hashlib.sha256).digest()
    assert sent["x-mlflow-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert sent["content-type"] == "application/json"
