"""Files that lie outside of a registry: read on a client's side, and verified by nobody."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.invoking import Regctl
from registry_core import Registry, open_registry
from registry_core.artifacts import ManifestFile, make_manifest
from registry_core.artifacts.versions import DIGEST_TAG, adopt, layout
from registry_core.backends import open_artifacts
from registry_core.errors import (
    ArtifactNotFoundError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    StaleValueError,
)
from registry_core.foreign import ForeignSources
from registry_core.foreign.tracking import TrackingServer
from services.artifacts import KINDS, MODEL, artifact_url, read_tree, serving, write_tree
from services.stores import store_url

UNUSUAL = {**MODEL, "ü/a b%20c.txt": b"1", "x.y/MLmodel": b"2" * 300_000}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry of a client, with the model `m` in it."""
    with open_registry(f"sqlite:///{tmp_path}/registry.db") as opened:
        opened.create_registered_model("m")
        yield opened


def foreign_place(kind: str, request: pytest.FixtureRequest, files: dict[str, bytes]) -> str:
    """The URI of a folder, on a root of some kind, that holds these files."""
    root = artifact_url(kind, request)
    store = open_artifacts(root)
    for path, body in files.items():
        store.write(f"runs/1/model/{path}", [body])
    # Beside it, so that a name is not taken for the beginning of another.
    store.write("runs/1/model2/other", [b"no"])
    place = f"{store.root}/runs/1/model"
    _, question, options = root.partition("?")
    store.close()
    return f"{place}{question}{options}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_elsewhere_is_pulled_and_said_to_be_unverified(
    kind: str,
    request: pytest.FixtureRequest,
    registry: Registry,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry.create_registered_model("n")
    place = foreign_place(kind, request, UNUSUAL)
    with open_registry("memory:", artifacts="none") as elsewhere:
        elsewhere.create_registered_model("n")
        version = elsewhere.create_model_version("n", source=place)
        registry.restore(elsewhere.snapshot("n"), on_conflict="replace")
    target = tmp_path / "pulled"
    regctl = Regctl(f"sqlite:///{tmp_path}/registry.db")
    done = regctl.run("models", "pull", "n", str(version.version), "-o", str(target))
    assert done.exit_code == 0, done.stderr
    assert "not verified" in caplog.text
    assert read_tree(target) == UNUSUAL
    refused = regctl.run("models", "pull", "--require-sealed", "n", "1", "-o", str(tmp_path / "x"))
    assert refused.exit_code == 2
    assert not (tmp_path / "x").exists()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server with one file."""
    write_tree(tmp_path / "web", {"model.pkl": b"x" * 10_000})
    handler = functools.partial(Quiet, directory=str(tmp_path / "web"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/model.pkl"
    server.shutdown()
    server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing on stderr."""

    def log_message(self, *_: object) -> None:
        """See the class."""


def test_one_file_of_a_web_server_is_a_version(
    web: str, registry: Registry, tmp_path: Path
) -> None:
    registry.create_model_version("m", source=web)
    manifest = registry.pull_model_version("m", 1, tmp_path / "pulled")
    assert [(file.path, file.size) for file in manifest.files] == [("model.pkl", 10_000)]
    assert read_tree(tmp_path / "pulled") == {"model.pkl": b"x" * 10_000}


def test_names_that_lead_out_of_the_destination_are_refused(tmp_path: Path) -> None:
    """A bucket is a place of others: nothing is written if one name is no file of a version."""
    place = f"memory://{uuid.uuid4().hex}"
    store: Any = open_artifacts(place)
    store._fs.pipe_file(f"{store._prefix}/m/a/../../../../out", b"1")
    store._fs.pipe_file(f"{store._prefix}/m/ok", b"1")
    with open_registry("memory:") as registry:
        registry.create_registered_model("m")
        registry.create_model_version("m", source=f"{place}/m")
        with pytest.raises(InvalidArgumentError, match="Invalid path"):
            registry.pull_model_version("m", 1, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_a_place_without_files_is_not_found(registry: Registry, tmp_path: Path) -> None:
    registry.create_model_version("m", source="memory://nowhere/at/all")
    with pytest.raises(ArtifactNotFoundError, match="nowhere"):
        registry.pull_model_version("m", 1, tmp_path / "pulled")
    registry.create_model_version("m", source="runs:/0123/model")
    with pytest.raises(InvalidArgumentError, match="--tracking-uri"):
        registry.pull_model_version("m", 2, tmp_path / "pulled")


def test_a_server_opens_no_place_of_others(tmp_path: Path) -> None:
    """What a server opens its registry as has nothing that reads a version's source."""
    write_tree(tmp_path / "model")
    options: dict[str, Any] = {"local_sources": False, "local_source_root": str(tmp_path)}
    with open_registry("memory:", artifacts="none", **options) as registry:
        registry.create_registered_model("m")
        registry.create_model_version("m", source=str(tmp_path / "model"))
        with pytest.raises(InvalidArgumentError, match="no artifact root"):
            registry.pull_model_version("m", 1, tmp_path / "pulled")


# MLflow's tracking server


@pytest.fixture(scope="module")
def logged(mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """URIs of the same files at a tracking server, by how they are said."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_url, registry_uri=mlflow_url)
    files = write_tree(tmp_path_factory.mktemp("logged"))
    experiment = client.create_experiment(f"foreign-{uuid.uuid4().hex}")
    run = client.create_run(experiment)
    client.log_artifacts(run.info.run_id, str(files), "model")
    model = client.create_logged_model(experiment)
    client.finalize_logged_model(model.model_id, "READY")
    os.environ["MLFLOW_TRACKING_URI"] = mlflow_url
    try:
        from mlflow.store.artifact.artifact_repository_registry import (
            get_artifact_repository,
        )

        get_artifact_repository(model.artifact_location).log_artifacts(str(files))
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]
    proxied = run.info.artifact_uri
    assert proxied.startswith("mlflow-artifacts:/")
    below = proxied.removeprefix("mlflow-artifacts:/").lstrip("/")
    return {
        "run": f"runs:/{run.info.run_id}/model",
        "logged model": f"models:/{model.model_id}",
        "proxy": f"{proxied}/model",
        "url": f"{mlflow_url}/api/2.0/mlflow-artifacts/artifacts/{below}/model",
    }


@pytest.mark.parametrize("form", ["run", "logged model", "proxy", "url"])
def test_what_a_tracking_server_has_is_pulled(
    form: str, logged: dict[str, str], mlflow_url: str, registry: Registry, tmp_path: Path
) -> None:
    registry.create_model_version("m", source=logged[form])
    target = tmp_path / "pulled"
    registry.pull_model_version("m", 1, target, tracking_uri=mlflow_url)
    assert read_tree(target) == MODEL


def test_a_client_of_a_server_pulls_what_lies_elsewhere(
    logged: dict[str, str], mlflow_url: str, tmp_path: Path
) -> None:
    """The server keeps no such files; the client reads them with what it has itself."""
    with open_registry("memory:", artifacts=str(tmp_path / "root"), local_sources=False) as served:
        served.create_registered_model("m")
        served.create_model_version("m", source=logged["run"])
        served.create_model_version("m", source=logged["proxy"])
        with serving(served) as port, open_registry(f"http://127.0.0.1:{port}") as client:
            for number in (1, 2):
                target = tmp_path / str(number)
                client.pull_model_version("m", number, target, tracking_uri=mlflow_url)
                assert read_tree(target) == MODEL
            with pytest.raises(NotFoundError):
                client.pull_model_version("m", 3, tmp_path / "3", tracking_uri=mlflow_url)


def test_a_version_of_mlflows_own_server_is_pulled(
    logged: dict[str, str], mlflow_url: str, tmp_path: Path
) -> None:
    name = f"pull-{uuid.uuid4().hex}"
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_url, registry_uri=mlflow_url)
    client.create_registered_model(name)
    client.create_model_version(name, logged["proxy"], run_id=logged["run"].split("/")[1])
    with open_registry(mlflow_url) as registry:
        registry.pull_model_version(name, 1, tmp_path / "pulled")
    assert read_tree(tmp_path / "pulled") == MODEL
    client.delete_registered_model(name)


def test_credentials_go_to_the_server_that_the_user_named_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A version's source is somebody else's text: it may name any host."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    opened: list[tuple[str, Any]] = []
    original = TrackingServer.__init__

    def init(self: TrackingServer, url: str, *, environ: Any = os.environ) -> None:
        opened.append((url, dict(environ).get("MLFLOW_TRACKING_TOKEN")))
        original(self, url, environ=environ)

    monkeypatch.setattr(TrackingServer, "__init__", init)
    monkeypatch.setattr(TrackingServer, "walk", lambda *_: iter(()))
    places = ForeignSources(open_artifacts=open_artifacts)
    for uri in (
        "mlflow-artifacts:/a",
        "mlflow-artifacts://good:1/a",
        "mlflow-artifacts://evil:1/a",
        "http://evil/api/2.0/mlflow-artifacts/artifacts/a",
        "http://good:1/api/2.0/mlflow-artifacts/artifacts/a",
    ):
        with (
            pytest.raises(ArtifactNotFoundError),
            places.open(uri, tracking_uri="http://good:1"),
        ):
            pass
    assert {token for url, token in opened if "evil" in url} == {None}
    assert {token for url, token in opened if "good" in url} == {"secret"}
    assert layout.is_proxied("mlflow-artifacts://evil:1/a")


# Adopting


@pytest.fixture(params=["sqlite", "postgresql", "s3", "memory"])
def adopting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """A registry on each kind of store, with a version of files elsewhere in it."""
    with contextlib.ExitStack() as stack:
        url = "memory:"
        if request.param != "memory":
            url = stack.enter_context(store_url(request.param, request))
        opened = open_registry(url, artifacts=artifact_url("local", request))
        stack.callback(opened.close)
        opened.create_registered_model("m")
        place = foreign_place("memory", request, UNUSUAL)
        opened.create_model_version("m", source=place, run_id="r", tags={"k": "v"})
        yield opened


def test_a_version_is_adopted_on_every_store(adopting: Registry, tmp_path: Path) -> None:
    before = adopting.get_model_version("m", 1)
    assert not adopting.adopt_model_version("m", 1, dry_run=True).is_written
    assert adopting.get_model_version("m", 1) == before
    done = adopting.adopt_model_version("m", 1, reason="moved in")
    assert (done.is_written, done.files) == (True, len(UNUSUAL))
    after = adopting.get_model_version("m", 1)
    assert after == done.version
    assert after.source.startswith(adopting.files.root)
    assert (after.run_id, after.tags["k"]) == ("r", "v")
    adopting.pull_model_version("m", 1, tmp_path / "pulled", require_sealed=True)
    assert read_tree(tmp_path / "pulled") == UNUSUAL
    event = next(iter(adopting.history("m")))
    assert (event.action.value, event.reason) == ("relocate_version", "moved in")
    assert (event.before, event.after) == ({"source": before.source}, {"source": after.source})
    assert adopting.verify_history("m").is_true
    assert not adopting.adopt_model_version("m", 1).is_written
    assert adopting.fsck().clean
    adopting.files.collect_garbage(grace_seconds=0, dry_run=False)
    assert adopting.verify_model_version("m", 1).digest == after.tags[DIGEST_TAG]


def test_a_copy_of_a_version_elsewhere_keeps_what_it_is_a_copy_of(
    request: pytest.FixtureRequest, registry: Registry
) -> None:
    registry.create_registered_model("n")
    registry.create_model_version("m", source=foreign_place("memory", request, MODEL))
    registry.create_model_version("n", source="models:/m/1")
    adopted = registry.adopt_model_version("n", 1).version
    assert adopted.source == "models:/m/1"
    assert adopted.download_uri.startswith(registry.files.root)


def test_a_client_adopts_through_its_server(
    logged: dict[str, str], mlflow_url: str, tmp_path: Path
) -> None:
    with open_registry("memory:", artifacts=str(tmp_path / "root"), local_sources=False) as served:
        served.create_registered_model("m")
        served.create_model_version("m", source=logged["run"])
        with serving(served) as port:
            url = f"http://127.0.0.1:{port}"
            tracking = ("--tracking-uri", mlflow_url)
            done = Regctl(url).run("versions", "adopt", "m", "1", *tracking)
            assert done.exit_code == 0, done.stderr
            assert "Copied 4 files" in done.stderr
            again = Regctl(url).run("versions", "adopt", "models:/m/1", *tracking)
            assert "nothing was copied" in again.stderr
            with open_registry(url) as client:
                client.pull_model_version("m", 1, tmp_path / "pulled", require_sealed=True)
        assert read_tree(tmp_path / "pulled") == MODEL
        assert next(iter(served.history("m"))).action.value == "relocate_version"
        # No client says where the files of a version are but by bringing them.
        manifest = served.get_model_version_manifest("m", 1)
        served.create_model_version("m", source="s3://b/2")
        other = make_manifest([ManifestFile(path="x", size=1, sha256="0" * 64)])
        with pytest.raises(ConflictError):
            served.finish_adoption("m", 2, other, files_were_at="s3://b/2")
        with pytest.raises(StaleValueError):
            served.finish_adoption("m", 2, manifest, files_were_at="s3://b/1")
        moved = served.finish_adoption("m", 2, manifest, files_were_at="s3://b/2")
        # What is sealed is exchanged by nobody.
        with pytest.raises(InvalidArgumentError, match="replaced"):
            served.begin_adoption("m", 2, other)
        with pytest.raises(InvalidArgumentError, match="replaced"):
            served.finish_adoption("m", 2, manifest, files_were_at=moved.source)
        assert moved.source == served.get_model_version("m", 1).source


def test_a_path_of_a_disk_is_adopted_only_when_it_is_named(
    registry: Registry, tmp_path: Path
) -> None:
    """Otherwise somebody's version would have the user upload any file of the user's disk."""
    files = write_tree(tmp_path / "secret")
    with open_registry("memory:", artifacts="none") as elsewhere:
        elsewhere.create_registered_model("m")
        elsewhere.create_model_version("m", source=str(files))
        registry.restore(elsewhere.snapshot("m"), on_conflict="replace")
    with pytest.raises(InvalidArgumentError, match="--from"):
        registry.adopt_model_version("m", 1)
    done = registry.adopt_model_version("m", 1, files_at=str(files))
    assert done.files == len(MODEL)
    registry.create_model_version("m", source="s3://b/p")
    registry.delete_model_version("m", 2)
    with pytest.raises(NotFoundError):
        registry.adopt_model_version("m", 2)


def test_a_run_whose_files_are_on_this_disk_is_adopted_only_when_they_are_named(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes a run can say that its files are anywhere."""
    files = write_tree(tmp_path / "secret")
    monkeypatch.setattr(TrackingServer, "place_of_run", lambda *_: files.as_uri())
    registry.create_model_version("m", source="runs:/0123")
    with pytest.raises(InvalidArgumentError, match="--from"):
        registry.adopt_model_version("m", 1, tracking_uri="http://127.0.0.1:1")
    done = registry.adopt_model_version("m", 1, files_at=str(files))
    assert done.files == len(MODEL)


@pytest.mark.parametrize("then", ["deleted", "moved", "collected", "adopted"])
def test_what_others_do_while_a_version_is_adopted(
    then: str, request: pytest.FixtureRequest, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come between the last file and the change of the version."""
    registry.create_model_version("m", source=foreign_place("memory", request, MODEL))
    relocate, calls = adopt._relocate, 0

    def meanwhile(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            match then:
                case "deleted":
                    registry.delete_model_version("m", 1)
                case "moved":
                    place = foreign_place("memory", request, {"other": b"1"})
                    registry.adopt_model_version("m", 1, files_at=place)
                case "collected":
                    registry.files.collect_garbage(grace_seconds=0, dry_run=False)
                case "adopted":
                    registry.adopt_model_version("m", 1)
        return relocate(*arguments)

    monkeypatch.setattr(adopt, "_relocate", meanwhile)
    if then in ("deleted", "moved"):
        with pytest.raises(NotFoundError if then == "deleted" else StaleValueError):
            registry.adopt_model_version("m", 1)
        if then == "moved":
            assert [f.path for f in registry.verify_model_version("m", 1).files] == ["other"]
        registry.files.collect_garbage(grace_seconds=0, dry_run=False)
    else:
        registry.adopt_model_version("m", 1)
        assert len(registry.verify_model_version("m", 1).files) == len(MODEL)
    assert registry.fsck().clean


def test_a_collection_leaves_what_an_adoption_holds(
    request: pytest.FixtureRequest, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the adoption has looked at its files, and before a version needs them."""
    registry.create_model_version("m", source=foreign_place("memory", request, MODEL))
    check_sealed = adopt._check_sealed

    def then_collect(*arguments: Any) -> None:
        check_sealed(*arguments)
        registry.files.collect_garbage(grace_seconds=0, dry_run=False)

    monkeypatch.setattr(adopt, "_check_sealed", then_collect)
    registry.adopt_model_version("m", 1)
    assert len(registry.verify_model_version("m", 1).files) == len(MODEL)


KILLED = """
import os, sys
from registry_core import open_registry
from registry_core.artifacts.backends.local import LocalArtifactStore
from registry_core.stores.sql.store import SqlStore

left = int(sys.argv[3])

def dying(method):
    def call(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return method(*arguments, **named)
    return call

for name in ("writer", "write", "remove", "stat"):
    setattr(LocalArtifactStore, name, dying(getattr(LocalArtifactStore, name)))
SqlStore.apply = dying(SqlStore.apply)
with open_registry(sys.argv[1]) as registry:
    registry.adopt_model_version("m", 1, files_at=sys.argv[2])
"""


def test_an_adoption_that_is_killed_at_any_step_goes_on(registry: Registry, tmp_path: Path) -> None:
    """The version has all its files or is as it was, and the same call ends it."""
    registry.create_model_version("m", source="s3://elsewhere/model")
    files = write_tree(tmp_path / "files")
    url = f"sqlite:///{tmp_path}/registry.db"
    for steps in (0, 2, 5, 9, 14, 19, 23, 10_000):
        command = [sys.executable, "-c", KILLED, url, str(files), str(steps)]
        ended = subprocess.run(command, check=False, capture_output=True, timeout=120)
        version = registry.get_model_version("m", 1)
        if ended.returncode == 0:
            break
        assert ended.returncode == -9, ended.stderr
        if version.source != "s3://elsewhere/model":
            assert len(registry.verify_model_version("m", 1).files) == len(MODEL)
    assert len(registry.verify_model_version("m", 1).files) == len(MODEL)
    assert [event.action.value for event in registry.history("m")].count("relocate_version") == 1
