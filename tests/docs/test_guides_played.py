"""A reader of the guides types what they show, after what each takes for granted.

That is in `preludes`: of the page PAGE, `PAGE.py` is run as a program, then `PAGE.sh` is typed. With
REGISTRY_TEST_WRITE_PAGES=1 in the environment, the output that a page shows is written anew.
"""

import os
import re
import shutil
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from services import forking, postgres
from services.launchers import launchers
from services.pages_player import bucket_says, sessions_of
from services.registry_server import MlflowServer

ROOT = Path(__file__).parents[2]
PRELUDES = Path(__file__).parent / "preludes"
_INSTALLED = sysconfig.get_path("scripts")

PLAYED = (
    "guides/access",
    "guides/artifacts",
    "guides/deploy",
    "guides/gates",
    "guides/history",
    "guides/how-to",
    "guides/mlflow-plugin",
    "guides/moving",
    "guides/pages",
    "guides/server",
    "guides/webhooks",
    "guides/where-are-my-files",
    "packages/registry-cli/README",
    "packages/registry-mlflow/README",
    "packages/registry-server/README",
    "reference/http-api",
    "reference/regctl",
    "reference/rest-store",
    "reference/s3-store",
    "reference/sql-store",
    "reference/wire-contract",
)
"""Pages whose sessions are typed."""

LONG = ("guides/mlflow-plugin", "guides/moving", "reference/wire-contract")
"""Pages that start MLflow's server, which takes long."""

PROGRAMS = ("curl", "jq", "openssl", "sqlite3")
"""What pages call that a machine may lack."""

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


_DATABASE = "postgresql://registry:…@db/registry"

LEFT_OUT = {
    ("evidence/differential", "$ nox -s differential -- --sequences 2400 --length 24 --seed 1"): (
        LeftOut(
            "it makes calls for an hour",
            "tests/differential/test_differential.py::test_a_short_replay_finds_only_the_listed_deviations",
        )
    ),
    ("evidence/performance", "$ nox -s bench"): LeftOut("it measures for hours"),
    ("evidence/performance", "$ PYTHONPATH=tests python -m bench.moves_mlflow"): LeftOut(
        "it fills a server of MLflow's with thousands of versions"
    ),
    ("evidence/performance", "$ PYTHONPATH=tests python -m bench.access"): LeftOut(
        "it measures for minutes"
    ),
    ("evidence/testing", "$ uv run --dev pytest"): LeftOut("it is what runs this"),
    (
        "evidence/testing",
        "$ uv run --dev pytest -n0 tests/search/test_search_like.py",
    ): LeftOut("it is what runs this"),
    ("evidence/testing", "$ uvx nox -s long"): LeftOut("it is what runs this"),
    ("guides/artifacts", "$ nox -s bench -- --parts artifacts"): LeftOut(
        "it moves gigabytes for minutes"
    ),
    ("guides/deploy", "$ python3 -m venv /opt/registry"): LeftOut(
        "systemd does not run here",
        "tests/server/test_server_deploy.py::test_unit_is_understood_and_hardened",
    ),
    ("guides/deploy", "$ docker build -t registry-server ."): LeftOut(
        "no container engine runs here",
        "tests/server/test_server_image.py::test_image_starts_as_its_operator_says",
    ),
    (
        "guides/deploy",
        f"$ kubectl create secret generic registry --from-literal=DATABASE_URL={_DATABASE}",
    ): LeftOut(
        "no cluster runs here",
        "tests/server/test_server_deploy.py::test_manifests_fit_each_other_and_the_image",
    ),
    ("guides/mlflow-plugin", "$ mlflow models serve -m models:/churn@champion"): LeftOut(
        "it installs what the model needs",
        "tests/mlflow_plugin/test_plugin_serving.py::test_mlflow_serves_the_champion_of_a_bucket",
    ),
}
"""By the page and the first line of a session."""


def _one_server(request):
    """One server of ours is all that a page names: MLflow's clients cannot tell it from MLflow's."""
    return [("registry.example:8000", "127.0.0.1:8000"), ("mlflow:5000", "127.0.0.1:8000")]


_ASKED = ("registry-server hash --password", "echo secret | registry-server hash --password")
"""A password is asked for on a terminal, and else read."""
_INSTALLS = ("pip install", "uv pip install --offline --dry-run --python $(command -v python)")
"""What a page installs has to be there already, with its extras."""
_RECEIVER = ("https://ci.example.com", "https://127.0.0.1:1")
_ONE_WORKER = "--port $PORT --workers 1"
_KEYS = "AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…"
_HERE = ("localhost:8000", "127.0.0.1:8000")


def _says_of_access(request):
    return [_ASKED, ("https://registry.example.com", "http://127.0.0.1:8000")]


def _says_of_deploy(request):
    return [_ASKED, ("--host 0.0.0.0 --port 443", "--port $PORT")]


def _says_of_mlflow_plugin(request):
    url = request.getfixturevalue("postgres_url")
    return [
        _INSTALLS,
        ("registry+postgresql://host/registry", f"registry+{url} {_ONE_WORKER}"),
    ]


def _says_of_server(request):
    url = request.getfixturevalue("empty_postgres_url")
    return [_ASKED, ("postgresql://registry@db/registry", url)]


def _says_of_webhooks(request):
    return [
        _INSTALLS,
        _RECEIVER,
        ("deliveries ID", "deliveries $ID"),
        ("redeliver ID", "redeliver $ID"),
        ("curl -s ", "curl -sSf "),
    ]


def _says_of_http_api(request):
    return [_HERE, ("curl ", "curl -sSf ")]


def _says_of_s3_store(request):
    return bucket_says(request, keys=_KEYS, bucket="s3://ml-registry/prod")


def _says_of_sql_store(request):
    return [("postgresql://user@host/database", request.getfixturevalue("empty_postgres_url"))]


def _says_of_wire_contract(request):
    return [
        _INSTALLS,
        ("--port 5000", _ONE_WORKER),
        ("localhost:5000", "127.0.0.1:8000"),
        ("name=absent'", "name=absent' | grep RESOURCE_DOES_NOT_EXIST"),
    ]


def _says_of_history(request):
    return [("/var/lib/ci/cursor", "cursor")]


def _says_of_how_to(request):
    database = request.getfixturevalue("postgres_url")
    return [
        *_one_server(request),
        ("postgresql://registry@db/registry", database),
        ("0.0.0.0", "127.0.0.1"),
        # That of the server's release, and where the server is.
        ("pg_dump --format", f"{postgres._binaries()}/pg_dump --format"),
        ("backup.dump registry", f"backup.dump {database}"),
        *bucket_says(request, keys=_KEYS, bucket="s3://models/team-a"),
    ]


def _says_of_moving(request):
    from services.mlflow_databases import filled

    server = request.getfixturevalue("own_mlflow")
    database = request.getfixturevalue("tmp_path") / "mlflow.db"
    filled(f"sqlite:///{database}")
    return [
        *bucket_says(request, keys="KEYS_OF_THE_BUCKET", bucket="s3://team"),
        ("mlflow:5000", f"127.0.0.1:{server.port}"),
        ("registry:8000", "127.0.0.1:8000"),
        ("sqlite:///mlflow.db", f"sqlite:///{database}"),
        ("postgresql://db/mlflow", request.getfixturevalue("empty_postgres_url")),
        ("postgresql://db/registry", request.getfixturevalue("postgres_url")),
    ]


def _says_of_registry_server(request):
    url = request.getfixturevalue("empty_postgres_url")
    return [("postgresql://user@host/database", url), ("--port 8000", "--port $PORT")]


SAYS = {
    "guides/access": _says_of_access,
    "guides/artifacts": _one_server,
    "guides/deploy": _says_of_deploy,
    "guides/gates": lambda _: [_ASKED],
    "guides/history": _says_of_history,
    "guides/how-to": _says_of_how_to,
    "guides/mlflow-plugin": _says_of_mlflow_plugin,
    "guides/moving": _says_of_moving,
    "guides/server": _says_of_server,
    "guides/webhooks": _says_of_webhooks,
    "guides/where-are-my-files": _one_server,
    "packages/registry-mlflow/README": lambda _: [_INSTALLS],
    "packages/registry-server/README": _says_of_registry_server,
    "reference/http-api": _says_of_http_api,
    "reference/regctl": lambda _: [_RECEIVER],
    "reference/s3-store": _says_of_s3_store,
    "reference/sql-store": _says_of_sql_store,
    "reference/wire-contract": _says_of_wire_contract,
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
    prelude = PRELUDES / _prelude_of(name)
    typed = prelude.with_suffix(".sh")
    before = typed.read_text() if typed.exists() else ""
    _skip_without("\n".join([before, *sessions_of(page)]))
    player = newcomer(
        path=os.pathsep.join([os.fspath(commands), _INSTALLED, os.environ["PATH"]]),
        says=SAYS.get(name, lambda _: [])(request),
        until=UNTIL.get(name, ()),
        launchers=commands,
    )
    _run_program(prelude.with_suffix(".py"), player.folder)
    wrong, text = player.play_guide(
        page,
        prelude=before,
        left_out={first for other, first in LEFT_OUT if other == name},
    )
    if os.environ.get("REGISTRY_TEST_WRITE_PAGES"):
        page.write_text(text)
    assert not wrong


def test_every_session_is_typed_or_named():
    """A row about a session that was changed or removed has to go, too."""
    shown = [(name, _first(block)) for name in _pages() for block in sessions_of(_page(name))]
    elsewhere = {each for each in shown if each[0] not in PLAYED}
    assert elsewhere | (LEFT_OUT.keys() & {*shown}) == LEFT_OUT.keys()
    assert all(shown.count(each) == 1 for each in LEFT_OUT)
    assert {*PLAYED} - {name for name, first in shown if (name, first) not in LEFT_OUT} == set()


def test_every_prelude_is_that_of_a_page():
    """Of one that is played."""
    assert {path.stem for path in PRELUDES.iterdir()} <= {_prelude_of(name) for name in PLAYED}


def test_every_session_that_is_left_out_names_a_test_that_is_there():
    """By its file and its function."""
    proofs = {row.proof for row in LEFT_OUT.values()} - {None}
    for path, _, function in (proof.partition("::") for proof in proofs):
        assert f"def {function}(" in (ROOT / path).read_text(), (path, function)


def _pages():
    """All but those of which `test_pages_played` plays every block."""
    docs = {path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*.md")}
    packages = {path.relative_to(ROOT) for path in ROOT.glob("packages/*/README.md")}
    names = {path.with_suffix("").as_posix() for path in docs | packages}
    return sorted(name for name in names if not name.startswith("get-started/"))


def _page(name):
    return ROOT / f"{name}.md" if name.startswith("packages/") else ROOT / f"docs/{name}.md"


def _prelude_of(name):
    """A README is that of its package."""
    *_, folder, stem = name.split("/")
    return folder if stem == "README" else stem


def _skip_without(text):
    for program in PROGRAMS:
        if re.search(rf"\b{program} ", text) and shutil.which(program) is None:
            pytest.skip(f"needs the program `{program}`")


def _first(block):
    return block.split("\n", 1)[0]


def _run_program(path, folder):
    if path.exists():
        done = forking.run(forking.CODE, path.read_text(), directory=folder)
        assert done.returncode == 0, done.stderr
