"""The routes of webhooks, and which requests to the registry are events."""

from __future__ import annotations

import itertools
import queue
import re
import threading

import pytest
from cryptography.fernet import Fernet
from litestar.testing import TestClient

from registry_core import Registry
from registry_core.errors import InvalidArgumentError
from registry_core.stores.memory import MemoryStore
from registry_core.webhook_delivery.delivery import TESTS_AT_A_TIME
from registry_server import Settings, create_app
from registry_server.process.arguments import from_arguments
from services.receivers import Receiver, Script

API = "/api/2.0/mlflow"
RM, MV = "/registered-models", "/model-versions"
URL = "https://8.8.8.8/x"
EVENT = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
KEY = Fernet.generate_key().decode()
LOCAL = Settings(
    webhook_schemes=("https", "http"),
    webhook_private_addresses=True,
    webhook_secret_key=KEY,
    webhook_retries=0,
)


class Client:
    """Calls an application, and gives status and body."""

    def __init__(self, http: TestClient, prefix: str = API) -> None:
        self.http = http
        self.prefix = prefix
        self._stopped = False

    def stop(self):
        """Ends the application in order, once."""
        if not self._stopped:
            self._stopped = True
            self.http.__exit__(None, None, None)

    def call(self, method, path, body=None, **kwargs):
        if body is not None:
            kwargs["json"] = body
        answer = self.http.request(method, self.prefix + path, **kwargs)
        return answer.status_code, answer.json()

    def done(self, method, path, body=None, **kwargs):
        status, answer = self.call(method, path, body, **kwargs)
        assert status == 200, answer
        return answer

    def refused(self, method, path, body=None, *, status=400, **kwargs):
        """The message of a refusal."""
        got, answer = self.call(method, path, body, **kwargs)
        codes = {400: "INVALID_PARAMETER_VALUE", 404: "RESOURCE_DOES_NOT_EXIST"}
        assert (got, answer["error_code"]) == (status, codes[status]), answer
        return answer["message"]

    def create(self, **fields):
        body = {"name": "hook", "url": URL, "events": [EVENT], **fields}
        return self.done("POST", "/webhooks", body)["webhook"]


def start(settings=LOCAL, *, store=None) -> Client:
    registry = Registry(store or MemoryStore(), local_sources=False)
    http = TestClient(create_app(registry, settings), base_url="http://127.0.0.1")
    return Client(http.__enter__())


@pytest.fixture
def serve():
    """A factory of clients of applications that all end with the test."""
    clients = []

    def make(settings=LOCAL, *, store=None):
        clients.append(start(settings, store=store))
        return clients[-1]

    yield make
    for client in clients:
        client.stop()


@pytest.fixture(scope="module")
def shared():
    """The client of one application for most tests: making one is what takes time."""
    client = start()
    yield client
    client.stop()


@pytest.fixture
def client(shared):
    """A client of an application that keeps nothing."""
    yield shared
    shared.prefix = API
    for hook in shared.done("GET", "/webhooks").get("webhooks", []):
        shared.done("DELETE", f"/webhooks/{hook['webhook_id']}")
    for model in shared.done("GET", f"{RM}/search").get("registered_models", []):
        shared.done("DELETE", f"{RM}/delete", {"name": model["name"]})


@pytest.mark.parametrize("prefix", [API, "/ajax-api/2.0/mlflow"])
def test_routes_keep_a_webhook_from_its_creation_to_its_end(client, prefix):
    """The six routes, under both prefixes, with the object of contract 6.1."""
    client.prefix = prefix
    made = client.create(description="d", secret="s", status="DISABLED")
    assert re.fullmatch(r"[0-9a-f-]{36}", made["webhook_id"])
    assert made == {
        "webhook_id": made["webhook_id"],
        "name": "hook",
        "description": "d",
        "url": URL,
        "events": [EVENT],
        "status": "DISABLED",
        "creation_timestamp": made["creation_timestamp"],
        "last_updated_timestamp": made["creation_timestamp"],
    }
    path = f"/webhooks/{made['webhook_id']}"
    assert client.done("GET", path) == {"webhook": made}
    changed = client.done("PATCH", path, {"name": "other", "description": ""})["webhook"]
    assert (changed["name"], changed["url"]) == ("other", URL)
    assert "description" not in changed
    assert client.done("GET", "/webhooks") == {"webhooks": [changed]}
    assert client.done("DELETE", path) == {}
    assert client.done("GET", "/webhooks") == {}
    for method in ("GET", "PATCH", "DELETE"):
        message = client.refused(method, path, status=404)
        assert message == f"Webhook with ID {made['webhook_id']} not found."


def test_routes_are_not_under_the_older_layout(client):
    """Which has registered models and model versions only; nor with a slash at the end."""
    for path in ("/model-registry/webhooks", "/webhooks/"):
        status, answer = client.call("GET", path)
        assert (status, answer["error_code"]) == (404, "ENDPOINT_NOT_FOUND"), path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": None}, "Missing value for required parameter 'name'."),
        ({"url": ""}, "Missing value for required parameter 'url'."),
        ({"events": None}, "Missing value for required parameter 'events'."),
        ({"events": []}, "Webhook events must be a non-empty list of WebhookEvent objects: []."),
        ({"events": [{"entity": 1, "action": 3}]}, "Invalid action 'deleted' for entity 'registered_model'. Valid actions are: ['created']"),
        ({"events": [{"entity": "X", "action": 1}]}, "Invalid value 'X' for parameter 'entity'"),
        ({"status": "PAUSED"}, "Invalid value 'PAUSED' for parameter 'status'"),
        ({"name": "-x"}, "Webhook name '-x' is invalid. It must start and end with a letter or digit, "),
        ({"name": 5}, "Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'."),
        ({"url": " "}, "Webhook URL cannot be empty or just whitespace: ' '"),
        ({"url": "ftp://8.8.8.8/"}, "Invalid webhook URL scheme: 'ftp'. Allowed schemes are: https, http."),
        ({"url": "https://8.8.8.8:99999/"}, "Invalid webhook URL 'https://8.8.8.8:99999/': Port out of range"),
        ({"url": "https://u:p@8.8.8.8/"}, "Invalid webhook URL: it must not contain a user name"),
    ],
)  # fmt: skip
def test_create_refuses_what_is_illegal(client, fields, message):
    """As a client error with MLflow's text, never as a server error that is repeated."""
    body = {"name": "hook", "url": URL, "events": [EVENT], **fields}
    assert client.refused("POST", "/webhooks", body).startswith(message)
    assert client.done("GET", "/webhooks") == {}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://8.8.8.8/", "Invalid webhook URL scheme: 'http'. Allowed schemes are: https."),
        ("https://127.0.0.1/", "Webhook URL must not resolve to a non-public IP address. '127.0.0.1' resolves to 127.0.0.1."),
        ("https://[::ffff:10.0.0.1]/", "Webhook URL must not resolve to a non-public IP address."),
        ("https://224.0.0.1/", "Webhook URL must not resolve to a non-public IP address."),
        ("https://169.254.169.254/latest", "Webhook URL must not resolve to a non-public IP address."),
    ],
)  # fmt: skip
def test_server_is_safe_unless_told_otherwise(serve, url, message):
    """Without settings only public hosts over TLS may be told anything."""
    client = serve(Settings())
    body = {"name": "hook", "url": url, "events": [EVENT]}
    assert client.refused("POST", "/webhooks", body).startswith(message)
    made = client.create()
    assert client.refused("PATCH", f"/webhooks/{made['webhook_id']}", {"url": url})
    assert client.done("GET", f"/webhooks/{made['webhook_id']}") == {"webhook": made}


def test_secret_is_refused_by_a_server_without_a_key(serve):
    """It says what to set; webhooks without secret work."""
    client = serve(Settings())
    body = {"name": "hook", "url": URL, "events": [EVENT], "secret": "s"}
    message = client.refused("POST", "/webhooks", body)
    assert "Set REGISTRY_WEBHOOK_SECRET_KEY on the server" in message
    assert client.create(secret="")["name"] == "hook"


def test_server_does_not_start_with_a_key_that_is_none():
    """Better than secrets that can never be kept."""
    with pytest.raises(InvalidArgumentError, match="REGISTRY_WEBHOOK_SECRET_KEY"):
        create_app(Registry(MemoryStore()), Settings(webhook_secret_key="nonsense"))


def test_post_needs_a_json_content_type(client):
    """Also where the body may be left out; PATCH and DELETE do not."""
    path = f"/webhooks/{client.create()['webhook_id']}"
    missing = "Bad Request. Content-Type header is missing."
    wrong = "Bad Request. Content-Type must be one of ['application/json']."
    text = {"content-type": "text/plain"}
    for post in ("/webhooks", f"{path}/test"):
        assert client.refused("POST", post) == missing
        assert client.refused("POST", post, headers=text) == wrong
    client.done("PATCH", path, headers=text)
    client.done("DELETE", path, headers=text)


def test_list_gives_pages_newest_first(serve):
    """The size is 100 unless asked for; 0 means the same."""
    ticks = itertools.count(1)
    client = serve(store=MemoryStore(clock=lambda: next(ticks)))
    names = [client.create(name=f"h{number}")["name"] for number in range(101)][::-1]
    for size in ({}, {"max_results": "0"}):
        page = client.done("GET", "/webhooks", params=size)
        assert [hook["name"] for hook in page["webhooks"]] == names[:100]
    last = client.done("GET", "/webhooks", params={"page_token": page["next_page_token"]})
    assert [hook["name"] for hook in last["webhooks"]] == names[100:]
    assert "next_page_token" not in last
    found, token = [], ""
    while token is not None:
        page = client.done("GET", "/webhooks", {"max_results": 40, "page_token": token})
        found += [hook["name"] for hook in page["webhooks"]]
        token = page.get("next_page_token")
    assert found == names


@pytest.mark.parametrize("size", ["-1", "1001"])
def test_list_refuses_a_size_out_of_range(client, size):
    """With MLflow's sentence."""
    message = client.refused("GET", "/webhooks", params={"max_results": size})
    assert message == "max_results must be between 1 and 1000."


def test_list_refuses_a_token_of_something_else(client):
    """Instead of starting from the beginning."""
    for name in ("a", "b"):
        client.done("POST", "/registered-models/create", {"name": name})
    found = client.done("GET", "/registered-models/search", params={"max_results": "1"})
    token = found["next_page_token"]
    message = client.refused("GET", "/webhooks", params={"page_token": token})
    assert message.startswith("Invalid page token, parsed value=")


def test_update_leaves_what_is_empty_and_ignores_an_id_in_the_body(client):
    """Contract 6.2, the rule on PATCH."""
    made = client.create(description="d")
    path = f"/webhooks/{made['webhook_id']}"
    body = {"webhook_id": "x", "name": "", "url": "", "events": [], "status": None}
    changed = client.done("PATCH", path, body)["webhook"]
    assert {**changed, "last_updated_timestamp": 0} == {**made, "last_updated_timestamp": 0}
    events = [{"entity": 7, "action": 4}, {"entity": 4, "action": 3}, {"entity": 7, "action": 4}]
    changed = client.done("PATCH", path, {"events": events, "status": 2})["webhook"]
    assert changed["events"] == [
        {"entity": "MODEL_VERSION_ALIAS", "action": "DELETED"},
        {"entity": "PROMPT_TAG", "action": "SET"},
    ]
    assert changed["status"] == "DISABLED"


def test_cleared_secret_stops_the_signing(client):
    """From the next delivery on."""
    with Receiver() as receiver:
        made = client.create(url=receiver.url, secret="s")
        path = f"/webhooks/{made['webhook_id']}"
        client.done("POST", f"{path}/test", {})
        assert receiver.next().is_signed_with("s")
        client.done("PATCH", path, {"secret": ""})
        client.done("POST", f"{path}/test", {})
        assert "x-mlflow-signature" not in receiver.next().headers


def test_test_answers_with_what_the_receiver_said(client):
    """Contract 6.4: always 200; the sample of the hook's first event, or of the given one."""
    with Receiver(Script(200, body=b"hello"), Script(404, body=b"no")) as receiver:
        made = client.create(
            url=receiver.url, events=[EVENT, {"entity": "MODEL_VERSION", "action": "CREATED"}]
        )
        path = f"/webhooks/{made['webhook_id']}/test"
        assert client.done("POST", path, {}) == {
            "result": {"success": True, "response_status": 200, "response_body": "hello"}
        }
        assert receiver.next().event == "model_version.created"
        event = {"entity": "PROMPT_VERSION", "action": "CREATED"}
        assert client.done("POST", path, {"event": event}) == {
            "result": {"success": False, "response_status": 404, "response_body": "no"}
        }
        got = receiver.next()
        assert (got.event, got.told["data"]["template"]) == (
            "prompt_version.created",
            "Hello {{name}}!",
        )
    answer = client.done("POST", path, {})["result"]
    assert set(answer) == {"success", "error_message"}
    assert not answer["success"]
    assert answer["error_message"].startswith("Failed to test webhook: ")


def test_test_refuses_a_bad_event_and_an_unknown_webhook(client):
    """Before anything is sent."""
    path = f"/webhooks/{client.create()['webhook_id']}/test"
    event = {"entity": "MODEL_VERSION", "action": "SET"}
    message = client.refused("POST", path, {"event": event})
    assert message == (
        "Invalid action 'set' for entity 'model_version'. Valid actions are: ['created']"
    )
    assert client.refused("POST", "/webhooks/x/test", {}, status=404) == (
        "Webhook with ID x not found."
    )


def test_receivers_that_hang_hold_up_nobody_else(serve):
    """Webhooks are tested by more clients than there are threads; all else goes on meanwhile."""
    gate = threading.Event()
    settings = Settings(
        webhook_schemes=("http",), webhook_private_addresses=True, webhook_retries=0, threads=1
    )
    client = serve(settings)
    answers = queue.Queue()

    def test(webhook_id):
        path = f"{API}/webhooks/{webhook_id}/test"
        answers.put(client.http.request("POST", path, json={}))

    with Receiver(*[Script(before=lambda: gate.wait(60))] * 8) as receiver:
        hooks = [client.create(url=receiver.url)["webhook_id"] for _ in range(8)]
        waiting = [threading.Thread(target=test, args=(hook,)) for hook in hooks]
        for thread in waiting:
            thread.start()
        receiver.next()
        refused = [answers.get(timeout=60) for _ in range(8 - TESTS_AT_A_TIME)]
        made = client.create(url=receiver.url)
        client.done("PATCH", f"/webhooks/{made['webhook_id']}", {"name": "changed"})
        assert client.done("GET", "/registered-models/search") == {}
        assert not gate.is_set()
        gate.set()
        for thread in waiting:
            thread.join()
        # What has ended makes room.
        for hook in hooks:
            assert client.done("POST", f"/webhooks/{hook}/test", {})["result"]["success"]
    for answer in refused:
        assert (answer.status_code, answer.json()["error_code"]) == (429, "RESOURCE_EXHAUSTED")
        assert int(answer.headers["retry-after"]) > 0
    done = [answers.get_nowait() for _ in range(TESTS_AT_A_TIME)]
    assert [answer.json()["result"]["success"] for answer in done] == [True] * TESTS_AT_A_TIME


def test_a_webhook_is_tested_once_at_a_time(serve):
    """One impatient client leaves room for the test of another webhook."""
    gate = threading.Event()
    client = serve()
    with Receiver(Script(before=lambda: gate.wait(60))) as receiver:
        first, second = (client.create(url=receiver.url)["webhook_id"] for _ in range(2))
        path = f"/webhooks/{first}/test"
        testing = threading.Thread(target=lambda: client.done("POST", path, {}))
        testing.start()
        receiver.next()
        assert client.call("POST", path, {})[0] == 429
        assert client.done("POST", f"/webhooks/{second}/test", {})["result"]["success"]
        gate.set()
        testing.join()


ALL_EVENTS = [
    {"entity": entity, "action": action}
    for entity, actions in {
        "REGISTERED_MODEL": ["CREATED"],
        "MODEL_VERSION": ["CREATED"],
        "MODEL_VERSION_TAG": ["SET", "DELETED"],
        "MODEL_VERSION_ALIAS": ["CREATED", "DELETED"],
        "PROMPT": ["CREATED"],
        "PROMPT_VERSION": ["CREATED"],
        "PROMPT_TAG": ["SET", "DELETED"],
        "PROMPT_VERSION_TAG": ["SET", "DELETED"],
        "PROMPT_ALIAS": ["CREATED", "DELETED"],
    }.items()
    for action in actions
]

MARK = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
NAMED = {"name": "wm"}
FIRST = {"name": "wm", "version": "1"}
PROMPT = {"name": "pp"}
PROMPT_1 = {"name": "pp", "version": "1"}

MODEL_STEPS = [
    (
        ("POST", f"{RM}/create", {**NAMED, "tags": [{"key": "a", "value": "1"}], "description": "desc"}),
        "registered_model.created",
        {"name": "wm", "tags": {"a": "1"}, "description": "desc"},
    ),
    (
        ("POST", f"{MV}/create", {**NAMED, "source": "s3://b/p", "run_id": "r1", "description": "d"}),
        "model_version.created",
        {**FIRST, "source": "s3://b/p", "run_id": "r1", "tags": {}, "description": "d"},
    ),
    (
        ("POST", f"{MV}/create", {**NAMED, "source": "models:/wm/1"}),
        "model_version.created",
        {"name": "wm", "version": "2", "source": "models:/wm/1", "run_id": "r1", "tags": {}, "description": None},
    ),
    (
        ("POST", f"{MV}/set-tag", {**FIRST, "key": "k", "value": "v"}),
        "model_version_tag.set",
        {**FIRST, "key": "k", "value": "v"},
    ),
    (
        ("POST", f"{MV}/set-tag", {"name": "wm", "version": "01", "key": "k"}),
        "model_version_tag.set",
        {"name": "wm", "version": "1", "key": "k", "value": ""},
    ),
    (("DELETE", f"{MV}/delete-tag", {**FIRST, "key": "k"}), "model_version_tag.deleted", {**FIRST, "key": "k"}),
    (("DELETE", f"{MV}/delete-tag", {**FIRST, "key": "no"}), "model_version_tag.deleted", {**FIRST, "key": "no"}),
    (("POST", f"{RM}/alias", {**FIRST, "alias": "prod"}), "model_version_alias.created", {**FIRST, "alias": "prod"}),
    (("DELETE", f"{RM}/alias", {**NAMED, "alias": "prod"}), "model_version_alias.deleted", {**NAMED, "alias": "prod"}),
    (("DELETE", f"{RM}/alias", {**NAMED, "alias": "no"}), "model_version_alias.deleted", {**NAMED, "alias": "no"}),
]  # fmt: skip
"""Requests about a model in order, the event that each is, and what is told (contract 6.3)."""

PROMPT_STEPS = [
    (
        ("POST", f"{RM}/create", {**PROMPT, "tags": [*MARK, {"key": "u", "value": "1"}, {"key": "_mlflow_prompt_type", "value": "text"}]}),
        "prompt.created",
        {"name": "pp", "tags": {"u": "1"}, "description": ""},
    ),
    (
        (
            "POST",
            f"{MV}/create",
            {
                **PROMPT,
                "source": "prompt-template",
                "description": "c",
                "tags": [*MARK, {"key": "mlflow.prompt.text", "value": "Hi {{x}}"}, {"key": "_mlflow_prompt_type", "value": "text"},
                         {"key": "u", "value": "2"}, {"key": "_mlflow_prompt_model_config", "value": "{}"}],
            },
        ),
        "prompt_version.created",
        {**PROMPT_1, "template": "Hi {{x}}", "tags": {"u": "2", "_mlflow_prompt_model_config": "{}"}, "description": "c"},
    ),
    (("POST", f"{RM}/set-tag", {**PROMPT, "key": "k", "value": "v"}), "prompt_tag.set", {**PROMPT, "key": "k", "value": "v"}),
    (("DELETE", f"{RM}/delete-tag", {**PROMPT, "key": "k"}), "prompt_tag.deleted", {**PROMPT, "key": "k"}),
    (("POST", f"{MV}/set-tag", {**PROMPT_1, "key": "k", "value": "v"}), "prompt_version_tag.set", {**PROMPT_1, "key": "k", "value": "v"}),
    (("DELETE", f"{MV}/delete-tag", {**PROMPT_1, "key": "k"}), "prompt_version_tag.deleted", {**PROMPT_1, "key": "k"}),
    (("POST", f"{RM}/alias", {**PROMPT_1, "alias": "prod"}), "prompt_alias.created", {**PROMPT_1, "alias": "prod"}),
    (("DELETE", f"{RM}/alias", {**PROMPT, "alias": "prod"}), "prompt_alias.deleted", {**PROMPT, "alias": "prod"}),
]  # fmt: skip

SILENT_STEPS = [
    ("POST", f"{RM}/set-tag", {**NAMED, "key": "k", "value": "v"}),
    ("DELETE", f"{RM}/delete-tag", {**NAMED, "key": "k"}),
    ("PATCH", f"{RM}/update", {**NAMED, "description": "x"}),
    ("PATCH", f"{MV}/update", {**FIRST, "description": "x"}),
    ("POST", f"{MV}/transition-stage", {**FIRST, "stage": "Production"}),
    ("GET", f"{RM}/get", NAMED),
    ("DELETE", f"{MV}/delete", FIRST),
    ("POST", f"{RM}/rename", {**NAMED, "new_name": "wm2"}),
    ("DELETE", f"{RM}/delete", {"name": "wm2"}),
    ("DELETE", f"{RM}/delete", PROMPT),
]
"""Requests that are no event (contract 6.1)."""

FAILING_STEPS = [
    ("POST", f"{RM}/create", {"name": "wm"}),
    ("POST", f"{MV}/create", {"name": "absent", "source": "s3://b/p"}),
    ("POST", f"{MV}/set-tag", {**FIRST, "version": "9", "key": "k", "value": "v"}),
    ("DELETE", f"{MV}/delete-tag", {**FIRST, "version": "9", "key": "k"}),
    ("POST", f"{RM}/alias", {**FIRST, "version": "9", "alias": "a"}),
    ("DELETE", f"{RM}/alias", {"name": "absent", "alias": "a"}),
    ("POST", f"{RM}/set-tag", {"name": "absent", "key": "k", "value": "v"}),
]
"""Requests that would be events if they succeeded."""


def test_each_request_that_is_an_event_is_told_and_no_other(client):
    """One delivery per event, in the contract's words, to a webhook that listens for all."""
    with Receiver() as receiver:
        client.create(url=receiver.url, secret="s", events=ALL_EVENTS)
        for request, event, data in MODEL_STEPS + PROMPT_STEPS:
            client.done(*request)
            got = receiver.next()
            assert (got.event, got.told["data"]) == (event, data)
            assert set(got.told) == {"entity", "action", "timestamp", "data"}
            assert got.is_signed_with("s")
        for request in FAILING_STEPS:
            status, _ = client.call(*request)
            assert status in (400, 404)
        for request in SILENT_STEPS:
            client.done(*request)
        client.done("POST", f"{RM}/create", {"name": "last"})
        assert receiver.next().told["data"]["name"] == "last"
        assert receiver.got_nothing_more()


def test_a_change_through_the_library_is_told_of_as_well():
    """Events come from the change, not from the route: here a pipeline in the serving process."""
    registry = Registry(MemoryStore(), local_sources=False)
    http = TestClient(create_app(registry, LOCAL), base_url="http://127.0.0.1")
    client = Client(http.__enter__())
    try:
        with Receiver() as receiver:
            client.create(url=receiver.url, events=ALL_EVENTS)
            ann = registry.acting_as("ann")
            ann.create_registered_model("m")
            assert receiver.next().event == "registered_model.created"
            ann.create_model_version("m", source="s3://b/p")
            assert receiver.next().event == "model_version.created"
            ann.set_registered_model_alias("m", "champion", 1)
            data = receiver.next().told["data"]
            assert (data["alias"], data["version"]) == ("champion", "1")
    finally:
        client.stop()


def test_older_layout_is_told_of_as_well(client):
    """The routes differ, not what they do."""
    with Receiver() as receiver:
        client.create(url=receiver.url)
        client.done("POST", f"/model-registry{RM}/create", NAMED)
        assert receiver.next().event == "registered_model.created"


def test_change_of_a_webhook_acts_on_the_next_event(client):
    """Creation, disabling, another URL, and deletion, without waiting for any cache."""
    names = (f"m{number}" for number in itertools.count())

    def happen():
        client.done("POST", f"{RM}/create", {"name": next(names)})

    with Receiver() as one, Receiver() as two:
        happen()
        path = f"/webhooks/{client.create(url=one.url)['webhook_id']}"
        happen()
        assert one.next().told["data"]["name"] == "m1"
        client.done("PATCH", path, {"status": "DISABLED"})
        happen()
        client.done("PATCH", path, {"status": "ACTIVE", "url": two.url})
        happen()
        assert two.next().told["data"]["name"] == "m3"
        client.done("DELETE", path)
        happen()
        client.create(url=two.url)
        happen()
        assert two.next().told["data"]["name"] == "m5"
        assert one.got_nothing_more()
        assert two.got_nothing_more()


def test_event_is_told_although_the_receiver_fails(client):
    """The request succeeds whatever the receiver does."""
    with Receiver(Script(500)) as receiver:
        client.create(url=receiver.url)
        client.done("POST", f"{RM}/create", NAMED)
        receiver.next()
    client.done("POST", f"{RM}/create", {"name": "nobody-is-there"})


def test_server_over_another_server_leaves_the_telling_to_that_one(serve):
    """Otherwise each event would be told twice."""
    settings = Settings(
        store="http://127.0.0.1:9", webhook_schemes=("http",), webhook_private_addresses=True
    )
    client = serve(settings)
    with Receiver() as receiver:
        made = client.create(url=receiver.url)
        client.done("POST", f"{RM}/create", NAMED)
        client.done("POST", f"/webhooks/{made['webhook_id']}/test", {})
        assert receiver.next().told["data"]["name"] == "example_model"
        client.stop()
        assert receiver.got_nothing_more()


def test_end_of_the_server_waits_for_what_is_under_way(serve):
    """A delivery that has begun is answered before the server ends."""
    client = serve()
    stopped, ended_before = threading.Event(), []
    answering = [Script(before=lambda: ended_before.append(stopped.wait(0.2)))] * 5
    with Receiver(*answering) as receiver:
        client.create(url=receiver.url)
        for number in range(5):
            client.done("POST", f"{RM}/create", {"name": f"m{number}"})
        names = {receiver.next().told["data"]["name"] for _ in range(5)}
        client.stop()
        stopped.set()
        assert names == {f"m{number}" for number in range(5)}
    assert ended_before == [False] * 5


def test_openapi_describes_webhooks(client):
    """Every route, and every component that the document refers to."""
    document = client.http.get("/openapi.json").json()
    expected = {
        "/webhooks": {"get", "post"},
        "/webhooks/{webhook_id}": {"get", "patch", "delete"},
        "/webhooks/{webhook_id}/test": {"post"},
    }
    for path, methods in expected.items():
        assert set(document["paths"][API + path]) == methods
    refs = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert refs <= set(document["components"]["schemas"])
    assert {"Webhook", "WebhookEvent", "WebhookStatus"} <= refs


def test_settings_of_webhooks_come_from_our_variables_and_from_mlflows():
    """So that a server can be swapped for MLflow's with the settings it has."""
    theirs = {
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": KEY,
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
        "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "3",
        "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS": "2",
    }
    expected = Settings(
        webhook_schemes=("http", "https"),
        webhook_private_addresses=True,
        webhook_secret_key=KEY,
        webhook_cache_seconds=0,
        webhook_timeout_seconds=3,
        webhook_retries=0,
        webhook_threads=2,
    )
    assert from_arguments([], theirs) == expected
    ours = {**theirs, "REGISTRY_WEBHOOK_SCHEMES": "https", "REGISTRY_WEBHOOK_SECRET_KEY": "x"}
    assert from_arguments([], ours).webhook_schemes == ("https",)
    assert from_arguments([], ours).webhook_secret_key == "x"
    assert KEY not in repr(expected)
