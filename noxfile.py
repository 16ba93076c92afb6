"""One short session per question. `nox -l` lists them."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import nox

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())
SOURCES = ["packages", "tests", "examples", "noxfile.py"]

MLFLOW = next(
    name for name in PROJECT["dependency-groups"]["dev"] if str(name).startswith("mlflow==")
)
BOUNDED = {
    "boto3",
    "botocore",
    "httptools",
    "litestar",
    "psycopg",
    "sqlalchemy",
    "uvicorn",
    "uvloop",
}
"""What the hot path reaches into, beyond what its authors promise to keep."""

EDITABLE = [
    "--editable=packages/registry-core[sql,postgres,s3,artifacts,rest,webhooks]",
    "--editable=packages/registry-server[oidc,otel]",
    "--editable=packages/registry-cli",
    "--editable=packages/registry-mlflow",
]
PACKAGES = sorted(path.parent.name for path in Path("packages").glob("*/pyproject.toml"))
RELEASES = [
    *("1.30.1", "2.3.2", "2.9.2", "2.22.5", "3.0.1", "3.6.0", "3.11.1", "3.17.2"),
    "3.18.0",
]
"""The newest patch of each release of MLflow whose client is tried."""

WITH_OLD_CLIENTS = ["setuptools<70", "numpy<2", "pandas<2.3", "scikit-learn<1.6", "skops"]
"""What all of them work with, the oldest, too."""

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "typing", "tests"]


def install(session: nox.Session, *groups: str) -> None:
    """Install the workspace and some dependency groups into the session's environment."""
    chosen = [argument for group in groups for argument in ("--group", group)]
    session.run_install(
        "uv", "sync", "--quiet", "--no-default-groups", *chosen,
        f"--python={session.virtualenv.location}",
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
    )  # fmt: skip


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """All tests, on every Python there is."""
    install(session, "dev")
    session.run("pytest", *session.posargs)


@nox.session(python="3.11")
def long(session: nox.Session) -> None:
    """The long forms of the proofs that `tests` gives in short."""
    install(session, "dev")
    session.run(
        "pytest", "-m", "long or scaled or hypothesis", "--hypothesis-profile=long",
        # An enumeration of all crashes says nothing for minutes.
        "-o", "faulthandler_timeout=4000", *session.posargs,
    )  # fmt: skip


@nox.session(python="3.11")
def coverage(session: nox.Session) -> None:
    """All tests, with branch coverage of the four packages."""
    install(session, "dev")
    session.run("coverage", "run", "-m", "pytest", "-n0", *session.posargs)
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Style, and who may import whom."""
    install(session, "lint")
    session.run("ruff", "format", "--check", *SOURCES)
    session.run("ruff", "check", *SOURCES)
    session.run("lint-imports")
    session.run("python", "-m", "prose", env={"PYTHONPATH": "tests"})


@nox.session(python="3.11")
def typing(session: nox.Session) -> None:
    """Strict types."""
    install(session, "typing")
    session.run("mypy")


@nox.session(python="3.11")
def docs(session: nox.Session) -> None:
    """The documentation as a site in docs/_build/html, strictly; `-- links` checks links, too."""
    install(session, "docs")
    sphinx = ["sphinx-build", "--fail-on-warning", "--keep-going", "-q", "docs"]
    session.run(*sphinx, "docs/_build/html")
    if "links" in session.posargs:
        session.run(*sphinx, "-b", "linkcheck", "docs/_build/links")


@nox.session(python="3.11")
def build(session: nox.Session) -> None:
    """Wheels and sdists in dist/, checked and installed alone, with each extra alone."""
    install(session, "release")
    shutil.rmtree("dist", ignore_errors=True)
    for package in PACKAGES:
        session.run("python", "-m", "build", "--quiet", "--outdir=dist", f"packages/{package}")
    built = sorted(os.fspath(path) for path in Path("dist").iterdir())
    session.run("twine", "check", "--strict", *built)
    for package in PACKAGES:
        for extra in ("", *extras_of(package)):
            with_extra(session, package, extra)


def extras_of(package: str) -> list[str]:
    project = tomllib.loads(Path(f"packages/{package}/pyproject.toml").read_text())["project"]
    return sorted(project.get("optional-dependencies", {}))


def with_extra(session: nox.Session, package: str, extra: str) -> None:
    """Install one wheel with one extra into an empty environment, and import what it brings."""
    home = Path(session.create_tmp()) / f"{package} {extra}"
    python = home / "bin/python"
    requirement = f"{package}[{extra}]" if extra else package
    session.run_install("uv", "venv", "--quiet", "--clear", "--python=3.11", os.fspath(home))
    session.run_install(
        "uv", "pip", "install", "--quiet", f"--python={python}", "--find-links=dist", requirement
    )
    session.run(os.fspath(python), "-c", f"import {package.replace('-', '_')}", external=True)


@nox.session(python="3.11")
@nox.parametrize("mlflow", RELEASES[-2:])
def differential(session: nox.Session, mlflow: str) -> None:
    """Generated call sequences against a release's server and ours; any difference is shown."""
    install(session, "dev")
    reference = [] if MLFLOW.endswith(mlflow) else [with_mlflow(session, mlflow)]
    session.run(
        "python", "-m", "differential", *(f"--mlflow-python={python}" for python in reference),
        *session.posargs, env={"PYTHONPATH": "tests"},
    )  # fmt: skip


@nox.session(python="3.11")
def chaos(session: nox.Session) -> None:
    """Kill and cut everything that can be killed and cut, while a history checker watches."""
    install(session, "dev")
    session.run("python", "-m", "chaos", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(python="3.11")
def cluster(session: nox.Session) -> None:
    """Kill and freeze PostgreSQL under Patroni and a bucket of many servers, under load.

    Needs Debian's patroni, etcd-server, haproxy, postgresql and wrk.
    """
    install(session, "dev")
    parts = session.posargs or ["--part=patroni", "--part=seaweed", "--part=reads"]
    session.run("python", "-m", "chaos", *parts, env={"PYTHONPATH": "tests"})


@nox.session(python="3.11")
def hostile(session: nox.Session) -> None:
    """Flood servers with hostile and clumsy clients, while well-behaved ones measure."""
    install(session, "dev")
    session.run("python", "-m", "hostile", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(python="3.11")
def releases(session: nox.Session) -> None:
    """Every registry call of releases' clients, and outages under the newest of them.

    All of them write the page; `-- oldest newest`, or numbers, are what a change can afford.
    """
    install(session, "dev")
    known = {"oldest": RELEASES[0], "newest": RELEASES[-1]}
    chosen = [known.get(name, name) for name in session.posargs]
    pythons = [
        with_mlflow(session, release) if release == RELEASES[-1] else with_client(session, release)
        for release in chosen or RELEASES
    ]
    page = [] if chosen else ["--write=docs/evidence/releases.md"]
    session.run("python", "-m", "releases", *page, *pythons, env={"PYTHONPATH": "tests"})
    if chosen and chosen[-1] != RELEASES[-1]:
        return
    command = ["pytest", "-n0", "tests/acceptance/test_acceptance_outage.py"]
    session.run(*command, env={"REGISTRY_TEST_MLFLOW_PYTHONS": pythons[-1]})


def with_client(session: nox.Session, release: str) -> str:
    """The interpreter of a new environment with the client of a release of MLflow."""
    python = environment(session, release)
    packages = [f"mlflow-skinny=={release}", *WITH_OLD_CLIENTS]
    session.run_install("uv", "pip", "install", "--quiet", f"--python={python}", *packages)
    return python


def environment(session: nox.Session, release: str) -> str:
    """The interpreter of a new environment for a release of MLflow."""
    home = os.fspath(Path(session.create_tmp()) / f"mlflow {release}")
    session.run_install("uv", "venv", "--quiet", "--clear", "--python=3.11", home)
    return os.fspath(Path(home) / "bin" / "python")


def with_mlflow(session: nox.Session, release: str) -> str:
    """The interpreter of a new environment with the whole of a release of MLflow."""
    python = environment(session, release)

    def pip(command: str, *what: str) -> None:
        session.run_install("uv", "pip", command, "--quiet", f"--python={python}", *what)

    # The split packages of the release may be missing from the index; what they need has not
    # changed, and the full package holds the rest.
    pip("install", MLFLOW)
    pip("uninstall", "mlflow", "mlflow-skinny", "mlflow-tracing")
    pip("install", "--no-deps", f"mlflow=={release}")
    return python


@nox.session(python="3.11")
@nox.parametrize("mlflow", ["2.3.2", "2.22.5", "3.17.2"])
def moves(session: nox.Session, mlflow: str) -> None:
    """A whole registry of a release on PostgreSQL moves here, and its client cannot tell."""
    install(session, "dev")
    python = environment(session, f"{mlflow} server")
    session.run_install(
        "uv", "pip", "install", "--quiet", f"--python={python}", f"mlflow=={mlflow}",
        # MLflow asks for SQLAlchemy 2 and no more, and its older releases do not work with 2.1.
        "psycopg2-binary", "sqlalchemy<2.1", *WITH_OLD_CLIENTS[: 0 if mlflow[0] == "3" else None],
    )  # fmt: skip
    # To fill a server takes minutes, in which the tests say nothing.
    patience = ["-o", "faulthandler_timeout=3600"]
    command = ["pytest", "-n0", "-m", "long", *patience, "tests/moving", *session.posargs]
    session.run(*command, env={"REGISTRY_TEST_MLFLOW_SERVERS": python})


@nox.session(python="3.11")
def postgresql(session: nox.Session) -> None:
    """The SQL store on PostgreSQL old and new, by TLS and socket, with ICU, serializable."""
    install(session, "dev")
    session.run("python", "-m", "matrix", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(python="3.11")
@nox.parametrize("releases", ["lowest", "newest"])
def bounds(session: nox.Session, releases: str) -> None:
    """The server's tests on the lowest and the newest releases of what it reaches into."""
    limits = Path(session.create_tmp()) / f"{releases}.txt"
    limits.write_text("\n".join(lowest_allowed()) if releases == "lowest" else "")
    session.run_install(
        "uv", "pip", "install", "--quiet", "--upgrade", f"--python={session.virtualenv.location}",
        f"--constraint={limits}", "--group=dev", *EDITABLE,
    )  # fmt: skip
    session.run("uv", "pip", "freeze", f"--python={session.virtualenv.location}")
    session.run("pytest", *(session.posargs or ["tests/server"]))


def lowest_allowed() -> list[str]:
    """For each bounded library, its lowest release that the packages accept."""
    stated = [
        requirement
        for path in Path("packages").glob("*/pyproject.toml")
        for group in groups_of(tomllib.loads(path.read_text())["project"])
        for requirement in group
    ]
    bounded = [re.match(r"([a-z0-9]+)(?:\[\w+\])?>=([\d.]+),<", one) for one in stated]
    found = {match[1]: match[2] for match in bounded if match and match[1] in BOUNDED}
    assert found.keys() == BOUNDED, f"no bounds for {BOUNDED - found.keys()}"
    return [f"{name}=={release}" for name, release in sorted(found.items())]


def groups_of(project: dict[str, Any]) -> list[list[str]]:
    return [project["dependencies"], *project.get("optional-dependencies", {}).values()]


@nox.session(python="3.11")
def twins(session: nox.Session) -> None:
    """The kit on PostgreSQL by psycopg's own cursor, and on S3 by the SDK alone."""
    install(session, "dev")
    files = ["tests/stores/test_sql_conformance.py", "tests/stores/test_s3_conformance.py"]
    plain = {"REGISTRY_DATABASE_SESSION": "plain", "REGISTRY_S3_READS": "sdk"}
    session.run("pytest", "-k", "not Sqlite", *files, *session.posargs, env=plain)


@nox.session(python="3.11")
def fuzz(session: nox.Session) -> None:
    """Coverage-guided texts for the filter language; options are libFuzzer's."""
    session.install("./packages/registry-core", "atheris>=3")
    session.run("python", "-m", "fuzz", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(python="3.11")
def soak(session: nox.Session) -> None:
    """Full load for half an hour on each SQL store, in which nothing may grow."""
    install(session, "dev")
    command = ["python", "-m", "chaos", "--part=soak", *session.posargs]
    session.run(*command, env={"PYTHONPATH": "tests"})


@nox.session(python="3.11")
def bench(session: nox.Session) -> None:
    """Measure against the real MLflow server and against the machine, side by side."""
    install(session, "dev")
    session.run("python", "-m", "bench", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(python="3.11")
def screenshots(session: nox.Session) -> None:
    """The pictures of the pages in docs/, from a real server, model and browser."""
    install(session, "dev")
    session.run("python", "-m", "screenshots", *session.posargs, env={"PYTHONPATH": "tests"})


def built(session: nox.Session) -> list[str]:
    """The wheels of the four distributions, newly built."""
    out = Path(session.create_tmp()) / "dist"
    for package in PACKAGES:
        session.run_install("uv", "build", "--quiet", f"--package={package}", f"--out-dir={out}")
    return [os.fspath(wheel) for wheel in out.glob("*.whl")]


@nox.session(python="3.11")
def sbom(session: nox.Session) -> None:
    """A bill of materials, in CycloneDX, of the distributions and all that they bring with them."""
    home = Path(session.create_tmp()) / "installed"
    python = os.fspath(home / "bin" / "python")
    session.run_install("uv", "venv", "--quiet", "--clear", "--python=3.11", os.fspath(home))
    extras = {
        "registry_core": "[sql,postgres,s3,artifacts,rest,webhooks]",
        "registry_server": "[oidc,otel]",
    }
    wheels = [
        wheel + extras.get(Path(wheel).name.partition("-")[0], "") for wheel in built(session)
    ]
    session.run_install("uv", "pip", "install", "--quiet", f"--python={python}", *wheels)
    session.install("cyclonedx-bom>=7.5")
    out = session.posargs or ["sbom.json"]
    session.run(
        "cyclonedx-py", "environment", "--output-reproducible", "--of=JSON",
        f"--output-file={out[0]}", python,
    )  # fmt: skip
    session.log("wrote %s", out[0])
