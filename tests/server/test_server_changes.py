"""A server that makes short changes in its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import psycopg
import pytest

import registry_server.process.lanes
import registry_server.process.loop_runner
from registry_core import inloop, open_registry, sources
from registry_core.backends import open_artifacts
from registry_core.gates import Gate
from registry_core.source_resolver import SourceResolver
from registry_core.stores.sql.postgresql import PostgresqlConnection
from registry_server import Settings
from registry_server.process.lanes import Lane
from registry_server.process.loop_runner import LoopRunner
from services import processes
from services.forwarding import forward
from services.in_process import InProcessServer
from services.registry_server import RegistryServer
from services.wire_client import API, WireClient

pytestmark = pytest.mark.usefixtures("checked_inloop")

PATIENCE = 30
"""Seconds for what happens at once on an idle machine."""


async def until(is_so):
    while not is_so():  # noqa: ASYNC110 other threads set no event of a loop
        await asyncio.sleep(0.001)


class Watched:
    """Files, and which of their methods an event loop has called."""

    def __init__(self, inner):
        self.called = []
        self.in_loop = []
        self.before = {}
        forward(self, inner, self._watched)

    def _watched(self, name, value):
        if not callable(value):
            return value

        def call(*arguments, **options):
            self.called.append(name)
            if inloop.waiter() is not None:
                self.in_loop.append(name)
            self.before.get(name, lambda: None)()
            return value(*arguments, **options)

        return call


TOKEN = "token of a writer"
ACCESS = f"""
[user.writer]
tokens = ["sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}"]

[[grant]]
users = ["writer"]
role = "admin"
models = ["m", "gated", "new", "there"]
"""


@pytest.fixture
def files(tmp_path):
    return Watched(open_artifacts(f"file://{tmp_path}/root"))


@pytest.fixture
def ran(monkeypatch):
    """In which threads statements ran."""
    names = []
    run = PostgresqlConnection.run

    def watched(self, statement, values):
        names.append(threading.current_thread().name)
        return run(self, statement, values)

    monkeypatch.setattr(PostgresqlConnection, "run", watched)
    return names


@pytest.fixture(params=["open", "with rights"])
def server(request, postgres_url, tmp_path, files):
    settings = Settings(threads=8)
    if request.param == "with rights":
        path = tmp_path / "access.toml"
        path.write_text(ACCESS, encoding="utf-8")
        path.chmod(0o600)
        settings = Settings(threads=8, access_file=str(path))
    (tmp_path / "local").mkdir()
    registry = open_registry(
        postgres_url,
        local_sources=False,
        local_source_root=str(tmp_path / "local"),
    )
    registry.artifacts = files
    with InProcessServer(registry, settings) as server:
        yield server


SHORT = (
    ("POST", "/registered-models/create", {"name": "new"}),
    ("POST", "/model-versions/create", {"name": "m", "source": "s3://b/p"}),
    ("POST", "/registered-models/set-tag", {"name": "m", "key": "k", "value": "v"}),
    ("DELETE", "/registered-models/delete-tag", {"name": "m", "key": "k"}),
    ("POST", "/model-versions/set-tag", {"name": "m", "version": "1", "key": "k", "value": "v"}),
    ("DELETE", "/model-versions/delete-tag", {"name": "m", "version": "1", "key": "k"}),
)


HEADERS = {"authorization": f"Bearer {TOKEN}"}


def made(server, *calls):
    for method, path, body in calls:
        answer = server.call(method, path, body, headers=HEADERS)
        assert answer.status == 200, (path, answer.body)


def test_a_server_makes_short_changes_in_its_loop(server, ran, monkeypatch):
    """Once it has connections; longer ones it makes in threads."""
    given = []
    run = Lane.run

    def watched(self, function):
        given.append(function)
        return run(self, function)

    monkeypatch.setattr(Lane, "run", watched)
    made(server, ("POST", "/registered-models/create", {"name": "m"}))
    made(server, ("POST", "/model-versions/create", {"name": "m", "source": "s3://b/p"}))
    # The thread that looks for webhooks may hold one of them.
    pool = server.registry.store._database._pool
    for connection in [pool.take(fresh=False) for _ in range(3)]:
        pool.put_back(connection)
    here = threading.current_thread().name
    for call in SHORT:
        ran.clear()
        given.clear()
        made(server, call)
        assert given == [], call[1]
        assert here in ran, call[1]
        assert "changing" not in ran, call[1]
    long = {"name": "m", "key": "k", "value": "v" * 4_000}
    for call in (
        ("POST", "/registered-models/set-tag", long),
        ("PATCH", "/registered-models/update", {"name": "m", "description": "d"}),
    ):
        ran.clear()
        made(server, call)
        assert here not in ran, call[1]
        assert "changing" in ran, call[1]


@pytest.fixture
def looked(monkeypatch):
    """Whether an event loop looked at a path of the disk, or at what `models:/` stands for."""
    in_loop = []

    def watch(owner, name):
        value = getattr(owner, name)

        def watched(*arguments, **options):
            in_loop.append(inloop.waiter() is not None)
            return value(*arguments, **options)

        monkeypatch.setattr(owner, name, watched)

    watch(sources, "check_local")
    watch(SourceResolver, "_origin")
    return in_loop


def test_no_file_is_looked_at_in_the_loop(server, files, looked, tmp_path):
    """Neither what a source names, nor what gates want to know, nor links of a disk."""
    gate = Gate(name="g", models=("gated",), aliases=("champion",), verified=True)
    server.registry.gates.replace([gate])
    (tmp_path / "local" / "model").mkdir()
    (tmp_path / "local" / "model" / "f").write_bytes(b"x")
    files.write("there/f", [b"x"])
    made(
        server, *(("POST", "/registered-models/create", {"name": name}) for name in ("m", "gated"))
    )
    for source in (
        f"{files.root}/there",
        "models:/m/1",
        (tmp_path / "local" / "model").as_uri(),
    ):
        files.called.clear()
        made(server, ("POST", "/model-versions/create", {"name": "m", "source": source}))
        assert {"list", "read", "walk", "stat"} & set(files.called), source
    elsewhere = f"{files.root}/nothing"
    refused = server.call(
        "POST", "/model-versions/create", {"name": "m", "source": elsewhere}, headers=HEADERS
    )
    assert refused.status == 400
    made(server, ("POST", "/model-versions/create", {"name": "gated", "source": "models:/m/1"}))
    pointed = {"name": "gated", "alias": "champion", "version": "1"}
    files.called.clear()
    made(server, ("POST", "/registered-models/alias", pointed))
    assert "read" in files.called
    assert files.in_loop == []
    assert looked
    assert not any(looked)


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_observers_may_wait(store, tmp_path, request):
    """Those that say that they do not are called in the loop."""
    url = f"sqlite:///{tmp_path}/r.db"
    registry = open_registry(url if store == "sqlite" else request.getfixturevalue("postgres_url"))
    waiting, quick = [], []
    registry.observe(lambda *_: waiting.append(inloop.waiter() is None))
    registry.observe(lambda *_: quick.append(inloop.waiter() is None), waits=False)
    with InProcessServer(registry, Settings(threads=2)) as server:
        made(server, *(("POST", "/registered-models/create", {"name": f"m{n}"}) for n in range(3)))
    assert waiting == [True] * 3
    assert quick == [False] * 3


def test_what_was_made_under_a_key_before_is_read_in_a_thread(server, ran):
    """It may be longer than the request."""
    made(server, ("POST", "/registered-models/create", {"name": "m"}))
    ran.clear()
    headers = {**HEADERS, "Idempotency-Key": "k" * 20}
    body = {"name": "m", "source": "s3://b/p"}
    answers = [
        server.call("POST", "/model-versions/create", body, headers=headers) for _ in range(2)
    ]
    assert [answer.json["model_version"]["version"] for answer in answers] == ["1", "1"]
    assert threading.current_thread().name not in ran


def test_files_that_are_read_for_long_leave_a_place_to_other_changes(server, files, monkeypatch):
    """Of the same model: what it needs of the database is limited there."""
    monkeypatch.setattr(registry_server.process.lanes, "WAITING_SECONDS", 1.0)
    may_end = threading.Event()
    for n in range(2):
        files.write(f"there/{n}/f", [b"x"])
    files.before["read"] = lambda: may_end.wait(PATIENCE)
    made(server, ("POST", "/registered-models/create", {"name": "m"}))

    def post(path, body):
        sent = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
        sent.append((b"content-type", b"application/json"))
        target = f"{API}{path}".encode()
        return asyncio.ensure_future(
            server._send("POST", target, [json.dumps(body).encode()], sent, hangs_up=False)
        )

    async def main():
        slow = [
            post("/model-versions/create", {"name": "m", "source": f"{files.root}/there/{n}"})
            for n in range(2)
        ]
        await until(lambda: files.called.count("read") == 2)
        tagged = await post("/registered-models/set-tag", {"name": "m", "key": "k", "value": "v"})
        may_end.set()
        return [tagged.status, *(answer.status for answer in await asyncio.gather(*slow))]

    assert server._runner.run(main()) == [200] * 3


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_server_ends_after_the_change_that_waits(postgres_url, is_cut):
    """What was sent is made, also if its client does not hear of it any more."""
    seconds = "1" if is_cut else "30"
    answers = []
    with (
        psycopg.connect(postgres_url, autocommit=True) as watching,
        psycopg.connect(postgres_url) as other,
        RegistryServer(postgres_url, arguments=("--shutdown-seconds", seconds)) as server,
        ThreadPoolExecutor(1) as stopping,
        WireClient(server.url) as wire,
    ):
        assert wire.post("/registered-models/create", name="m").status == 200
        other.execute("SELECT 1 FROM registered_models WHERE name = 'm' FOR UPDATE")

        def tag():
            with contextlib.suppress(OSError, HTTPException), WireClient(server.url) as waiting:
                answers.append(
                    waiting.post("/registered-models/set-tag", name="m", key="k", value="v")
                )

        client = threading.Thread(target=tag)
        client.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        processes.wait_for(lambda: watching.execute(waits).fetchone() == (1,))
        stopped = stopping.submit(server.stop)
        processes.wait_for(lambda: not server.is_listening())
        if is_cut:
            client.join(PATIENCE)
        other.rollback()
        client.join(PATIENCE)
        assert stopped.result(PATIENCE) == 0
        tags = watching.execute("SELECT value FROM registered_model_tags").fetchall()
    assert tags == [("v",)]
    assert [answer.status for answer in answers] == ([] if is_cut else [200])


def test_changes_are_left_to_threads_before_those_end(tmp_path, monkeypatch):
    """Else nobody would wait for what they have sent."""
    ended = []

    def watch(owner, name):
        value = getattr(owner, name)

        def watched(self):
            ended.append((owner, self))
            return value(self)

        monkeypatch.setattr(owner, name, watched)

    watch(Lane, "close")
    watch(LoopRunner, "close")
    with InProcessServer(
        open_registry(f"sqlite:///{tmp_path}/r.db"), Settings(threads=2)
    ) as server:
        made(server, ("POST", "/registered-models/create", {"name": "m"}))
    kinds = [owner for owner, _ in ended]
    assert kinds.index(LoopRunner) < kinds.index(Lane)
