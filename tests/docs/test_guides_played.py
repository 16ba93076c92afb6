"""A reader of the guides types what they show, after what each takes for granted.

That is in `preludes`: of the page PAGE, `PAGE.py` is run as a program, then `PAGE.sh` is typed. With
REGISTRY_TEST_WRITE_PAGES=1 in the environment, the output that a page shows is written anew.
"""

import os
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from services import forking, postgres
from services.launchers import launchers
from services.pages_player import bucket_keys, sessions_of
from services.registry_server import MlflowServer

ROOT = Path(__file__).parents[2]
PRELUDES = Path(__file__).parent / "preludes"
_INSTALLED = sysconfig.get_path("scripts")

PLAYED = (
    "guides/artifacts",
    "guides/history",
    "guides/how-to",
    "guides/moving",
    "guides/pages",
    "guides/where-are-my-files",
)
"""Pages whose sessions are typed."""

LONG = ("guides/moving",)
"""Pages that start MLflow's server, which takes long."""

UNTIL = {
    "guides/history": [("regctl events follow", "test -s reacted")],
    "guides/moving": [
        ("regctl copy --watch", "regctl --store postgresql://db/registry models get watched")
    ],
}
"""Of a page, commands that go on by themselves, and what shows that they may be interrupted."""


class LeftOut(NamedTuple):
    """Why a session is not typed, and the test that shows what it is about, if there is one."""

    reason: str
    proof: str | None = None


LEFT_OUT = {
    ("guides/artifacts", "$ nox -s bench -- --parts artifacts"): LeftOut(
        "it moves gigabytes for minutes"
    ),
}
"""By the page and the first line of a session."""


def _one_server(request):
    """One server of ours is all that a page names: MLflow's clients cannot tell it from MLflow's."""
    return [("registry.example:8000", "127.0.0.1:8000"), ("mlflow:5000", "127.0.0.1:8000")]


def _says_of_history(request):
    return [("/var/lib/ci/cursor", "cursor")]


def _says_of_how_to(request):
    keys = bucket_keys(request.getfixturevalue("s3_server"))
    bucket, prefix = request.getfixturevalue("s3_bucket"), request.getfixturevalue("s3_prefix")
    database = request.getfixturevalue("postgres_url")
    return [
        *_one_server(request),
        ("postgresql://registry@db/registry", database),
        ("0.0.0.0", "127.0.0.1"),
        # That of the server's release, and where the server is.
        ("pg_dump --format", f"{postgres._binaries()}/pg_dump --format"),
        ("backup.dump registry", f"backup.dump {database}"),
        ("AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…", keys),
        ("models/team-a", f"{bucket}/{prefix}"),
    ]


def _says_of_moving(request):
    from services.mlflow_databases import filled

    server = request.getfixturevalue("own_mlflow")
    database = request.getfixturevalue("tmp_path") / "mlflow.db"
    filled(f"sqlite:///{database}")
    bucket, prefix = request.getfixturevalue("s3_bucket"), request.getfixturevalue("s3_prefix")
    return [
        ("KEYS_OF_THE_BUCKET", bucket_keys(request.getfixturevalue("s3_server"))),
        ("mlflow:5000", f"127.0.0.1:{server.port}"),
        ("registry:8000", "127.0.0.1:8000"),
        ("sqlite:///mlflow.db", f"sqlite:///{database}"),
        ("postgresql://db/mlflow", request.getfixturevalue("empty_postgres_url")),
        ("postgresql://db/registry", request.getfixturevalue("postgres_url")),
        ("s3://team", f"s3://{bucket}/{prefix}"),
    ]


SAYS = {
    "guides/artifacts": _one_server,
    "guides/history": _says_of_history,
    "guides/how-to": _says_of_how_to,
    "guides/moving": _says_of_moving,
    "guides/where-are-my-files": _one_server,
}
"""Of a page, what gives the values of its placeholders."""


@pytest.fixture
def commands():
    """A directory for the path, with commands that begin at once."""
    with tempfile.TemporaryDirectory() as directory, launchers(Path(directory)) as programs:
        yield programs


@pytest.fixture
def own_mlflow(empty_postgres_url, tmp_path):
    """A server of MLflow's in a database, with nothing in it: the session's has what others leave."""
    backend = empty_postgres_url.replace("postgresql:", "postgresql+psycopg:", 1)
    with MlflowServer(tmp_path, backend=backend) as server:
        yield server


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in PLAYED],
)
# MLflow's own store uses what SQLAlchemy advises against.
@pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy:DeprecationWarning")
def test_guide_shows_what_happens(name, newcomer, commands, request):
    """Every session of a page, as typed."""
    page = _page(name)
    player = newcomer(
        path=os.pathsep.join([os.fspath(commands), _INSTALLED, os.environ["PATH"]]),
        says=SAYS.get(name, lambda _: [])(request),
        until=UNTIL.get(name, ()),
        launchers=commands,
    )
    _run_program(PRELUDES / f"{page.stem}.py", player.folder)
    typed = PRELUDES / f"{page.stem}.sh"
    wrong, text = player.play_guide(
        page,
        prelude=typed.read_text() if typed.exists() else "",
        left_out={first for other, first in LEFT_OUT if other == name},
    )
    if os.environ.get("REGISTRY_TEST_WRITE_PAGES"):
        page.write_text(text)
    assert not wrong


def test_every_session_that_is_left_out_is_there():
    """A row about a session that was changed or removed has to go, too."""
    sessions = {(name, _first(block)) for name in PLAYED for block in sessions_of(_page(name))}
    assert LEFT_OUT.keys() - sessions == set()


def _page(name):
    return ROOT / f"docs/{name}.md"


def _first(block):
    return block.split("\n", 1)[0]


def _run_program(path, folder):
    if path.exists():
        done = forking.run(forking.CODE, path.read_text(), directory=folder)
        assert done.returncode == 0, done.stderr
