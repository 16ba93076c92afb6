"""How requests travel: paths, methods, bodies, headers, limits (contract 1.1, 1.2, 1.5, 1.10)."""

from __future__ import annotations

import gzip
import inspect
import json

import pytest

from registry_core import (
    ConflictError,
    ContentionError,
    Registry,
    StoreBusyError,
    StoreUnavailableError,
)
from registry_core.backends import open_artifacts
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.stores.memory import MemoryStore
from registry_core.wire.prefixes import API
from registry_server import Settings
from registry_server.http import outages
from registry_server.http.operations import AJAX_API, PREVIEW_API, REGISTRY_OPERATIONS, SEED_API
from registry_server.http.outages import Outage
from services.in_process import InProcessServer, missing

JSON = [(b"content-type", b"application/json")]
WRONG_CONTENT_TYPE = "Bad Request. Content-Type must be one of ['application/json']."


def create(server, name="m"):
    return server.call("POST", "/registered-models/create", {"name": name})


# Paths and methods (contract 1.1)


def test_every_operation_answers_under_every_prefix(server):
    """The browser's prefix, the older layout and that of old clients lead to the same handlers."""
    for operation in REGISTRY_OPERATIONS:
        assert operation.paths == tuple(
            prefix + operation.path for prefix in (API, AJAX_API, SEED_API, PREVIEW_API)
        )
        for path in operation.paths:
            answer = server.send(operation.method, path.encode(), b"{}", JSON)
            assert answer.status in {200, 400}, path
            assert answer.headers["content-type"] == "application/json"


def test_clients_before_2_0_list_all_models(server):
    """By name and in pages, under their prefix alone."""
    for name in ("b", "a", "c"):
        create(server, name)
    path = f"{PREVIEW_API}/registered-models/list"
    first = server.send("GET", f"{path}?max_results=2".encode()).json
    assert [model["name"] for model in first["registered_models"]] == ["a", "b"]
    rest = server.send("GET", f"{path}?page_token={first['next_page_token']}".encode()).json
    assert [model["name"] for model in rest["registered_models"]] == ["c"]
    assert server.send("GET", f"{API}/registered-models/list".encode()).status == 404


def test_there_are_22_operations_with_names_of_their_own():
    """21 of MLflow's, one of them by two methods."""
    assert len(REGISTRY_OPERATIONS) == 22
    assert len({operation.id for operation in REGISTRY_OPERATIONS}) == 22
    assert len({(operation.method, operation.path) for operation in REGISTRY_OPERATIONS}) == 22


@pytest.mark.parametrize(
    "path",
    [
        b"/api/2.0/mlflow/registered-models/nope",
        b"/api/2.0/mlflow/registered-models/get/",
        b"/api/2.0/mlflow/%2Fregistered-models/get",
        b"/%2fapi/2.0/mlflow/registered-models/get",
        b"//api/2.0/mlflow/registered-models/get//",
        b"/api/2.1/mlflow/registered-models/get",
        b"/api/3.0/mlflow/registered-models/get",
        b"/ajax-api/3.0/mlflow/registered-models/get",
        b"/api/2.0/mlflow/Registered-Models/get",
        b"/ajax-api/2.0/mlflow/model-registry/registered-models/get",
        b"/registered-models/get",
        b"/%00",
        b"/%ff%fe",
        b"/api/2.0/mlflow/server-info",
        b"/api/2.1/mlflow/webhooks",
        b"/api/3.0/mlflow-artifacts/artifacts",
    ],
)
def test_unknown_path_is_a_json_error(server, path):
    """No slash at the end is forgiven, and the code is the one that makes clients fall back."""
    answer = server.send("GET", path + b"?name=m")
    assert answer.status == 404
    assert answer.json["error_code"] == "ENDPOINT_NOT_FOUND"


@pytest.mark.parametrize(
    "path",
    [
        b"//api/2.0/mlflow/registered-models/get",
        b"///api//2.0/mlflow////registered-models//get",
        b"//ajax-api/2.0/mlflow//registered-models/get",
        b"/api/2.0/mlflow//model-registry/registered-models/get",
    ],
)
def test_doubled_slashes_are_one(server, path):
    """People write `$URL/` and `/api`; MLflow's server answers or redirects."""
    create(server)
    assert server.send("GET", path + b"?name=m").json["registered_model"]["name"] == "m"
    target = b"//api/2.0//mlflow/registered-models/create"
    assert server.send("POST", target, b'{"name":"n"}', JSON).status == 200
    assert server.send("GET", b"//health").body == b"OK"


def test_doubled_slashes_are_one_in_a_path_with_a_name(server):
    """It is another kind of route; what is percent-encoded belongs to the name."""
    answer = server.send("GET", b"//api/2.0/mlflow//webhooks//any")
    assert answer.json["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    answer = server.send("GET", b"/api/2.0/mlflow/webhooks/a%2F%2Fb")
    assert answer.json["error_code"] == "ENDPOINT_NOT_FOUND"


def test_doubled_slashes_before_the_path_of_an_artifact_are_one(tmp_path):
    """Within it each counts: a file has one spelling."""
    registry = Registry(MemoryStore(), artifacts=open_artifacts(str(tmp_path)))
    with InProcessServer(registry) as server:
        path = b"//api//2.0/mlflow-artifacts//artifacts/a/b"
        assert server.send("PUT", path, b"text").status == 200
        assert (tmp_path / "a" / "b").read_bytes() == b"text"
        for path in (b"/artifacts//a/b", b"/artifacts/a//b", b"//artifacts/a//b"):
            answer = server.send("GET", b"/api/2.0/mlflow-artifacts" + path)
            assert (answer.status, answer.json["message"]) == (400, "Invalid path")


def test_doubled_slashes_pass_no_guard(server):
    """Neither of the two that look at a path."""
    path = b"//api//2.0/mlflow/registered-models/create"
    headers = [*JSON, (b"origin", b"http://evil.com")]
    assert server.send("POST", path, b'{"name":"m"}', headers).status == 403
    assert server.send("GET", path, headers=[(b"host", b"evil.com")]).status == 403


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"deflate", b"br", b"identity, gzip"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", b"/api/2.0/mlflow/registered-models/create"),
        ("PATCH", b"/api/2.0/mlflow/registered-models/update"),
        ("PUT", b"/api/2.0/mlflow-artifacts/artifacts/a"),
    ],
)
def test_encoded_body_is_refused_by_its_name(server, method, path, coding):
    """RFC 9110, section 15.5.16; an artifact would be stored as something else."""
    body = gzip.compress(b'{"name":"m"}')
    answer = server.send(method, path, body, [*JSON, (b"content-encoding", coding)])
    assert (answer.status, answer.json["error_code"]) == (415, "BAD_REQUEST")
    assert coding.decode() in answer.json["message"]
    assert answer.headers["accept-encoding"] == "identity"
    plain = [*JSON, (b"content-encoding", b"identity")]
    target = b"/api/2.0/mlflow/registered-models/create"
    assert server.send("POST", target, b'{"name":"m"}', plain).status == 200


def test_unknown_transfer_coding_is_refused_by_its_name(server):
    """RFC 9112, section 6.1."""
    target = b"/api/2.0/mlflow/registered-models/create"
    for coding, status in ((b"gzip, chunked", 501), (b"Chunked", 200)):
        headers = [*JSON, (b"transfer-encoding", coding)]
        assert server.send("POST", target, b'{"name":"m"}', headers).status == status


@pytest.mark.parametrize(
    "path",
    [
        b"/api/2.0/mlflow/experiments/search",
        b"/api/2.0/mlflow/runs/create",
        b"/api/2.0/mlflow/artifacts/presigned-upload-url",
        b"/api/2.0/mlflow/artifacts/presigned-download-url",
        b"/api/3.0/mlflow/server-features",
        b"/api/3.0/mlflow/workspaces",
        b"/ajax-api/3.0/mlflow/workspaces/default",
        b"/model-versions/get-artifact",
        b"/graphql",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_no_registrys_is_not_here(server, method, path):
    """Never a 5xx: the client asks for workspaces and features, and would ask for minutes."""
    answer = server.send(method, path, b"{}", JSON)
    assert (answer.status, answer.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "BREW"])
def test_wrong_method_is_a_json_error_that_says_which_are_right(server, method):
    """A client that only reads statuses is told as well."""
    answer = server.send(method, b"/api/2.0/mlflow/registered-models/get")
    assert (answer.status, answer.json["error_code"]) == (405, "ENDPOINT_NOT_FOUND")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("method", ["POST", "TRACE", "BREW"])
def test_path_with_a_name_in_it_says_so_too(server, method):
    """It is another kind of route."""
    answer = server.send(method, b"/api/2.0/mlflow/webhooks/any")
    assert (answer.status, answer.json["error_code"]) == (405, "ENDPOINT_NOT_FOUND")
    allowed = set(answer.headers["allow"].split(", "))
    assert allowed == {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}


def test_options_tells_the_methods(server):
    """As MLflow: no body, no credentials."""
    answer = server.send("OPTIONS", b"/api/2.0/mlflow/registered-models/alias")
    assert (answer.status, answer.body) == (204, b"")
    assert set(answer.headers["allow"].split(", ")) == {"DELETE", "GET", "HEAD", "OPTIONS", "POST"}


def test_head_is_get_without_its_body(server):
    """Status and headers are those of GET."""
    create(server)
    path = b"/api/2.0/mlflow/registered-models/get"
    for query in (b"?name=m", b"?name=no", b""):
        got, head = server.send("GET", path + query), server.send("HEAD", path + query)
        assert got.headers.pop("x-request-id") != head.headers.pop("x-request-id")
        assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


def test_success_is_exactly_200_and_an_object(server):
    """A client raises on 201 and 204, and on anything but an object."""
    assert create(server).status == 200
    answer = server.call("DELETE", "/registered-models/delete", {"name": "m"})
    assert (answer.status, answer.body) == (200, b"{}")


# Bodies and queries (contract 1.2)


def test_get_with_a_query_reads_only_the_query(server):
    """Not even the fields that the query lacks."""
    create(server)
    target = b"/api/2.0/mlflow/registered-models/get"
    assert server.send("GET", target + b"?name=m", b'{"name":"no"}').status == 200
    answer = server.send("GET", target + b"?x=1", b'{"name":"m"}')
    assert answer.json["message"] == missing("name")


def test_get_without_a_query_reads_the_body(server):
    """Of any content type, or none."""
    create(server)
    target = b"/api/2.0/mlflow/registered-models/get"
    assert server.send("GET", target, b'{"name":"m"}').status == 200
    assert server.send("GET", target + b"?", b'{"name":"m"}').status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "delete"), ("PATCH", "update"), ("POST", "get-latest-versions")],
)
def test_other_methods_ignore_the_query(server, method, path):
    """A name in the query is no name."""
    create(server)
    target = f"{API}/registered-models/{path}?name=m".encode()
    answer = server.send(method, target, b"{}", JSON)
    assert (answer.status, answer.json["message"]) == (400, missing("name"))
    assert server.send(method, target, b'{"name":"m"}', JSON).status == 200


@pytest.mark.parametrize(
    ("content_type", "message"),
    [
        (None, "Bad Request. Content-Type header is missing."),
        (b"text/plain", WRONG_CONTENT_TYPE),
        (b"application/x-www-form-urlencoded", WRONG_CONTENT_TYPE),
        (b"APPLICATION/JSON", WRONG_CONTENT_TYPE),
    ],
)
def test_only_post_must_say_that_it_sends_json(server, content_type, message):
    """DELETE and PATCH carry bodies too, but nobody asks."""
    create(server)
    headers = [] if content_type is None else [(b"content-type", content_type)]
    body = b'{"name":"m"}'
    post = f"{API}/registered-models/get-latest-versions".encode()
    answer = server.send("POST", post, body, headers)
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json["message"] == message
    assert (
        server.send("PATCH", f"{API}/registered-models/update".encode(), body, headers).status
        == 200
    )
    assert (
        server.send("DELETE", f"{API}/registered-models/delete".encode(), body, headers).status
        == 200
    )


def test_json_body_is_utf8_whatever_its_charset_says(server):
    """Parameters of the content type are ignored."""
    headers = [(b"content-type", b"application/json; charset=latin1")]
    target = f"{API}/registered-models/create".encode()
    answer = server.send("POST", target, '{"name":"é"}'.encode(), headers)
    assert answer.json["registered_model"]["name"] == "é"


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"name": "m", "tags": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"name": "\\ud800"}',
        b'{"name": "a\\u0000b"}',
        b'{"name": "m", "tags": [{"key": "k", "value": "\\udfff"}]}',
        b'{"name": NaN}',
        b'{"name": ' + b"9" * 5_000 + b"}",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_hostile_body_is_refused_as_the_callers_fault(server, body):
    """Depth, NUL, lone surrogates, numbers that are none."""
    answer = server.send("POST", f"{API}/registered-models/create".encode(), body, JSON)
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert server.call("GET", "/registered-models/search").json == {}


def test_body_has_a_limit():
    """Memory is not the client's to fill; 413 is not repeated by clients."""
    with InProcessServer(settings=Settings(threads=1, max_body_bytes=2_000)) as small:
        body = {"name": "m", "description": "d" * 1_900}
        assert small.call("POST", "/registered-models/create", body).status == 200
        answer = small.call("POST", "/registered-models/create", {**body, "name": "n" * 200})
        assert (answer.status, answer.json["error_code"]) == (413, "INVALID_PARAMETER_VALUE")
        assert answer.json["message"] == "The request body exceeds the maximum of 2000 bytes."


def test_body_that_ends_early_is_not_acted_on(server):
    """Half a request may read as a whole one."""
    target = f"{API}/registered-models/create".encode()
    answer = server.send("POST", target, b'{"name":"m"}', JSON, hangs_up=True)
    assert (answer.status, answer.json["error_code"]) == (400, "BAD_REQUEST")
    assert server.call("GET", "/registered-models/search").json == {}


def test_filter_of_64_kib_is_understood(server):
    """The longest that anybody has sent."""
    create(server)
    long = "name != '" + "x" * 65_536 + "'"
    answer = server.call("GET", "/registered-models/search", query=[("filter", long)])
    assert len(answer.json["registered_models"]) == 1


# Answers (contract 1.3, 1.5)


def test_answer_is_ascii_json_with_the_headers_of_safety(server):
    """A browser may neither guess its type nor frame it."""
    answer = create(server, "é 😀")
    assert answer.body.isascii()
    assert json.loads(answer.body)["registered_model"]["name"] == "é 😀"
    assert {key: answer.headers[key] for key in ("content-type", "content-length", "vary")} == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        "vary": "Origin",
    }
    for status in (answer, server.send("GET", b"/nope"), server.send("GET", b"/health")):
        assert status.headers["x-content-type-options"] == "nosniff"
        assert status.headers["x-frame-options"] == "SAMEORIGIN"


# Failures (contract 1.4, 1.10)


class FailingStore(MemoryStore):
    """A store whose reads of a model fail as told."""

    failure: Exception

    def get_registered_model(self, name):
        raise self.failure


@pytest.fixture(scope="module")
def failing():
    with InProcessServer(Registry(FailingStore())) as server:
        yield server


def fail(server, error):
    server.registry.store.failure = error
    return server.call("GET", "/registered-models/get", query=[("name", "m")])


@pytest.fixture
def outage(monkeypatch):
    """No other test's failure counts, and the time of this one stands still."""
    clock = ManualSeconds()
    monkeypatch.setattr(outages, "_outage", Outage(clock))
    return clock


class ManualSeconds:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(("wanted", "told"), [(1, "1"), (3, "3"), (60, "30")])
def test_store_that_is_away_is_503_and_says_when_to_ask_again(failing, outage, wanted, told):
    """The change may have been made: MLflow's client decides by the call whether to repeat it."""
    answer = fail(failing, StoreUnavailableError("no answer", retry_after_seconds=wanted))
    assert (answer.status, answer.json["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert answer.headers["retry-after"] == told


@pytest.mark.parametrize("error", [StoreBusyError("full"), ContentionError("lost again")])
def test_call_that_wrote_nothing_is_429_and_says_when_to_ask_again(failing, outage, error):
    """The one status after which every release of MLflow's client repeats every call."""
    answer = fail(failing, error)
    assert (answer.status, answer.json["error_code"]) == (429, "RESOURCE_EXHAUSTED")
    assert answer.json["message"] == str(error)
    assert answer.headers["retry-after"] == "1"


def test_clients_wait_as_long_again_as_the_store_has_been_away(failing, outage):
    """MLflow's client asks 8 times: a second between each would give up a restart of 7 seconds."""
    waits = []
    while len(waits) < 7:
        waits.append(int(fail(failing, StoreBusyError("away")).headers["retry-after"]))
        outage.now += waits[-1]
    assert waits == [1, 1, 2, 4, 8, 16, 30]
    outage.now += 6  # nobody has asked in vain for longer than anybody was told to wait
    assert fail(failing, StoreBusyError("away")).headers["retry-after"] == "1"


def test_an_outage_is_over_when_a_change_succeeds(failing, outage):
    """The next one begins anew, unless it comes at once; and a standby answers reads all the time."""

    def told(name, *, after):
        outage.now += 100
        fail(failing, StoreBusyError("away"))
        outage.now += 4
        if name:
            assert create(failing, name).status == 200
        failing.call("GET", "/registered-models/search")
        outage.now += after
        return fail(failing, StoreBusyError("away")).headers["retry-after"]

    assert told("", after=1) == "5"
    assert told("flapping", after=1) == "5"
    outage.now += 100
    fail(failing, StoreBusyError("away"))
    outage.now += 5
    fail(failing, StoreBusyError("away"))
    assert create(failing, "back").status == 200
    outage.now += 6
    assert fail(failing, StoreBusyError("away")).headers["retry-after"] == "1"


def test_conflict_is_409(failing):
    """Others have changed what it is about: a client must look, and does not repeat it by itself."""
    answer = fail(failing, ConflictError("lost"))
    assert (answer.status, answer.json) == (409, {"error_code": "ABORTED", "message": "lost"})
    assert "retry-after" not in answer.headers


def test_unexpected_failure_is_500_logged_and_not_told(failing, caplog):
    """The log has the traceback; the client gets no SQL, paths or secrets."""
    answer = fail(failing, RuntimeError("secret detail"))
    assert (answer.status, answer.json["error_code"]) == (500, "INTERNAL_ERROR")
    assert b"secret" not in answer.body
    (record,) = caplog.records
    assert "secret detail" in record.getMessage()
    assert record.exc_info


def test_handlers_know_no_entities(server):
    """Litestar would encode attrs classes by itself, and in its own way (design 2)."""
    checked = 0
    for route in server.app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:
            function = getattr(handler.fn, "func", handler.fn)
            if not inspect.isroutine(function):
                function = type(function).__call__
            for hint in function.__annotations__.values():
                text = repr(hint)
                assert RegisteredModel.__name__ not in text
                assert ModelVersion.__name__ not in text
                assert "registry_core" not in text, f"{handler} is annotated with {hint}"
            checked += 1
    assert checked > 22 * 3
