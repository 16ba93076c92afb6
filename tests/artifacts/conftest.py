"""Artifact stores of each kind, and registries on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.artifacts import ArtifactStore
from registry_core.backends import open_artifacts
from registry_core.retention import RETENTION_VARIABLE
from services.artifacts import KINDS, artifact_url, memory_registry, serving, write_tree


@pytest.fixture(params=KINDS)
def root(request: pytest.FixtureRequest) -> str:
    """The URL of a new artifact root; each test runs on every kind."""
    return artifact_url(request.param, request)


@pytest.fixture
def artifacts(root: str) -> Iterator[ArtifactStore]:
    """The artifact store at the root."""
    store = open_artifacts(root)
    yield store
    store.close()


@pytest.fixture
def registry(artifacts: ArtifactStore) -> Registry:
    """A registry with its metadata in memory, and the model `churn` in it."""
    registry = memory_registry(artifacts)
    registry.create_registered_model("churn")
    return registry


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory that is a model of several files."""
    return write_tree(tmp_path / "model")


@pytest.fixture
def direct() -> str:
    """Whether bytes may pass between clients and a bucket."""
    return "on"


@pytest.fixture
def port(registry: Registry, direct: str) -> Iterator[int]:
    """Where our server answers for the registry."""
    with serving(registry, direct_transfers=direct) as port:
        yield port


@pytest.fixture(autouse=True)
def no_trash(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is deleted cannot be restored, so that its files are garbage at once."""
    monkeypatch.setenv(RETENTION_VARIABLE, "0")
