"""PostgreSQL goes away and comes back under load: clean answers, no lost write, no help needed."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Self

import attrs
import pytest

from services.postgres import PostgresServer
from services.registry_server import RegistryServer
from services.wire_client import Answer, WireClient

WRITERS = 8
ANSWER_SECONDS = 5.0
"""Seconds within which a request must be answered while the database is away."""

RECOVERY_SECONDS = 10.0
"""Seconds after the database is back within which requests succeed again."""


@attrs.define
class Load:
    """Writers that never stop, and all that they were told."""

    url: str
    name: str
    acknowledged: set[str] = attrs.field(factory=set)
    refused: list[Answer] = attrs.field(factory=list)
    unexpected: list[Answer] = attrs.field(factory=list)
    slowest_seconds: float = 0.0
    _stop: threading.Event = attrs.field(factory=threading.Event)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _threads: list[threading.Thread] = attrs.field(factory=list)

    def __enter__(self) -> Self:
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        number = 0
        with WireClient(self.url) as client:
            while not self._stop.is_set():
                number += 1
                source = f"s3://b/{writer}-{number}"
                start = time.monotonic()
                answer = client.post("/model-versions/create", name=self.name, source=source)
                self._note(answer, source, time.monotonic() - start)
                if answer.status != 200:
                    # As a client would wait, only shorter.
                    self._stop.wait(0.05)

    def _note(self, answer: Answer, source: str, seconds: float) -> None:
        with self._lock:
            self.slowest_seconds = max(self.slowest_seconds, seconds)
            if answer.status == 200:
                self.acknowledged.add(source)
            elif answer.status == 503:
                self.refused.append(answer)
            else:
                self.unexpected.append(answer)


def eventually(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Returns once the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    """A PostgreSQL of the test's own, as careful as in production."""
    with PostgresServer(durable=True) as database:
        yield database


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_registry_survives_an_outage_of_postgresql(database: PostgresServer, end: str) -> None:
    """While it is away: 503 with Retry-After, soon. Then it goes on, with nothing lost."""
    name = f"m-{uuid.uuid4().hex[:10]}"
    with RegistryServer(database.url()) as server, WireClient(server.url) as client:
        assert client.post("/registered-models/create", name=name).status == 200
        with Load(server.url, name) as load:
            eventually(lambda: len(load.acknowledged) >= 20, 30, "no write succeeds")
            getattr(database, end)()
            eventually(lambda: len(load.refused) >= 2 * WRITERS, 30, "no write is refused")
            answer = client.get("/registered-models/get", name=name)
            assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")
            database.start()
            before = len(load.acknowledged)
            eventually(
                lambda: len(load.acknowledged) >= before + 20,
                RECOVERY_SECONDS,
                f"no write succeeds after the outage:\n{server.log[-4000:]}",
            )
        assert load.unexpected == []
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in load.refused)
        assert {answer.error_code for answer in load.refused} == {"TEMPORARILY_UNAVAILABLE"}
        assert load.slowest_seconds < ANSWER_SECONDS
        found = client.get("/model-versions/search", filter=f"name = '{name}'").json
        sources = [version["source"] for version in found["model_versions"]]
        numbers = sorted(int(version["version"]) for version in found["model_versions"])
        assert load.acknowledged <= set(sources)
        assert len(set(sources)) == len(sources)
        assert numbers == list(range(1, len(numbers) + 1))
