"""Paths of a server's own disk as sources: none, unless its operator names a directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core import Registry
from services.artifacts import MODEL, all_bytes, memory_registry, raw_request, serving, write_tree

CREATE = b"POST /api/2.0/mlflow/model-versions/create"
SECRET = b"this is none of your business"


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a model in the allowed one, a secret beside it, and links between them."""
    tmp_path = tmp_path_factory.mktemp("around")
    allowed = tmp_path / "allowed"
    write_tree(allowed / "model")
    write_tree(tmp_path / "secrets", {"key": SECRET})
    write_tree(tmp_path / "allowed-not", {"key": SECRET})
    (allowed / "link").symlink_to(tmp_path / "secrets")
    (allowed / "file").symlink_to(tmp_path / "secrets/key")
    write_tree(allowed / "spoiled")
    (allowed / "spoiled/data/link").symlink_to(tmp_path / "secrets")
    write_tree(allowed / "inner")
    (allowed / "inner/link").symlink_to("MLmodel")
    return tmp_path


def opened(root: Path, *, allowed: Path | None) -> Registry:
    registry = memory_registry(str(root), local_sources=False, local_source_root=allowed)
    registry.create_registered_model("churn")
    return registry


@pytest.fixture(scope="module")
def served(around: Path) -> Iterator[tuple[int, Registry]]:
    """A server that allows the directory."""
    registry = opened(around / "root", allowed=around / "allowed")
    with registry, serving(registry) as port:
        yield port, registry


def create(port: int, source: str) -> tuple[int, bytes]:
    body = json.dumps({"name": "churn", "source": source}).encode()
    answer = raw_request(port, CREATE, {"Content-Type": "application/json"}, body)
    return answer.status, answer.body


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
def test_allowed_directory_is_uploaded(
    served: tuple[int, Registry], around: Path, form: str
) -> None:
    """As by a push: what is registered is a copy, and sealed."""
    port, registry = served
    status, body = create(port, form.format(around / "allowed/model"))
    assert (status, json.loads(body)["model_version"]["status"]) == (200, "READY")
    made = json.loads(body)["model_version"]
    manifest = registry.verify_model_version("churn", made["version"])
    assert {file.path for file in manifest.files} == set(MODEL)
    assert made["source"].startswith(f"{registry.artifacts.root}/")


OUTSIDE = (
    "{around}/secrets", "{around}/secrets/key", "file://{around}/secrets", "{around}/allowed-not",
    "{around}", "/", "/etc/hostname", "/proc/self/root", "//proc/self/root",
    "{around}/allowed/../secrets", "{around}/allowed/model/../../secrets",
    "file://{around}/allowed/%2e%2e/secrets", "file://{around}/allowed/..%2fsecrets",
    "{around}/allowed/link", "{around}/allowed/link/key", "{around}/allowed/file",
    "file://{around}/allowed/link", "{around}/allowed/spoiled", "{around}/allowed/inner",
    "{around}/allowed", "{around}/allowed/none", "{around}/allowed/model\x00", "secrets", "../secrets",
    "{around}/allowed/model\x00/../../secrets", "file://elsewhere{around}/allowed/model",
)  # fmt: skip


@pytest.mark.parametrize("source", OUTSIDE)
def test_nothing_else_is_opened(served: tuple[int, Registry], around: Path, source: str) -> None:
    """With 400; no byte of it is kept, and there is no version."""
    port, registry = served
    before = len(list(registry.iter_model_versions())), all_bytes(registry.artifacts)
    status, body = create(port, source.format(around=around))
    assert status == 400
    assert SECRET not in body
    assert (len(list(registry.iter_model_versions())), all_bytes(registry.artifacts)) == before


@pytest.mark.parametrize("source", ["{around}/allowed/model", "file://{around}/allowed/model"])
def test_default_is_none(around: Path, source: str) -> None:
    """A source is data."""
    registry = opened(around / "other root", allowed=None)
    with registry, serving(registry) as port:
        status, body = create(port, source.format(around=around))
        assert (status, list(registry.iter_model_versions())) == (400, [])
        assert json.loads(body)["error_code"] == "INVALID_PARAMETER_VALUE"
        assert all_bytes(registry.artifacts) == {}
