"""Traces: spans of requests, sent by OTLP to a collector that listens on a real socket."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from registry_server.http import tracing
from registry_server.process.settings import SettingsError
from services.in_process import InProcessServer

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector(monkeypatch):
    """The spans that a collector has received, once a server that was started meanwhile has ended."""
    pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http", reason="the extra otel is missing"
    )
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    def spans():
        requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
        return [
            (resource.resource, span)
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    yield spans
    server.shutdown()
    thread.join()
    server.server_close()


def attributes(of):
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


def test_request_is_a_span_of_its_clients_trace(collector):
    """With its operation, status and id; sent at the latest when the server ends."""
    with InProcessServer() as server:
        answer = server.call(
            "GET",
            "/registered-models/get",
            query=[("name", "m")],
            headers={"traceparent": PARENT, "x-request-id": "r1"},
        )
        server.send("GET", b"/nope")
    assert answer.status == 404
    (resource, span), (_, other) = collector()
    assert attributes(resource)["service.name"] == "registry-server"
    assert span.name == "GET getRegisteredModel"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 60e9
    found = attributes(span)
    assert found["http.response.status_code"] == 404
    assert found["registry.request_id"] == "r1"
    assert "name=m" not in str(found)
    assert not other.parent_span_id


@pytest.mark.parametrize(
    "environ",
    [{}, {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}],
)
def test_nothing_is_imported_without_an_endpoint(environ):
    """Nor where traces are turned off."""
    code = (
        "import sys; from registry_core import open_registry; "
        "from registry_server import create_app; create_app(open_registry('memory:')); "
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', "
        "'opentelemetry.exporter', 'opentelemetry.trace'))])"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, env=environ, text=True).strip() == "[]"


def test_missing_library_is_said_before_anything_is_served(monkeypatch):
    """With the extra that has it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(SettingsError, match=r"pip install 'registry-server\[otel\]'"):
        tracing.check()
