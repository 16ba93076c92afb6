"""Empty stores of each kind for a server process to serve."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import postgres, s3


@contextlib.contextmanager
def store_url(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a new, empty store: memory, sqlite, postgresql or s3."""
    if kind == "memory":
        yield "memory:"
    elif kind == "sqlite":
        directory: Path = request.getfixturevalue("tmp_path_factory").mktemp("registry")
        yield f"sqlite:///{directory / 'registry.db'}"
    elif kind == "postgresql":
        server, template = map(request.getfixturevalue, ("postgres_server", "postgres_template"))
        with postgres.fresh_database(server, template=template) as url:
            yield url
    else:
        server = request.getfixturevalue("s3_server")
        yield s3.store_url(server.endpoint_url, f"r-{uuid.uuid4().hex[:8]}")
