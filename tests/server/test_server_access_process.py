"""A server with an access file, as a process: MLflow's own client, and a file that changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.processes import wait_for
from services.registry_server import RegistryServer

from .test_server_access import digest, token

FILE = f"""
[user.ann]
tokens = ["sha256:{digest("ann")}"]
[[grant]]
users = ["ann"]
role = "writer"
models = ["fraud-*"]
"""
DELETING = '[[grant]]\nusers = ["ann"]\npermissions = ["delete"]\nmodels = ["fraud-*"]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "access.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


@pytest.fixture
def server(tmp_path: Path, file: Path) -> Iterator[RegistryServer]:
    store = f"sqlite:///{tmp_path / 'registry.db'}"
    arguments = ("--access-file", str(file), "--artifacts", "none")
    with RegistryServer(store, workers=2, arguments=arguments) as server:
        yield server


def refused(call) -> str:
    """The code of the refusal of a call, which the client has not repeated."""
    from mlflow.exceptions import MlflowException

    begun = time.monotonic()
    with pytest.raises(MlflowException) as caught:
        call()
    assert time.monotonic() - begun < 20  # a client that repeats does so for minutes
    return str(caught.value.error_code)


def test_mlflows_client_and_a_file_that_changes(
    server: RegistryServer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    # As it is where nobody has said how often it repeats; other tests say so.
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    client = MlflowClient(tracking_uri=server.url, registry_uri=server.url)
    assert "UNAUTHENTICATED" in refused(lambda: client.get_registered_model("fraud-net"))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token("ann"))
    client.create_registered_model("fraud-net")
    assert refused(lambda: client.create_registered_model("churn")) == "PERMISSION_DENIED"
    assert refused(lambda: client.delete_registered_model("fraud-net")) == "PERMISSION_DENIED"
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", token("ann"))
    assert [model.name for model in client.search_registered_models()] == ["fraud-net"]
    # A file with a slip in it changes nothing, and the log says what is wrong.
    file.write_text(FILE + DELETING.replace("delete", "fly"))
    wait_for(lambda: server.log.count("'permissions' has 'fly'") >= 2)
    client.set_registered_model_tag("fraud-net", "k", "v")
    file.write_text(FILE + DELETING)
    wait_for(lambda: server.log.count("is read anew") >= 2)
    client.delete_registered_model("fraud-net")
    # Who was taken out of the file is not let in any more.
    file.write_text(FILE.replace(digest("ann"), digest("another")))
    wait_for(lambda: server.log.count("is read anew") >= 4)
    assert "UNAUTHENTICATED" in refused(client.search_registered_models)
