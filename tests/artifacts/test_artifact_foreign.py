"""Files that lie outside of a registry: read on a client's side, and verified by nobody."""

from __future__ import annotations

import functools
import http.server
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from cli.invoking import Regctl
from registry_core import Registry, open_registry
from registry_core.artifacts.versions import layout
from registry_core.backends import open_artifacts
from registry_core.errors import (
    ArtifactNotFoundError,
    InvalidArgumentError,
    NotFoundError,
)
from registry_core.foreign import ForeignPlaces
from registry_core.foreign.tracking import TrackingServer
from services.artifacts import KINDS, MODEL, artifact_url, read_tree, serving, write_tree

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
    places = ForeignPlaces(open_artifacts=open_artifacts)
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
