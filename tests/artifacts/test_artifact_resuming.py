"""Large files whose upload was interrupted: they go on where they were, whoever ended it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import attrs
import pytest

from registry_core import ConflictError, InvalidArgumentError, open_registry
from registry_core.artifacts import (
    RESUMABLE_BYTES,
    Manifest,
    ManifestFile,
    ResumingArtifactStore,
    make_manifest,
)
from registry_core.artifacts.backends import s3_parts
from registry_core.artifacts.backends.local import LocalArtifactStore
from registry_core.artifacts.versions import push
from registry_core.artifacts.versions.transfer import Meter
from registry_core.backends import open_artifacts
from registry_core.stores.rest import transfers
from registry_core.stores.rest.transport import Transport
from registry_core.wire.uploads import OFFSET_HEADER
from services.artifacts import artifact_url, memory_registry, serving

SECONDS = 60.0
PIECE = 256 * 1024
SIZE = RESUMABLE_BYTES + 3 * PIECE
DIES_AFTER = SIZE * 3 // 4

DYING = """
import os, signal, sys
from pathlib import Path
from registry_core import open_registry
from registry_core.artifacts import trees
def dying(read):
    def reading(*args):
        given = 0
        for piece in read(*args):
            if given >= int(sys.argv[4]):
                os.kill(os.getpid(), signal.SIGKILL)
            given += len(piece)
            yield piece
    return reading
trees.Tree.read = dying(trees.Tree.read)
trees.Tree.read_rest = dying(trees.Tree.read_rest)
with open_registry(sys.argv[1], artifacts=sys.argv[2] or None) as registry:
    registry.push_model_version("m", Path(sys.argv[3]), create=True)
"""
"""Pushes until so many bytes of a file were given, and is no more."""


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest) -> str:
    return artifact_url(request.param, request)


@pytest.fixture
def artifacts(root: str) -> Iterator[ResumingArtifactStore]:
    opened = open_artifacts(root)
    assert isinstance(opened, ResumingArtifactStore)
    yield opened
    opened.close()


def pieces_of(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


def unannounced(_: str) -> None:
    """For who needs not to know which file is visible before it is compared."""


def suspended(artifacts: ResumingArtifactStore, content: bytes) -> str:
    """Write all of `m/f` and suspend it before it is there; its digest."""
    digest = hashlib.sha256(content).hexdigest()
    writer = artifacts.resuming_writer("m/f", sha256=digest, start=0, announce=unannounced)
    for piece in pieces_of(content):
        writer.write(piece)
    writer.suspend()
    return digest


def test_a_suspended_write_goes_on(artifacts: ResumingArtifactStore) -> None:
    content = os.urandom(3 * s3_parts.PART_SIZE + 1)
    digest = hashlib.sha256(content).hexdigest()
    assert artifacts.kept_bytes("m/f", sha256=digest) == 0
    writer = artifacts.resuming_writer("m/f", sha256=digest, start=0, announce=unannounced)
    for piece in pieces_of(content[: 2 * s3_parts.PART_SIZE + PIECE]):
        writer.write(piece)
    writer.suspend()
    kept = artifacts.kept_bytes("m/f", sha256=digest)
    assert kept >= 2 * s3_parts.PART_SIZE
    assert not artifacts.list("m")
    writer = artifacts.resuming_writer("m/f", sha256=digest, start=kept, announce=unannounced)
    for piece in pieces_of(content[kept:]):
        writer.write(piece)
    assert writer.commit().size == len(content)
    with artifacts.read("m/f") as reading:
        assert b"".join(reading) == content
    assert artifacts.kept_bytes("m/f", sha256=digest) == 0


def test_what_goes_on_with_other_bytes_is_not_kept(artifacts: ResumingArtifactStore) -> None:
    content = os.urandom(2 * s3_parts.PART_SIZE)
    digest = suspended(artifacts, content)
    kept = artifacts.kept_bytes("m/f", sha256=digest)
    with pytest.raises(ConflictError):
        artifacts.resuming_writer(
            "m/f", sha256=digest, start=kept + 1, announce=unannounced
        ).commit()
    announced = list[str]()
    writer = artifacts.resuming_writer("m/f", sha256=digest, start=kept, announce=announced.append)
    writer.write(b"other")
    with pytest.raises(InvalidArgumentError):
        writer.commit()
    # A bucket compares it when it is there, and has said so before.
    assert len(artifacts.list("m")) == len(announced) == int(artifacts.root.startswith("s3:"))
    assert artifacts.kept_bytes("m/f", sha256=digest) == 0


def test_what_is_announced_makes_no_file_if_it_is_refused_or_cancelled(
    artifacts: ResumingArtifactStore,
) -> None:
    """A local store announces nothing: it compares first."""
    content = os.urandom(2 * s3_parts.PART_SIZE)
    digest = suspended(artifacts, content)
    is_s3 = artifacts.root.startswith("s3:")

    def refuse(_: str) -> None:
        raise ConflictError("no")

    def cancel(write_id: str) -> None:
        artifacts.cancel_write("m/f", write_id)

    for announce in (refuse, cancel) if is_s3 else ():
        kept = artifacts.kept_bytes("m/f", sha256=digest)
        writer = artifacts.resuming_writer("m/f", sha256=digest, start=kept, announce=announce)
        writer.write(b"rest")
        with pytest.raises(ConflictError):
            writer.commit()
        assert not artifacts.list("m")
    artifacts.cancel_write("m/f", "over")


def test_a_write_that_was_dropped_publishes_no_other(tmp_path: Path) -> None:
    """A collection took it for dead, and another process began the same file anew."""
    artifacts = LocalArtifactStore(tmp_path)
    content = os.urandom(2 * PIECE)
    digest = hashlib.sha256(content).hexdigest()
    first = artifacts.resuming_writer("m/f", sha256=digest, start=0, announce=unannounced)
    first.write(content)
    assert artifacts.drop_partial(before=2**62) == 1
    second = artifacts.resuming_writer("m/f", sha256=digest, start=0, announce=unannounced)
    second.write(content[:PIECE])
    with pytest.raises(ConflictError):
        first.commit()
    assert not artifacts.list("m")
    second.write(content[PIECE:])
    second.commit()
    with artifacts.read("m/f") as reading:
        assert b"".join(reading) == content


def test_an_aborted_write_leaves_nothing(artifacts: ResumingArtifactStore) -> None:
    content = os.urandom(2 * s3_parts.PART_SIZE)
    digest = hashlib.sha256(content).hexdigest()
    writer = artifacts.resuming_writer("m/f", sha256=digest, start=0, announce=unannounced)
    for piece in pieces_of(content):
        writer.write(piece)
    writer.abort()
    assert artifacts.kept_bytes("m/f", sha256=digest) == 0
    assert artifacts.drop_partial(before=2**62, dry_run=True) == 0


def killed(store: str, root: str, model: Path) -> None:
    """Push until the process is killed in the middle of the file."""
    command = [sys.executable, "-c", DYING, store, root, str(model), str(DIES_AFTER)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def wait_for_no_upload(url: str) -> None:
    """Return when the server has put away what a dead client has sent."""
    end = time.monotonic() + SECONDS
    while 'registry_transfers{direction="in"} 0' not in urlopen(f"{url}/metrics").read().decode():
        assert time.monotonic() < end, "an upload does not end"
        time.sleep(0.02)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that is one large file."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(os.urandom(1024) * (SIZE // 1024))
    return tmp_path / "model"


def test_a_push_through_a_server_goes_on_after_a_kill(
    root: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    stream = Transport.stream

    def counted(
        self: Transport,
        method: str,
        target: str,
        headers: dict[str, str],
        **kwargs: Iterable[bytes],
    ) -> object:
        if method == "PUT":
            kwargs["body"] = map(counting, kwargs["body"])
        return stream(self, method, target, headers, **kwargs)

    def counting(piece: bytes) -> bytes:
        sent.append(len(piece))
        return piece

    with memory_registry(root, local_sources=False) as registry, serving(registry) as port:
        url = f"http://127.0.0.1:{port}"
        killed(url, "", model)
        wait_for_no_upload(url)
        monkeypatch.setattr(Transport, "stream", counted)
        with open_registry(url) as client:
            version = client.push_model_version("m", model, create=True)
        assert version.version == 1
        assert sum(sent) <= SIZE - DIES_AFTER + 4 * s3_parts.PART_SIZE
        assert sum(sent) < SIZE
        assert registry.verify_model_version("m", 1).files[0].size == SIZE


def test_a_push_goes_on_when_the_dead_one_is_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may still write what a push has sent that was killed a moment ago."""
    content = (model / "weights").read_bytes()
    file = ManifestFile(path="weights", size=SIZE, sha256=hashlib.sha256(content).hexdigest())
    stream, offsets = Transport.stream, list[str | None]()

    def noted(
        self: Transport, method: str, target: str, headers: dict[str, str], **kwargs: Any
    ) -> object:
        if method == "PUT":
            offsets.append(headers.get(OFFSET_HEADER))
        return stream(self, method, target, headers, **kwargs)

    with memory_registry(str(tmp_path / "root")) as registry, serving(registry) as port:
        begun = registry.begin_push("m", make_manifest([file]), create=True)
        assert isinstance(registry.artifacts, ResumingArtifactStore)
        writer = registry.artifacts.resuming_writer(
            f"{begun.path}/weights", sha256=file.sha256, start=0, announce=unannounced
        )
        writer.write(content[:DIES_AFTER])
        monkeypatch.setattr(Transport, "stream", noted)
        pausing = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: writer.suspend())
        monkeypatch.setattr(transfers, "time", pausing)
        with open_registry(f"http://127.0.0.1:{port}") as client:
            assert client.push_model_version("m", model).version == 1
        assert offsets == [str(DIES_AFTER)] * 2
        assert registry.verify_model_version("m", 1).files[0].size == SIZE


def test_a_push_into_a_root_goes_on_after_a_kill(
    root: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same writes the files of `copy --artifacts`."""
    store, starts = f"sqlite:///{tmp_path}/registry.db", list[int]()
    after = push.after

    def noted(start: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
        starts.append(start)
        return after(start, pieces)

    killed(store, root, model)
    monkeypatch.setattr(push, "after", noted)
    with open_registry(store, artifacts=root) as registry:
        assert registry.push_model_version("m", model).version == 1
        assert registry.verify_model_version("m", 1).files[0].size == SIZE
    (start,) = starts
    assert start >= DIES_AFTER - 4 * s3_parts.PART_SIZE
    assert start > 0


def test_a_push_through_a_server_that_kept_too_much_begins_anew(root: str, model: Path) -> None:
    digest = hashlib.sha256((model / "weights").read_bytes()).hexdigest()
    file = ManifestFile(path="weights", size=SIZE, sha256=digest)
    with memory_registry(root, local_sources=False) as registry, serving(registry) as port:
        path = f"{registry.begin_push('m', make_manifest([file]), create=True).path}/weights"
        assert isinstance(registry.artifacts, ResumingArtifactStore)
        writer = registry.artifacts.resuming_writer(
            path, sha256=digest, start=0, announce=unannounced
        )
        for piece in pieces_of(os.urandom(1024) * (SIZE // 512)):
            writer.write(piece)
        writer.suspend()
        assert registry.artifacts.kept_bytes(path, sha256=digest) > SIZE
        with open_registry(f"http://127.0.0.1:{port}") as client:
            assert client.push_model_version("m", model).version == 1
        assert registry.verify_model_version("m", 1).files[0].size == SIZE


@attrs.frozen
class OneFile:
    """A tree of one file."""

    manifest: Manifest
    content: bytes

    def read(self, _: ManifestFile) -> Iterator[bytes]:
        """See `FileTree`."""
        return pieces_of(self.content)


def test_a_push_of_the_same_bytes_meanwhile_waits_for_nobody(
    artifacts: ResumingArtifactStore,
) -> None:
    content = os.urandom(1024) * (SIZE // 1024)
    file = ManifestFile(path="f", size=SIZE, sha256=hashlib.sha256(content).hexdigest())
    first = artifacts.resuming_writer("m/f", sha256=file.sha256, start=0, announce=unannounced)
    for piece in pieces_of(content[: 2 * s3_parts.PART_SIZE]):
        first.write(piece)
    tree = OneFile(make_manifest([file]), content)
    context = memory_registry(artifacts).files._context
    push.write_file(context, "m", tree, file, Meter(SIZE, None))
    with artifacts.read("m/f") as reading:
        assert b"".join(reading) == content
    first.abort()
    assert artifacts.stat("m/f").size == SIZE
