"""Webhooks hear of every committed change: whoever made it, and whoever dies in between."""

from __future__ import annotations

import json
import queue
import random
import threading
import time
import urllib.request
from collections import defaultdict

import pytest

from registry_core import Registry, open_registry
from registry_core.outbox import outbox_of
from services.receivers import Received, Receiver, Script
from services.registry_server import WEBHOOKS_ON_LOOPBACK, RegistryServer
from services.stores import store_url

KINDS = ["sqlite", "postgresql", "s3"]

SETTINGS = {**WEBHOOKS_ON_LOOPBACK, "REGISTRY_WEBHOOK_TIMEOUT_SECONDS": "1"}
"""Leases of dead servers run out after 16 seconds."""

PATIENCE = 90
"""Seconds to wait for a delivery that has to wait for a lease, on a busy machine."""


@pytest.fixture(params=KINDS)
def url(request):
    """The URL of an empty store that several processes can open."""
    with store_url(request.param, request) as url:
        yield url


def create_webhook(server: RegistryServer, receiver: Receiver, *events: str) -> str:
    """The id of a webhook for events such as `MODEL_VERSION_ALIAS.CREATED`."""
    named = [dict(zip(("entity", "action"), event.split("."), strict=True)) for event in events]
    body = {"name": "hook", "url": receiver.url, "events": named, "secret": "s"}
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


def tag(registry: Registry, name: str, value: int) -> None:
    registry.set_model_version_tag(name, 1, "k", str(value))


def arriving(receiver: Receiver, count: int) -> list[Received]:
    """Deliveries until so many different ones have come, in the order in which they came."""
    came: list[Received] = []
    deadline = time.monotonic() + PATIENCE
    while len(set(map(delivery_id, came))) < count:
        came.append(receiver.requests.get(timeout=max(0.0, deadline - time.monotonic())))
    return came


def delivery_id(got: Received) -> str:
    return got.headers["x-mlflow-delivery-id"]


def told_values(came: list[Received]) -> dict[str, list[int]]:
    """The values of the tag as each model's deliveries told of them first, in that order."""
    values: defaultdict[str, list[int]] = defaultdict(list)
    seen: dict[str, bytes] = {}
    for got in came:
        if seen.setdefault(delivery_id(got), got.body) is got.body:
            data = got.told["data"]
            values[data["name"]].append(int(data["value"]))
        assert seen[delivery_id(got)] == got.body
        assert got.is_signed_with("s")
    return values


def test_alias_moved_by_the_library_is_told_by_a_server_of_the_same_store(url):
    """The server has not seen the change, and finds it in the store."""
    with (
        RegistryServer(url, environment=SETTINGS) as server,
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


def test_what_was_committed_while_no_server_ran_is_told_by_the_next_one(url):
    """In the order in which it was committed."""
    with Receiver() as receiver, open_registry(url) as registry:
        server = RegistryServer(url, environment=SETTINGS)
        with server:
            create_webhook(server, receiver, "MODEL_VERSION_TAG.SET")
            server.kill()
        with_version(registry, "m")
        for value in range(20):
            tag(registry, "m", value)
        with RegistryServer(url, environment=SETTINGS):
            assert told_values(arriving(receiver, 20)) == {"m": list(range(20))}


def test_server_that_dies_while_it_delivers_loses_nothing(url):
    """Another one makes the delivery again, under its id, and then the next ones."""
    gate = threading.Event()
    with (
        Receiver(Script(before=lambda: gate.wait(PATIENCE))) as receiver,
        open_registry(url) as registry,
    ):
        server = RegistryServer(url, environment={**SETTINGS})
        with server:
            create_webhook(server, receiver, "MODEL_VERSION_TAG.SET")
            with_version(registry, "m")
            tag(registry, "m", 0)
            tag(registry, "m", 1)
            first = receiver.next()
            server.kill()
        gate.set()
        with RegistryServer(url, environment=SETTINGS):
            again, following = arriving(receiver, 2)
    assert (again.body, delivery_id(again)) == (first.body, delivery_id(first))
    assert [got.told["data"]["value"] for got in (again, following)] == ["0", "1"]


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.long)])
def test_servers_that_are_killed_at_any_moment_lose_nothing(url, kills):
    """Each event comes, those of a model in order, and what comes twice has one id and body."""
    models, count, chance = ("a", "b", "c"), 10 * kills, random.Random(5)
    with Receiver() as receiver, open_registry(url) as registry:
        server = RegistryServer(url, environment=SETTINGS)
        with server:
            create_webhook(server, receiver, "MODEL_VERSION_TAG.SET")
            for name in models:
                with_version(registry, name)
            writer = threading.Thread(target=lambda: [
                tag(registry, name, value) for value in range(count) for name in models
            ])  # fmt: skip
            writer.start()
            for _ in range(kills):
                time.sleep(chance.random() / 2)
                server.kill()
                server.start()
            writer.join()
            came = arriving(receiver, len(models) * count)
    assert told_values(came) == {name: list(range(count)) for name in models}


def test_servers_and_workers_share_the_work_without_doubling_it(url):
    """Two servers of two workers each deliver every event once."""
    models, count = "abcdefgh", 15
    with (
        Receiver() as receiver,
        open_registry(url) as registry,
        RegistryServer(url, environment=SETTINGS, workers=2) as server,
        RegistryServer(url, environment=SETTINGS, workers=2),
    ):
        create_webhook(server, receiver, "MODEL_VERSION_TAG.SET")
        for name in models:
            with_version(registry, name)
        for value in range(count):
            for name in models:
                tag(registry, name, value)
        came = arriving(receiver, len(models) * count)
        with pytest.raises(queue.Empty):
            receiver.requests.get(timeout=1)
    assert len(came) == len(models) * count
    assert told_values(came) == {name: list(range(count)) for name in models}


def test_delivery_that_is_given_up_is_kept_and_holds_up_nothing(url):
    """Its webhook hears of what came after it, and an operator sees what it has missed."""
    settings = {**SETTINGS, "REGISTRY_WEBHOOK_RETRIES": "0"}
    with (
        Receiver(Script(503)) as receiver,
        open_registry(url) as registry,
        RegistryServer(url, environment=settings) as server,
    ):
        hook = create_webhook(server, receiver, "MODEL_VERSION_TAG.SET")
        with_version(registry, "m")
        tag(registry, "m", 0)
        tag(registry, "m", 1)
        first, second = arriving(receiver, 2)
        assert [got.told["data"]["value"] for got in (first, second)] == ["0", "1"]
        outbox = outbox_of(registry.store)
        (dead,) = outbox.dead_letters(hook)
        assert (dead.delivery_id, dead.problem) == (delivery_id(first), "status 503")
        assert outbox.redeliver(hook, [dead.delivery_id]) == 1
        assert delivery_id(receiver.next()) == delivery_id(first)
