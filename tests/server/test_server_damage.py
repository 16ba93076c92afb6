"""A server on a bucket in which something is damaged: others are served, and an operator finds it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from registry_core import Registry, StoreCorruptedError
from registry_core.stores.rest import open_store as open_rest_store
from registry_core.testing.observing import models_query, versions_query
from registry_server.http.responses import CORRUPTED_MESSAGE
from services.in_process import InProcessServer
from services.live_server import LiveServer
from services.opened import open_s3_store as open_store
from services.s3 import S3Server
from services.s3_keys import Keys

SECRET = "hunter2"
"""What lies in the damaged document, and nobody is to be told."""


@pytest.fixture
def url(s3_server: S3Server, s3_url: str, s3_prefix: str) -> str:
    """A bucket with three models, one of which is damaged."""
    store = open_store(s3_url)
    registry = Registry(store, local_sources=False)
    for name in ("a", "churn", "z"):
        registry.create_registered_model(name)
        registry.create_model_version(name, source="s3://elsewhere/1")
    registry.close()
    client = s3_server.client()
    keys = Keys(client, s3_prefix)
    keys.put("models/churn.json", f'{{"format_version":1,"kind":"{SECRET}"}}'.encode())
    client.close()
    return s3_url


@pytest.fixture
def server(url: str) -> Iterator[InProcessServer]:
    with InProcessServer(Registry(open_store(url), local_sources=False)) as server:
        yield server


def test_searches_leave_out_what_is_damaged(server: InProcessServer) -> None:
    """They say how much, and no more."""
    answer = server.call("GET", "/registered-models/search")
    assert answer.status == 200
    assert [model["name"] for model in answer.json["registered_models"]] == ["a", "z"]
    assert answer.json["unreadable"] == 1
    answer = server.call("GET", "/model-versions/search")
    assert {version["name"] for version in answer.json["model_versions"]} == {"a", "z"}
    assert answer.json["unreadable"] == 1
    assert SECRET.encode() not in answer.body


def test_an_operator_finds_it(server: InProcessServer, caplog: pytest.LogCaptureFixture) -> None:
    """In the log once, and in the metrics as often as something was left out."""
    for _ in range(3):
        server.call("GET", "/registered-models/search")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "models/churn.json" in record.getMessage()
    text = server.send("GET", b"/metrics").body.decode()
    assert re.findall(r"^registry_incomplete_searches_total (\d+)$", text, re.MULTILINE) == ["3"]


@pytest.mark.parametrize(
    ("method", "path", "body", "query"),
    [
        ("GET", "/registered-models/get", None, [("name", "churn")]),
        ("GET", "/registered-models/search", None, [("filter", "name = 'churn'")]),
        ("GET", "/model-versions/search", None, [("filter", "name = 'churn'")]),
        ("POST", "/registered-models/create", {"name": "churn"}, ()),
        ("POST", "/registered-models/rename", {"name": "a", "new_name": "churn"}, ()),
        ("POST", "/registered-models/set-tag", {"name": "churn", "key": "k", "value": "v"}, ()),
        ("DELETE", "/registered-models/delete", {"name": "churn"}, ()),
    ],
)
def test_who_asks_for_it_learns_that_it_is_damaged_and_no_more(
    *,
    server: InProcessServer,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    body: object,
    query: list[tuple[str, str]],
) -> None:
    """Neither the key nor a piece of what is stored; the log has both."""
    answer = server.call(method, path, body, query=query)
    assert (answer.status, answer.json) == (
        500,
        {"error_code": "DATA_LOSS", "message": CORRUPTED_MESSAGE},
    )
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "models/churn.json" in record.getMessage()


def test_other_models_are_served(server: InProcessServer) -> None:
    """Reads, writes, and the server itself."""
    assert server.call("GET", "/registered-models/get", query=[("name", "a")]).status == 200
    tag = {"name": "a", "key": "k", "value": "v"}
    assert server.call("POST", "/registered-models/set-tag", tag).status == 200
    assert server.call("POST", "/registered-models/create", {"name": "new"}).status == 200
    assert server.send("GET", b"/ready").status == 200


def test_a_store_behind_the_server_passes_it_on(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The pages say that they are incomplete, the log too, and the error is the same class."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with LiveServer() as server:
        server.serve(open_store(url))
        store = open_rest_store(server.url)
        query = models_query("name LIKE '%'", exclude_prompts=True)
        page = store.search_registered_models(query)
        assert ([model.name for model in page.items], page.unreadable) == (["a", "z"], 1)
        versions = store.search_model_versions(
            versions_query("name LIKE '%'", exclude_prompts=True)
        )
        assert versions.unreadable == 1
        assert "cannot read 1 of" in caplog.text
        with pytest.raises(StoreCorruptedError):
            store.get_registered_model("churn")
        store.close()
