"""A registered version's files stay as they are, through every route and at every moment."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from registry_core import (
    ArtifactImmutableError,
    ConflictError,
    InvalidArgumentError,
    ModelVersion,
    Registry,
    Status,
)
from registry_core.artifacts import ArtifactStore
from registry_core.artifacts.versions import leases
from services.artifacts import (
    MODEL,
    PREFIX,
    Response,
    all_bytes,
    memory_registry,
    raw_request,
    read_answer,
    serving,
)
from services.watched_artifacts import WatchedArtifacts

FOLDER = "team/model"


@pytest.fixture
def watched(artifacts: ArtifactStore) -> WatchedArtifacts:
    """The artifact store, which can be paused."""
    return WatchedArtifacts(artifacts)


@pytest.fixture
def registry(watched: WatchedArtifacts) -> Registry:
    """A registry with files below its root that no version has yet, and the model `churn`."""
    registry = memory_registry(watched, local_sources=False)
    registry.create_registered_model("churn")
    for path, body in MODEL.items():
        registry.files.write(f"{FOLDER}/{path}", [body])
    return registry


def register(registry: Registry, source: str | None = None) -> ModelVersion:
    return registry.create_model_version(
        "churn", source=source or f"{registry.artifacts.root}/{FOLDER}"
    )


def put(port: int, path: str, body: bytes = b"evil") -> Response:
    return raw_request(port, f"PUT {PREFIX}/artifacts/{path}".encode(), body=body)


def delete(port: int, path: str) -> Response:
    return raw_request(port, f"DELETE {PREFIX}/artifacts/{path}".encode())


def multipart(port: int, action: str, path: str) -> Response:
    folder, _, name = path.rpartition("/")
    fields = {"path": f"/home/u/{name}", "num_parts": 1, "upload_id": "u"}
    body = json.dumps({**fields, "parts": [{"part_number": 1, "etag": "e"}]}).encode()
    slash = "/" if folder else ""
    return raw_request(
        port, f"POST {PREFIX}/mpu/{action}{slash}{folder or '/'}".encode(), body=body
    )


WAYS: dict[str, Callable[[int, str], Response]] = {
    "PUT": put,
    "DELETE": delete,
    "create": lambda port, path: multipart(port, "create", path),
    "complete": lambda port, path: multipart(port, "complete", path),
}

PLACES = {
    "a file": f"{FOLDER}/MLmodel",
    "a deep file": f"{FOLDER}/data/deep/labels.txt",
    "an empty file": f"{FOLDER}/empty",
    "a new file": f"{FOLDER}/evil.py",
    "a new folder": f"{FOLDER}/evil/a/b.py",
    "below a file": f"{FOLDER}/MLmodel/evil",
    "an inner folder": f"{FOLDER}/data",
    "the folder": FOLDER,
    "a folder above": "team",
}


def test_registered_files_are_refused_to_every_route(registry: Registry, port: int) -> None:
    """With 403, and nothing changes; what lies beside them stays open."""
    register(registry)
    before = all_bytes(registry.artifacts)
    takes_parts = registry.artifacts.root.startswith("s3:")
    for way, call in WAYS.items():
        for place, path in PLACES.items():
            answer = call(port, path)
            if way in ("create", "complete") and not takes_parts:
                assert answer.status == 501
            else:
                assert (way, place, answer.status) == (way, place, 403)
                assert b"belongs to a registered model version" in answer.body
    assert all_bytes(registry.artifacts) == before
    registry.verify_model_version("churn", 1)
    assert put(port, "team/model2/MLmodel").status == 200
    assert delete(port, "team/model2").status == 200
    assert put(port, "team/modelx").status == 200


@pytest.mark.parametrize("way", ["PUT", "DELETE"])
def test_pushed_files_are_refused_too(registry: Registry, model: Path, port: int, way: str) -> None:
    """Also while they are pushed: the folder is closed before the first file is in it."""
    version = Registry(registry.store, artifacts=registry.artifacts).create_model_version(
        "churn", source=str(model)
    )
    folder = registry.files.own_path(version.source)
    for path in (f"{folder}/MLmodel", f"{folder}/new", folder):
        assert put(port, path).status == delete(port, path).status == 403
    registry.verify_model_version("churn", 1)


def test_folder_of_a_push_is_closed_from_the_beginning(
    registry: Registry, watched: WatchedArtifacts, model: Path
) -> None:
    """Nothing gets between two of its files."""
    refused = []

    def intrude() -> None:
        (folder,) = {
            registry.files.own_path(version.source) for version in registry.iter_model_versions()
        }
        with pytest.raises(ArtifactImmutableError):
            registry.files.write(f"{folder}/evil", [b"evil"])
        refused.append(folder)

    watched.before("write", intrude, times=1)
    Registry(registry.store, artifacts=watched).create_model_version("churn", source=str(model))
    assert len(refused) == 1
    registry.verify_model_version("churn", 1)


def test_single_file_is_sealed_as_one(registry: Registry, port: int) -> None:
    """Its neighbours are not."""
    register(registry, f"{registry.artifacts.root}/{FOLDER}/MLmodel")
    assert put(port, f"{FOLDER}/MLmodel").status == 403
    assert put(port, f"{FOLDER}/MLmodel/x").status == 403
    assert delete(port, FOLDER).status == 403
    assert put(port, f"{FOLDER}/other").status == 200
    assert registry.verify_model_version("churn", 1).files[0].path == "MLmodel"


SOURCES = {
    "the root's own URI": "{root}/team/model",
    "with slashes": "{root}//team/model//",
    "http": "http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts/team/model",
    "https behind a prefix": "https://h/p/api/2.0/mlflow-artifacts/artifacts/team/model/",
    "ajax": "http://h/ajax-api/2.0/mlflow-artifacts/artifacts/team/model",
    "mlflow-artifacts": "mlflow-artifacts:/team/model",
    "mlflow-artifacts with a host": "mlflow-artifacts://h:5000/team/model",
}


@pytest.mark.parametrize("root", ["local", "s3"], indirect=True)
@pytest.mark.parametrize("source", SOURCES)
def test_every_uri_of_the_files_seals_them(registry: Registry, source: str) -> None:
    """And is kept as it was given."""
    uri = SOURCES[source].format(root=registry.artifacts.root)
    version = register(registry, uri)
    assert (version.source, version.status) == (uri, Status.READY)
    with pytest.raises(ArtifactImmutableError):
        registry.files.write(f"{FOLDER}/MLmodel", [b"evil"])
    registry.verify_model_version("churn", 1)


@pytest.mark.parametrize("source", ["s3://elsewhere/team/model", "http://h/other/team/model"])
def test_what_is_elsewhere_seals_nothing(registry: Registry, source: str) -> None:
    """Other people's URIs say nothing of our files."""
    register(registry, source)
    registry.files.write(f"{FOLDER}/MLmodel", [b"new"])


def test_files_stay_sealed_while_any_version_has_them(registry: Registry) -> None:
    """And are open again when a collection has removed them."""

    def is_sealed() -> bool:
        return registry.files.sealed_by(f"{FOLDER}/MLmodel") is not None

    register(registry)
    register(registry)
    registry.delete_model_version("churn", 1)
    registry.files.collect_garbage(grace_seconds=0, dry_run=False)
    assert is_sealed()
    registry.delete_model_version("churn", 2)
    assert is_sealed()
    registry.files.collect_garbage(grace_seconds=0, dry_run=False)
    assert not is_sealed()


def test_model_cannot_be_registered_with_names_that_cannot_be_kept(registry: Registry) -> None:
    """Nor what is ours."""
    register(registry)
    registry.artifacts.write("odd/#b", [b"1"])
    registry.artifacts.write("manifest.json/x", [b"1"])
    for source in ("/odd", "/.registry/manifests", "/manifest.json"):
        with pytest.raises(InvalidArgumentError):
            register(registry, registry.artifacts.root + source)
    ready = [v.version for v in registry.iter_model_versions() if v.status is Status.READY]
    assert ready == [1]


# While a version is registered


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """Threads for what happens at the same time."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize("path", ["MLmodel", "new.bin"])
@pytest.mark.parametrize("length", [100, 3 << 20], ids=["small", "large"])
def test_put_that_began_before_is_refused_at_its_end(
    registry: Registry, port: int, path: str, length: int
) -> None:
    """Half of the body came, then the version was registered: its bytes are those of that moment."""
    head = f"PUT {PREFIX}/artifacts/{FOLDER}/{path} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Connection: close\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode() + b"x" * (length // 2))
        register(registry)
        connection.sendall(b"x" * (length - length // 2))
        assert read_answer(connection).status == 403
    registry.verify_model_version("churn", 1)
    assert all_bytes(registry.artifacts, FOLDER) == {
        f"{FOLDER}/{name}": body for name, body in MODEL.items()
    }


def waits(future: Future[object], registry: Registry) -> None:
    """The registration has begun, and has not ended."""
    while not registry.search_model_versions().items:
        assert not future.done(), future.result()
    with pytest.raises(TimeoutError):
        future.result(0.1)
    (version,) = registry.search_model_versions().items
    assert version.status is Status.PENDING_REGISTRATION


def test_registration_waits_for_a_put_that_is_becoming_visible(
    registry: Registry, watched: WatchedArtifacts, background: ThreadPoolExecutor
) -> None:
    """The last moment of the file's writing: then its new bytes are the registered ones."""
    there, go_on = watched.pause("write", f"{FOLDER}/MLmodel")
    putting = background.submit(registry.files.write, f"{FOLDER}/MLmodel", [b"new bytes"])
    assert there.wait(30)
    registering = background.submit(register, registry)
    waits(registering, registry)
    go_on.set()
    assert putting.result(30).size == len(b"new bytes")
    assert registering.result(30).status is Status.READY
    registry.verify_model_version("churn", 1)
    assert all_bytes(watched, f"{FOLDER}/MLmodel") == {f"{FOLDER}/MLmodel": b"new bytes"}


@pytest.mark.parametrize("path", [f"{FOLDER}/data", FOLDER, "team"])
def test_registration_waits_for_a_delete(
    registry: Registry, watched: WatchedArtifacts, background: ThreadPoolExecutor, path: str
) -> None:
    """What is left then is registered, or nothing is."""
    there, go_on = watched.pause("delete", path)
    deleting = background.submit(registry.files.delete, path)
    assert there.wait(30)
    registering = background.submit(register, registry)
    waits(registering, registry)
    go_on.set()
    deleting.result(30)
    version = registering.result(30)
    assert version.status is Status.READY
    if path.endswith("data"):
        assert registry.verify_model_version("churn", 1).files
    else:
        assert all_bytes(watched, "team") == {}


def test_registration_waits_for_a_completion(
    registry: Registry, watched: WatchedArtifacts, background: ThreadPoolExecutor
) -> None:
    """Of a multipart upload, which a client sent past the server."""
    if not watched.root.startswith("s3:"):
        pytest.skip("only a bucket takes uploads past the server")
    from services.presigned import put_part

    path = f"{FOLDER}/big.bin"
    upload = watched.create_multipart(path, parts=1, expires_seconds=60)
    etags = {1: put_part(upload.urls[0], b"big")}
    there, go_on = watched.pause("complete_multipart", path)
    completing = background.submit(
        registry.files.complete_multipart, watched, path, upload.upload_id, etags=etags
    )
    assert there.wait(30)
    registering = background.submit(register, registry)
    waits(registering, registry)
    go_on.set()
    completing.result(30)
    registering.result(30)
    paths = {file.path for file in registry.verify_model_version("churn", 1).files}
    assert paths == {*MODEL, "big.bin"}


def test_dead_writer_holds_up_no_registration(
    registry: Registry, watched: WatchedArtifacts
) -> None:
    """Its announcement is old by the clock of the store itself."""
    body = json.dumps({"paths": [FOLDER]}).encode()
    watched.write(".registry/writers/dead", [body])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "DEAD_AFTER_SECONDS", -5.0)
        assert register(registry).status is Status.READY


def test_registration_gives_up_on_a_writer_that_does_not_end(
    registry: Registry, watched: WatchedArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version failed, and says why."""
    monkeypatch.setattr(leases, "WAIT_SECONDS", 0.05)
    watched.write(".registry/writers/slow", [json.dumps({"paths": [FOLDER]}).encode()])
    with pytest.raises(ConflictError, match="being changed by somebody else"):
        register(registry)
    assert registry.get_model_version("churn", 1).status is Status.FAILED_REGISTRATION


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"paths": 5}', b"[" * 10_000])
def test_announcement_that_cannot_be_read_counts_until_it_is_old(
    registry: Registry, watched: WatchedArtifacts, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """Nobody knows what it is about, so it is about everything; it is no failure of the server."""
    monkeypatch.setattr(leases, "WAIT_SECONDS", 0.05)
    watched.write(".registry/writers/damaged", [body])
    with pytest.raises(ConflictError, match="being changed by somebody else"):
        register(registry)
    monkeypatch.setattr(leases, "DEAD_AFTER_SECONDS", -5.0)
    assert register(registry).status is Status.READY


def test_many_writers_and_registrations(registry: Registry) -> None:
    """Whatever the order, every READY version verifies."""
    stop = threading.Event()
    accepted: list[bytes] = []

    def write(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            body = b"%d-%d" % (number, turn)
            try:
                registry.files.write(f"{FOLDER}/MLmodel", [body])
                accepted.append(body)
            except ArtifactImmutableError:
                return

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    register(registry)
    stop.set()
    for thread in threads:
        thread.join()
    registry.verify_model_version("churn", 1)
    kept = all_bytes(registry.artifacts, f"{FOLDER}/MLmodel")[f"{FOLDER}/MLmodel"]
    assert kept in [*accepted, MODEL["MLmodel"]]


def test_server_and_library_hold_each_other_up(registry: Registry, model: Path) -> None:
    """Two processes on one root: a second registry knows the seals of the first."""
    register(registry)
    other = memory_registry(registry.artifacts)
    with serving(other) as port:
        assert put(port, f"{FOLDER}/MLmodel").status == 403
