"""Journeys of a model's files: pushed here, or logged on a tracking server, and loaded by alias.

MLflow's own server registers only models that it tracks, so it is not asked; and the calls that
load are made by other processes, which have no cloud credentials.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import boto3
import pytest

from services import forking, s3
from services.registry_server import RegistryServer
from services.stores import store_url

KINDS = ("sqlite", "postgresql", "s3")
ROWS = [[0.0, 0.1], [0.2, 0.9], [0.8, 0.2], [1.0, 1.0]]

LOADING = """\
import json, sys
import mlflow
for line in sys.stdin:
    url, model, rows = json.loads(line)
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    print(json.dumps(mlflow.pyfunc.load_model(model).predict(rows).tolist()), flush=True)
"""
"""Loads models from registries, and prints what each predicts."""


@pytest.fixture(scope="module")
def estimator() -> Any:
    """A trained classifier, whose predictions are not all the same."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(ROWS, [0, 0, 1, 1])


@pytest.fixture(scope="module")
def saved(estimator: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier as MLflow saves it, in several files and a folder."""
    import mlflow.sklearn

    directory = tmp_path_factory.mktemp("saved") / "model"
    mlflow.sklearn.save_model(estimator, str(directory), pip_requirements=["scikit-learn"])
    (directory / "extra").mkdir()
    (directory / "extra/empty").write_bytes(b"")
    return directory


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest) -> Iterator[dict[str, tuple[str, str, str]]]:
    """By kind of metadata store: its URL, that of its artifact root in S3, and of its server."""
    endpoint = request.getfixturevalue("s3_server").endpoint_url
    found = {}
    with ExitStack() as stack:
        for kind in KINDS:
            store = stack.enter_context(store_url(kind, request))
            root = s3.store_url(endpoint, f"a-{uuid.uuid4().hex[:10]}")
            server = RegistryServer(store, public=True, arguments=("--artifacts", root))
            found[kind] = store, root, stack.enter_context(server).url
        yield found


class Loader:
    """A process that loads models and has no credentials; MLflow takes long to import, so one."""

    def __init__(self, home: Path) -> None:
        self._log = home / "stderr"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", LOADING],
                env=without_credentials(home),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def predicts(self, url: str, model: str) -> object:
        """What a model predicts, loaded from the registry at a URL."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([url, model, ROWS]) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, self._log.read_text()
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()


def without_credentials(home: Path) -> dict[str, str]:
    """The environment of somebody who has no cloud."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    kept.pop("MLFLOW_S3_ENDPOINT_URL", None)
    return {**kept, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    """Somebody without a cloud, who loads models."""
    with closing(Loader(tmp_path_factory.mktemp("home"))) as loader:
        yield loader


def test_pushed_model_is_loaded_without_credentials(
    served: dict[str, tuple[str, str, str]], saved: Path, estimator: Any, loader: Loader
) -> None:
    """From each kind of metadata store; the files are in a bucket that the loader cannot open."""
    for store, root, _ in served.values():
        command = ["--store", store, "models", "push", "m", str(saved), "--create"]
        command += ["--alias", "champion", "--artifacts", root]
        forking.run("registry_cli", *command, seconds=120).check_returncode()
    expected = estimator.predict(ROWS).tolist()
    assert len(set(expected)) == 2
    for _, _, url in served.values():
        assert loader.predicts(url, "models:/m@champion") == expected


def test_model_is_uploaded_by_mlflows_client(
    served: dict[str, tuple[str, str, str]], saved: Path, estimator: Any, loader: Loader
) -> None:
    """Through the server, file by file, then registered by where it is: sealed, and loaded."""
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    expected = estimator.predict(ROWS).tolist()
    for _, _, url in served.values():
        source = f"{url}/api/2.0/mlflow-artifacts/artifacts/uploads/model"
        repository = get_artifact_repository(source)
        repository.log_artifacts(str(saved))
        client = MlflowClient(tracking_uri=url, registry_uri=url)
        client.create_registered_model("up")
        version = client.create_model_version("up", source)
        assert version.status == "READY"
        client.set_registered_model_alias("up", "champion", version.version)
        assert loader.predicts(url, "models:/up@champion") == expected
        with pytest.raises(Exception, match="403"):
            repository.log_artifact(str(saved / "MLmodel"))


@pytest.fixture
def tracking(mlflow_url: str, s3_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A separate MLflow server that tracks, in an experiment whose artifacts are in a bucket."""
    import mlflow

    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server.endpoint_url)
    mlflow.set_tracking_uri(mlflow_url)
    experiment = f"e-{uuid.uuid4().hex[:10]}"
    mlflow.create_experiment(experiment, f"s3://{s3.bucket_name()}/{experiment}")
    mlflow.set_experiment(experiment)
    yield mlflow_url
    mlflow.set_experiment(experiment_id="0")
    mlflow.set_registry_uri(None)
    mlflow.set_tracking_uri(None)
    boto3.DEFAULT_SESSION = None


@pytest.mark.parametrize("kind", KINDS)
def test_logged_model_is_loaded_by_alias(
    tracking: str, served: dict[str, tuple[str, str, str]], kind: str, estimator: Any
) -> None:
    """Tracked there, registered here, with one call; the files stay where tracking put them."""
    import mlflow
    from mlflow import MlflowClient

    url = served[kind][2]
    mlflow.set_registry_uri(url)
    info = mlflow.sklearn.log_model(
        estimator, name="model", registered_model_name="logged", pip_requirements=["scikit-learn"]
    )
    logged = MlflowClient(tracking_uri=tracking).get_logged_model(info.model_id)
    assert logged.artifact_location.startswith("s3://")
    client = MlflowClient(tracking_uri=tracking, registry_uri=url)
    client.set_registered_model_alias("logged", "champion", "1")
    assert client.get_model_version("logged", "1").source == f"models:/{info.model_id}"
    found = mlflow.pyfunc.load_model("models:/logged@champion")
    assert found.predict(ROWS).tolist() == estimator.predict(ROWS).tolist()
