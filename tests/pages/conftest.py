"""Our server in this process, and somebody who reads its pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.in_process import InProcessServer
from services.pages_browser import Browser


@pytest.fixture(scope="module")
def shared_server() -> Iterator[InProcessServer]:
    with InProcessServer() as server:
        yield server


@pytest.fixture
def server(shared_server: InProcessServer) -> InProcessServer:
    """An application over an empty registry."""
    shared_server.empty()
    return shared_server


@pytest.fixture
def browser(server: InProcessServer) -> Browser:
    return Browser(server)
