"""Large files that a push sends while it hashes them: before their place is known."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import xxhash

from artifacts.test_artifact_resuming import wait_for_no_upload
from registry_core import InvalidArgumentError, PushInterrupted, Registry, open_registry
from registry_core.artifacts import RESUMABLE_BYTES, ArtifactStore, FileInfo
from registry_core.artifacts.backends.local import LocalArtifactStore
from registry_core.artifacts.digests import Sha256
from registry_core.artifacts.open_files import FilePiece
from registry_core.artifacts.versions import early
from registry_core.errors import RegisteredModelNotFoundError, StoreUnavailableError
from registry_core.models import Status
from registry_core.stores.rest.store import RestStore
from registry_core.stores.rest.transport import Transport
from registry_core.wire.uploads import OFFSET_HEADER, UPLOAD_HEADER, UPLOADS_PATH
from services.artifacts import (
    MODEL,
    PREFIX,
    Response,
    all_bytes,
    artifact_url,
    memory_registry,
    raw_request,
    read_tree,
    serving,
    write_tree,
)

PIECE = 256 * 1024
SIZE = RESUMABLE_BYTES + 3 * PIECE + 1
UPLOAD_ID = "0123456789abcdef" * 4
UPLOAD = f"m/{UPLOAD_ID}"
LATE = 2**62
"""A moment, in ms, when everything is old."""

DYING = """
import os, signal, sys
from pathlib import Path
from registry_core import open_registry
from registry_core.artifacts import trees
read_rest = trees.Tree.read_rest
def dying(self, file, start):
    given = start
    for piece in read_rest(self, file, start):
        if given >= int(sys.argv[3]):
            os.kill(os.getpid(), getattr(signal, sys.argv[4]))
        given += len(piece)
        yield piece
trees.Tree.read_rest = dying
with open_registry(sys.argv[1]) as registry:
    registry.push_model_version("m", Path(sys.argv[2]), create=True)
"""
"""Pushes until it has read so many bytes of the large file, and gets a signal."""


@attrs.frozen
class Served:
    """A registry over a directory, its server, and a client of that."""

    registry: Registry
    port: int
    client: Registry

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def artifacts(self) -> ArtifactStore:
        assert self.registry.artifacts is not None
        return self.registry.artifacts

    def partial(self) -> int:
        """How many files there are that nobody has published."""
        return self.artifacts.drop_partial(before=LATE, dry_run=True)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving_on(str(tmp_path / "root")) as found:
        yield found


@contextlib.contextmanager
def serving_on(root: str) -> Iterator[Served]:
    """Our server on an artifact root, and a client."""
    with (
        memory_registry(root, local_sources=False) as registry,
        serving(registry) as port,
        open_registry(f"http://127.0.0.1:{port}") as client,
    ):
        yield Served(registry, port, client)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with a large file beside small ones."""
    folder = write_tree(tmp_path / "model")
    (folder / "weights").write_bytes(large())
    return folder


def large() -> bytes:
    return os.urandom(1024) * (SIZE // 1024) + b"!"


@attrs.frozen
class Sent:
    """A request that moves a file: what for, and how many bytes of a body went with it."""

    method: str
    target: str
    headers: dict[str, str]
    sizes: list[int]

    @property
    def is_upload(self) -> bool:
        return self.target.startswith(UPLOADS_PATH)

    @property
    def is_of_the_large_file(self) -> bool:
        return self.is_upload or self.target.endswith("/weights")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Sent]:
    """All requests of this process that move files."""
    stream, seen = Transport.stream, list[Sent]()

    def noted(
        self: Transport,
        method: str,
        target: str,
        headers: dict[str, str],
        *,
        body: Iterable[bytes] | None = None,
    ) -> object:
        sent = Sent(method, target, headers, [])
        seen.append(sent)

        def counted(pieces: Iterable[bytes]) -> Iterator[bytes]:
            for piece in pieces:
                sent.sizes.append(len(piece))
                yield piece

        return stream(self, method, target, headers, body=None if body is None else counted(body))

    monkeypatch.setattr(Transport, "stream", noted)
    return seen


def bytes_of_the_large_file(requests: Iterable[Sent]) -> int:
    return sum(sum(sent.sizes) for sent in requests if sent.is_of_the_large_file)


def check_pushed(served: Served, model: Path, tmp_path: Path, version: int = 1) -> None:
    """The version has the files of the model, byte for byte, and nothing else is left."""
    served.registry.verify_model_version("m", version)
    served.client.pull_model_version("m", version, tmp_path / f"out {version}")
    assert read_tree(tmp_path / f"out {version}") == read_tree(model)
    assert served.partial() == 0
    assert not served.registry.fsck(grace_seconds=0).findings


def test_a_large_file_is_sent_once_and_before_the_version(
    served: Served, model: Path, tmp_path: Path, requests: list[Sent]
) -> None:
    seen: list[tuple[int, int]] = []
    version = served.client.push_model_version(
        "m", model, create=True, progress=lambda done, total: seen.append((done, total))
    )
    assert (version.version, version.status) == (1, Status.READY)
    of_large = [sent for sent in requests if sent.is_of_the_large_file]
    assert [(sent.method, sent.is_upload) for sent in of_large] == [
        ("HEAD", True),
        ("PUT", True),
        ("PUT", False),
    ]
    assert [sum(sent.sizes) for sent in of_large] == [0, SIZE, 0]
    assert UPLOAD_HEADER in of_large[2].headers
    total = SIZE + sum(map(len, MODEL.values()))
    assert seen[-1] == (total, total)
    assert all(done <= total for done, _ in seen)
    check_pushed(served, model, tmp_path)


def test_bytes_that_were_sent_so_are_counted(served: Served, model: Path) -> None:
    served.client.push_model_version("m", model, create=True)
    size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    line = f'registry_artifact_bytes_total{{direction="in"}} {size}'
    assert line in send(served, "GET", "/metrics").body.decode()


def test_one_file_and_links_to_it_are_sent(served: Served, model: Path, tmp_path: Path) -> None:
    """Links are one file on the disk, and two in the version."""
    served.client.push_model_version("m", model / "weights", create=True)
    (model / "again").hardlink_to(model / "weights")
    served.client.push_model_version("n", model, create=True)
    served.registry.verify_model_version("n", 1)
    served.client.pull_model_version("n", 1, tmp_path / "out")
    assert read_tree(tmp_path / "out") == read_tree(model)
    assert served.partial() == 0


def test_nothing_is_sent_that_the_server_has(
    served: Served, model: Path, requests: list[Sent]
) -> None:
    """Neither with `if_changed`, nor where the newest version has a file as large."""
    push = served.client.push_model_version
    push("m", model, create=True)
    requests.clear()
    assert push("m", model, if_changed=True).version == 1
    assert push("m", model).version == 2
    assert not requests
    (model / "weights").write_bytes(large())
    assert push("m", model, if_changed=True).version == 3
    assert not any(sent.is_upload for sent in requests)
    with (model / "weights").open("ab") as file:
        file.write(b"more")
    assert push("m", model).version == 4
    assert [sent.method for sent in requests if sent.is_upload] == ["HEAD", "PUT"]


def test_nothing_is_sent_for_a_missing_model(
    served: Served, model: Path, requests: list[Sent]
) -> None:
    with pytest.raises(RegisteredModelNotFoundError):
        served.client.push_model_version("m", model)
    os.mkfifo(model / "pipe")
    with pytest.raises(InvalidArgumentError, match="pipe"):
        served.client.push_model_version("m", model, create=True)
    assert not requests
    assert not served.registry.search_registered_models().items


# What is interrupted


def interrupted(served: Served, model: Path, after: int, how: str) -> int:
    """Push in another process until it gets a signal; its exit code."""
    command = [sys.executable, "-c", DYING, served.url, str(model), str(after), how]
    code = subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode
    wait_for_no_upload(served.url)
    return code


def test_a_push_that_was_killed_goes_on(
    served: Served, model: Path, tmp_path: Path, requests: list[Sent]
) -> None:
    half = SIZE // 2
    assert interrupted(served, model, half, "SIGKILL") == -signal.SIGKILL
    assert not served.registry.search_registered_models().items
    assert served.partial() == 1
    assert served.client.push_model_version("m", model, create=True).version == 1
    assert 0 < bytes_of_the_large_file(requests) <= SIZE - half + 8 * PIECE
    check_pushed(served, model, tmp_path)


def test_a_push_whose_file_changed_since_sends_the_right_bytes(
    served: Served, model: Path, tmp_path: Path, requests: list[Sent]
) -> None:
    """Also where nothing shows it: then what the server has is another file than what was read."""
    status = (model / "weights").stat()
    assert interrupted(served, model, SIZE // 2, "SIGKILL") == -signal.SIGKILL
    (model / "weights").write_bytes(large())
    os.utime(model / "weights", ns=(status.st_atime_ns, status.st_mtime_ns))
    served.client.push_model_version("m", model, create=True)
    served.registry.verify_model_version("m", 1)
    assert bytes_of_the_large_file(requests) > SIZE
    # What is wrong stays for a collection of garbage.
    assert served.artifacts.drop_partial(before=LATE) == 1
    os.utime(model / "weights")
    requests.clear()
    (model / "weights").write_bytes(large() + b"more")
    assert served.client.push_model_version("m", model).version == 2
    assert bytes_of_the_large_file(requests) == SIZE + 4
    check_pushed(served, model, tmp_path, 2)


def test_a_push_that_was_killed_with_all_sent_sends_nothing_again(
    served: Served, model: Path, tmp_path: Path, requests: list[Sent], monkeypatch: Any
) -> None:
    """Before there is a version, or while one is pending."""
    begin, publish = RestStore.begin_push, RestStore.publish_upload

    def dies(*_: object, **__: object) -> None:
        raise StoreUnavailableError("the client dies")

    for method, original in (("begin_push", begin), ("publish_upload", publish)):
        monkeypatch.setattr(RestStore, method, dies)
        with pytest.raises(StoreUnavailableError):
            served.client.push_model_version("m", model, create=True)
        monkeypatch.setattr(RestStore, method, original)
    assert served.registry.get_model_version("m", 1).status is Status.PENDING_REGISTRATION
    assert served.client.push_model_version("m", model, create=True).version == 1
    assert bytes_of_the_large_file(requests) == SIZE
    check_pushed(served, model, tmp_path)


def test_a_push_of_which_the_large_file_is_there_sends_the_rest(
    served: Served, model: Path, tmp_path: Path, requests: list[Sent], monkeypatch: Any
) -> None:
    finish = RestStore.finish_push

    def dies(*_: object, **__: object) -> None:
        raise StoreUnavailableError("the client dies")

    monkeypatch.setattr(RestStore, "finish_push", dies)
    with pytest.raises(StoreUnavailableError):
        served.client.push_model_version("m", model, create=True)
    monkeypatch.setattr(RestStore, "finish_push", finish)
    assert served.client.push_model_version("m", model, create=True).version == 1
    assert bytes_of_the_large_file(requests) == SIZE
    check_pushed(served, model, tmp_path)


def test_ctrl_c_says_that_there_is_no_version_yet(
    served: Served, model: Path, tmp_path: Path, requests: list[Sent]
) -> None:
    half = SIZE // 2
    script = f"import os, signal\n{DYING}".replace(
        "with open_registry",
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from registry_core import PushInterrupted\nwith open_registry",
    )
    command = [sys.executable, "-c", script, served.url, str(model), str(half), "SIGINT"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "no new version of 'm' is registered yet" in ended.stderr
    wait_for_no_upload(served.url)
    assert not served.registry.search_registered_models().items
    served.client.push_model_version("m", model, create=True)
    assert bytes_of_the_large_file(requests) < SIZE
    check_pushed(served, model, tmp_path)
    assert PushInterrupted("m", None).version is None


def test_a_connection_that_breaks_is_made_again(
    served: Served, model: Path, tmp_path: Path, requests: list[Sent], monkeypatch: Any
) -> None:
    """And the file is read on from where the server is, or sent from there again."""
    stream, breaks = Transport.stream, iter([SIZE // 3])

    def breaking(self: Transport, method: str, target: str, headers: Any, **kwargs: Any) -> Any:
        body = kwargs.get("body")
        if method == "PUT" and UPLOADS_PATH in target and (after := next(breaks, None)):
            kwargs["body"] = cut(body, after)
        try:
            return stream(self, method, target, headers, **kwargs)
        except ConnectionResetError as error:
            wait_for_no_upload(served.url)
            raise StoreUnavailableError("the connection broke") from error

    monkeypatch.setattr(Transport, "stream", breaking)
    seen: list[int] = []
    served.client.push_model_version(
        "m", model, create=True, progress=lambda done, _: seen.append(done)
    )
    puts = [sent for sent in requests if sent.is_upload and sent.method == "PUT"]
    assert [int(sent.headers[OFFSET_HEADER]) > 0 for sent in puts] == [False, True]
    assert bytes_of_the_large_file(requests) < SIZE + 8 * PIECE
    assert seen[-1] == SIZE + sum(map(len, MODEL.values()))
    check_pushed(served, model, tmp_path)


def cut(pieces: Iterable[bytes], after: int) -> Iterator[bytes]:
    given = 0
    for piece in pieces:
        yield piece
        given += len(piece)
        if given >= after:
            raise ConnectionResetError


# What is refused, and falls back


def spoiling(stream: Callable[..., Any], spoilt: Callable[[str], bool]) -> Callable[..., Any]:
    """Sends other bytes of the same number to some targets."""

    def sending(self: Transport, method: str, target: str, headers: Any, **kwargs: Any) -> Any:
        if method == "PUT" and spoilt(target) and kwargs["body"]:
            kwargs["body"] = (b"x" * len(piece) for piece in kwargs["body"])
        return stream(self, method, target, headers, **kwargs)

    return sending


def test_bytes_that_change_on_the_way_are_sent_again_or_refused(
    served: Served, model: Path, monkeypatch: pytest.MonkeyPatch, requests: list[Sent]
) -> None:
    monkeypatch.setattr(
        Transport, "stream", spoiling(Transport.stream, lambda target: UPLOADS_PATH in target)
    )
    seen: list[tuple[int, int]] = []
    served.client.push_model_version(
        "m", model, create=True, progress=lambda done, total: seen.append((done, total))
    )
    assert bytes_of_the_large_file(requests) == 2 * SIZE
    assert seen[-1][0] == seen[-1][1]
    assert all(done <= total for done, total in seen)
    served.registry.verify_model_version("m", 1)
    monkeypatch.setattr(Transport, "stream", spoiling(Transport.stream, lambda _: True))
    (model / "weights").write_bytes(large() + b"more")
    with pytest.raises(InvalidArgumentError, match=r"expected sha256 [0-9a-f]{64}, received"):
        served.client.push_model_version("m", model)
    assert served.registry.get_model_version("m", 2).status is Status.FAILED_REGISTRATION


def test_a_large_file_needs_no_slow_digest_in_the_client(
    served: Served, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server computes it, and the client knows by another one that it is of the same bytes."""
    hashed: list[str] = []

    class Noted(Sha256):
        def __init__(self) -> None:
            hashed.append(threading.current_thread().name)
            super().__init__()

    monkeypatch.setattr(early, "Sha256", Noted)
    served.client.push_model_version("m", model, create=True)
    assert not hashed
    check_pushed(served, model, tmp_path)


@pytest.mark.parametrize("spoils", [False, True])
def test_a_server_that_answers_one_digest_is_compared_by_that(
    served: Served,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    requests: list[Sent],
    spoils: bool,
) -> None:
    here = "registry_core.stores.rest.early_transfers.xxh3_of_field"
    monkeypatch.setattr(here, lambda _: None)
    if spoils:
        spoilt = spoiling(Transport.stream, lambda target: UPLOADS_PATH in target)
        monkeypatch.setattr(Transport, "stream", spoilt)
    served.client.push_model_version("m", model, create=True)
    assert bytes_of_the_large_file(requests) == SIZE * (2 if spoils else 1)
    served.registry.verify_model_version("m", 1)
    manifest = served.client.get_model_version_manifest("m", 1)
    assert {file.path: file.sha256 for file in manifest.files}["weights"] == sha256_of(model)


def sha256_of(model: Path) -> str:
    return hashlib.sha256((model / "weights").read_bytes()).hexdigest()


def test_a_file_that_changes_while_it_is_sent_is_refused(
    served: Served, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing registered: in place, or by another file in its place."""
    stream = Transport.stream

    def write() -> None:
        with (model / "weights").open("r+b") as file:
            file.write(b"other")
        os.utime(model / "weights")

    def replace() -> None:
        (model / "new").write_bytes(large())
        (model / "new").replace(model / "weights")

    for change in (write, replace):

        def changing(
            self: Transport, method: str, *args: Any, change: Any = change, **kwargs: Any
        ) -> Any:
            answer = stream(self, method, *args, **kwargs)
            if method == "PUT":
                change()
            return answer

        monkeypatch.setattr(Transport, "stream", changing)
        with pytest.raises(InvalidArgumentError, match="'weights' changed while it was uploaded"):
            served.client.push_model_version("m", model, create=True)
    assert not served.registry.search_registered_models().items


@pytest.mark.parametrize("after", [None, 0, SIZE // 2])
@pytest.mark.parametrize("is_early", [True, False])
def test_a_file_that_is_cut_while_it_is_sent_is_refused(
    served: Served, model: Path, monkeypatch: pytest.MonkeyPatch, after: int | None, is_early: bool
) -> None:
    """Before it is read, or after a piece; with no version, or a failed one, for what goes there."""
    stream = Transport.stream
    if not is_early:
        served.client.push_model_version("m", model, create=True)
        (model / "weights").write_bytes(large())

    def cutting(pieces: Iterable[FilePiece]) -> Iterator[FilePiece]:
        for piece in pieces:
            if after is not None and piece.stop > after:
                os.truncate(model / "weights", after)
            yield piece

    def sending(self: Transport, method: str, target: str, headers: Any, **kwargs: Any) -> Any:
        if method == "PUT" and int(headers["Content-Length"]) == SIZE:
            kwargs["body"] = cutting(kwargs["body"])
            if after is None:
                os.truncate(model / "weights", 5)
        return stream(self, method, target, headers, **kwargs)

    monkeypatch.setattr(Transport, "stream", sending)
    with pytest.raises(InvalidArgumentError, match="'weights' changed while it was uploaded"):
        served.client.push_model_version("m", model, create=True)
    if is_early:
        assert not served.registry.search_registered_models().items
    else:
        assert served.registry.get_model_version("m", 2).status is Status.FAILED_REGISTRATION


def test_the_system_sends_the_files(
    served: Served, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large and small ones; their bytes come into the client only to be hashed."""
    sendfile, sent = os.sendfile, list[int]()

    def noted(out: int, descriptor: int, offset: int, count: int) -> int:
        sent.append(sendfile(out, descriptor, offset, count))
        return sent[-1]

    monkeypatch.setattr(os, "sendfile", noted)
    served.client.push_model_version("m", model, create=True)
    assert sum(sent) == SIZE + sum(map(len, MODEL.values()))
    check_pushed(served, model, tmp_path)


def test_two_pushes_of_a_file_at_once_both_end(served: Served, model: Path, tmp_path: Path) -> None:
    def push() -> None:
        with open_registry(served.url) as client:
            versions.append(client.push_model_version("m", model, create=True).version)

    versions: list[int] = []
    threads = [threading.Thread(target=push) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(versions) == 2
    for version in set(versions):
        check_pushed(served, model, tmp_path, version)


@pytest.mark.parametrize("kind", ["s3", "memory"])
def test_roots_that_take_no_such_uploads_get_files_as_before(
    kind: str, model: Path, request: pytest.FixtureRequest, requests: list[Sent]
) -> None:
    with serving_on(artifact_url(kind, request)) as served:
        answer = raw_request(served.port, f"PUT {UPLOADS_PATH}/{UPLOAD}".encode(), body=b"x")
        assert (answer.status, b"NOT_IMPLEMENTED" in answer.body) == (501, True)
        served.client.push_model_version("m", model, create=True)
        uploads = [sent.method for sent in requests if sent.is_upload]
        assert uploads == ["HEAD"]
        assert bytes_of_the_large_file(requests) == SIZE
        served.registry.verify_model_version("m", 1)


def test_a_server_without_the_route_gets_files_as_before(
    served: Served, model: Path, tmp_path: Path, requests: list[Sent], monkeypatch: Any
) -> None:
    """An older one: its routes are those that it has beside."""
    (model / "more").write_bytes(large() + b"more")
    here = "registry_core.stores.rest.early_transfers.UPLOADS_PATH"
    monkeypatch.setattr(here, "/api/registry/v1/none")
    served.client.push_model_version("m", model, create=True)
    assert sum(sum(sent.sizes) for sent in requests) == 2 * SIZE + 4 + sum(map(len, MODEL.values()))
    check_pushed(served, model, tmp_path)


def test_an_upload_that_is_gone_is_sent_again(
    served: Served, model: Path, tmp_path: Path, requests: list[Sent], monkeypatch: Any
) -> None:
    begin = RestStore.begin_push

    def collected(self: RestStore, *args: Any, **kwargs: Any) -> Any:
        assert served.artifacts.drop_partial(before=LATE) == 1
        return begin(self, *args, **kwargs)

    monkeypatch.setattr(RestStore, "begin_push", collected)
    seen: list[tuple[int, int]] = []
    served.client.push_model_version(
        "m", model, create=True, progress=lambda done, total: seen.append((done, total))
    )
    assert bytes_of_the_large_file(requests) == 2 * SIZE
    assert seen[-1][0] == seen[-1][1]
    check_pushed(served, model, tmp_path)


# The routes


def send(
    served: Served, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Response:
    return raw_request(served.port, f"{method} {path}".encode(), headers, body)


def repr_digest(body: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"


def repr_digests(body: bytes) -> str:
    """As `repr_digest`, with what tells whether the bytes came as they were sent."""
    return f"{repr_digest(body)}, xxh3-128=:{b64encode(xxhash.xxh3_128(body).digest()).decode()}:"


def published(served: Served, path: str, body: bytes, upload_id: str = UPLOAD_ID) -> int:
    headers = {"Repr-Digest": repr_digest(body), UPLOAD_HEADER: upload_id}
    return send(served, "PUT", f"{PREFIX}/artifacts/{path}", headers).status


def test_an_upload_is_continued_and_published(served: Served) -> None:
    target = f"{UPLOADS_PATH}/{UPLOAD}"
    nothing = send(served, "HEAD", target)
    assert (nothing.status, nothing.headers[OFFSET_HEADER.lower()]) == (204, "0")
    writer = served.registry.files.upload_writer(UPLOAD)
    writer.write(b"begun")
    assert send(served, "PUT", target, body=b"other").status == 409
    writer.suspend()
    assert send(served, "HEAD", target).headers[OFFSET_HEADER.lower()] == "5"
    assert published(served, "m/f", b"begun") == 404
    assert send(served, "PUT", target, {OFFSET_HEADER: "6"}, b"x").status == 409
    assert send(served, "PUT", target, {OFFSET_HEADER: "-1"}, b"x").status == 400
    answer = send(served, "PUT", target, {OFFSET_HEADER: "4"}, b"one")
    assert (answer.status, answer.headers["repr-digest"]) == (200, repr_digests(b"beguone"))
    complete = send(served, "HEAD", target)
    assert complete.headers[OFFSET_HEADER.lower()] == "7"
    assert b64decode(complete.headers["repr-digest"][9:-1]) == hashlib.sha256(b"beguone").digest()
    assert all_bytes(served.artifacts, "m") == {}
    assert published(served, "m/f", b"other") == 404
    assert published(served, "n/f", b"beguone") == 404
    assert published(served, "m/a/f", b"beguone") == 200
    assert published(served, "m/a/f", b"beguone") == 404
    assert all_bytes(served.artifacts, "m") == {"m/a/f": b"beguone"}
    assert served.partial() == 0


@pytest.mark.parametrize(
    "name",
    [
        "0" * 64,
        f"m/{'0' * 63}",
        f"m/{'0' * 65}",
        f"m/{'A' * 64}",
        f"m/{'0' * 63}g",
        f"m/x/{'0' * 64}",
        f"../{'0' * 64}",
        f"%2e%2e/{'0' * 64}",
        f".registry/{'0' * 64}",
        f"m%00/{'0' * 64}",
        f"m/{'0' * 63}%0a",
    ],
)
def test_names_of_uploads_that_are_none_are_refused(served: Served, name: str) -> None:
    for method in ("PUT", "HEAD"):
        assert send(served, method, f"{UPLOADS_PATH}/{name}").status == 400
    if name.startswith("m/") and "%" not in name and name.count("/") == 1:
        assert published(served, "m/f", b"", name[2:]) == 400
    assert served.partial() == 0


def test_what_is_published_takes_a_digest_and_no_body(served: Served) -> None:
    target, path = f"{UPLOADS_PATH}/{UPLOAD}", f"{PREFIX}/artifacts/m/f"
    assert send(served, "PUT", target, body=b"x").status == 200
    headers = {UPLOAD_HEADER: UPLOAD_ID}
    assert send(served, "PUT", path, headers).status == 400
    headers["Repr-Digest"] = repr_digest(b"x")
    assert send(served, "PUT", path, headers, b"x").status == 400
    assert all_bytes(served.artifacts, "m") == {}
    for method in ("GET", "POST", "DELETE"):
        answer = send(served, method, target)
        assert (answer.status, answer.headers["allow"]) == (405, "HEAD, PUT")


def test_nothing_is_published_in_the_place_of_a_version(served: Served, tmp_path: Path) -> None:
    version = served.client.push_model_version("m", write_tree(tmp_path / "small"), create=True)
    folder = served.registry.files.own_path(
        served.registry.get_model_version("m", version.version).source
    )
    assert send(served, "PUT", f"{UPLOADS_PATH}/{UPLOAD}", body=b"wrong").status == 200
    for path in (f"{folder}/MLmodel", f"{folder}/new", str(folder)):
        assert published(served, path, b"wrong") == 403
    assert send(served, "PUT", f"{UPLOADS_PATH}/{UPLOAD}", body=MODEL["MLmodel"]).status == 200
    inode = info_of(served, f"{folder}/MLmodel").etag
    assert published(served, f"{folder}/MLmodel", MODEL["MLmodel"]) == 200
    assert info_of(served, f"{folder}/MLmodel").etag == inode, "what was there stays"
    served.registry.verify_model_version("m", 1)


def info_of(served: Served, path: str) -> FileInfo:
    return served.artifacts.stat(path)


def test_a_collection_removes_old_uploads_and_leaves_young_ones(
    served: Served, tmp_path: Path
) -> None:
    """Complete or not; and what is published is as young as if it had been sent then."""
    files = served.registry.files
    names = [f"m/{digit * 64}" for digit in "abcd"]
    for name in names:
        writer = files.upload_writer(name)
        writer.write(b"x")
        if name in names[1:]:
            writer.commit()
        else:
            writer.suspend()
    partial = tmp_path / "root" / ".registry" / "partial"
    for path in partial.iterdir():
        kept = any(path.name.startswith(stem_of(name)) for name in names[2:3])
        if not kept:
            os.utime(path, (1, 1))
    assert published(served, "m/f", b"x", "d" * 64) == 200
    assert files.collect_garbage(dry_run=False).partial == 2
    kept = [files.kept_upload(name).size for name in names]
    assert kept == [0, 0, 1, 0]
    assert all_bytes(served.artifacts, "m") == {"m/f": b"x"}


def stem_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def test_an_upload_that_was_dropped_is_not_completed(tmp_path: Path) -> None:
    """A collection took it for dead, and another process began the same one anew."""
    artifacts = LocalArtifactStore(tmp_path)
    first = artifacts.upload_writer(UPLOAD, start=0)
    first.write(b"first")
    assert artifacts.drop_partial(before=LATE) == 1
    second = artifacts.upload_writer(UPLOAD, start=0)
    second.write(b"second")
    with pytest.raises(Exception, match="dropped by somebody else"):
        first.commit()
    assert second.commit().sha256 == hashlib.sha256(b"second").hexdigest()
    third = artifacts.upload_writer(UPLOAD, start=0)
    third.write(b"x")
    third.abort()
    assert artifacts.kept_upload(UPLOAD).size == len(b"second")
