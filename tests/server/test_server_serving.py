"""What serves an operation: bodies within their limits, and lanes that leave room for others."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from registry_core import interest
from registry_core.changes import SetModelTag
from registry_core.stores.memory import MemoryStore
from registry_server import Settings
from registry_server.http import serving
from registry_server.http.operations import LONG_BODY_BYTES, REGISTRY_OPERATIONS, SHORT_BODY_BYTES
from services.in_process import API, InProcessServer
from services.live_server import LOCAL, LiveServer
from services.wire_client import WireClient

JSON = [(b"content-type", b"application/json")]
PATIENCE = 30
"""Seconds for what happens at once on an idle machine."""


class Holding(MemoryStore):
    """A store in which searches, and changes of the model `held`, go on until they are let go."""

    def __init__(self):
        super().__init__()
        self.go_on = threading.Event()
        self.begun = []
        self.wanted = []

    def search_registered_models(self, query):
        self.begun.append("search")
        self._hold()
        return super().search_registered_models(query)

    def apply(self, change, *, by):
        if isinstance(change, SetModelTag):
            self.begun.append(change.name)
            if change.name == "held":
                self._hold()
        return super().apply(change, by=by)

    def get_registered_model(self, name):
        self.begun.append("read")
        if name == "held":
            self._hold()
        return super().get_registered_model(name)

    def _hold(self):
        deadline = time.monotonic() + PATIENCE
        while not self.go_on.wait(0.01) and time.monotonic() < deadline:
            if not interest.is_wanted():
                self.wanted.append(False)
                return


@pytest.fixture
def store():
    store = Holding()
    yield store
    store.go_on.set()


@pytest.fixture
def server(store):
    with LiveServer() as server:
        server.serve(store)
        for name in ("held", "free"):
            assert call(server, "POST", "/registered-models/create", {"name": name}) == 200
        yield server
        store.go_on.set()


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def call(server, method, path, body=None, query=()):
    with WireClient(server.url) as client:
        return client.call(method, path, body, query=query).status


def set_tag(server, name):
    body = {"name": name, "key": "k", "value": "v"}
    return call(server, "POST", "/registered-models/set-tag", body)


def search(server):
    return call(server, "GET", "/registered-models/search")


def get(server, name):
    return call(server, "GET", "/registered-models/get", query=[("name", name)])


def changes_waiting(server):
    """How many changes wait for others, as the metrics say."""
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        text = answer.read().decode()
    line = re.compile(r'^registry_lane_waiting\{lane="changing"\} (\d+)', re.MULTILINE)
    return int(line.search(text)[1])


def change_held(server):
    return set_tag(server, "held")


def read_held(server):
    return get(server, "held")


def change_free(server):
    return set_tag(server, "free")


def read_free(server):
    return get(server, "free")


@pytest.mark.parametrize(
    ("hold", "others"),
    [
        (search, [read_free, change_free]),
        (change_held, [read_free, change_free]),
        (read_held, [change_free]),
    ],
)
def test_no_kind_of_work_keeps_the_others_waiting(server, store, hold, others):
    """Many more than there are threads: others are answered, and in the end they are, too."""
    with ThreadPoolExecutor(20) as clients:
        held = [clients.submit(hold, server) for _ in range(20)]
        until(lambda: store.begun)
        time.sleep(0.1)
        for other in others:
            assert other(server) == 200
        assert not any(each.done() for each in held)
        store.go_on.set()
        assert [each.result(PATIENCE) for each in held] == [200] * 20


def test_a_search_whose_client_hangs_up_learns_of_it(server, store):
    """It may end in the middle, and its thread is there for another."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", f"{API}/registered-models/search")
    until(lambda: store.begun == ["search"])
    connection.close()
    until(lambda: store.wanted == [False])


def test_a_change_whose_client_has_hung_up_is_not_begun(server, store):
    """While it waited for others of its model."""
    with ThreadPoolExecutor(4) as clients:
        held = [clients.submit(set_tag, server, "held") for _ in range(2)]
        until(lambda: store.begun.count("held") == 2)
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        body = json.dumps({"name": "held", "key": "unwanted", "value": "v"})
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"{API}/registered-models/set-tag", body, headers)
        others = [clients.submit(set_tag, server, "held") for _ in range(2)]
        until(lambda: changes_waiting(server) == 3)
        connection.close()
        until(lambda: changes_waiting(server) == 2)
        store.go_on.set()
        assert [each.result(PATIENCE) for each in held + others] == [200] * 4
    assert dict(MemoryStore.get_registered_model(store, "held").tags) == {"k": "v"}


def test_a_body_that_is_too_long_is_refused_before_it_has_come():
    """As far as it is announced; and nothing of it is kept."""
    with InProcessServer(settings=Settings(threads=1)) as server:
        target = f"{API}/registered-models/create".encode()
        headers = [*JSON, (b"content-length", b"%d" % (LONG_BODY_BYTES + 1))]
        # A server that read it would find that the client has hung up.
        answer = server.send("POST", target, b"{", headers, hangs_up=True)
        assert (answer.status, answer.json["error_code"]) == (413, "INVALID_PARAMETER_VALUE")
        assert answer.json["message"].endswith(f"the maximum of {LONG_BODY_BYTES} bytes.")


def test_only_bodies_with_tags_or_a_filter_may_be_long():
    """Others hold one text at most."""
    long = {op.id for op in REGISTRY_OPERATIONS if op.max_body_bytes == LONG_BODY_BYTES}
    assert long == {
        *("createRegisteredModel", "createModelVersion"),
        *("searchRegisteredModels", "searchModelVersions"),
    }
    assert Settings().max_body_bytes == LONG_BODY_BYTES
    with InProcessServer(settings=Settings(threads=1)) as server:
        for path, fields in (("create", {}), ("update", {"description": "d"})):
            body = json.dumps({"name": "m", "ignored": "x" * SHORT_BODY_BYTES, **fields}).encode()
            method = "POST" if path == "create" else "PATCH"
            target = f"{API}/registered-models/{path}".encode()
            answer = server.send(method, target, body, JSON)
            assert answer.status == (200 if path == "create" else 413)


def test_the_longest_legal_requests_are_served():
    """All the tags that a model may have, and a text of which each character is escaped."""
    tags = [{"key": f"{n:03}" + "k" * 40, "value": "\U0001f600" * 200} for n in range(1_000)]
    with InProcessServer(settings=Settings(threads=1)) as server:
        assert server.call("POST", "/registered-models/create", {"name": "m", "tags": tags}).status
        answer = server.call("GET", "/registered-models/get", query=[("name", "m")])
        assert len(answer.json["registered_model"]["tags"]) == 1_000
        body = {"name": "m", "description": "\U0001f600" * 100_000}
        assert server.call("PATCH", "/registered-models/update", body).status == 200


def test_long_requests_are_decoded_in_their_own_thread(monkeypatch):
    """One after the other; what is wrong with them is told all the same."""
    decoded = []
    decode = serving.Runner.decoded

    def watched(self, *received):
        decoded.append(threading.current_thread().name)
        return decode(self, *received)

    monkeypatch.setattr(serving.Runner, "decoded", watched)
    with InProcessServer(settings=Settings(threads=1)) as server:
        for size in (10, 100_000):
            for name in ("", f"m{size}"):
                body = {"name": name, "description": "d" * size}
                status = server.call("POST", "/registered-models/create", body).status
                assert status == (200 if name else 400)
    here = threading.current_thread().name
    assert decoded == [here, here, "decoding", "decoding"]


def test_a_page_ends_before_an_answer_is_too_large():
    """With a token, after which it goes on."""
    with InProcessServer(settings=LOCAL) as server:
        for number in range(120):
            body = {"name": f"m{number:03}", "description": "d" * 100_000}
            assert server.call("POST", "/registered-models/create", body).status == 200
        names, pages, query = [], 0, [("max_results", "1000")]
        while True:
            answer = server.call("GET", "/registered-models/search", query=query)
            assert len(answer.body) < 9 * 2**20
            names += [model["name"] for model in answer.json["registered_models"]]
            pages += 1
            token = answer.json.get("next_page_token")
            if token is None:
                break
            query = [("max_results", "1000"), ("page_token", token)]
        assert names == [f"m{number:03}" for number in range(120)]
        assert pages == 2
