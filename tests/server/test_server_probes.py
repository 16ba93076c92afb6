"""The routes beside the registry: probes, metrics, the OpenAPI document (contract 1.7)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
from http import HTTPStatus

import attrs
import pytest

from registry_core import Registry, SchemaOutOfDateError, StoreUnavailableError
from registry_core.backends import open_artifacts
from registry_core.metering import Amounts
from registry_core.stores.memory import MemoryStore
from registry_core.wire import CODES
from registry_core.wire.prefixes import API, OWN_API
from registry_core.wire.snapshots import SNAPSHOTS_PATH
from registry_server import Settings
from registry_server.http import probes
from registry_server.http.amounts import AmountsGauge
from registry_server.http.metrics import BUCKETS, LIVE_SECONDS, STATUSES, Gauge, Metrics
from registry_server.http.middleware import Middleware
from registry_server.http.own import ALL_OPERATIONS
from registry_server.http.responses import Response
from services.in_process import InProcessServer
from services.processes import wait_for


class AbsentStore(MemoryStore):
    """A store that answers nothing."""

    failure: Exception = StoreUnavailableError("the database did not answer")

    def ping(self):
        raise self.failure


@pytest.fixture
def absent():
    with InProcessServer(Registry(AbsentStore())) as server:
        yield server


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        (b"/health", "text/plain; charset=utf-8", b"OK"),
        (b"/ready", "text/plain; charset=utf-8", b"OK"),
        (b"/version", "text/html; charset=utf-8", b"3.17.2"),
    ],
)
def test_probe_answers_with_a_word(server, method, path, content_type, body):
    """And to HEAD with none."""
    answer = server.send(method, path)
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert answer.body == (body if method == "GET" else b"")


def reasons(caplog):
    """Why the store was not ready, as the log says."""
    prefix = "the store is not ready: "
    messages = [record.getMessage() for record in caplog.records]
    return [text.removeprefix(prefix) for text in messages if text.startswith(prefix)]


@pytest.mark.parametrize(
    "failure",
    [
        StoreUnavailableError('connection to server at "10.1.2.3" failed: user "ann"'),
        SchemaOutOfDateError("upgrade it"),
    ],
)
def test_ready_says_no_while_the_store_does_not_answer(absent, failure, caplog):
    """Live it still is. Why not is for the log: whoever asks has shown no credentials."""
    absent.registry.store.failure = failure
    answer = absent.send("GET", b"/ready")
    assert (answer.status, answer.json["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert answer.json["message"] == "The store is not ready; the server's log has the reason."
    assert absent.send("GET", b"/health").status == 200
    assert reasons(caplog) == [str(failure)]


def test_reason_is_logged_once_in_a_while(absent, monkeypatch, caplog):
    """Anybody may ask, as often as they like."""
    for number in range(100):
        absent.registry.store.failure = StoreUnavailableError(f"reason {number}")
        assert absent.send("GET", b"/ready").status == 503
    assert reasons(caplog)[0] == "reason 0"
    assert len(reasons(caplog)) < 10
    monkeypatch.setattr(probes, "REASON_LOGGED_SECONDS", 0.0)
    assert absent.send("GET", b"/ready").status == 503
    assert reasons(caplog)[-1] == "reason 99"


def test_ready_does_not_wait_for_ever(absent, monkeypatch, caplog):
    """A probe that hangs is a probe that lies."""
    monkeypatch.setattr(probes, "READY_SECONDS", 0.0)
    assert absent.send("GET", b"/ready").status == 503
    assert reasons(caplog) == ["it did not answer within 0 seconds"]


@pytest.mark.parametrize("prefix", [b"/api", b"/ajax-api"])
def test_server_info_has_what_clients_look_at(server, prefix):
    """No workspaces; everything that is not here is off."""
    info = server.send("GET", prefix + b"/3.0/mlflow/server-info").json
    assert info == {
        "store_type": None,
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "features_enabled": {"gateway": False, "scheduled_issue_detection": False},
        "artifact_serving_enabled": False,
        "tracking_auth": "",
        "model_artifact_presigned_downloads_supported": False,
        "skill_content_max_size": 0,
        "skill_content_max_files": 0,
        "idempotency_keys": True,
    }


# Metrics


def counters(text, name):
    return dict(re.findall(rf"^{name}{{(.*)}} (\S+)$", text, re.MULTILINE))


def test_metrics_count_requests_by_operation_and_status():
    """Also those that no operation saw."""
    with InProcessServer() as server:
        server.call("POST", "/registered-models/create", {"name": "m"})
        server.call("POST", "/registered-models/create", {"name": "m"})
        server.send("GET", b"/nope")
        server.send("GET", b"/health", headers=[(b"host", b"evil.com")])
        server.send("GET", b"/metrics", headers=[(b"host", b"evil.com")])
        answer = server.send("GET", b"/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = answer.body.decode()
    assert counters(text, "registry_requests_total") == {
        'group="registered-models",operation="createRegisteredModel",status="200"': "1",
        'group="registered-models",operation="createRegisteredModel",status="400"': "1",
        'group="probes",operation="health",status="200"': "1",
        'group="other",operation="other",status="404"': "1",
        'group="other",operation="other",status="403"': "1",
    }
    times = counters(text, "registry_request_seconds_count")
    assert times['group="registered-models",operation="createRegisteredModel"'] == "2"
    stored = counters(text, "registry_store_seconds_count")
    assert stored == {'work="changing"': "2"}
    assert "\nregistry_models 1\n" in text
    assert "\nregistry_model_versions 0\n" in text


def test_metrics_name_every_status_that_the_server_sends():
    """Pages answer a form with another page; each code of an error has its status."""
    sent = {code.status for code in CODES.values()} | {HTTPStatus.SEE_OTHER}
    assert sent <= set(STATUSES)


def test_operations_of_mlflow_are_counted_by_its_kinds_whatever_their_prefix():
    """What only its older clients ask for is not ours."""
    groups = {operation.id: operation.group for operation in ALL_OPERATIONS}
    assert set(groups.values()) == {"registered-models", "model-versions", "own"}
    assert groups["listRegisteredModels"] == groups["searchRegisteredModels"]


def test_metrics_have_cumulative_buckets():
    """As Prometheus wants them: each counts all that are not slower."""
    metrics = Metrics({"a": "g"})
    for seconds in (0.0005, 0.001, 0.2, 99.0):
        metrics.record("a", 200, seconds)
    found = counters(metrics.text(), "registry_request_seconds_bucket")
    values = [int(found[f'group="g",operation="a",le="{bound}"']) for bound in (*BUCKETS, "+Inf")]
    assert values == [0] * 2 + [1] + [2] * 7 + [3] * 6 + [4]
    sums = counters(metrics.text(), "registry_request_seconds_sum")
    assert float(sums['group="g",operation="a"']) == pytest.approx(99.2015)


def test_metrics_add_up_the_workers(tmp_path, monkeypatch):
    """Dead ones included; a counter may not fall. Another release's file is not ours to read."""
    first = Metrics({"a": "g"})
    first.share(tmp_path)
    first.record("a", 200, 0.1)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    second = Metrics({"a": "g"})
    second.share(tmp_path)
    second.record("a", 200, 0.1)
    second.record("b", 299, 0.1)
    (tmp_path / "9.counters").write_bytes(b"short")
    assert counters(second.text(), "registry_requests_total") == {
        'group="g",operation="a",status="200"': "2",
        'group="other",operation="other",status="other"': "1",
    }
    assert len(list(tmp_path.glob("*.counters"))) == 3


def test_gauges_are_those_of_live_workers(tmp_path, monkeypatch):
    """What a dead one had open is closed."""
    open_connections = {1: 2, 2: 3}

    def worker(pid):
        monkeypatch.setattr(os, "getpid", lambda: pid)
        gauge = Gauge(name="g", help="G.", read=lambda: open_connections[pid], labels={"a": "b"})
        metrics = Metrics({}, gauges=[gauge])
        metrics.share(tmp_path)
        return metrics

    first, second = worker(1), worker(2)
    first.sample()
    assert counters(second.text(), "g") == {'a="b"': "5"}
    assert "registry_workers 2\n" in second.text()
    first._counters[first._stamp] -= int(LIVE_SECONDS * 1e9)
    assert counters(second.text(), "g") == {'a="b"': "3"}
    assert "registry_workers 1\n" in second.text()


def test_artifacts_are_counted_by_route_and_by_byte(tmp_path):
    """In and out, as the server sees them; a listing moves none."""
    registry = Registry(MemoryStore(), artifacts=open_artifacts(str(tmp_path)), local_sources=False)
    with InProcessServer(registry) as server:
        for method, path, body in (
            ("PUT", b"/artifacts/d/f", b"x" * 100_000),
            ("GET", b"/artifacts/d/f", b""),
            ("GET", b"/artifacts?path=d", b""),
            ("GET", b"/presigned/d/f", b""),
            ("GET", b"/nope", b""),
        ):
            server.send(method, b"/api/2.0/mlflow-artifacts" + path, body)
        text = server.send("GET", b"/metrics").body.decode()
    assert counters(text, "registry_artifact_bytes_total") == {
        'direction="in"': "100000",
        'direction="out"': "100000",
    }
    found = counters(text, "registry_requests_total")
    assert {key for key in found if "artifacts" in key} == {
        'group="artifacts",operation="uploadArtifact",status="200"',
        'group="artifacts",operation="downloadArtifact",status="200"',
        'group="artifacts",operation="listArtifacts",status="200"',
        'group="artifacts",operation="presignArtifact",status="501"',
    }


def test_amounts_are_counted_seldom_and_never_by_the_scrape():
    """A count that takes a second is not made again for a hundred; an outage keeps the last one."""
    now, counts = [0.0], []

    class Slow(MemoryStore):
        def amounts(self):
            counts.append(threading.current_thread())
            now[0] += 1.0
            if len(counts) == 2:
                raise StoreUnavailableError("away")
            return Amounts(models=len(counts), versions=7)

    gauge = AmountsGauge(clock=lambda: now[0])
    gauge.start(Registry(Slow(), local_sources=False))

    def models():
        return [family.samples[0].value for family in gauge.families()][:1]

    wait_for(lambda: models() == [1])
    now[0] = 100.0
    assert models() == [1]
    assert len(counts) == 1
    now[0] = 102.0
    models()
    wait_for(lambda: len(counts) == 2 and not gauge._counting.locked())
    assert models() == [1]
    assert threading.current_thread() not in counts
    now[0] = 1_000.0
    wait_for(lambda: models() == [3])


# OpenAPI


def test_document_describes_every_operation(server):
    """With its request, its answer, and the shape of errors."""
    document = server.send("GET", b"/openapi.json").json
    described = {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    for operation in ALL_OPERATIONS:
        found = described.pop((operation.method, operation.documented_path))
        assert found["operationId"] == operation.id
        in_body = {field.name for field in attrs.fields(operation.request)}
        in_body -= {parameter["name"] for parameter in found.get("parameters", ())}
        assert ("requestBody" in found) == bool(in_body)
        assert operation.method != "GET" or not in_body
        assert set(found["responses"]) == {"200", "4XX", "5XX"}
    of_one = "/webhooks/{webhook_id}"
    assert {path for _, path in described} <= {
        *(
            f"{prefix}{path}"
            for prefix in (API, OWN_API)
            for path in ("/webhooks", of_one, f"{of_one}/test")
        ),
        *(f"{OWN_API}{of_one}/{part}" for part in ("deliveries", "redeliver")),
        SNAPSHOTS_PATH,
    }


def test_document_refers_only_to_what_it_has(server):
    """A reference into nothing would stop every generator."""
    answer = server.send("GET", b"/openapi.json")
    schemas = answer.json["components"]["schemas"]
    referred = set(re.findall(r"#/components/schemas/(\w+)", answer.body.decode()))
    assert referred <= set(schemas)


def test_settings_are_not_told(server):
    """Neither the store's URL nor the environment is anybody's business."""
    secret = Settings(store="postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(secret)


@pytest.mark.parametrize("answers", [True, False])
def test_requests_are_counted_once_before_their_answer_is_out(answers):
    """Whoever was answered finds the request counted; one that nobody answered is counted too."""
    metrics = Metrics({})
    counts = []

    def counted():
        found = [
            line for line in metrics.text().splitlines() if line.startswith("registry_requests")
        ]
        return [line.rpartition(" ")[2] for line in found]

    async def app(scope, receive, send):
        if not answers:
            raise RuntimeError
        await Response(200, b"{}")(scope, receive, send)

    async def send(message):
        counts.append((message["type"], counted()))

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    with contextlib.suppress(RuntimeError):
        asyncio.run(Middleware(app, metrics=metrics)(scope, receive, send))
    assert counted() == ["1"]
    if answers:
        assert counts == [("http.response.start", []), ("http.response.body", ["1"])]
