"""`mlflow models serve` with a bucket for a registry, and no server of anybody's."""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from services.mlflow_client import CLIENT_ENVIRONMENT
from services.ports import free_port
from services.registry_server import ServerProcess
from services.stores import store_url

pytestmark = pytest.mark.long

ANSWER_SECONDS = 120


class ModelServer(ServerProcess):
    """MLflow's scoring server for a model, which it finds by the registry in its environment."""

    ready_path = "/ping"
    start_seconds = 240

    def __init__(self, model: str, environment: dict[str, str]) -> None:
        port = free_port()
        command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model]
        command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
        super().__init__(
            [*command, "--workers", "1"],
            port=port,
            environment={
                **CLIENT_ENVIRONMENT,
                **environment,
                # MLflow looks there for uvicorn.
                "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            },
        )

    def predictions(self, inputs: list[Any]) -> Any:
        """What the model says of the inputs, over HTTP."""
        request = urllib.request.Request(
            f"{self.url}/invocations",
            data=json.dumps({"inputs": inputs}).encode(),
            headers={"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=ANSWER_SECONDS) as answer:
            return json.load(answer)["predictions"]


def test_mlflow_serves_the_champion_of_a_bucket(
    s3_server: Any, mlflow: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A process that knows the bucket alone answers by the version that the alias names."""
    from sklearn.linear_model import LogisticRegression

    rows, labels = [[0.0, 0.1], [0.2, 0.9], [0.8, 0.2], [1.0, 1.0]], [0, 0, 1, 1]
    with store_url("s3", request) as where:
        mlflow.set_registry_uri(f"registry+{where}")
        for wanted in (labels, labels[::-1]):
            with mlflow.start_run():
                mlflow.sklearn.log_model(
                    LogisticRegression().fit(rows, wanted),
                    name="model",
                    registered_model_name="m",
                    pip_requirements=["mlflow"],
                )
        mlflow.MlflowClient().set_registered_model_alias("m", "champion", 2)
        shutil.rmtree(tmp_path / "runs")
        environment = {
            "MLFLOW_REGISTRY_URI": f"registry+{where}",
            "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'other.db'}",
            "MLFLOW_S3_ENDPOINT_URL": s3_server.endpoint_url,
        }
        with ModelServer("models:/m@champion", environment) as server:
            assert server.predictions(rows) == labels[::-1]
