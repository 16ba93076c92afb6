"""Our server in this process, over an empty registry in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.in_process import InProcessServer


@pytest.fixture(scope="session")
def shared_server() -> Iterator[InProcessServer]:
    """One application for many tests; making it takes longer than they do."""
    with InProcessServer() as server:
        yield server


@pytest.fixture
def server(shared_server: InProcessServer) -> InProcessServer:
    """The shared application with an empty registry."""
    shared_server.empty()
    return shared_server
