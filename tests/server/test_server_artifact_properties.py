"""Whatever a client sends to the artifact routes: never a 500, and nothing but its own files moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings

from registry_core import Registry
from registry_core.backends import open_artifacts
from registry_core.stores.memory import MemoryStore
from registry_server.artifacts import PREFIXES
from registry_server.process.settings import DIRECT_ON, Settings
from server.odd_requests import (
    NASTY,
    artifact_bodies,
    artifact_headers,
    artifact_targets,
    assert_orderly,
    methods,
)
from services.artifacts import artifact_url
from services.examples import examples
from services.in_process import InProcessServer
from services.wire_client import Response

EXAMPLES = {"local": 120, "s3": 60}
"""Requests, by kind of artifact root."""

OUTSIDE = b"not an artifact"

UNPRINTABLE = [text for text in NASTY if not text.isascii() or not text.isprintable()]


@pytest.fixture(scope="module", params=EXAMPLES)
def kind(request: pytest.FixtureRequest) -> str:
    """The artifact root behind the server."""
    return request.param


@pytest.fixture(scope="module")
def root(kind: str, request: pytest.FixtureRequest) -> str:
    """The URL of the root."""
    return artifact_url(kind, request)


@pytest.fixture(scope="module")
def server(root: str) -> Iterator[InProcessServer]:
    """A server with a version, whose files are under the root, and with files of nobody."""
    registry = Registry(MemoryStore(), artifacts=open_artifacts(root), local_sources=False)
    for path in ("m/one/MLmodel", "m/one/deep/weights.bin", "free/a.txt"):
        registry.artifacts.write(path, [b"0123456789"])
    registry.create_registered_model("m")
    registry.create_model_version("m", source=f"{registry.artifacts.root}/m/one")
    with InProcessServer(registry, Settings(threads=2, direct_transfers=DIRECT_ON)) as server:
        yield server


@pytest.mark.hypothesis
def test_odd_artifact_requests_get_an_orderly_answer(server, kind, root):
    """Paths that climb, encodings, ranges, parts of uploads that never were."""
    beside = Path(root).parent / "secret"
    if kind == "local":
        beside.write_bytes(OUTSIDE)

    @settings(max_examples=examples(EXAMPLES[kind]))
    @given(method=methods, target=artifact_targets, body=artifact_bodies, sent=artifact_headers)
    def check(method, target, body, sent):
        answer = server.send(method, target, body, sent)
        if answer.status == 416:
            assert answer.body == b""
        else:
            assert_orderly(answer, method, may_lack=kind == "local")
        assert OUTSIDE not in answer.body

    check()
    sealed = server.registry.artifacts
    for path in ("m/one/MLmodel", "m/one/deep/weights.bin"):
        with sealed.read(path) as pieces:
            assert b"".join(pieces) == b"0123456789"
    if kind == "local":
        assert beside.read_bytes() == OUTSIDE
        assert {path.name for path in beside.parent.iterdir()} == {"secret", Path(root).name}


def test_unprintable_text_in_every_upload_gets_an_orderly_answer(server, kind):
    """Each field of the multipart routes, each text: in a bucket's URL and XML it has no place."""
    if kind == "local":
        pytest.skip("a directory has no such uploads")

    def send(action: str, fields: object) -> Response:
        target = f"{PREFIXES[0]}/mpu/{action}/up".encode()
        return server.send("POST", target, json.dumps(fields).encode())

    upload = send("create", {"path": "f"}).json
    parts = [{"part_number": 1, "etag": '"e"'}]
    for text in UNPRINTABLE:
        for action, fields in (
            ("create", {"path": text, "num_parts": 1}),
            ("complete", {"path": "f", "upload_id": text, "parts": parts}),
            ("complete", {"path": "f", **upload, "parts": [{"part_number": 1, "etag": text}]}),
            ("abort", {"path": "f", "upload_id": text}),
        ):
            assert_orderly(send(action, fields), "POST")
