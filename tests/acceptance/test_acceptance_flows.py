"""Whole flows of MLflow users: log, register, promote and load, with tracking somewhere else."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from services import s3
from services.acceptance import Recorded, failure, invalid

ROWS = [[0.0, 0.1], [0.2, 0.9], [0.8, 0.2], [1.0, 1.0]]
LABELS = [0, 0, 1, 1]


@pytest.fixture(scope="session")
def local_tracking(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path | None) -> str:
    """The URL of tracking in a SQLite file, which is made once because its schema takes seconds."""
    file = tmp_path_factory.mktemp("tracking") / "tracking.db"
    if mlflow_database is not None:
        shutil.copy(mlflow_database, file)
    return f"sqlite:///{file}"


@pytest.fixture(params=["file", "server"])
def tracking_url(request: pytest.FixtureRequest, store: str) -> str:
    """Where runs are tracked: in a local file, or on an MLflow server.

    MLflow's own registry serves models that it tracks itself, and no others: it looks them up.
    """
    if request.param == "server":
        return request.getfixturevalue("mlflow_url")
    if store == "mlflow":
        pytest.skip("MLflow's server registers no model that was logged elsewhere")
    return request.getfixturevalue("local_tracking")


@pytest.fixture
def tracking(tracking_url: str, fluent: Recorded, tmp_path: Path) -> Iterator[str]:
    """Tracking by that URL, in an experiment of the test's own."""
    import mlflow

    mlflow.set_tracking_uri(tracking_url)
    local = tracking_url.startswith("sqlite:")
    experiment = f"e-{uuid.uuid4().hex[:10]}"
    mlflow.create_experiment(experiment, str(tmp_path / "artifacts") if local else None)
    mlflow.set_experiment(experiment)
    yield tracking_url
    mlflow.set_experiment(experiment_id="0")


@pytest.fixture(scope="session")
def estimator() -> Any:
    """A trained classifier."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(ROWS, LABELS)


def known_run(tracking: str, registry: str, run_id: str) -> str:
    """The run of a version registered by the id of its logged model.

    The client names no run then; a registry that tracks the logged model itself looks it up.
    """
    return run_id if tracking == registry else ""


@pytest.mark.covers(
    "mlflow.sklearn.log_model",
    "mlflow.pyfunc.load_model",
    "mlflow.sklearn.load_model",
    "mlflow.models.get_model_info",
)
def test_a_logged_model_is_registered_promoted_and_loaded(
    *, tracking: str, url: str, fluent: Recorded, client: Recorded, name: str, estimator: Any
) -> None:
    """The flow of every tutorial: the loaded model predicts what the trained one does."""
    with fluent.start_run() as run:
        info = fluent.sklearn.log_model(
            estimator, name="model", registered_model_name=name, pip_requirements=["scikit-learn"]
        )

    version = client.get_model_version(name, "1")
    assert version.status == "READY"
    assert version.run_id == known_run(tracking, url, run.info.run_id)
    assert version.source == f"models:/{info.model_id}"
    assert info.registered_model_version in (1, "1")

    client.set_registered_model_alias(name, "champion", "1")
    client.transition_model_version_stage(name, "1", "Production")
    expected = estimator.predict(ROWS).tolist()
    for reference in ("@champion", "/1", "/latest", "/Production"):
        loaded = fluent.pyfunc.load_model(f"models:/{name}{reference}")
        assert loaded.predict(ROWS).tolist() == expected
    flavour = fluent.sklearn.load_model(f"models:/{name}@champion")
    assert flavour.coef_.tolist() == estimator.coef_.tolist()
    assert fluent.models.get_model_info(f"models:/{name}/1").model_id == info.model_id


@pytest.mark.covers("mlflow.register_model", "mlflow.pyfunc.load_model")
def test_runs_and_models_uris_register(
    *, tracking: str, url: str, fluent: Recorded, client: Recorded, name: str, estimator: Any
) -> None:
    """A model logged before is registered by its run, by its id, and copied by its version."""
    with fluent.start_run() as run:
        info = fluent.sklearn.log_model(estimator, name="model", pip_requirements=["scikit-learn"])
    by_run = fluent.register_model(f"runs:/{run.info.run_id}/model", name, tags={"by": "run"})
    by_id = fluent.register_model(f"models:/{info.model_id}", name)
    by_version = fluent.register_model(f"models:/{name}/1", f"{name}-copy")

    assert [(v.name, v.version, v.run_id) for v in (by_run, by_id, by_version)] == [
        (name, "1", run.info.run_id),
        (name, "2", known_run(tracking, url, run.info.run_id)),
        (f"{name}-copy", "1", run.info.run_id),
    ]
    assert (by_run.tags, by_version.source) == ({"by": "run"}, f"models:/{name}/1")
    assert by_id.source == f"models:/{info.model_id}"
    expected = estimator.predict(ROWS).tolist()
    for uri in (f"models:/{name}/1", f"models:/{name}/2", f"models:/{name}-copy/1"):
        assert fluent.pyfunc.load_model(uri).predict(ROWS).tolist() == expected


@pytest.fixture(scope="session")
def bucket_model(
    s3_server: s3.S3Server | s3.ExternalS3Server, estimator: Any, tmp_path_factory: Any
) -> Iterator[str]:
    """The URL of a saved model in a bucket, with the client told where the bucket is."""
    import mlflow.sklearn

    directory = tmp_path_factory.mktemp("saved") / "model"
    mlflow.sklearn.save_model(estimator, str(directory), pip_requirements=["scikit-learn"])
    bucket, prefix = s3.bucket_name(), f"models-{uuid.uuid4().hex[:8]}"
    client = s3_server.client()
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            key = f"{prefix}/{path.relative_to(directory)}"
            client.upload_file(str(path), bucket, key)
    client.close()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server.endpoint_url)
        yield f"s3://{bucket}/{prefix}"
    boto3.DEFAULT_SESSION = None


@pytest.mark.covers(
    "mlflow.register_model",
    "mlflow.pyfunc.load_model",
    "mlflow.artifacts.download_artifacts",
    "mlflow.artifacts.list_artifacts",
    "mlflow.models.get_model_info",
)
def test_a_model_in_a_bucket_needs_no_tracking(
    fluent: Recorded, name: str, bucket_model: str, estimator: Any, tmp_path: Path
) -> None:
    """Registered by its URL, found by its alias, listed, downloaded and loaded."""
    made = fluent.register_model(bucket_model, name)
    assert (made.version, made.source) == ("1", bucket_model)
    uri = f"models:/{name}/1"
    listed = {info.path: info.is_dir for info in fluent.artifacts.list_artifacts(uri)}
    assert listed["MLmodel"] is False
    local = Path(fluent.artifacts.download_artifacts(uri, dst_path=str(tmp_path)))
    assert (local / "MLmodel").read_text().startswith("flavors:")
    assert "sklearn" in fluent.models.get_model_info(uri).flavors
    loaded = fluent.pyfunc.load_model(uri)
    assert loaded.predict(ROWS).tolist() == estimator.predict(ROWS).tolist()


@pytest.mark.covers("MlflowClient.create_registered_model")
def test_workspace_that_is_set_is_refused_by_the_client(
    url: str, client: Recorded, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks what the server can do, and says what to unset; nothing is created."""
    from mlflow import MlflowClient

    client.create_registered_model(name)
    monkeypatch.setenv("MLFLOW_WORKSPACE", "team")
    refused = re.compile("^Active workspace 'team' cannot be used because the remote server does ")
    with failure("FEATURE_DISABLED", refused):
        MlflowClient(tracking_uri=url, registry_uri=url).create_registered_model(f"{name}-2")
    monkeypatch.delenv("MLFLOW_WORKSPACE")
    assert len(client.search_registered_models(f"name LIKE '{name}%'")) == 1


@pytest.mark.covers("mlflow.register_model", "mlflow.set_model_version_tag")
def test_register_model_makes_the_model_once(fluent: Recorded, client: Recorded, name: str) -> None:
    """The second registration under a name is its second version."""
    first = fluent.register_model("s3://b/one", name, tags={"a": 1})
    second = fluent.register_model("s3://b/two", name)
    assert [(v.name, v.version, v.source) for v in (first, second)] == [
        (name, "1", "s3://b/one"),
        (name, "2", "s3://b/two"),
    ]
    assert first.tags == {"a": "1"}
    fluent.set_model_version_tag(name, "2", "k", "v")
    assert client.get_model_version(name, "2").tags == {"k": "v"}
    with invalid(
        "Invalid model version source: '/no/such'. To use a local path as a model version "
        "source, the run_id request parameter has to be specified and the local path has to be "
        "contained within the artifact directory of the run specified by the run_id."
    ):
        fluent.register_model("/no/such", name)
