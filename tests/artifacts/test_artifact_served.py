"""Push and pull through our server: by a client that has no key to the artifact root."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from artifacts.test_artifact_folders import ODD, snapshot
from cli.invoking import Regctl
from registry_core import Registry, open_registry
from registry_core.artifacts import ManifestFile, make_manifest
from registry_core.artifacts.versions import DIGEST_TAG, uploads
from registry_core.artifacts.versions.seals import Seals
from registry_core.errors import (
    ArtifactImmutableError,
    ArtifactMismatchError,
    ConflictError,
    InvalidArgumentError,
    PushInterrupted,
    RegisteredModelNotFoundError,
    StoreUnavailableError,
    UnexpectedAnswerError,
)
from registry_core.models import Status
from registry_core.stores.rest import RestStore
from registry_core.stores.rest.transport import Transport
from services.artifacts import (
    KINDS,
    MODEL,
    PREFIX,
    all_bytes,
    artifact_url,
    memory_registry,
    read_tree,
    serving,
    write_tree,
)
from services.s3_proxy import Fault, Request, S3Proxy
from services.scripted_server import Response, ScriptedServer


@attrs.frozen
class Served:
    """A registry, the port of its server, and a client of that."""

    registry: Registry
    port: int
    client: Registry


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server without models on each kind of artifact root."""
    monkeypatch.delenv("REGISTRY_ARTIFACTS", raising=False)
    with (
        memory_registry(artifact_url(request.param, request), local_sources=False) as registry,
        serving(registry) as port,
        open_registry(f"http://127.0.0.1:{port}") as client,
    ):
        yield Served(registry, port, client)


on_a_disk = pytest.mark.parametrize("served", ["local"], indirect=True)


def test_push_and_pull_pass_through_the_server(served: Served, tmp_path: Path) -> None:
    """The version is as if it had been pushed beside the root, and can be verified from both ends."""
    seen: list[tuple[int, int]] = []
    version = served.client.push_model_version(
        "m",
        write_tree(tmp_path / "model"),
        create=True,
        description="new",
        tags={"k": "v"},
        progress=lambda done, total: seen.append((done, total)),
    )
    stored = served.registry.get_model_version("m", 1)
    assert (version.version, version.status, stored.status) == (1, Status.READY, Status.READY)
    assert (stored.description, stored.tags["k"]) == ("new", "v")
    assert stored.source.startswith(served.registry.files.root)
    size = sum(map(len, MODEL.values()))
    assert seen[-1] == (size, size)
    assert served.registry.verify_model_version("m", 1) == served.client.verify_model_version(
        "m", 1
    )
    assert (
        served.client.pull_model_version("m", 1, tmp_path / "out").digest == stored.tags[DIGEST_TAG]
    )
    assert read_tree(tmp_path / "out") == MODEL
    assert not served.registry.fsck(grace_seconds=0).findings


def test_folders_as_people_have_them_pass(served: Served, tmp_path: Path) -> None:
    """Links of the cache of Hugging Face, and every odd name."""
    served.client.push_model_version("links", snapshot(tmp_path), create=True)
    served.client.push_model_version("odd", write_tree(tmp_path / "odd", ODD), create=True)
    served.client.pull_model_version("links", 1, tmp_path / "a")
    served.client.pull_model_version("odd", 1, tmp_path / "b")
    assert read_tree(tmp_path / "a") == {"config.json": b"{}", "onnx/model.onnx": b"weights" * 1000}
    assert read_tree(tmp_path / "b") == ODD


@on_a_disk
def test_refused_push_makes_nothing(served: Served, tmp_path: Path) -> None:
    """No model, no version, no file."""
    model = write_tree(tmp_path / "model")
    with pytest.raises(RegisteredModelNotFoundError):
        served.client.push_model_version("m", model)
    with pytest.raises(InvalidArgumentError):
        served.client.push_model_version("m", tmp_path / "none", create=True)
    with pytest.raises(InvalidArgumentError):
        served.client.push_model_version("m", model, create=True, tags={"x" * 999: "x"})
    assert not served.registry.search_registered_models().items
    assert all_bytes(served.registry.artifacts) == {}


@on_a_disk
def test_unchanged_files_are_not_pushed_again(served: Served, tmp_path: Path) -> None:
    """Nor are files sent that another version has."""
    model = write_tree(tmp_path / "model")
    push = served.client.push_model_version
    assert [push("m", model, create=True).version, push("m", model, if_changed=True).version] == [
        1,
        1,
    ]
    assert push("m", model).version == 2


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), StoreUnavailableError("the server is away")]
)
def test_push_that_breaks_off_goes_on(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """The same version, and no file is sent twice."""
    model, sent = write_tree(tmp_path / "model"), []
    write_file = RestStore.write_file

    def recorded(self: RestStore, path: str, *args: object, **kwargs: object) -> None:
        if next(calls) == 2:
            raise error
        write_file(self, path, *args, **kwargs)  # type: ignore[arg-type]
        sent.append(path)

    calls = itertools.count()
    monkeypatch.setattr(RestStore, "write_file", recorded)
    with pytest.raises((PushInterrupted, StoreUnavailableError)):
        served.client.push_model_version("m", model, create=True)
    assert served.registry.get_model_version("m", 1).status is Status.PENDING_REGISTRATION
    assert served.client.push_model_version("m", model).version == 1
    # One more may have arrived while the push broke off, without an answer that this side has heard.
    assert len(MODEL) - 1 <= len(sent) == len(set(sent)) <= len(MODEL)
    served.registry.verify_model_version("m", 1)


@pytest.mark.parametrize("changed", [b"flavors: []\n", b"x" * len(MODEL["MLmodel"])])
def test_file_that_changes_meanwhile_ends_the_push(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: bytes
) -> None:
    """The version failed, and says why: it is the file, and not the way to the server."""
    model = write_tree(tmp_path / "model")
    begin = RestStore.begin_push

    def then_change(self: RestStore, *args: object, **kwargs: object) -> object:
        begun = begin(self, *args, **kwargs)  # type: ignore[arg-type]
        (model / "MLmodel").write_bytes(changed)
        return begun

    monkeypatch.setattr(RestStore, "begin_push", then_change)
    with pytest.raises(InvalidArgumentError, match="'MLmodel' changed"):
        served.client.push_model_version("m", model, create=True)
    failed = served.registry.get_model_version("m", 1)
    assert failed.status is Status.FAILED_REGISTRATION
    assert "'MLmodel' changed" in (failed.status_message or "")


def test_bytes_that_change_on_the_way_end_the_push(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server compares what it has received; the files here are as they were."""
    model = write_tree(tmp_path / "model")
    stream = Transport.stream

    def spoilt(self: Transport, method: str, *args: object, **kwargs: Any) -> object:
        if method == "PUT":
            kwargs["body"] = [b"x" * len(piece) for piece in kwargs["body"]]
        return stream(self, method, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Transport, "stream", spoilt)
    with pytest.raises(InvalidArgumentError, match=r"expected sha256 [0-9a-f]{64}, received"):
        served.client.push_model_version("m", model, create=True)
    failed = served.registry.get_model_version("m", 1)
    assert failed.status is Status.FAILED_REGISTRATION


# What a client could do that is not ours


def put(served: Served, path: str, body: bytes, digest_of: bytes | None = None) -> int:
    headers = {}
    if digest_of is not None:
        digest = b64encode(hashlib.sha256(digest_of).digest()).decode()
        headers["Content-Digest"] = f"sha-256=:{digest}:"
    return request(served, "PUT", f"{PREFIX}/artifacts/{path}", body, headers)


def head_of_kept(served: Served, path: str, digest_of: bytes) -> int:
    digest = b64encode(hashlib.sha256(digest_of).digest()).decode()
    headers = {"Repr-Digest": f"sha-256=:{digest}:"}
    return request(served, "HEAD", f"{PREFIX}/artifacts/{path}", b"", headers)


def request(served: Served, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def manifest_of(files: dict[str, bytes]):
    return make_manifest(
        ManifestFile(path=path, size=len(body), sha256=hashlib.sha256(body).hexdigest())
        for path, body in files.items()
    )


def test_only_what_is_awaited_comes_to_a_begun_push(served: Served) -> None:
    """Byte for byte, whoever sends it; what was there before and is another file goes."""
    served.registry.create_registered_model("m")
    files = {"a": b"right", "b/c": b"more", "there": b"same"}
    folder = served.registry.files.folder("m", manifest_of(files))
    for name, body in {"a": b"wrong", "stranger": b"x", "there": b"same"}.items():
        assert put(served, f"{folder}/{name}", body) == 200
    begun = served.registry.begin_push("m", manifest_of(files))
    assert (begun.path, sorted(begun.missing)) == (folder, ["a", "b/c"])
    assert put(served, f"{folder}/a", b"right") == 403
    assert put(served, f"{folder}/a", b"wrong", b"wrong") == 403
    assert put(served, f"{folder}/a", b"wrong", b"right") == 400
    assert put(served, f"{folder}/x", b"right", b"right") == 403
    with pytest.raises(ConflictError, match="2 files"):
        served.registry.finish_push("m", 1)
    assert put(served, f"{folder}/a", b"right", b"right") == 200
    assert put(served, f"{folder}/b/c", b"more", b"more") == 200
    assert served.registry.finish_push("m", 1).status is Status.READY
    assert served.registry.finish_push("m", 1).status is Status.READY
    served.registry.verify_model_version("m", 1)
    assert put(served, f"{folder}/a", b"wrong", b"wrong") == 403
    with pytest.raises(ArtifactImmutableError):
        served.registry.files.delete(folder)


def test_push_that_begins_slowly_removes_nothing_that_came_meanwhile(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same push was begun again, and ended, while its first call read what was there."""
    served.registry.create_registered_model("m")
    files = {"a": b"right", "b": b"more"}
    folder = served.registry.files.folder("m", manifest_of(files))
    assert put(served, f"{folder}/a", b"wrong") == 200
    compared = uploads.is_there

    def slow(*arguments: Any) -> bool:
        monkeypatch.setattr(uploads, "is_there", compared)
        found = compared(*arguments)
        begun = served.registry.begin_push("m", manifest_of(files))
        for name in begun.missing:
            assert put(served, f"{folder}/{name}", files[name], files[name]) == 200
        served.registry.finish_push("m", begun.version.version)
        return found

    monkeypatch.setattr(uploads, "is_there", slow)
    assert not served.registry.begin_push("m", manifest_of(files)).missing
    served.registry.verify_model_version("m", 1)


def test_push_that_begins_slowly_unseals_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same push was begun again, and ended, while its first call looked at the seal."""
    served.registry.create_registered_model("m")
    files = {"a": b"right"}
    begin = served.registry.begin_push
    closed_for, filling = Seals._closed_for, Seals.filling

    def begun_meanwhile(self: Seals, path: str) -> Any:
        monkeypatch.setattr(Seals, "filling", filling)
        found = filling(self, path)
        begun = begin("m", manifest_of(files))
        assert put(served, f"{begun.path}/a", b"right", b"right") == 200
        monkeypatch.setattr(Seals, "_closed_for", ended_meanwhile)
        return found

    def ended_meanwhile(self: Seals, *arguments: Any) -> Any:
        monkeypatch.setattr(Seals, "_closed_for", closed_for)
        found = closed_for(self, *arguments)
        served.registry.finish_push("m", 1)
        return found

    monkeypatch.setattr(Seals, "filling", begun_meanwhile)
    assert not begin("m", manifest_of(files)).missing
    served.registry.verify_model_version("m", 1)


@on_a_disk
def test_digest_is_checked_wherever_a_file_is_put(served: Served) -> None:
    """Beside pushes, too; one that is none is refused."""
    assert put(served, "loose/a", b"body", b"body") == 200
    assert put(served, "loose/b", b"body", b"other") == 400
    for value in ("sha-256=:e30=:", "sha-256=x", "sha-256=::", "sha-256=:*:"):
        headers = {"Content-Digest": value}
        assert request(served, "PUT", f"{PREFIX}/artifacts/loose/c", b"x", headers) == 400
    assert sorted(all_bytes(served.registry.artifacts, "loose")) == ["loose/a"]


@pytest.mark.parametrize("has_named_folder", [False, True])
def test_digest_opens_no_folder_of_another_version(
    served: Served, *, has_named_folder: bool
) -> None:
    """Not one that was registered where it was, nor one that has taken a collected push's place."""
    registry, old = served.registry, manifest_of({"f": b"old"})
    registry.create_registered_model("m")
    folder = registry.files.folder("m", old) if has_named_folder else "runs/1"
    if has_named_folder:
        registry.begin_push("m", old)
        assert put(served, f"{folder}/f", b"old", b"old") == 200
        registry.finish_push("m", 1)
    else:
        assert put(served, f"{folder}/f", b"old") == 200
        registry.create_model_version("m", source=f"{registry.files.root}/{folder}")
    assert put(served, f"{folder}/f", b"old", b"old") == (200 if has_named_folder else 403)
    assert head_of_kept(served, f"{folder}/none", b"old") == 404
    assert put(served, f"{folder}/none", b"old", b"old") == 403
    registry.delete_registered_model("m")
    registry.files.collect_garbage(grace_seconds=0, dry_run=False)
    registry.create_registered_model("n")
    assert put(served, f"{folder}/f", b"new") == 200
    registry.create_model_version("n", source=f"{registry.files.root}/{folder}")
    assert put(served, f"{folder}/f", b"old", b"old") == 403
    registry.verify_model_version("n", 1)


@pytest.mark.parametrize(
    ("path", "manifest"),
    [("../../../health", ""), ("a/\ud800", ""), ("m/1", "\ud800"), ("m/1", "{}"), (1, "")],
)
def test_answer_of_a_stranger_leads_nowhere(path: object, manifest: str, tmp_path: Path) -> None:
    """It names no other route of the server, and is an error like others."""
    version = {"name": "m", "version": "1", "source": "s", "status": "READY"}
    version |= {"creation_timestamp": 1, "last_updated_timestamp": 1, "current_stage": "None"}
    if path != "m/1":
        manifest = manifest_of({"a": b""}).to_json().decode()
    answer = {"model_version": version, "path": path, "manifest": manifest, "missing": []}
    with (
        ScriptedServer(Response(200, answer)) as server,
        open_registry(server.url) as registry,
    ):
        with pytest.raises(UnexpectedAnswerError):
            registry.pull_model_version("m", 1, tmp_path / "out")
        if path != "m/1":
            with pytest.raises(UnexpectedAnswerError):
                registry.push_model_version("m", write_tree(tmp_path / "model"))


@on_a_disk
@pytest.mark.parametrize(
    "manifest",
    ["", "{}", "[]", '{"format_version": 1, "digest": "x", "files": []}', "\ud800",
     manifest_of({"a": b""}).to_json().decode().replace('"a"', '"../a"')],
)  # fmt: skip
def test_manifest_that_is_none_is_refused(served: Served, manifest: str) -> None:
    """With 400, before there is a version."""
    served.registry.create_registered_model("m")
    body = json.dumps({"manifest": manifest}).encode()
    headers = {"Content-Type": "application/json"}
    assert request(served, "POST", "/api/registry/v1/models/m/pushes", body, headers) == 400
    assert not served.registry.search_model_versions().items


def test_garbage_of_a_push_that_nobody_ends_is_collected(served: Served) -> None:
    """Once its version is given up; while it is pending, its files stay."""
    served.registry.create_registered_model("m")
    begun = served.registry.begin_push("m", manifest_of({"a": b"1", "b": b"2"}))
    assert put(served, f"{begun.path}/a", b"1", b"1") == 200
    files = served.registry.files
    assert files.collect_garbage(grace_seconds=0, dry_run=False).files == 0
    served.registry.finish_push("m", 1, failed_because="the client gave up")
    with pytest.raises(ConflictError):
        served.registry.finish_push("m", 1)
    served.registry.delete_model_version("m", 1)
    assert files.collect_garbage(grace_seconds=0, dry_run=False).files > 0
    again = served.registry.begin_push("m", manifest_of({"a": b"1", "b": b"2"}))
    assert sorted(again.missing) == ["a", "b"]


def test_changed_file_is_not_pulled(served: Served, tmp_path: Path) -> None:
    """What the server sends is compared with the manifest, at the client."""
    served.client.push_model_version("m", write_tree(tmp_path / "model"), create=True)
    folder = served.registry.files.own_path(served.registry.get_model_version("m", 1).source)
    assert served.registry.artifacts is not None
    served.registry.artifacts.write(f"{folder}/MLmodel", [b"flavors: {!\n"])
    with pytest.raises(ArtifactMismatchError, match="MLmodel"):
        served.client.pull_model_version("m", 1, tmp_path / "out")
    served.registry.artifacts.remove([f"{folder}/MLmodel"])
    with pytest.raises(ArtifactMismatchError, match="MLmodel"):
        served.client.pull_model_version("m", 1, tmp_path / "out")
    assert "MLmodel" not in read_tree(tmp_path / "out")


@on_a_disk
def test_download_that_breaks_off_leaves_no_shorter_file(served: Served, tmp_path: Path) -> None:
    """It goes on, or fails; what a connection lost is in no folder under the file's name."""
    served.client.push_model_version("m", write_tree(tmp_path / "model"), create=True)
    broken: list[Request] = []

    def plan(request: Request) -> Fault | None:
        if request.method == "GET" and request.target.endswith("/MLmodel"):
            broken.append(request)
            return Fault.HALF_REPLY if len(broken) in breaks else None
        return None

    for breaks in ({1}, range(1, 1_000)):
        broken.clear()
        out = tmp_path / f"out of {len(breaks)}"
        with (
            S3Proxy(f"http://127.0.0.1:{served.port}", plan).running() as proxy,
            open_registry(proxy.endpoint_url) as client,
        ):
            try:
                client.pull_model_version("m", 1, out)
            except StoreUnavailableError:
                assert len(breaks) > 1
                assert "MLmodel" not in read_tree(out)
            else:
                assert read_tree(out) == read_tree(tmp_path / "model")
        assert broken


@on_a_disk
def test_version_of_another_digest_is_no_failure_of_the_server(
    served: Served, tmp_path: Path
) -> None:
    """A tag says so, which clients may set: the client learns what it would beside the root."""
    served.client.push_model_version("m", write_tree(tmp_path / "model"), create=True)
    served.client.set_model_version_tag("m", 1, DIGEST_TAG, "sha256:other")
    path = "/api/registry/v1/models/m/versions/1/files"
    assert request(served, "GET", path, b"", {}) == 409
    with pytest.raises(ArtifactMismatchError) as beside:
        served.registry.verify_model_version("m", 1)
    with pytest.raises(ArtifactMismatchError) as through:
        served.client.verify_model_version("m", 1)
    assert (through.value.subject, through.value.problems) == (
        beside.value.subject,
        beside.value.problems,
    )


@on_a_disk
def test_command_pushes_and_pulls_through_the_server(served: Served, tmp_path: Path) -> None:
    """With nothing but the URL of the server."""
    cli = Regctl(f"http://127.0.0.1:{served.port}")
    model = str(write_tree(tmp_path / "model"))
    cli.done("models", "push", "m", model, "--create", "--alias", "champion")
    again = cli.run("models", "push", "m", model, "--if-changed")
    assert "models:/m/1 has the same files: nothing was pushed." in again.stderr
    cli.done("models", "pull", "models:/m@champion", "-o", str(tmp_path / "out"))
    assert read_tree(tmp_path / "out") == MODEL
    cli.ok("artifacts", "verify", "models:/m/1")
