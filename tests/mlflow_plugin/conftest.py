"""Registries that MLflow reaches through the plug-in: by itself, and behind its own server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.mlflow_client import (
    calls,
    client,
    client_environment,
    fluent,
    let_foreign_warnings_pass,
    name,
    store,
    url,
)
from services.registry_server import WEBHOOKS_ON_LOOPBACK, MlflowServer
from services.stores import store_url

__all__ = ["calls", "client", "client_environment", "fluent", "name", "store", "url"]


OF_SERVERS = {
    "test_create_model_version_checks_model_and_source": "a path of the client's own disk is uploaded",
    "test_a_prompt_version_may_only_have_a_placeholder_as_source": "as above",
    "test_get_registered_model_names_what_is_missing": "the sentence is that of a server",
    "test_search_registered_models_refuses_a_bad_order": "as above",
    "test_create_webhook_checks_what_is_given": "as above",
    "test_webhooks_are_told_what_happens": "a client delivers nothing; what it queued, a server does",
}
"""What only a server answers like that, and why a client that has the store itself does not."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    let_foreign_warnings_pass(items, Path(__file__).parent)
    items[:] = [item for item in items if not is_of_servers(item)]


def is_of_servers(item: pytest.Item) -> bool:
    """Whether a test is about a server, and is asked of a client that has the store itself."""
    function = getattr(item, "originalname", None)
    return function in OF_SERVERS and f"[{DIRECT} " in item.nodeid


DIRECT, SERVER = "direct", "server"
"""The client itself has the plug-in, or MLflow's server has it and the client is as ever."""

REGISTRIES = [
    f"{DIRECT} sqlite",
    f"{SERVER} sqlite",
    *(
        pytest.param(f"{way} {kept_in}", marks=pytest.mark.long)
        for way in (DIRECT, SERVER)
        for kept_in in ("postgresql", "s3")
    ),
]
"""The plug-in does not know where a registry is kept: the gate has it in one place, and a short flow
in every other."""


@pytest.fixture(scope="session", params=REGISTRIES)
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """How MLflow reaches the registry and where it is kept, and the URI that a client is given."""
    kind: str = request.param
    way, _, kept_in = kind.partition(" ")
    with pytest.MonkeyPatch.context() as monkeypatch, store_url(kept_in, request) as where:
        uri = f"registry+{where}"
        if way == DIRECT:
            for key, value in WEBHOOKS_ON_LOOPBACK.items():
                monkeypatch.setenv(key, value)
            yield kind, uri
            return
        directory = tmp_path_factory.mktemp("mlflow")
        server = MlflowServer(directory, registry=uri)
        schema: Path | None = request.getfixturevalue("mlflow_database")
        if schema is not None:
            shutil.copy(schema, server.database)
        with server:
            yield kind, server.url


@pytest.fixture(scope="session")
def local_tracking(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path | None) -> str:
    """The URL of tracking in a SQLite file, which is made once because its schema takes seconds."""
    file = tmp_path_factory.mktemp("tracking") / "tracking.db"
    if mlflow_database is not None:
        shutil.copy(mlflow_database, file)
    return f"sqlite:///{file}"


@pytest.fixture
def mlflow(local_tracking: str, tmp_path: Path) -> Any:
    """The `mlflow` module with tracking in a file, and artifacts of runs in the test's directory."""
    import mlflow

    mlflow.set_tracking_uri(local_tracking)
    name = f"e {tmp_path}"
    mlflow.create_experiment(name, (tmp_path / "runs").as_uri())
    mlflow.set_experiment(name)
    yield mlflow
    mlflow.set_experiment(experiment_id="0")
    mlflow.set_registry_uri(None)
    mlflow.set_tracking_uri(None)


@pytest.fixture
def tracking_uri(store: str, url: str, request: pytest.FixtureRequest) -> str:
    """Where the client tracks runs: on MLflow's server, or in a file."""
    return url if store.startswith(SERVER) else request.getfixturevalue("local_tracking")
