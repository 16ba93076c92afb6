"""Creations that are asked for again over HTTP: by a key, after a lost reply, of another server."""

from __future__ import annotations

import http.client
import json
import threading
import time
from functools import partial

import pytest
from cryptography.fernet import Fernet

from registry_core import Registry, open_registry
from registry_core.errors import IdempotencyKeyReusedError
from registry_core.idempotency import KEY_MAX_LENGTH
from registry_core.models import WebhookAction, WebhookEntity, WebhookEvent
from registry_core.stores.memory import MemoryStore
from registry_core.testing.racing import race
from registry_core.webhooks import SecretBox, Webhooks
from registry_server import Settings, create_app
from services.in_process import InProcessServer
from services.registry_server import RegistryServer
from services.serving import serving_app
from services.stores import store_url
from services.tcp_proxy import TcpProxy

JSON = (b"content-type", b"application/json")
API = "/api/2.0/mlflow"
DEADLINE_SECONDS = 30.0
MADE = [WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)]


@pytest.fixture
def server():
    with InProcessServer() as server:
        yield server


def create(server, path, key=None, user=(), **fields):
    headers = [JSON, *user] + ([] if key is None else [(b"idempotency-key", key.encode())])
    body = json.dumps(fields).encode()
    return server.send("POST", f"{API}/{path}/create".encode(), body, headers)


def test_a_repeated_request_gets_the_first_answer(server):
    """Byte for byte, as long as nobody has changed what was made."""
    first = create(server, "registered-models", "k", name="m", tags=[{"key": "a", "value": "b"}])
    again = create(server, "registered-models", "k", name="m", tags=[{"key": "a", "value": "b"}])
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    one = create(server, "model-versions", '"v"', name="m", source="s3://b/1")
    create(server, "model-versions", name="m", source="s3://b/1")
    same = create(server, "model-versions", '"v"', name="m", source="s3://b/1")
    assert (one.status, same.status, same.body) == (200, 200, one.body)
    assert len(server.registry.search_model_versions("name = 'm'").items) == 2


def test_an_alias_in_the_source_may_have_moved_meanwhile(server):
    """The request is the same, and what was made does not change."""
    registry = server.registry
    registry.create_registered_model("m")
    for number in (1, 2):
        registry.create_model_version("m", source=f"s3://b/{number}")
    registry.set_registered_model_alias("m", "a", 1)
    first = create(server, "model-versions", "k", name="m", source="models:/m@a")
    registry.set_registered_model_alias("m", "a", 2)
    again = create(server, "model-versions", "k", name="m", source="models:/m@a")
    assert (first.status, again.body) == (200, first.body)


def test_another_request_under_the_key_is_a_conflict(server):
    create(server, "registered-models", "k", name="m")
    create(server, "model-versions", "v", name="m", source="s3://b/1")
    before = len(list(server.registry.history("m")))
    for refused in (
        create(server, "registered-models", "k", name="m", description="other"),
        create(server, "model-versions", "v", name="m", source="s3://b/2"),
        create(server, "model-versions", "k", name="m", source="s3://b/1"),
    ):
        assert (refused.status, refused.json["error_code"]) == (409, "ABORTED")
        assert "was used for another request" in refused.json["message"]
    assert len(list(server.registry.history("m"))) == before


@pytest.mark.parametrize("key", ["", "a b", "k" * (KEY_MAX_LENGTH + 1), "k\u00e9", "\x7f"])
def test_a_key_that_is_none_is_refused(server, key):
    answer = create(server, "registered-models", key, name="m")
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert server.registry.search_registered_models().items == []
    longest = create(server, "registered-models", "k" * KEY_MAX_LENGTH, name="m")
    assert longest.status == 200


class CutsAfterCommit(MemoryStore):
    """The connection dies between the commit of a creation and its reply, once for each name."""

    def __init__(self):
        super().__init__()
        self.proxy, self.cut = None, set()

    def apply(self, change, *, by):
        result = super().apply(change, by=by)
        self._cut(type(change))
        return result

    def create_webhook(self, new):
        result = super().create_webhook(new)
        self._cut(type(new))
        return result

    def _cut(self, kind):
        if self.proxy is not None and kind not in self.cut:
            self.cut.add(kind)
            self.proxy.cut()


def test_a_lost_reply_is_repeated_safely():
    """Exactly one model, version and webhook, and the caller gets each as if nothing had been."""
    store = CutsAfterCommit()
    app = create_app(Registry(store, local_sources=False), Settings(artifacts=None))
    with serving_app(app) as serving, TcpProxy(serving.port).running() as proxy:
        store.proxy = proxy
        with open_registry(f"http://127.0.0.1:{proxy.port}") as registry:
            assert registry.create_registered_model("m", description="d").description == "d"
            assert registry.create_model_version("m", source="s3://b/1").version == 1
            assert registry.create_model_version("m", source="s3://b/1").version == 2
            hook = Webhooks(registry.store).create_webhook(
                "hook", url="https://93.184.215.14/x", events=MADE
            )
            assert [hook] == registry.store.list_webhooks() == store.list_webhooks()
        assert len(store.cut) == 3
        assert len(list(Registry(store).history("m"))) == 3


def test_a_killed_server_has_not_made_it_twice(request):
    """A client that never read the reply asks another server on the same database."""
    none = ("--artifacts", "none")
    with (
        store_url("postgresql", request) as url,
        RegistryServer(url, arguments=none) as first,
        RegistryServer(url, arguments=none) as second,
        open_registry(url, artifacts="none") as registry,
    ):
        registry.create_registered_model("m")
        body = json.dumps({"name": "m", "source": "s3://b/1"})
        headers = {"Content-Type": "application/json", "Idempotency-Key": "build-17"}
        unread = http.client.HTTPConnection("127.0.0.1", first.port, timeout=DEADLINE_SECONDS)
        unread.request("POST", f"{API}/model-versions/create", body, headers)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not registry.search_model_versions("name = 'm'").items:
            assert time.monotonic() < deadline, "the version was never made"
        first.kill()
        unread.close()
        again = http.client.HTTPConnection("127.0.0.1", second.port, timeout=DEADLINE_SECONDS)
        again.request("POST", f"{API}/model-versions/create", body, headers)
        with again.getresponse() as response:
            answer = json.load(response)
        again.close()
        assert (response.status, answer["model_version"]["version"]) == (200, "1")
        (only,) = registry.search_model_versions("name = 'm'").items
        assert only.version == 1


HOOK = {
    "name": "hook",
    "url": "https://93.184.215.14/x",
    "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
}


@pytest.mark.parametrize("api", [API, "/api/registry/v1"])
def test_a_webhook_is_created_once_under_its_key(server, api):
    """On MLflow's route and on ours; who asks for something else under the key learns it."""

    def post(key, **fields):
        headers = [JSON, (b"idempotency-key", key.encode())]
        path = f"{'/api/2.0/mlflow' if api == API else api}/webhooks".encode()
        return server.send("POST", path, json.dumps(HOOK | fields).encode(), headers)

    first, again = post("k"), post("k")
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert post("other").body != first.body
    assert len(server.registry.store.list_webhooks()) == 2
    for changed in {"name": "b"}, {"url": "https://93.184.215.14/y"}, {"status": "DISABLED"}:
        refused = post("k", **changed)
        assert (refused.status, b"idempotency key" in refused.body.lower()) == (409, True)
    assert post("not one").status == 400
    assert len(server.registry.store.list_webhooks()) == 2


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "s3"])
def test_a_webhook_asked_for_by_many_at_once_is_one(request, kind):
    """On each store, with a secret; and another secret is another request."""
    secrets = SecretBox(Fernet.generate_key().decode())
    with store_url(kind, request) as url, open_registry(url) as registry:
        webhooks = Webhooks(registry.store, secrets=secrets)

        def create(secret="s"):
            url = "https://93.184.215.14/x"
            return webhooks.create_webhook(
                "hook", url=url, events=MADE, secret=secret, idempotency_key="k"
            )

        outcomes = race(*[create] * 6)
        assert {each.error for each in outcomes} == {None}
        (made,) = webhooks.store.list_webhooks()
        assert {each.value.webhook_id for each in outcomes} == {made.webhook_id}
        with pytest.raises(IdempotencyKeyReusedError):
            create(secret="t")
        with pytest.raises(IdempotencyKeyReusedError):
            create(secret=None)
        webhooks.delete_webhook(made.webhook_id)
        assert create().webhook_id == made.webhook_id


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "s3"])
def test_of_different_webhooks_under_one_key_at_one_moment_one_is_made(request, kind, monkeypatch):
    """Each has looked before the other was made; who comes second is told so."""
    with store_url(kind, request) as url, open_registry(url) as registry:
        webhooks, both = Webhooks(registry.store), threading.Barrier(2)
        looking = registry.store.list_webhooks

        def look():
            found = looking()
            both.wait(timeout=DEADLINE_SECONDS)
            return found

        monkeypatch.setattr(registry.store, "list_webhooks", look)

        def create(path):
            url = f"https://93.184.215.14/{path}"
            return webhooks.create_webhook("hook", url=url, events=MADE, idempotency_key="k")

        outcomes = race(partial(create, "x"), partial(create, "y"))
        (made,) = looking()
        (winner,) = (each.value for each in outcomes if each.error is None)
        assert winner == made
        assert {type(each.error) for each in outcomes} == {type(None), IdempotencyKeyReusedError}
