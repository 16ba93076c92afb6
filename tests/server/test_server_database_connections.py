"""A server whose workers would like more connections than their database has."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.postgres import PostgresServer
from services.registry_server import RegistryServer
from services.wire_client import WireClient

pytestmark = pytest.mark.usefixtures("checked_inloop")

SLOTS = 12
"""Connections that the database admits."""

WORKERS = 4
"""Each would open more than its share of them."""

CLIENTS = 24

ROUNDS = 15
"""Of each client, with five calls each."""


def test_workers_share_the_connections_that_the_database_admits() -> None:
    """No call is refused: each waits for a connection of its worker."""
    settings = {"max_connections": str(SLOTS), "superuser_reserved_connections": "0"}
    with (
        PostgresServer(settings=settings) as database,
        RegistryServer(database.url(), workers=WORKERS) as server,
    ):
        with ThreadPoolExecutor(CLIENTS) as threads:
            counts = threads.map(lambda client: calls(server.url, client), range(CLIENTS))
            statuses = sum(counts, Counter())
        assert "too many clients already" in database.log, "there were connections enough"
    assert statuses == {200: CLIENTS * (1 + 5 * ROUNDS)}


def calls(url: str, client: int) -> Counter[int]:
    """How often each status was the answer to what one client asked."""
    name = f"m{client}"
    with WireClient(url) as wire:
        statuses = [wire.post("/registered-models/create", name=name).status]
        for number in range(ROUNDS):
            answers = (
                wire.post("/model-versions/create", name=name, source=f"s3://b/{number}"),
                wire.get("/registered-models/get", name=name),
                wire.post("/registered-models/set-tag", name=name, key="k", value=f"{number}"),
                wire.get("/registered-models/search", filter=f"name = '{name}'"),
                wire.patch("/registered-models/update", name=name, description=f"{number}"),
            )
            statuses += [answer.status for answer in answers]
    return Counter(statuses)
