"""The webhook events that are ours: asked for through our own routes, and told on every store."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from datetime import datetime
from typing import Any

import pytest
import standardwebhooks

from registry_core import Registry, open_registry
from registry_core.authors import Author
from registry_core.changes import CreateVersion, FinalizeVersion
from registry_core.models import NewModelVersion, Status, WebhookEvent
from registry_core.outbox import OWN_EVENTS
from services.receivers import Received, Receiver
from services.registry_server import WEBHOOKS_ON_LOOPBACK, RegistryServer
from services.stores import store_url

OWN = "/api/registry/v1/webhooks"
MLFLOWS = "/api/2.0/mlflow/webhooks"

LARGE = "Grüße\n" * 1_000
"""A text that a bucket keeps beside its document."""


@pytest.fixture(params=["memory", "sqlite", "postgresql", "s3"])
def url(request):
    """The URL of an empty store."""
    if request.param == "memory":
        yield "memory:"
        return
    with store_url(request.param, request) as url:
        yield url


def call(server: RegistryServer, method: str, path: str, body: object = None) -> Any:
    """The status and the answer of a request."""
    request = urllib.request.Request(
        f"{server.url}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def spelled(event: WebhookEvent) -> dict[str, str]:
    return {"entity": event.entity.name, "action": event.action.name}


def change_everything(registry: Registry) -> None:
    """Make each change that webhooks hear of as one of our events."""
    ann = registry.acting_as("ann", reason="because")
    ann.create_registered_model("m", tags={"k": LARGE})
    for number in (1, 2):
        ann.create_model_version("m", source=f"s3://b/{number}")
    ann.update_registered_model("m", description="new")
    ann.set_registered_model_tag("m", "k", "w")
    ann.delete_registered_model_tag("m", "k")
    ann.update_model_version("m", 1, description="of version")
    ann.transition_model_version_stage("m", 1, stage="Production")
    ann.transition_model_version_stage("m", 2, stage="Production", archive_existing_versions=True)
    ann.delete_model_version("m", 1)
    ann.restore_model_version("m", 1)
    ann.rename_registered_model("m", new_name="n ü")
    ann.delete_registered_model("n ü")
    ann.restore_registered_model("n ü", new_name="o")


TOLD = [
    ("registered_model.updated", "m", 4, None, None, None, "new"),
    ("registered_model_tag.set", "m", 5, None, "k", LARGE, "w"),
    ("registered_model_tag.deleted", "m", 6, None, "k", "w", None),
    ("model_version.updated", "m", 7, 1, None, "", "of version"),
    ("model_version.transitioned", "m", 8, 1, None, "None", "Production"),
    ("model_version.transitioned", "m", 9, 1, None, "Production", "Archived"),
    ("model_version.transitioned", "m", 10, 2, None, "None", "Production"),
    ("model_version.deleted", "m", 11, 1, None, {"source": "s3://b/1"}, None),
    ("model_version.restored", "m", 12, 1, None, None, {"source": "s3://b/1"}),
    ("registered_model.renamed", "m", 13, None, None, "m", "n ü"),
    ("registered_model.deleted", "n ü", 14, None, None, None, None),
    ("registered_model.restored", "o", 15, None, None, "n ü", "o"),
]
"""Event, name, number, version, key, before and after of each, in the order of their numbers."""


def test_every_change_is_told_with_what_was_before_and_is_afterwards(url: str) -> None:
    """In the order of the events, with who and why; signed, and with the headers of CloudEvents."""
    with RegistryServer(url, environment=WEBHOOKS_ON_LOOPBACK) as server, Receiver() as receiver:
        hook = {"name": "ours", "url": receiver.url, "secret": "s3cret"}
        hook["events"] = [spelled(event) for event in OWN_EVENTS]
        status, made = call(server, "POST", OWN, hook)
        assert status == 200
        assert {(e["entity"], e["action"]) for e in made["webhook"]["events"]} == {
            (e.entity.name, e.action.name) for e in OWN_EVENTS
        }
        with open_registry(server.url if url == "memory:" else url) as registry:
            change_everything(registry)
        for event, name, sequence, version, key, before, after in TOLD:
            got = receiver.next()
            data = got.told["data"]
            assert (got.event, data["name"], data["sequence"]) == (event, name, sequence)
            assert (data["version"], data["key"]) == (version, key)
            for side, expected in (("before", before), ("after", after)):
                if isinstance(expected, dict):
                    data[side] = {each: data[side][each] for each in expected}
            assert (data["before"], data["after"]) == (before, after)
            assert data["reason"] == "because"
            assert len(data["model_id"]) == 24
            check_signature(got, "s3cret")
            check_cloud_event(got)


def check_signature(got: Received, secret: str) -> None:
    """Verify a delivery with another implementation than ours, of which MLflow's scheme is one."""
    headers = {
        f"webhook-{theirs}": got.headers[f"x-mlflow-{name}"]
        for theirs, name in (
            ("id", "delivery-id"),
            ("timestamp", "timestamp"),
            ("signature", "signature"),
        )
    }
    verifier = standardwebhooks.Webhook(base64.b64encode(secret.encode()).decode())
    assert verifier.verify(got.body, headers) == got.told
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verifier.verify(got.body + b" ", headers)


def check_cloud_event(got: Received) -> None:
    """What CloudEvents 1.0 wants in HTTP's binary mode."""
    about = {name[3:]: value for name, value in got.headers.items() if name.startswith("ce-")}
    assert about == {
        "id": got.headers["x-mlflow-delivery-id"],
        "specversion": "1.0",
        "type": f"registry.{got.event}",
        "source": "/api/registry/v1",
        "time": got.told["timestamp"],
        "subject": got.told["data"]["name"].replace(" ", "%20").replace("ü", "%C3%BC"),
    }
    assert datetime.fromisoformat(about["time"]).tzinfo is not None
    assert got.headers["content-type"] == "application/json"


def test_a_version_that_fails_is_told_to_who_asks_for_that(url: str) -> None:
    """One that is ready is MLflow's creation to a webhook that asks for both."""
    if url == "memory:":
        pytest.skip("MLflow's API reserves no versions")
    with RegistryServer(url, environment=WEBHOOKS_ON_LOOPBACK) as server, Receiver() as receiver:
        events = [
            {"entity": "MODEL_VERSION", "action": action} for action in ("CREATED", "FINALIZED")
        ]
        hook = {"name": "ours", "url": receiver.url, "events": events}
        assert call(server, "POST", OWN, hook)[0] == 200
        with open_registry(url) as registry:
            registry.create_registered_model("m")
            for status in (Status.READY, Status.FAILED_REGISTRATION):
                new = NewModelVersion(name="m", source="", status=Status.PENDING_REGISTRATION)
                made = registry.store.apply(CreateVersion(new), by=Author(actor="ann"))
                done = FinalizeVersion(name="m", version=made.version, status=status)
                registry.store.apply(done, by=Author(actor="ann"))
        ready, failed = receiver.next(), receiver.next()
        assert ready.event == "model_version.created"
        assert failed.event == "model_version.finalized"
        assert failed.told["data"]["after"] == {"status": "FAILED_REGISTRATION"}


def test_mlflow_sees_what_it_knows(tmp_path) -> None:
    """Its client can read no event of ours, and no webhook without any of its own."""
    from mlflow import MlflowClient
    from mlflow.entities.webhook import WebhookEvent as MlflowEvent

    url = f"sqlite:///{tmp_path / 'registry.db'}"
    renamed = {"entity": "REGISTERED_MODEL", "action": "RENAMED"}
    created = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
    tagged = {"entity": "MODEL_VERSION_TAG", "action": "SET"}
    address = "http://127.0.0.1:1/"
    with RegistryServer(url, environment=WEBHOOKS_ON_LOOPBACK) as server:
        client = MlflowClient(server.url, server.url)
        for refused in (
            renamed,
            {**created, "entity": "REGISTERED_MODEL_TAG"},
            {**created, "entity": 11},
        ):
            status, answer = call(
                server, "POST", MLFLOWS, {"name": "h", "url": address, "events": [refused]}
            )
            assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        ours, both = (
            call(server, "POST", OWN, {"name": name, "url": address, "events": expected})[1][
                "webhook"
            ]
            for name, expected in (("ours", [renamed]), ("both", [renamed, created]))
        )
        (seen,) = client.list_webhooks()
        assert (seen.webhook_id, [str(e) for e in seen.events]) == (
            both["webhook_id"],
            [str(MlflowEvent("registered_model", "created"))],
        )
        assert client.get_webhook(both["webhook_id"]).name == "both"
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            status, answer = call(server, method, f"{MLFLOWS}/{ours['webhook_id']}", body)
            assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        client.update_webhook(both["webhook_id"], events=[MlflowEvent("model_version_tag", "set")])
        _, now = call(server, "GET", f"{OWN}/{both['webhook_id']}")
        assert now["webhook"]["events"] == [tagged, renamed]
        _, listed = call(server, "GET", OWN)
        assert len(listed["webhooks"]) == 2
        with open_registry(server.url) as registry:
            assert {len(hook.events) for hook in registry.store.list_webhooks()} == {1, 2}
            registry.store.delete_webhook(ours["webhook_id"])
        assert call(server, "GET", f"{OWN}/{ours['webhook_id']}")[0] == 404
