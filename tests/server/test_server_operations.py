"""Tables of operations: a row under a prefix of its own is served as those of MLflow are."""

from __future__ import annotations

import json
import threading
import urllib.parse
from typing import Any

import attrs
import pytest

from registry_core import open_registry
from registry_core.wire import requests
from registry_core.wire.prefixes import OWN_API
from registry_server import Settings
from registry_server.http import response_shapes
from registry_server.http.declarations import CALLERS, DECLARATIONS
from registry_server.http.operations import REGISTRY_OPERATIONS, SHORT_BODY_BYTES, Operation, Work
from registry_server.http.response_shapes import ResponseShape
from services.in_process import InProcessServer, missing

JSON = [(b"content-type", b"application/json")]


@attrs.frozen(kw_only=True)
class GetHistory:
    """A page of what happened to a model."""

    name: str
    max_results: int = 10


@attrs.frozen(kw_only=True)
class Describe:
    """A model's new description."""

    name: str
    text: str


def _history(context, request):
    model = context.registry.get_registered_model(request.name)
    return {
        "name": model.name,
        "max_results": request.max_results,
        "thread": threading.current_thread().name,
    }


def _describe(context, request):
    return context.registry.update_registered_model(request.name, description=request.text)


HISTORY: ResponseShape[dict[str, Any]] = ResponseShape(
    "HistoryAnswer", dict, {"name": {"type": "string"}}
)

OWN = (
    Operation(
        id="getModelHistory",
        prefix=OWN_API,
        method="GET",
        path="/models/{name}/history",
        request=GetHistory,
        call=_history,
        answer=HISTORY,
        summary="Get what happened to a model.",
        work=Work.READING,
    ),
    Operation(
        id="describeModel",
        prefix=OWN_API,
        method="POST",
        path="/models/{name}/history",
        request=Describe,
        call=_describe,
        answer=response_shapes.REGISTERED_MODEL,
        summary="Describe a model.",
    ),
    Operation(
        id="listModels",
        prefix=OWN_API,
        method="GET",
        path="/models",
        request=requests.SearchRegisteredModels,
        call=lambda context, _: context.registry.search_registered_models(),
        answer=response_shapes.REGISTERED_MODELS,
        summary="List models.",
        work=Work.SEARCHING,
    ),
)
PATH = b"/api/registry/v1/models/m/history"


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    """An application does not start with a route that nobody has declared."""
    for each in OWN:
        monkeypatch.setitem(DECLARATIONS, each.id, CALLERS)


@pytest.fixture
def own():
    with serving() as server:
        yield server


def serving(settings=None, registry=None):
    server = InProcessServer(registry, settings, operations=(*REGISTRY_OPERATIONS, *OWN))
    server.registry.create_registered_model("m")
    return server


def counted(server, operation, status):
    text = server.send("GET", b"/metrics").body.decode()
    return f'operation="{operation}",status="{status}"}} 1' in text


# What an operation is


def test_an_operation_says_each_thing_by_its_own_name():
    """The query, the event loop and HEAD are three questions, and have three answers."""
    by_query, by_body = (
        operation
        for operation in reversed(REGISTRY_OPERATIONS)
        if operation.path.endswith("/get-latest-versions")
    )
    assert (by_query.methods, by_query.has_query) == (("GET", "HEAD"), True)
    assert (by_body.methods, by_body.has_query) == (("POST",), False)
    assert by_query.may_run_in_loop
    assert by_body.may_run_in_loop
    changing = {op.id for op in REGISTRY_OPERATIONS if not op.may_run_in_loop}
    assert changing == {op.id for op in REGISTRY_OPERATIONS if op.work is Work.CHANGING}
    assert not any(op.has_query for op in REGISTRY_OPERATIONS if op.id in changing)


def test_an_operation_of_our_own_has_one_path():
    """MLflow's other prefixes are MLflow's."""
    assert [operation.paths for operation in OWN] == [
        ("/api/registry/v1/models/{name}/history",),
        ("/api/registry/v1/models/{name}/history",),
        ("/api/registry/v1/models",),
    ]


# Served


def test_an_operation_of_our_own_is_served(own):
    """From the query, from a body, and by HEAD."""
    answer = own.send("GET", PATH + b"?max_results=3")
    assert (answer.status, answer.json["name"], answer.json["max_results"]) == (200, "m", 3)
    answer = own.send("POST", PATH, b'{"text": "d"}', JSON)
    assert (answer.status, answer.json["registered_model"]["description"]) == (200, "d")
    head = own.send("HEAD", PATH)
    assert (head.status, head.body) == (200, b"")
    assert own.send("GET", b"/api/registry/v1/models").json["registered_models"]
    assert counted(own, "describeModel", 200)


def test_a_read_of_our_own_runs_in_the_event_loop(tmp_path):
    """Where MLflow's do, if the store can."""
    registry = open_registry(f"sqlite:///{tmp_path / 'r.db'}", local_sources=False)
    with serving(registry=registry) as server:
        server.send("GET", PATH)  # the first may have to connect
        assert server.send("GET", PATH).json["thread"] == threading.main_thread().name
        assert server.send("POST", PATH, b'{"text": "d"}', JSON).status == 200


def test_latest_versions_by_body_are_read_as_those_by_query(own):
    """The client asks by POST."""
    own.call("POST", "/model-versions/create", {"name": "m", "source": "s3://b/k"})
    path = "/registered-models/get-latest-versions"
    by_body = own.call("POST", path, {"name": "m"})
    assert by_body.status == 200
    assert by_body.body == own.call("GET", path, query=[("name", "m")]).body
    answer = own.call("POST", path, {})
    assert (answer.status, answer.json["message"]) == (400, missing("name"))
    answer = own.call("POST", path, {"name": "nobody"})
    assert answer.status == 404


@pytest.mark.parametrize(
    "name",
    ["a b", "ü", "a%2Fb", "a+b", "{name}", "history", "a?b", "a#b", "a;b", "日本", ".a", "-"],
)
def test_a_name_in_the_path_is_decoded_once(own, name):
    """Whatever a model may be called, its path leads to it and to no other."""
    assert own.call("POST", "/registered-models/create", {"name": name}).status == 200
    quoted = urllib.parse.quote(name, safe="").encode()
    answer = own.send("GET", b"/api/registry/v1/models/%s/history" % quoted)
    assert (answer.status, answer.json.get("name")) == (200, name)


def test_the_path_says_the_name_and_nothing_else_does(own):
    """A field of the same name beside it has no effect."""
    assert own.send("GET", PATH + b"?name=other").json["name"] == "m"
    answer = own.send("POST", PATH, b'{"name": "other", "text": "t"}', JSON)
    assert answer.json["registered_model"]["name"] == "m"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PATH + b"/", 404),
        ("GET", PATH.replace(b"/m/", b"//"), 404),
        ("GET", PATH.replace(b"/m/", b"/a%2Fb/"), 404),
        ("GET", PATH.replace(b"v1", b"v2"), 404),
        ("GET", b"/ajax-api/registry/v1/models", 404),
        ("GET", PATH.replace(b"/m/", b"/nobody/"), 404),
        ("PUT", PATH, 405),
        ("POST", PATH, 400),
    ],
)
def test_what_is_no_request_of_our_own_is_a_json_error(own, method, path, status):
    answer = own.send(method, path)
    assert answer.status == status
    assert {"error_code", "message"} <= answer.json.keys()


def test_methods_of_one_path_are_told(own):
    for method in ("OPTIONS", "PATCH"):
        allowed = own.send(method, PATH).headers["allow"]
        assert set(allowed.split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_body_of_our_own_has_a_limit(own):
    body = json.dumps({"text": "x" * SHORT_BODY_BYTES}).encode()
    assert own.send("POST", PATH, body, JSON).status == 413


# Guarded


def test_pages_of_other_sites_do_not_reach_operations_of_our_own(own):
    """Neither by their origin nor by a name that resolves to the server."""
    foreign = [(b"origin", b"https://evil.example")]
    refused = own.send("POST", PATH, b'{"text": "d"}', [*JSON, *foreign])
    assert refused.status == 403
    assert own.send("GET", PATH, headers=[(b"host", b"evil.example")]).status == 403
    assert own.registry.get_registered_model("m").description is None


def test_operations_of_our_own_ask_for_credentials(tmp_path):
    """And the change bears the name of who gave them."""
    users = tmp_path / "users"
    users.write_text("alice:secret\n")
    users.chmod(0o600)
    with serving(Settings(threads=2, auth_file=str(users))) as server:
        for method in ("GET", "POST", "HEAD"):
            assert server.send(method, PATH, b"", JSON).status == 401
        allowed = [*JSON, (b"authorization", b"Bearer secret")]
        assert server.send("GET", PATH, b"", allowed).status == 200
        authors = []
        server.registry.observe(lambda _, __, author: authors.append(author))
        assert server.send("POST", PATH, b'{"text": "d"}', allowed).status == 200
        assert [author.actor for author in authors] == ["alice"]


# Documented


def test_operations_of_our_own_are_in_the_same_document(own):
    """With the parameters of their paths; the body has the rest."""
    document = own.send("GET", b"/openapi.json").json
    item = document["paths"]["/api/registry/v1/models/{name}/history"]
    assert item.keys() == {"get", "post"}
    assert item["get"]["operationId"] == "getModelHistory"
    places = {parameter["name"]: parameter["in"] for parameter in item["get"]["parameters"]}
    assert places == {"name": "path", "max_results": "query"}
    assert [parameter["name"] for parameter in item["post"]["parameters"]] == ["name"]
    body = item["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"].keys() == {"text"}
    assert document["components"]["schemas"]["HistoryAnswer"]["properties"] == {
        "name": {"type": "string"}
    }
    assert "/api/2.0/mlflow/registered-models/get" in document["paths"]
