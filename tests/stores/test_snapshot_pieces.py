"""Models that are too large for one piece: moved piece by piece, with the same result."""

from __future__ import annotations

import itertools
import json
import socket
import tracemalloc
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

import attrs
import pytest
import urllib3

from cli.invoking import Regctl
from registry_cli.errors import ExitCode
from registry_core import (
    AlreadyExistsError,
    ConflictError,
    InvalidArgumentError,
    ModelSnapshot,
    Registry,
    SpooledSnapshot,
    Stage,
    histories,
    open_registry,
    pruning,
    snapshot_format,
    snapshot_pieces,
    snapshot_reading,
    snapshots,
)
from registry_core.history import Event, EventQuery
from registry_core.moves import copying, sources
from registry_core.retention import RETENTION_VARIABLE
from registry_core.stores.memory import MemoryStore
from registry_core.stores.sql import restoring
from registry_core.testing import ManualClock
from registry_core.wire.snapshots import SNAPSHOTS_PATH
from registry_server.http import snapshot_uploads
from services.large_models import large_model
from services.live_server import LiveServer
from services.stores import store_url

VERSIONS = 40


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of seven rows, so that forty versions are six of them."""
    for module, name in (
        (snapshot_pieces, "PIECE_ROWS"),
        (snapshot_reading, "VERSIONS_AT_A_TIME"),
        (snapshot_reading, "EVENTS_MAX_RESULTS"),
    ):
        monkeypatch.setattr(module, name, 7)


def fill(registry: Registry) -> None:
    """A large model with all that one can have, and a small one."""
    ann = registry.acting_as("ann", reason="because")
    ann.create_registered_model("large ü", description="d", tags={"team": "vision"})
    for number in range(1, VERSIONS + 1):
        ann.create_model_version("large ü", source=f"s3://b/{number}", tags={"n": str(number)})
    ann.delete_model_version("large ü", 3)
    ann.delete_model_version("large ü", VERSIONS)
    ann.transition_model_version_stage("large ü", 5, stage="Staging")
    ann.set_registered_model_alias("large ü", "champion", 31)
    ann.create_registered_model("small")
    ann.create_model_version("small", source="s3://b/1")


@pytest.fixture
def source(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/source.db"
    with open_registry(url) as registry:
        fill(registry)
    return url


def test_a_round_through_all_stores_is_byte_identical(
    request: pytest.FixtureRequest, source: str, tmp_path: Path
) -> None:
    exported = tmp_path / "first.jsonl"
    Regctl(source).says("export", str(exported))
    kinds = [json.loads(line)["kind"] for line in exported.read_bytes().splitlines()]
    pieces = kinds.count("model_snapshot_piece")
    assert pieces > VERSIONS // 7
    assert kinds == [
        "model_snapshot",
        *["model_snapshot_piece"] * pieces,
        "model_snapshot",
        "end_of_export",
    ]
    with (
        store_url("postgresql", request) as postgresql,
        store_url("s3", request) as bucket,
        LiveServer() as server,
    ):
        server.serve(MemoryStore())
        urls = [source, bucket, server.url, postgresql]
        for one, other in itertools.pairwise(urls):
            done = Regctl(source).run("copy", one, other)
            assert done.exit_code == ExitCode.OK, done.stderr
            assert "2 copied" in done.stderr
            assert "2 unchanged" in Regctl(source).run("copy", one, other).stderr
        for number, url in enumerate(urls[1:]):
            file = tmp_path / f"{number}.jsonl"
            Regctl(url).says("export", str(file))
            assert file.read_bytes() == exported.read_bytes()
        with open_registry(source) as registry:
            registry.create_model_version("large ü", source="s3://b/later")
        assert "1 unchanged, 1 updated" in Regctl(source).run("copy", source, server.url).stderr
        with open_registry(postgresql) as registry:
            assert registry.verify_history("large ü").is_true
            registry.set_registered_model_tag("large ü", "mine", "yes")
        assert Regctl(source).run("diff", source, postgresql).exit_code == ExitCode.ERROR
        refused = Regctl(source).run("copy", source, postgresql)
        assert (refused.exit_code, "1 failed" in refused.stderr) == (ExitCode.INCOMPLETE, True)


def test_a_model_of_many_bytes_and_few_versions_is_one_line_wherever_it_is_read(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """It is in a temporary file, but neither an export nor a store can tell."""
    source, name = f"sqlite:///{tmp_path}/source.db", "wordy ü"
    with open_registry(source) as registry:
        ann = registry.acting_as("ann", reason="because")
        ann.create_registered_model(name, description="d", tags={"team": "vision"})
        for number in range(1, 5):
            ann.create_model_version(name, source=f"s3://b/{number}", description="模" * number)
        ann.delete_model_version(name, 2)
        ann.approve_model_version(name, 3)
        in_memory = registry.open_snapshot(name)
        Regctl(source).says("export", str(tmp_path / "in memory.jsonl"))
        monkeypatch.setattr(snapshot_reading, "IN_MEMORY_BYTES", 1)
        spooled = registry.open_snapshot(name)
    assert isinstance(in_memory, ModelSnapshot)
    assert isinstance(spooled, SpooledSnapshot)
    assert spooled.whole() == in_memory
    exported = (tmp_path / "in memory.jsonl").read_bytes()
    assert exported.count(b"\n") == len(("the model", "the end"))
    with (
        store_url("postgresql", request) as postgresql,
        store_url("s3", request) as bucket,
        LiveServer() as server,
    ):
        server.serve(MemoryStore())
        for number, url in enumerate((source, postgresql, bucket, server.url)):
            if url != source:
                assert "1 copied" in Regctl(source).run("copy", source, url).stderr
                assert "1 unchanged" in Regctl(source).run("copy", source, url).stderr
            file = tmp_path / f"{number}.jsonl"
            Regctl(url).says("export", str(file))
            assert file.read_bytes() == exported


def test_a_file_of_pieces_is_imported_and_a_damaged_one_is_not(source: str, tmp_path: Path) -> None:
    backup, damaged = tmp_path / "backup.jsonl.gz", tmp_path / "damaged.jsonl"
    Regctl(source).says("export", str(backup))
    restored = f"sqlite:///{tmp_path}/restored.db"
    assert "2 copied" in Regctl(restored).run("import", str(backup)).stderr
    assert Regctl(source).run("diff", source, restored).exit_code == ExitCode.OK
    Regctl(source).says("export", str(damaged))
    lines = damaged.read_bytes().splitlines(keepends=True)
    spoilt = {
        "missing": [*lines[:2], *lines[3:]],
        "exchanged": [lines[0], lines[2], lines[1], *lines[3:]],
        "not JSON": [lines[0], lines[1][:-5] + b"\n", *lines[2:]],
        "no versions": [lines[0], lines[1].replace(b'"versions"', b'"revisions"'), *lines[2:]],
        "cut off": lines[:3],
    }
    for what, content in spoilt.items():
        damaged.write_bytes(b"".join(content))
        result = Regctl(f"sqlite:///{tmp_path}/{what}.db").run("import", str(damaged))
        assert result.exit_code == ExitCode.USAGE, (what, result.stderr)
        assert "Line " in result.stderr, what


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "s3", "server"])
def test_a_snapshot_in_pieces_is_the_same(
    kind: str, request: pytest.FixtureRequest, source: str
) -> None:
    """It is what one in memory is, and is refused for the same reasons."""
    with open_registry(source) as registry:
        large, whole = registry.open_snapshot("large ü"), registry.snapshot("large ü")
        small = registry.open_snapshot("small")
    assert isinstance(large, SpooledSnapshot)
    assert (large.whole(), type(small)) == (whole, ModelSnapshot)
    assert large.stages == {Stage.NONE, Stage.STAGING}
    with LiveServer() as server, store_url("memory" if kind == "server" else kind, request) as url:
        server.serve(MemoryStore())
        with open_registry(server.url if kind == "server" else url) as target:
            restored = target.restore(large)
            assert restored == target.get_registered_model("large ü")
            assert target.snapshot("large ü") == whole
            with pytest.raises(AlreadyExistsError):
                target.restore(large)
            assert target.restore(large, on_conflict="skip") == restored
            target.set_registered_model_tag("large ü", "mine", "yes")
            if kind != "server":
                with pytest.raises(ConflictError):
                    target.restore(large, on_conflict="replace", replaced=large)
            target.restore(large, on_conflict="replace")
            assert target.snapshot("large ü") == whole
            target.rename_registered_model("large ü", new_name="other")
            with pytest.raises(ConflictError, match="another model"):
                target.restore(large)
            assert [each.name for each in target.iter_registered_models()] == ["other"]


def test_a_large_snapshot_without_a_history_gets_one(source: str, tmp_path: Path) -> None:
    with open_registry(source) as registry:
        registry.approve_model_version("large ü", 5)
        bare = registry.snapshot("large ü").without_history()
    assert bare.document.approvals
    with open_registry(f"sqlite:///{tmp_path}/target.db") as target:
        target.restore(snapshot_pieces.spooled(bare))
        assert target.verify_history("large ü").is_true
        assert target.snapshot("large ü").without_history() == bare


def test_an_illegal_snapshot_in_pieces_writes_nothing(source: str, tmp_path: Path) -> None:
    with open_registry(source) as registry:
        whole = registry.snapshot("large ü")
    lines = [*snapshot_pieces.lines_of(whole)]
    lines[2] = lines[2].replace(b'"version":10,', b'"version":1,')
    with LiveServer() as server:
        server.serve(MemoryStore())
        with open_registry(server.url) as target:
            twice = snapshot_pieces.read(lines[0], iter(lines[1:]))
            with pytest.raises(InvalidArgumentError, match="not the number of a version"):
                target.restore(twice)
        after, count = b'"after":31', b'"pieces":%d' % (len(lines) - 1)
        (last,) = (line for line in lines if after in line)
        odd = [
            b"".join(lines).replace(last, last.replace(after, b'"after":' + value))
            for value in (b"NaN", b"1e400", rb'"\ud800"', b"[" * 900 + b"]" * 900)
        ]
        counted = [lines[0].replace(count, b'"pieces":%d' % number) for number in (-1, 10**9)]
        for body in (
            b"",
            b"{}\n",
            lines[0],
            b"".join(lines),
            b"[" * 100_000,
            b"".join([lines[0], b"\xef\xbb\xbf", *lines[1:]]),
            *odd,
            *counted,
        ):
            answer = urllib3.request("POST", f"{server.url}{SNAPSHOTS_PATH}", body=body)
            assert answer.status == HTTPStatus.BAD_REQUEST, (body[:100], answer.data)
        with open_registry(server.url) as target:
            assert not [*target.iter_registered_models()]


def test_an_event_with_values_deep_in_each_other_is_illegal(source: str) -> None:
    with open_registry(source) as registry:
        whole = registry.snapshot("small")
    value: list[object] = []
    for _ in range(10_000):
        value = [value]
    first, *rest = whole.events
    deep = attrs.evolve(whole, events=(attrs.evolve(first, after={"x": value}), *rest))
    with pytest.raises(InvalidArgumentError, match="a value that no event has"):
        snapshots.check(deep)


@pytest.mark.parametrize("reads", ["snapshot", "verification"])
def test_a_history_that_is_pruned_while_it_is_read_is_read_again(
    monkeypatch: pytest.MonkeyPatch, reads: str
) -> None:
    for module in (histories, pruning):
        monkeypatch.setattr(module, "EVENTS_MAX_RESULTS", 7)
    monkeypatch.setenv(RETENTION_VARIABLE, "0")
    clock = ManualClock()

    class Pruning(MemoryStore):
        is_pruned = True

        def events(self, query: EventQuery) -> list[Event]:
            found = super().events(query)
            if not query.newest_first and not self.is_pruned:
                self.is_pruned = True
                clock.now += 1_000
                assert Registry(self).prune_history("large ü", before=clock.now).removed
            return found

    store = Pruning(clock)
    fill(Registry(store))
    store.is_pruned = False
    if reads == "verification":
        verified = histories.verify(store, "large ü")
        assert (store.is_pruned, verified.is_true, verified.problems) == (True, True, ())
        return
    snapshot = snapshots.check(snapshot_reading.take(store, "large ü"))
    assert store.is_pruned
    everything = EventQuery(name="large ü", newest_first=False, max_results=1_000)
    assert snapshot.events == tuple(store.events(everything))


def test_slow_uploads_keep_no_place(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_uploads, "UPLOADS_AT_A_TIME", 2)
    with open_registry(source) as registry, LiveServer() as server, ExitStack() as stack:
        server.serve(MemoryStore())
        head = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n{"
        for _ in range(2):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            slow.sendall(head % SNAPSHOTS_PATH.encode())
        with open_registry(server.url) as target:
            assert target.restore(registry.open_snapshot("large ü")).name == "large ü"


def test_a_store_that_has_models_in_memory_takes_no_huge_one(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_registry(source) as registry:
        body = b"".join(snapshot_pieces.lines_of(registry.snapshot("large ü")))
    monkeypatch.setattr(snapshot_uploads, "WHOLE_MAX_BYTES", len(body) - 1)
    with LiveServer() as server, open_registry(f"sqlite:///{tmp_path}/target.db") as database:
        for store, expected in (
            (MemoryStore(), HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
            (database.store, HTTPStatus.OK),
        ):
            server.serve(store)
            answer = urllib3.request("POST", f"{server.url}{SNAPSHOTS_PATH}", body=body)
            assert answer.status == expected


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [(50, (200, 800)), pytest.param(1_000, (5_000, 20_000), marks=pytest.mark.long)],
)
def test_a_copy_needs_no_memory_for_the_size_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, sizes: tuple[int, int]
) -> None:
    """From database to database, and compared afterwards."""
    for module, name in (
        (snapshot_pieces, "PIECE_ROWS"),
        (snapshot_reading, "VERSIONS_AT_A_TIME"),
        (snapshot_reading, "EVENTS_MAX_RESULTS"),
        (histories, "EVENTS_MAX_RESULTS"),
        (restoring, "INSERT_ROWS"),
    ):
        monkeypatch.setattr(module, name, rows)
    peaks = []
    for versions in sizes:
        one, other = (f"sqlite:///{tmp_path}/{side}{versions}.db" for side in ("one", "other"))
        with open_registry(one) as registry:
            registry.restore(large_model(versions))
        with open_registry(other) as target:
            source = sources.StoreSource(open_registry(one).store)
            tracemalloc.start()
            assert [each.outcome.value for each in copying.copy(source, target)] == ["copied"]
            assert [each.outcome.value for each in copying.copy(source, target)] == ["unchanged"]
            assert not [*copying.compare(source, sources.StoreSource(target.store))]
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            source.store.close()
    few, many = peaks
    assert many < 1.3 * few + 200_000, peaks
    assert many < 64 * 1024 * 1024


def test_the_format_is_refused_by_a_reader_of_one_piece(source: str) -> None:
    with open_registry(source) as registry:
        head = next(snapshot_pieces.lines_of(registry.open_snapshot("large ü")))
    with pytest.raises(InvalidArgumentError, match="pieces"):
        snapshot_format.loads(head)
    assert json.loads(head)["format_version"] == 3
