"""The real MLflow client, and a server process per store for it to talk to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services import acceptance
from services.mlflow_client import (
    calls,
    client,
    client_environment,
    fluent,
    let_foreign_warnings_pass,
    name,
    store,
    tracking_uri,
    url,
)
from services.registry_server import WEBHOOKS_ON_LOOPBACK, RegistryServer
from services.stores import store_url

__all__ = [
    "calls",
    "client",
    "client_environment",
    "fluent",
    "name",
    "store",
    "tracking_uri",
    "url",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    let_foreign_warnings_pass(items, Path(__file__).parent)


@pytest.fixture(scope="session", params=acceptance.STORES)
def registry(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The kind of a store and the URL of a server over it, one process for the session."""
    kind: str = request.param
    if kind == "mlflow":
        yield kind, request.getfixturevalue("mlflow_url")
        return
    with (
        store_url(kind, request) as store,
        RegistryServer(store, environment=WEBHOOKS_ON_LOOPBACK) as server,
    ):
        yield kind, server.url
