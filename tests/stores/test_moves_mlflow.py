"""A registry of MLflow's own server moves here: over REST, and from its database."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli.invoking import Regctl
from registry_cli.errors import ExitCode
from registry_core import open_registry
from registry_core.errors import SchemaOutOfDateError
from registry_core.moves import copying, sources
from registry_core.stores.rest.transport import Transport
from services.live_server import LiveServer
from services.watched_copies import eventually, names_of

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

MODELS = 4


@pytest.fixture(scope="module")
def prefix(mlflow_url: str) -> Iterator[str]:
    """What the names of the models begin with that this test has filled the server with."""
    begin = f"move-{uuid.uuid4().hex[:8]} é"
    from mlflow import MlflowClient

    client = MlflowClient(registry_uri=mlflow_url, tracking_uri=mlflow_url)
    for number in range(MODELS):
        name = f"{begin} {number}"
        client.create_registered_model(name, tags={"ключ": "значение"}, description="d" * number)
        for version in range(1, 6):
            client.create_model_version(
                name, f"s3://bucket/{version}", tags={"n": str(version)}, description="ü"
            )
        client.delete_model_version(name, "2")
        client.delete_model_version(name, "5")
        client.transition_model_version_stage(name, "1", "Production")
        client.transition_model_version_stage(name, "3", "Archived")
        client.set_registered_model_alias(name, "champion", "3")
    client.create_registered_model(f"{begin} empty")
    client.register_prompt(f"{begin[:13]}-prompt", "Grüße, {{name}}")
    client.register_prompt(f"{begin[:13]}-prompt", "x" * 6_000, tags={"author": "ann"})
    yield begin
    for model in client.search_registered_models(f"name LIKE '{begin}%'"):
        client.delete_registered_model(model.name)


def _databases(mlflow_directory: Path) -> list[Path]:
    return [path for path in mlflow_directory.glob("*.db") if path.name != "empty.db"]


@pytest.mark.parametrize("origin", ["rest", "sqlite"])
def test_everything_of_a_server_comes_along(
    origin: str, mlflow_url: str, mlflow_directory: Path, prefix: str, tmp_path: Path
) -> None:
    source = mlflow_url
    # A name with both kinds of quotes, which other tests make, is in no filter of MLflow's.
    only = ("--filter", f"name LIKE '{prefix[:13]}%'") if origin == "rest" else ()
    if origin == "sqlite":
        (database,) = _databases(mlflow_directory)
        source = f"mlflow+sqlite:///{database}"
    target = f"sqlite:///{tmp_path}/registry.db"
    regctl = Regctl(target)

    first = regctl.run("copy", *only, source, target)
    assert first.exit_code == ExitCode.OK, first.stderr
    assert "Source and target are the same." in first.stderr
    assert regctl.run("diff", *only, source, target).exit_code == ExitCode.OK
    again = regctl.run("copy", *only, source, target)
    assert (again.exit_code, "0 versions in" in again.stderr) == (ExitCode.OK, True)

    from mlflow import MlflowClient

    theirs = MlflowClient(registry_uri=mlflow_url, tracking_uri=mlflow_url)
    with open_registry(target) as registry, LiveServer() as server:
        server.serve(registry.store)
        ours = MlflowClient(registry_uri=server.url, tracking_uri=mlflow_url)
        for number in range(MODELS):
            name = f"{prefix} {number}"
            assert dict(ours.get_registered_model(name)) | {"latest_versions": None} == (
                dict(theirs.get_registered_model(name)) | {"latest_versions": None}
            )
            for version in ("1", "3", "4"):
                assert _shown(ours, name, version) == _shown(theirs, name, version)
        prompt = ours.get_prompt_version(f"{prefix[:13]}-prompt", "2")
        assert prompt.template == "x" * 6_000
        assert ours.get_prompt_version(f"{prefix[:13]}-prompt", 1).template == "Grüße, {{name}}"
        # Over REST nobody knows of a deleted version with the highest number.
        new = ours.create_model_version(f"{prefix} 0", "s3://bucket/new")
        assert int(new.version) == (6 if origin == "sqlite" else 5)
    changed = regctl.run("diff", *only, source, target)
    assert (changed.exit_code, f"{prefix} 0: version" in changed.stdout) == (1, True)
    refused = regctl.run("copy", *only, source, target)
    assert refused.exit_code == ExitCode.INCOMPLETE
    assert f"failed: {prefix} 0: the target has another model" in refused.stderr


def _shown(client: Any, name: str, version: str) -> dict[str, object]:
    return {**dict(client.get_model_version(name, version))}


def test_a_source_that_goes_on_is_followed_by_the_next_run(
    mlflow_url: str, prefix: str, tmp_path: Path
) -> None:
    target = f"sqlite:///{tmp_path}/registry.db"
    name = f"{prefix} 1"
    regctl = Regctl(target)
    assert regctl.run("copy", "--filter", f"name = '{name}'", mlflow_url, target).exit_code == 0
    from mlflow import MlflowClient

    client = MlflowClient(registry_uri=mlflow_url, tracking_uri=mlflow_url)
    client.create_model_version(name, "s3://bucket/later")
    client.set_registered_model_alias(name, "champion", "4")
    result = regctl.run("copy", "--filter", f"name = '{name}'", mlflow_url, target)
    assert (result.exit_code, "1 updated" in result.stderr) == (0, True), result.stderr
    with open_registry(target) as registry:
        assert registry.get_model_version_by_alias(name, "champion").version == 4
        assert registry.verify_history(name).is_true


def test_a_server_of_mlflows_is_read_in_pages(
    mlflow_url: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request is about one model, however many there are."""
    asked: Counter[str] = Counter()
    read = Transport.read

    def counted(self: Transport, path: str, *arguments: Any, **options: Any) -> Any:
        asked[path] += 1
        return read(self, path, *arguments, **options)

    monkeypatch.setattr(Transport, "read", counted)
    source, close = sources.open_source(mlflow_url)
    with closing(open_registry(f"sqlite:///{tmp_path}/registry.db")) as target:
        done = [*copying.copy(source, target, filter_text=f"name LIKE '{prefix[:13]}%'")]
    close()
    assert {each.outcome.value for each in done} == {"copied"}
    assert len(done) == MODELS + 2
    assert "/registered-models/get" not in asked
    # Models and prompts are listed, then looked at again.
    assert asked["/registered-models/search"] == 4
    assert asked["/model-versions/search"] == 2


def test_a_database_of_a_release_that_nobody_knows_is_refused(
    mlflow_database: Path | None, tmp_path: Path
) -> None:
    if mlflow_database is None:
        pytest.skip("the MLflow server is somebody else's, and its database not here")
    path = tmp_path / "newer.db"
    path.write_bytes(mlflow_database.read_bytes())
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        database.commit()
    with pytest.raises(SchemaOutOfDateError, match="ffffffffffff"):
        sources.open_source(f"mlflow+sqlite:///{path}")


def test_a_server_of_mlflows_is_followed_while_its_client_writes(
    mlflow_url: str, tmp_path: Path
) -> None:
    """Created, changed, renamed and deleted models; after the stop nothing differs."""
    begin, target = f"live-{uuid.uuid4().hex[:8]}", f"sqlite:///{tmp_path}/target.db"
    from mlflow import MlflowClient

    client = MlflowClient(registry_uri=mlflow_url, tracking_uri=mlflow_url)
    for number in range(4):
        client.create_registered_model(f"{begin} {number}")
        client.create_model_version(f"{begin} {number}", "s3://b/1")
    only = ("--filter", f"name LIKE '{begin}%'")
    command = [sys.executable, "-m", "registry_cli", "copy", "--watch", "--interval", "0.2s"]
    with contextlib.ExitStack() as stack:
        copier = subprocess.Popen(
            [*command, *only, mlflow_url, target], stderr=subprocess.PIPE, text=True
        )
        stack.callback(copier.kill)
        with open_registry(target) as copied:
            eventually(lambda: len(names_of(copied)) == 4)
            client.delete_registered_model(f"{begin} 0")
            client.rename_registered_model(f"{begin} 1", f"{begin} renamed")
            client.create_registered_model(f"{begin} new")
            for number in range(5):
                client.create_model_version(f"{begin} 2", f"s3://b/late{number}")
                client.set_registered_model_alias(f"{begin} 2", "champion", str(number + 1))
            client.transition_model_version_stage(f"{begin} 2", "2", "Staging")
            wanted = {f"{begin} {name}" for name in ("2", "3", "new", "renamed")}
            eventually(lambda: names_of(copied) == wanted)
            client.delete_model_version(f"{begin} 2", "4")
        copier.send_signal(signal.SIGINT)
        said = copier.communicate(timeout=120)[1]
        assert copier.returncode == 0, said
    assert "Source and target are the same." in said
    assert f"removed: {begin} 0" in said
    assert Regctl(target).ok("diff", *only, mlflow_url, target) == ""
