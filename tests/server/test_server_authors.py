"""Who makes a change over HTTP, and why, as the store is told."""

from __future__ import annotations

import json

import pytest

from registry_core import Author, Origin, Registry
from registry_core.stores.memory import MemoryStore
from registry_core.stores.rest import open_store
from registry_core.validation import REASON_MAX_LENGTH
from services.in_process import InProcessServer
from services.live_server import LiveServer

PATH = b"/api/2.0/mlflow/registered-models/set-tag"
BODY = json.dumps({"name": "m", "key": "k", "value": "v"}).encode()
JSON = (b"content-type", b"application/json")
WHY = "weil's nötig ist"


class Remembering(MemoryStore):
    """A store that keeps the authors of changes."""

    def __init__(self):
        super().__init__()
        self.authors = []

    def apply(self, change, *, by):
        self.authors.append(by)
        return super().apply(change, by=by)


@pytest.fixture
def store():
    return Remembering()


@pytest.fixture
def server(store):
    with InProcessServer(Registry(store)) as server:
        server.registry.create_registered_model("m")
        yield server


@pytest.mark.parametrize("reason", [None, WHY])
def test_a_client_without_a_name_may_say_why(server, store, reason):
    """In a header, so that clients of MLflow's API can, too."""
    headers = [JSON] if reason is None else [JSON, (b"x-registry-reason", reason.encode())]
    assert server.send("POST", PATH, BODY, headers).status == 200
    assert store.authors[-1] == Author(actor="anonymous", origin=Origin.HTTP, reason=reason)


def test_a_reason_that_is_too_long_changes_nothing(server, store):
    header = (b"x-registry-reason", b"x" * (REASON_MAX_LENGTH + 1))
    answer = server.send("POST", PATH, BODY, [JSON, header])
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert len(store.authors) == 1


@pytest.mark.parametrize(("reason", "sent"), [(WHY, WHY), ("two\nlines", "two lines")])
def test_a_reason_reaches_the_store_of_a_server(store, reason, sent):
    """As one line: it travels in a header."""
    with LiveServer() as server:
        server.serve(store)
        registry = Registry(open_store(server.url))
        registry.create_registered_model("m", reason=reason)
        registry.close()
    assert store.authors == [Author(actor="anonymous", origin=Origin.HTTP, reason=sent)]
