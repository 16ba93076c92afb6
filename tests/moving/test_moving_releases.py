"""Whole registries of MLflow's releases move here, and their own clients cannot tell.

A server of the release is filled by its client with 300 models of 10 versions in the mean, some of
them deleted, some in a stage, with aliases, tags and prompts, and copied over REST and from its
database. Then the client asks both servers for everything, and in 200 generated searches.

The interpreters that `REGISTRY_TEST_MLFLOW_SERVERS` lists have the releases, their servers and
psycopg2, so that they keep all in PostgreSQL (`nox -s moves` installs them). Without it it is the
release that the tests have, on SQLite.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from cli.invoking import Regctl
from moving import answers
from registry_cli.errors import ExitCode
from services.postgres import Postgres, fresh_database
from services.registry_server import QUIET, MlflowServer, RegistryServer

pytestmark = pytest.mark.long

LISTED = os.environ.get("REGISTRY_TEST_MLFLOW_SERVERS", "")
PYTHONS = LISTED.split(os.pathsep) if LISTED else [sys.executable]
HERE = Path(__file__).parent

MODELS, PROMPTS, VERSIONS = (int(n) for n in os.environ.get("MOVING", "300 50 10").split())
"""Models, prompts, and versions of a model in the mean."""

SEARCHES = 200

ENDS = 1_800
"""Seconds that a program may take; on an idle machine it is a tenth."""


@attrs.frozen
class Origin:
    """A server of MLflow's, filled, with its database."""

    python: str
    url: str
    database: str
    counts: dict[str, int]

    def where(self, way: str) -> str:
        """What regctl copies from."""
        return self.url if way == "rest" else f"mlflow+{self.database}"


def _run(python: str, program: str, *arguments: object) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    with tempfile.TemporaryDirectory(prefix="moving-") as directory:
        done = subprocess.run(
            [python, os.fspath(HERE / program), *map(str, arguments)],
            env={**environment, **QUIET},
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=ENDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-4_000:]
    return done.stdout


@pytest.fixture(scope="module", params=PYTHONS)
def origin(
    request: pytest.FixtureRequest,
    postgres_server: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Origin]:
    """A server of the release, filled by its own client."""
    directory = tmp_path_factory.mktemp("mlflow")
    with fresh_database(postgres_server) as database:
        backend = database.replace("postgresql:", "postgresql+psycopg2:", 1) if LISTED else None
        # In SQLite the workers would only wait for each other.
        options = ("--workers", "2") if LISTED else ()
        server = MlflowServer(directory, backend=backend, python=request.param, options=options)
        with server:
            out = _run(request.param, "fill_mlflow.py", server.url, MODELS, PROMPTS, VERSIONS)
            counts = json.loads(out.splitlines()[-1])
            where = database if LISTED else f"sqlite:///{server.database}"
            yield Origin(request.param, server.url, where, counts)


@pytest.fixture(scope="module")
def theirs(origin: Origin) -> answers.Answers:
    """What MLflow's server answers."""
    return answers.read(_run(origin.python, "ask_mlflow.py", origin.url, SEARCHES, 0))


@pytest.mark.parametrize("way", ["rest", "database"])
def test_a_client_gets_the_same_from_the_copy(
    way: str, origin: Origin, theirs: answers.Answers, tmp_path: Path
) -> None:
    target = f"sqlite:///{tmp_path}/registry.db"
    regctl, models = Regctl(target), origin.counts["models"] + origin.counts["prompts"]
    first = regctl.run("copy", origin.where(way), target)
    assert first.exit_code == ExitCode.OK, first.stderr
    assert f"{models} models ({models} copied)" in first.stderr
    assert regctl.ok("diff", origin.where(way), target) == ""
    again = regctl.run("copy", origin.where(way), target)
    assert f"{models} models ({models} unchanged), 0 versions" in again.stderr
    with RegistryServer(target) as server:
        ours = answers.read(_run(origin.python, "ask_mlflow.py", server.url, SEARCHES, 0))
    assert len(ours) > 2 * (origin.counts["versions"] - origin.counts["deleted"])
    differing = [*answers.differing(theirs, ours)]
    assert not differing, f"{len(differing)} of {len(ours)}: " + "\n".join(differing[:20])


@pytest.mark.parametrize("python", PYTHONS)
def test_the_database_that_a_release_made_is_copied_and_not_changed(
    python: str, tmp_path: Path
) -> None:
    file, target = tmp_path / "mlflow.db", f"sqlite:///{tmp_path}/registry.db"
    counts = json.loads(
        _run(python, "fill_mlflow.py", f"sqlite:///{file}", 12, 3, 3).splitlines()[-1]
    )
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    source, regctl = f"mlflow+sqlite:///{file}", Regctl(target)
    done = regctl.run("copy", source, target)
    assert done.exit_code == ExitCode.OK, done.stderr
    models = counts["models"] + counts["prompts"]
    versions = counts["versions"] - counts["deleted"] + 2 * counts["prompts"]
    assert f"{models} models ({models} copied), {versions} versions" in done.stderr
    assert regctl.ok("diff", source, target) == ""
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
