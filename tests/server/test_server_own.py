"""The routes of our own: histories, and aliases that are compared and set."""

from __future__ import annotations

import json

import pytest

from registry_core import (
    Registry,
    StaleValueError,
    histories,
    open_registry,
)
from registry_core.history import EVENTS_MAX_RESULTS
from registry_core.search import paging
from registry_core.stores.memory import MemoryStore
from services.in_process import InProcessServer
from services.live_server import LiveServer

JSON = [(b"content-type", b"application/json")]
MODEL = b"/api/registry/v1/models/m"


@pytest.fixture
def server():
    with InProcessServer() as server:
        server.registry.create_registered_model("m")
        for number in (1, 2):
            server.registry.create_model_version("m", source=f"s3://b/{number}")
        server.registry.acting_as("ann", reason="why").set_registered_model_alias("m", "a", 1)
        yield server


def token(*place):
    return paging.encode([*place]).encode()


def put(server, body, headers=()):
    return server.send("PUT", MODEL + b"/aliases/a", json.dumps(body).encode(), [*JSON, *headers])


def test_a_history_is_told_in_pages(server):
    first = server.send("GET", MODEL + b"/history?max_results=1").json
    (event,) = first["events"]
    assert (event["sequence"], event["actor"], event["reason"]) == (4, "ann", "why")
    assert (event["key"], event["before"], event["after"]) == ("a", None, 1)
    token = first["next_page_token"].encode()
    rest = server.send("GET", MODEL + b"/history?page_token=" + token).json
    assert [event["sequence"] for event in rest["events"]] == [3, 2, 1]
    assert "next_page_token" not in rest


def test_activity_is_that_of_all_models(server):
    server.registry.create_registered_model("n")
    answer = server.send("GET", b"/api/registry/v1/activity?action=create_model&order=oldest_first")
    assert [event["name"] for event in answer.json["events"]] == ["m", "n"]


def test_an_alias_is_moved_only_from_where_it_is_expected(server):
    assert put(server, {"version": "2", "if_current": 1}).status == 200
    refused = put(server, {"version": "1", "if_current": 1})
    assert (refused.status, refused.json["error_code"]) == (409, "ABORTED")
    assert refused.json["message"] == "The alias 'a' of model 'm' is 2 and not 1"
    assert put(server, {"version": "1", "if_absent": True}).status == 409
    both = put(server, {"version": "1", "if_current": 2, "if_absent": True})
    assert (both.status, both.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    removed = server.send("DELETE", MODEL + b"/aliases/a", b'{"if_current": 1}', JSON)
    assert removed.status == 409
    assert server.registry.get_registered_model("m").aliases == {"a": 2}
    assert server.send("DELETE", MODEL + b"/aliases/a", b'{"if_current": 2}', JSON).status == 200


def test_a_reason_comes_in_a_header_of_any_change(server):
    """MLflow's client can send one through its plug-in for headers."""
    reason = [(b"x-registry-reason", "weil's nötig ist".encode())]
    assert put(server, {"version": "2"}, reason).status == 200
    body = b'{"name": "m", "key": "k", "value": "v"}'
    path = b"/api/2.0/mlflow/registered-models/set-tag"
    assert server.send("POST", path, body, [*JSON, *reason]).status == 200
    reasons = [event.reason for event in server.registry.history("m")][:2]
    assert reasons == ["weil's nötig ist"] * 2


@pytest.mark.parametrize(
    "query",
    [
        b"since=x",
        b"since=99999999999999999999",
        b"action=nonsense",
        b"order=any",
        b"max_results=1001",
        b"max_results=0",
        b"version=x",
        b"alias=%20",
        b"page_token=x",
        b"page_token=W10=",
        b"page_token=" + token(2**63, "m", 1),
        b"page_token=" + token(1, "m", 2**63),
        b"page_token=" + token(1, "\0", 1),
        b"page_token=" + token(1, "\ud800", 1),
        b"page_token=" + token(1, "m", True),
    ],
)
def test_what_cannot_be_meant_is_refused(server, query):
    answer = server.send("GET", MODEL + b"/history?" + query)
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "body", [{}, {"version": 2}, {"version": "x"}, {"version": "1", "if_current": "x"}]
)
def test_a_body_that_cannot_be_meant_is_refused(server, body):
    assert put(server, body).status == 400


def test_what_is_not_there_is_not_found(server):
    assert server.send("GET", b"/api/registry/v1/models/absent/history").status == 404
    assert put(server, {"version": "9"}).status == 404


def test_the_rest_store_loses_nothing_of_it():
    """History, comparison, reason and rollback, through a server of ours."""
    with LiveServer() as server, open_registry(server.url) as registry:
        server.serve(MemoryStore())
        registry.create_registered_model("m")
        for number in (1, 2):
            registry.create_model_version("m", source=f"s3://b/{number}")
        registry.set_registered_model_alias("m", "a", 1, expected=None, reason="first, naïvely")
        with pytest.raises(StaleValueError) as raised:
            registry.set_registered_model_alias("m", "a", 2, expected=2)
        assert raised.value.current == 1
        registry.set_registered_model_alias("m", "a", 2, expected=1)
        assert registry.rollback_registered_model_alias("m", "a", reason="slow") == 1
        events = [*registry.history("m", alias="a", newest_first=False)]
        assert [(event.before, event.after) for event in events] == [(None, 1), (1, 2), (2, 1)]
        assert [event.reason for event in events] == ["first, naïvely", None, "slow"]
        assert [event.sequence for event in registry.activity()] == [6, 5, 4, 3, 2, 1]


def test_a_page_of_the_most_events_comes_through_a_server_of_ours():
    """Who makes a page asks for one event more, and a server gives no more than the most."""
    with LiveServer() as server, open_registry(server.url) as registry:
        store = MemoryStore()
        server.serve(store)
        within = Registry(store)
        within.create_registered_model("m")
        for number in range(EVENTS_MAX_RESULTS):
            within.set_registered_model_tag("m", "k", str(number))
        query = histories.query("m", max_results=EVENTS_MAX_RESULTS)
        page = histories.page(registry.store, query, None)
        assert len(page.items) == EVENTS_MAX_RESULTS
        last = histories.page(registry.store, query, page.next_page_token)
        assert ([event.sequence for event in last.items], last.next_page_token) == ([1], None)
