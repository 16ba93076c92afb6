"""What the plug-in does beyond the calls of MLflow's interface.

Only its tests import it: it imports MLflow, which takes seconds, and every process of the tests reads
this file.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import re
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from registry_core import errors, open_registry
from registry_core.webhook_delivery.delivering import DeliveryOptions
from services.acceptance import failure, no_model
from services.ports import free_port
from services.registry_server import WEBHOOKS_ON_LOOPBACK, RegistryServer
from services.stores import store_url

RECEIVER_SECONDS = 20
"""For which nobody waits for a receiver; MLflow's server would, for 30 and three times more."""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A store URL in a directory of the test's own."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


class Echo:
    """A model that predicts its input."""

    @staticmethod
    def of(mlflow: Any) -> Any:
        class Model(mlflow.pyfunc.PythonModel):
            def predict(self, context: Any, model_input: list[str]) -> list[str]:
                return model_input

        return Model()


@pytest.mark.parametrize("kept_in", ["postgresql", "s3"])
def test_no_server_is_needed(
    kept_in: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model is made, promoted, found and renamed, in each place the same."""
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    with store_url(kept_in, request) as where:
        client = MlflowClient(tracking_uri="sqlite:///unused.db", registry_uri=f"registry+{where}")
        client.create_registered_model("m", {"a": "1"}, "d")
        for _ in range(3):
            client.create_model_version("m", "s3://b/p", tags={"k": "v"})
        client.set_registered_model_alias("m", "champion", 2)
        client.transition_model_version_stage("m", 3, "Production")
        client.rename_registered_model("m", "n")
        assert client.get_model_version_by_alias("n", "champion").version == "2"
        page = client.search_model_versions("tags.k = 'v'", 2, ["version_number ASC"])
        assert [each.version for each in page] == ["1", "2"]
        page = client.search_model_versions(
            "tags.k = 'v'", 2, ["version_number ASC"], page_token=page.token
        )
        assert ([each.version for each in page], page.token) == (["3"], None)
        copy = client.copy_model_version("models:/n@champion", "o")
        assert (copy.source, copy.tags) == ("models:/n/2", {"k": "v"})
        with no_model("m"):
            client.get_registered_model("m")


def test_a_logged_model_is_uploaded_and_loads_without_its_tracking(
    mlflow: Any, file: str, tmp_path: Path
) -> None:
    """Its files are the registry's own: who has the registry can load it, and changes nothing."""
    mlflow.set_registry_uri(f"registry+{file}")
    with mlflow.start_run() as run:
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=Echo.of(mlflow),
            registered_model_name="echo",
            pip_requirements=["mlflow"],
        )
    client = mlflow.MlflowClient()
    version = client.get_model_version("echo", 1)
    assert (version.run_id, version.model_id) == (run.info.run_id, info.model_id)
    client.set_registered_model_alias("echo", "champion", 1)
    shutil.rmtree(tmp_path / "runs")

    loaded = mlflow.pyfunc.load_model("models:/echo@champion")
    assert loaded.predict(["x"]) == ["x"]
    again = mlflow.register_model("models:/echo/1", "echo")
    assert mlflow.pyfunc.load_model("models:/echo/2").predict(["y"]) == ["y"]
    assert again.source == "models:/echo/1"
    with open_registry(file) as registry:
        for number in (1, 2):
            registry.files.verify(registry.get_model_version("echo", number))


def test_the_champion_of_a_bucket_is_downloaded_without_a_server(
    s3_server: Any,
    mlflow: Any,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What `mlflow models serve` begins with."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server.endpoint_url)
    with store_url("s3", request) as where:
        with open_registry(where) as registry:
            for text in ("1", "2"):
                (tmp_path / text).mkdir()
                (tmp_path / text / "MLmodel").write_text(f"# {text}")
                registry.push_model_version("m", tmp_path / text, create=True)
            registry.set_registered_model_alias("m", "champion", 2)
        mlflow.set_registry_uri(f"registry+{where}")
        downloaded = mlflow.artifacts.download_artifacts("models:/m@champion")
    assert (Path(downloaded) / "MLmodel").read_text() == "# 2"


def test_a_model_of_another_tracking_keeps_its_uri(mlflow: Any, file: str) -> None:
    """A client that tracks it can load it; nothing is looked for in vain."""
    from registry_mlflow.store import RegistryStore

    store = RegistryStore(file, tracking_uri=mlflow.get_tracking_uri())
    store.create_registered_model("m")
    made = store.create_model_version("m", "models:/m-0123", model_id="m-0123")
    assert (made.source, made.run_id, made.model_id) == ("models:/m-0123", "", "m-0123")
    assert store.get_model_version_download_uri("m", 1) == "models:/m-0123"


def test_errors_are_mlflows(file: str) -> None:
    """With the code of the table that the server goes by, for every class that there is."""
    from mlflow.exceptions import MlflowException

    from registry_mlflow.errors import as_mlflow
    from registry_mlflow.store import RegistryStore

    store = RegistryStore(file)
    with no_model("m"):
        store.get_registered_model("m")
    with failure("INVALID_PARAMETER_VALUE", re.compile("Invalid comparator")):
        store.search_registered_models("name ~ 'x'")
    for error, code, status in (
        (errors.ContentionError("busy"), "RESOURCE_EXHAUSTED", 429),
        (errors.StoreUnavailableError("away"), "TEMPORARILY_UNAVAILABLE", 503),
        (errors.StoreCorruptedError("torn"), "DATA_LOSS", 500),
        (errors.UnsupportedBackendError("no"), "NOT_IMPLEMENTED", 501),
        (errors.RegistryError("?"), "INTERNAL_ERROR", 500),
    ):
        theirs = as_mlflow(error)
        assert (theirs.error_code, theirs.get_http_status_code()) == (code, status)
    with pytest.raises(MlflowException, match=r"127\.0\.0\.1:9"):
        RegistryStore("http://127.0.0.1:9").get_registered_model("m")


def test_a_url_that_means_nothing_is_refused_when_it_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)

    with failure("INVALID_PARAMETER_VALUE", re.compile("Not the address of a server")):
        client = MlflowClient("sqlite:///unused.db", "registry+http:///nowhere")
        client.get_registered_model("m")


def test_threads_share_a_store(file: str) -> None:
    """Of one number for each version none is lost, and none given twice."""
    from registry_mlflow.store import RegistryStore

    store = RegistryStore(file)
    store.create_registered_model("m")
    with ThreadPoolExecutor(8) as threads:
        made = threads.map(lambda _: store.create_model_version("m", "s3://b/p"), range(40))
        numbers = sorted(int(each.version) for each in made)
    assert numbers == list(range(1, 41))


@pytest.mark.parametrize("kept_in", ["sqlite", "postgresql", "s3", "http"])
def test_a_forked_process_has_connections_of_its_own(
    kept_in: str, request: pytest.FixtureRequest, file: str
) -> None:
    """Parent and children go on with the store that the parent has opened, at the same time."""
    from registry_mlflow.store import RegistryStore

    if kept_in == "http":
        with RegistryServer(file) as server:
            use_in_children(RegistryStore(server.url))
    else:
        with store_url(kept_in, request) as where:
            use_in_children(RegistryStore(where))


def use_in_children(store: Any) -> None:
    store.create_registered_model("m")
    context = multiprocessing.get_context("fork")
    # Held by a thread that does not exist in the child.
    with store._opened._opening:
        children = [context.Process(target=create_versions, args=(store,)) for _ in range(2)]
        for child in children:
            child.start()
    create_versions(store)
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    found = store.search_model_versions("name = 'm'")
    assert sorted(int(each.version) for each in found) == list(range(1, 16))


def create_versions(store: Any) -> None:
    for _ in range(5):
        store.create_model_version("m", "s3://b/p")


def test_a_pickled_store_opens_anew(file: str) -> None:
    from registry_mlflow.store import RegistryStore

    store = RegistryStore(file, tracking_uri="sqlite:///t.db")
    store.create_registered_model("m")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.get_registered_model("m").name == "m"
    assert (copy.store_url, copy.tracking_uri, copy.serving) == (file, "sqlite:///t.db", False)


def test_plain_http_stays_mlflows_own_in_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store of its release, untouched; of ours only as the registry of MLflow's server."""
    from mlflow.server.constants import REGISTRY_STORE_URI_ENV_VAR
    from mlflow.store.model_registry.rest_store import RestStore
    from mlflow.tracking._model_registry.utils import _get_store

    from registry_mlflow import plugin
    from registry_mlflow.store import RegistryStore

    url = f"http://127.0.0.1:{free_port()}"
    assert type(_get_store(url)) is RestStore
    assert plugin.SERVER_VARIABLE == REGISTRY_STORE_URI_ENV_VAR
    monkeypatch.setenv(REGISTRY_STORE_URI_ENV_VAR, url)
    assert isinstance(plugin.open_http_store(url), RegistryStore)
    assert type(plugin.open_http_store("http://other")) is RestStore


def test_mlflows_server_delivers_what_others_queue(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that serves starts to deliver; one of a client does not, and neither tells MLflow."""
    from mlflow.entities.webhook import WebhookEvent

    from registry_mlflow.store import RegistryStore

    before = {*threading.enumerate()}
    serving, client = RegistryStore(file, serving=True), RegistryStore(file)
    started = {*threading.enumerate()} - before
    assert "webhook-relay" in {thread.name for thread in started}
    assert all(thread.daemon for thread in started)  # No worker waits for them when it ends.
    assert client._delivering is None
    event = WebhookEvent("prompt", "created")
    assert list(serving.list_webhooks_by_event(event)) == []
    serving._delivering.close()


@pytest.mark.long
def test_a_receiver_that_never_answers_holds_up_no_worker_of_mlflows_server(file: str) -> None:
    """Its process ends soon: no thread has to end first, and it waits for deliveries a moment."""
    from mlflow.entities.webhook import WebhookEvent

    from registry_mlflow.store import RegistryStore

    before = {*threading.enumerate()}
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        contextlib.closing(socket.create_server(("127.0.0.1", 0))) as receiver,
    ):
        for key, value in WEBHOOKS_ON_LOOPBACK.items():
            monkeypatch.setenv(key, value)
        store = RegistryStore(file, serving=True)
        url = f"http://127.0.0.1:{receiver.getsockname()[1]}/hook"
        store.create_webhook("h", url, [WebhookEvent("model_version", "created")])
        store.create_registered_model("m")
        store.create_model_version("m", "s3://b/p")
        receiver.settimeout(60)
        connection, _ = receiver.accept()
        with contextlib.closing(connection):
            started = {*threading.enumerate()} - before
            assert started
            assert all(thread.daemon for thread in started)
            begun = time.monotonic()
            store._delivering.close()
            assert time.monotonic() - begun < RECEIVER_SECONDS


@pytest.mark.parametrize("events", [[], [1, 2], ["model_version.created"]])
def test_events_of_another_kind_are_refused_as_mlflow_does(
    file: str, events: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written."""
    from mlflow.entities.webhook import WebhookEvent

    from registry_mlflow.store import RegistryStore

    for key, value in WEBHOOKS_ON_LOOPBACK.items():
        monkeypatch.setenv(key, value)
    store = RegistryStore(file)
    made = store.create_webhook(
        "h", "http://127.0.0.1/1", [WebhookEvent("model_version", "created")]
    )
    message = f"Webhook events must be a non-empty list of WebhookEvent objects: {events}."
    with failure("INVALID_PARAMETER_VALUE", message):
        store.create_webhook("other", "http://127.0.0.1/2", events)
    with failure("INVALID_PARAMETER_VALUE", message):
        store.update_webhook(made.webhook_id, name="renamed", events=events)
    (kept,) = store.list_webhooks()
    assert (kept.name, kept.events) == ("h", made.events)


def test_mlflows_settings_of_webhooks_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """But changes by others are known as soon as on a server of ours, at least."""
    from registry_mlflow.webhooks import delivery_options

    settings = {"REQUEST_TIMEOUT": 7, "REQUEST_MAX_RETRIES": 4, "DELIVERY_MAX_WORKERS": 2}
    for name, value in settings.items():
        monkeypatch.setenv(f"MLFLOW_WEBHOOK_{name}", str(value))
    for ttl, cache_seconds in ((60, 5), (1, 1)):
        monkeypatch.setenv("MLFLOW_WEBHOOK_CACHE_TTL", str(ttl))
        assert delivery_options() == DeliveryOptions(
            attempt_seconds=7, retries=4, threads=2, cache_seconds=cache_seconds
        )
