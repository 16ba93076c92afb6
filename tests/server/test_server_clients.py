"""Clients that offer to speak another protocol: curl, and Java's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from registry_core.backends import open_artifacts
from services.artifacts import memory_registry, serving

API = "/api/2.0/mlflow/registered-models/create"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
CONTENT = (bytes(range(256)) * 1_172)[:300_000]
JAVA = Path(__file__).parent / "clients" / "Upgrading.java"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The URL of a server, and the registry that it serves."""
    registry = memory_registry(open_artifacts(str(tmp_path_factory.mktemp("files"))))
    with registry, serving(registry) as port:
        yield f"http://127.0.0.1:{port}", registry


def content_of(registry, path):
    with registry.artifacts.read(path) as pieces:
        return b"".join(pieces)


def run(*command):
    return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs the program `curl`")
def test_curl_that_offers_http2(server, tmp_path):
    """A body with a length, one in chunks, and one after a question."""
    url, registry = server
    curl = ["curl", "--http2", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30"]
    if b"HTTP2" not in run("curl", "--version"):
        pytest.skip("needs a `curl` that speaks HTTP/2")
    body = '{"name":"curl"}'
    shown = run(*curl, "--json", body, "--write-out", "%{http_code} %{http_version}", url + API)
    assert shown.endswith(b"200 1.1")
    assert registry.get_registered_model("curl").name == "curl"
    file = tmp_path / "file"
    file.write_bytes(CONTENT * 5)
    for path, header in (
        ("length", "Expect:"),
        ("chunks", "Transfer-Encoding: chunked"),
        ("question", "Expect: 100-continue"),
    ):
        run(*curl, "--fail", "-T", str(file), "--header", header, f"{url}{FILES}/curl/{path}")
        assert content_of(registry, f"curl/{path}") == file.read_bytes()


@pytest.mark.skipif(shutil.which("javac") is None, reason="needs a Java Development Kit")
def test_java_offers_http2(server):
    """With each first request of a client, until it is told otherwise."""
    url, registry = server
    lines = run("java", str(JAVA), url).decode().splitlines()
    assert [line.rsplit(" ", 1)[0] for line in lines] == [
        "POST 200",
        "PUT 200",
        "PUT 200",
        "GET 200",
    ]
    assert lines[-1].endswith(f" {len(CONTENT)}")
    assert registry.get_registered_model("java").name == "java"
    assert content_of(registry, "java/length") == CONTENT
    assert content_of(registry, "java/chunks") == CONTENT
