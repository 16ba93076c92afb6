"""Webhooks hear of every committed change: whoever made it, and whoever dies in between."""

from __future__ import annotations

import json
import urllib.request

import pytest

from registry_core import Registry, open_registry
from services.receivers import Receiver
from services.registry_server import WEBHOOKS_ON_LOOPBACK, RegistryServer
from services.stores import store_url

KINDS = ["sqlite", "postgresql"]


@pytest.fixture(params=KINDS)
def url(request):
    """The URL of an empty store that several processes can open."""
    with store_url(request.param, request) as url:
        yield url


def create_webhook(server: RegistryServer, receiver: Receiver, *events: str) -> str:
    """The id of a webhook for events such as `MODEL_VERSION_ALIAS.CREATED`."""
    wanted = [dict(zip(("entity", "action"), event.split("."), strict=True)) for event in events]
    body = {"name": "hook", "url": receiver.url, "events": wanted, "secret": "s"}
    request = urllib.request.Request(
        f"{server.url}/api/2.0/mlflow/webhooks",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["webhook"]["webhook_id"]


def with_version(registry: Registry, name: str) -> None:
    registry.create_registered_model(name)
    registry.create_model_version(name, source="s3://b/p")


def test_alias_moved_by_the_library_is_told_by_a_server_of_the_same_store(url):
    """The server has not seen the change, and finds it in the store."""
    with (
        RegistryServer(url, environment=WEBHOOKS_ON_LOOPBACK) as server,
        Receiver() as receiver,
        open_registry(url) as registry,
    ):
        create_webhook(server, receiver, "MODEL_VERSION_ALIAS.CREATED")
        with_version(registry, "churn")
        registry.set_registered_model_alias("churn", "champion", 1)
        got = receiver.next()
        assert got.event == "model_version_alias.created"
        assert got.told["data"] == {"name": "churn", "alias": "champion", "version": "1"}
        assert got.is_signed_with("s")
