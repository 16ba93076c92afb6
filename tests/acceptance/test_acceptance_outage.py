"""PostgreSQL goes away and comes back under clients that create: none fails, nothing is made twice.

The clients are MLflow's own, of the release that the tests are installed with and of those whose
interpreters `REGISTRY_TEST_MLFLOW_PYTHONS` lists (`nox -s releases` installs them), and one that
repeats a POST exactly when MLflow 3.18.0's does: after 408 and 429.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import attrs
import psycopg
import pytest

from services.postgres import PostgresServer
from services.processes import wait_for
from services.registry_server import QUIET, RegistryServer
from services.wire_client import Response, WireClient

CREATOR = Path(__file__).parents[1] / "services/mlflow_creator.py"
"""Not imported: it imports MLflow, and every process that collects the tests would wait for that."""

THREADS = 6
"""Of each client."""

OUTAGES = [("kill", 0.0), ("stop", 3.0)]
"""How the database ends, and for how many seconds it stays away."""

CALLS = 4
"""Calls of each thread that succeed before the first outage, between two, and after the last."""

REPETITIONS = 7
"""How often MLflow's client repeats a call, with its settings as they come."""

REPEATED = frozenset({408, 429})
"""The answers after which MLflow 3.18.0 repeats the creation of a model or version."""

CAUTIOUS = "repeats as 3.18.0"

OTHER_PYTHONS = os.environ.get("REGISTRY_TEST_MLFLOW_PYTHONS", "")
"""The interpreters of other releases of MLflow, each in an environment with its name."""

CLIENTS = [
    pytest.param(CAUTIOUS, id=CAUTIOUS),
    pytest.param(sys.executable, id=f"mlflow {importlib.metadata.version('mlflow')}"),
    *(
        pytest.param(python, id=Path(python).parents[1].name)
        for python in filter(None, OTHER_PYTHONS.split(os.pathsep))
    ),
]
if not OTHER_PYTHONS:
    skipped = pytest.mark.skip(reason="MLflow 3.18.0 is not installed: run `nox -s releases`")
    CLIENTS.append(pytest.param("", id="mlflow 3.18.0", marks=skipped))


@attrs.define
class Created:
    """What clients were told that they have created, and what else they were told."""

    models: list[str] = attrs.field(factory=list)
    versions: list[tuple[str, int, str]] = attrs.field(factory=list)
    failed: list[str] = attrs.field(factory=list)
    calls: Counter[int] = attrs.field(factory=Counter)
    """How many have succeeded, by thread."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def note(
        self,
        *,
        thread: int,
        model: str | None = None,
        version: tuple[str, int, str] | None = None,
        failed: str | None = None,
    ) -> None:
        with self._lock:
            if model is not None:
                self.models.append(model)
            if version is not None:
                self.versions.append(tuple(version))
            if failed is not None:
                self.failed.append(failed)
            else:
                self.calls[thread] += 1

    def await_progress(self) -> None:
        """Returns when `CALLS` more of each thread have succeeded, or one has failed."""
        targets = {thread: self.calls[thread] + CALLS for thread in range(THREADS)}
        wait_for(lambda: self.failed or all(self.calls[t] >= n for t, n in targets.items()), 120)

    def check(self, client: WireClient, shared: str) -> None:
        """Everything is there once, and nothing else is."""
        assert self.failed == []
        models = sorted(model["name"] for model in _all(client, "registered-models"))
        assert models == sorted([*self.models, shared])
        there = sorted(
            (version["name"], int(version["version"]), version["source"])
            for version in _all(client, "model-versions")
        )
        assert there == sorted(self.versions)
        numbers = sorted(number for name, number, _ in there if name == shared)
        assert numbers == list(range(1, len(numbers) + 1))


def _all(client: WireClient, kind: str) -> list[dict[str, str]]:
    """Everything of a kind, read page by page."""
    found: list[dict[str, str]] = []
    page = {"max_results": "1000"}
    while True:
        answer = client.get(f"/{kind}/search", **page).json
        found += answer.get(kind.replace("-", "_"), ())
        if "next_page_token" not in answer:
            return found
        page["page_token"] = answer["next_page_token"]


class Mlflow:
    """The client of a release of MLflow, in a process of its own."""

    def __init__(self, python: str, url: str, shared: str, created: Created) -> None:
        settings = {key: value for key, value in os.environ.items() if "MLFLOW_HTTP" not in key}
        command = [python, os.fspath(CREATOR), url, shared, str(THREADS)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=settings | QUIET,
        )
        self._reader = threading.Thread(target=self._read, args=(created,))

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.stdin.close()
            self._reader.join()
            self._process.stdout.close()
            assert self._process.wait(60) == 0
        finally:
            self._process.kill()

    def _read(self, created: Created) -> None:
        for line in self._process.stdout:
            created.note(**json.loads(line))


class Cautious:
    """A client that repeats what MLflow 3.18.0's repeats, over a bare connection."""

    def __init__(self, url: str, shared: str, created: Created) -> None:
        self._url = url
        self._shared = shared
        self._created = created
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._create, args=(number,)) for number in range(THREADS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _create(self, thread: int) -> None:
        number = 0
        with WireClient(self._url, timeout_seconds=120) as client:
            while not self._is_over.is_set():
                number += 1
                name, source = f"wire-{thread}-{number}", f"s3://bucket/{thread}-{number}"
                tags = [{"key": "n", "value": str(number)}] if number % 2 else []
                answer = self._post(client, "/registered-models/create", name=name, tags=tags)
                self._note(thread, answer, model=name)
                for model in (name, self._shared):
                    answer = self._post(client, "/model-versions/create", name=model, source=source)
                    number_of = answer.json.get("model_version", {}).get("version", 0)
                    self._note(thread, answer, version=(model, int(number_of), source))

    def _note(self, thread: int, answer: Response, **what: object) -> None:
        if answer.status != 200:
            what = {"failed": f"{what}: {answer}"}
        self._created.note(thread=thread, **what)

    def _post(self, client: WireClient, path: str, **fields: object) -> Response:
        for _ in range(REPETITIONS + 1):
            answer = client.post(path, **fields)
            if answer.status not in REPEATED:
                break
            self._is_over.wait(int(answer.headers["retry-after"]))
        return answer


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """A PostgreSQL of the tests' own, as careful as in production."""
    with PostgresServer(durable=True) as database:
        yield database


@pytest.fixture
def url(database: PostgresServer) -> str:
    """A database of its own."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(database.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    return database.url(name)


@pytest.mark.parametrize("client", CLIENTS)
def test_creations_survive_outages_of_postgresql(
    database: PostgresServer, url: str, client: str
) -> None:
    """Each call succeeds; each model is there once; the versions are 1 to N, each of one call."""
    created, shared = Created(), "shared"
    with RegistryServer(url, workers=2) as server, WireClient(server.url) as wire:
        assert wire.post("/registered-models/create", name=shared).status == 200
        creating = (
            Cautious(server.url, shared, created)
            if client == CAUTIOUS
            else Mlflow(client, server.url, shared, created)
        )
        with creating:
            for end, seconds in OUTAGES:
                created.await_progress()
                getattr(database, end)()
                time.sleep(seconds)
                database.start()
            created.await_progress()
        created.check(wire, shared)
