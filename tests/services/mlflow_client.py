"""The fixtures of tests that call through MLflow's client, for the directories that have such tests.

Each of these has a fixture `registry`: the kind of a store, and the URI that the client is given.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import acceptance
from services.registry_server import QUIET

# Read by mlflow when it is imported.
os.environ.update(QUIET)

CLIENT_ENVIRONMENT = {
    # A failed call is a failed test: no minutes of retries.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Every load of a prompt asks the server.
    "MLFLOW_ALIAS_PROMPT_CACHE_TTL_SECONDS": "0",
    "MLFLOW_VERSION_PROMPT_CACHE_TTL_SECONDS": "0",
}


FOREIGN_WARNINGS = ("DeprecationWarning", "FutureWarning", "UserWarning")
"""What MLflow and scikit-learn warn about is theirs. UserWarning includes what pytest says of sockets
and files that nobody closed: in such a directory MLflow's client does that, and no code of ours runs in
the same process."""


def let_foreign_warnings_pass(items: list[pytest.Item], directory: Path) -> None:
    """Lets the warnings of other people's libraries pass in the tests of a directory."""
    for item in items:
        if item.path.parent == directory:
            for category in FOREIGN_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{category}"))


@pytest.fixture(scope="session", autouse=True)
def client_environment() -> Iterator[None]:
    """What the client reads from the environment at each call."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for key, value in CLIENT_ENVIRONMENT.items():
            monkeypatch.setenv(key, value)
        yield


@pytest.fixture
def store(registry: tuple[str, str]) -> str:
    """The kind of the store under test."""
    return registry[0]


@pytest.fixture
def url(registry: tuple[str, str]) -> str:
    """Where the registry under test is."""
    return registry[1]


@pytest.fixture
def tracking_uri(url: str) -> str:
    """Where the client tracks runs: on the server under test."""
    return url


@pytest.fixture
def name() -> str:
    """A name that no other test uses, also good for a prompt."""
    return f"m-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def calls(request: pytest.FixtureRequest, store: str) -> Iterator[set[str]]:
    """The calls that the test has made; afterwards, those it says it covers must be among them."""
    made: set[str] = set()
    declared = acceptance.declared(request.node)
    request.node.user_properties += [("store", store), ("calls", sorted(declared))]
    failed = request.session.testsfailed
    yield made
    if request.session.testsfailed == failed:
        assert declared <= made, f"covered but never called: {sorted(declared - made)}"


@pytest.fixture
def client(url: str, tracking_uri: str, calls: set[str]) -> acceptance.Recorded:
    """MLflow's client, as a user makes it, with our server as its registry."""
    from mlflow import MlflowClient

    return acceptance.Recorded(
        MlflowClient(tracking_uri=tracking_uri, registry_uri=url), acceptance.CLIENT, calls
    )


@pytest.fixture
def fluent(url: str, tracking_uri: str, calls: set[str]) -> Iterator[acceptance.Recorded]:
    """The `mlflow` module with our server as its registry and nothing else to talk to."""
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(url)
    try:
        yield acceptance.Recorded(mlflow, "mlflow", calls)
    finally:
        mlflow.set_registry_uri(None)
        mlflow.set_tracking_uri(None)
