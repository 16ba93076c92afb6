"""MLflow's databases of every revision are read, without being changed, and others are refused."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.invoking import Regctl
from registry_cli.errors import ExitCode
from registry_core.errors import SchemaOutOfDateError
from registry_core.models import Stage
from registry_core.moves import sources
from registry_core.moves.mlflow_database import REVISIONS
from registry_core.snapshots import ModelSnapshot
from services.postgres import Postgres, fresh_database

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
]


def _read(url: str) -> dict[str, ModelSnapshot]:
    source, close = sources.open_source(url)
    try:
        return {name: read() for name, read in source.items()}
    finally:
        close()


def _facts(model: ModelSnapshot) -> dict[str, Any]:
    first, third = model.versions[1], model.versions[3]
    return {
        "728d730b5ebd": dict(model.document.tags) == {"ü": "v"},
        "27a6a02d2cf1": dict(third.tags) == {"k": "w"},
        "84291f40a231": first.run_link == "l",
        "3500859a5d39": dict(model.document.aliases) == {"champion": 3},
        "acf3f17fdcc7": third.storage_location == "s3://elsewhere",
    }


def test_every_revision_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    """From the first one with registered models on; what a later one added is not there before."""
    from services import mlflow_databases

    path, seen, refused = tmp_path / "mlflow.db", list[str](), set[str]()
    for revision in mlflow_databases.upgraded(path):
        if revision not in REVISIONS:
            with pytest.raises(SchemaOutOfDateError, match=revision):
                _read(f"mlflow+sqlite:///{path}")
            refused.add(revision)
            continue
        seen.append(revision)
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        found = _read(f"mlflow+sqlite:///{path}")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == before, revision
        assert [*found] == ["empty", "größe"], revision
        model = found["größe"]
        assert ([*model.versions], model.document.next_version) == ([1, 3], 5), revision
        assert model.versions[1].current_stage is Stage.PRODUCTION, revision
        added = {each for each, holds in _facts(model).items() if holds}
        assert added == {each for each in _facts(model) if each in seen}, revision
    assert seen == REVISIONS[: len(seen)]
    assert len(refused) == 6
    # Those of 3.18 change nothing that is read.
    for revision in REVISIONS[len(seen) :]:
        _set_revision(path, revision)
        assert _read(f"mlflow+sqlite:///{path}") == found, revision
    _set_revision(path, "ffffffffffff")
    with pytest.raises(SchemaOutOfDateError, match=r"ffffffffffff.*f4a9b2c7d1e6 \(3\.18\)"):
        _read(f"mlflow+sqlite:///{path}")


def _set_revision(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE alembic_version SET version_num = '{revision}'")
        database.commit()


READER = "mlflow_reader"
"""A role that may read the registry's tables and nothing else."""


@pytest.fixture
def postgresql(postgres_server: Postgres) -> Iterator[str]:
    """A database in which MLflow keeps its registry, filled by its own store."""
    from services import mlflow_databases

    with fresh_database(postgres_server) as url:
        mlflow_databases.filled(url)
        yield url


def test_a_postgresql_database_is_read_by_a_role_that_may_only_read(
    postgresql: str, tmp_path: Path
) -> None:
    with psycopg.connect(postgresql, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {READER} LOGIN")
        admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}")
        admin.execute(f"ALTER ROLE {READER} SET default_transaction_read_only = on")
        target = f"sqlite:///{tmp_path}/registry.db"
        try:
            _copies_as_reader(postgresql, target)
        finally:
            admin.execute(f"DROP OWNED BY {READER}")
            admin.execute(f"DROP ROLE {READER}")


def _copies_as_reader(postgresql: str, target: str) -> None:
    source = f"mlflow+{postgresql.replace('//postgres@', f'//{READER}@', 1)}"
    regctl = Regctl(target)
    done = regctl.run("copy", source, target)
    assert (done.exit_code, "3 copied" in done.stderr) == (ExitCode.OK, True), done.stderr
    assert regctl.run("diff", source, target).exit_code == ExitCode.OK
    again = regctl.run("copy", source, target)
    assert "3 unchanged), 0 versions" in again.stderr
    found = _read(source)
    assert found["модель"].document.next_version == 5
    assert found == _read(f"mlflow+{postgresql}")
