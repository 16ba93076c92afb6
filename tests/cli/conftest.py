"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.invoking import Regctl
from registry_core import Registry, open_store
from registry_core.stores.memory import MemoryStore
from services.live_server import LiveServer


class _StaysOpen(MemoryStore):
    """A memory store that the next command finds as the last one left it."""

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def server() -> Iterator[LiveServer]:
    """Our server, for all tests of the command line."""
    with LiveServer() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "server"])
def cli(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Regctl:
    """The command on an empty store: each test runs on the reference, a file, and a server."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'registry.db'}"
        open_store(url).close()
        return Regctl(url)
    if request.param == "server":
        server = request.getfixturevalue("server")
        server.serve(MemoryStore())
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        return Regctl(server.url)
    store = _StaysOpen()
    monkeypatch.setattr("registry_core.open_registry", lambda _, **__: Registry(store))
    return Regctl("memory:")


@pytest.fixture
def churn(cli: Regctl) -> Regctl:
    """The command on a store that holds the model `churn` with three versions and an alias."""
    cli.ok("models", "create", "churn", "--description", "who leaves", "--tag", "team=risk")
    for number in ("1", "2", "3"):
        cli.ok(
            "versions", "create", "churn", f"s3://bucket/churn/{number}", "--run-id", "r" + number
        )
    cli.says("models", "alias", "churn", "champion", "2")
    return cli
