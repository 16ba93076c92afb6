"""Artifact roots of each kind, directories that are models, and our server over both in a thread."""

from __future__ import annotations

import contextlib
import socket
import uuid
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path

import attrs
import pytest

from registry_core import Registry
from registry_core.artifacts import ArtifactStore
from registry_core.backends import open_artifacts
from registry_core.stores.memory import MemoryStore
from registry_server import Settings, create_app
from registry_server.process.limits import Limits
from services import s3
from services.serving import serving_app

KINDS = ("local", "memory", "s3")

MODEL = {
    "MLmodel": b"flavors: {}\n",
    "data/weights.bin": bytes(range(256)) * 64,
    "data/deep/labels.txt": b"yes\nno\n",
    "empty": b"",
}
"""The files of a small model, by path."""

PREFIX = "/api/2.0/mlflow-artifacts"


def artifact_url(kind: str, request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty artifact root: local, memory or s3."""
    name = f"a-{uuid.uuid4().hex[:10]}"
    if kind == "local":
        directory: Path = request.getfixturevalue("tmp_path_factory").mktemp("artifacts")
        return str(directory / name)
    if kind == "memory":
        return f"memory://{name}"
    return s3.store_url(request.getfixturevalue("s3_server").endpoint_url, name)


def write_tree(directory: Path, files: Mapping[str, bytes] = MODEL) -> Path:
    """The directory, with these files in it."""
    for path, body in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
    return directory


def read_tree(directory: Path) -> dict[str, bytes]:
    """All files below a directory, by path."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def all_bytes(artifacts: ArtifactStore, path: str = "") -> dict[str, bytes]:
    """Every file below a folder of an artifact store, by path, ours too."""
    found = {}
    for info in artifacts.walk(path):
        with artifacts.read(info.path) as pieces:
            found[info.path] = b"".join(pieces)
    return found


def memory_registry(root: str | ArtifactStore, **options: object) -> Registry:
    """A registry with its metadata in memory, as a server opens one."""
    artifacts = open_artifacts(root) if isinstance(root, str) else root
    return Registry(MemoryStore(), artifacts=artifacts, **options)


@contextlib.contextmanager
def serving(
    registry: Registry, limits: Limits | None = None, *, direct_transfers: str = "off"
) -> Iterator[int]:
    """The port on which our server answers for a registry, in a thread of this process."""
    settings = Settings(threads=4, direct_transfers=direct_transfers)
    with serving_app(create_app(registry, settings), limits) as served:
        yield served.port


@attrs.frozen
class Response:
    """An answer as it came over the socket."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def raw_request(
    port: int, request_line: bytes, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Response:
    """The answer to a request whose first line is exactly this, without the HTTP version."""
    fields = {"Host": f"127.0.0.1:{port}", "Connection": "close", **(headers or {})}
    if body or request_line.startswith((b"PUT", b"POST")):
        fields.setdefault("Content-Length", str(len(body)))
    head = request_line + b" HTTP/1.1\r\n"
    head += b"".join(f"{name}: {value}\r\n".encode() for name, value in fields.items())
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head + b"\r\n" + body)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> Response:
    """The answer that comes before the connection closes."""
    received = b""
    while piece := connection.recv(1 << 20):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:])
    }
    return Response(HTTPStatus(int(lines[0].split()[1])), headers, body)
