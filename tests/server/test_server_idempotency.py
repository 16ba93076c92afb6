"""Creations that are asked for again over HTTP: by a key, after a lost reply, of another server."""

from __future__ import annotations

import http.client
import json
import time

import pytest

from registry_core import Registry, open_registry
from registry_core.idempotency import KEY_MAX_LENGTH
from registry_core.stores.memory import MemoryStore
from registry_server import Settings, create_app
from services.in_process import InProcessServer
from services.registry_server import RegistryServer
from services.serving import serving_app
from services.stores import store_url
from services.tcp_proxy import TcpProxy

JSON = (b"content-type", b"application/json")
API = "/api/2.0/mlflow"
DEADLINE_SECONDS = 30.0


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
        if self.proxy is not None and (kind := type(change)) not in self.cut:
            self.cut.add(kind)
            self.proxy.cut()
        return result


def test_a_lost_reply_is_repeated_safely():
    """Exactly one model and one version, and the caller gets both as if nothing had been."""
    store = CutsAfterCommit()
    app = create_app(Registry(store, local_sources=False), Settings(artifacts=None))
    with serving_app(app) as serving, TcpProxy(serving.port).running() as proxy:
        store.proxy = proxy
        with open_registry(f"http://127.0.0.1:{proxy.port}") as registry:
            assert registry.create_registered_model("m", description="d").description == "d"
            assert registry.create_model_version("m", source="s3://b/1").version == 1
            assert registry.create_model_version("m", source="s3://b/1").version == 2
        assert len(store.cut) == 2
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
