"""`regctl db`: which schema a database has, and bringing it up to date."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from cli.invoking import Regctl


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a SQLite registry may be."""
    return tmp_path / "registry.db"


@pytest.fixture
def database(path: Path) -> Regctl:
    """The command on a SQLite file that is not there yet."""
    return Regctl(f"sqlite:///{path}")


def _set_revision(path: Path, revision: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        (table,) = connection.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE '%alembic_version%' AND type = 'table'"
        ).fetchone()
        connection.execute(f"UPDATE {table} SET version_num = ?", (revision,))


def test_upgrade_makes_the_schema_and_may_be_repeated(database: Regctl) -> None:
    """The notice goes to stderr: nothing was asked for."""
    for _ in range(2):
        result = database.run("db", "upgrade")
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr.startswith("The database is at revision ")
    assert database.names("models", "list") == []


def test_current_of_a_fresh_database_is_the_head(database: Regctl) -> None:
    """Opening an empty database migrates it; there is nothing left to upgrade."""
    database.done("models", "create", "churn")
    shown = database.json("db", "current")
    assert shown["current"] == shown["head"]
    assert database.ok("db", "current", "-o", "name") == f"{shown['head']}\n"
    assert database.ok("db", "current") == f"current  {shown['head']}\nhead     {shown['head']}\n"


def test_current_of_no_database_is_none_and_makes_none(database: Regctl, path: Path) -> None:
    """Asking does not migrate."""
    shown = database.json("db", "current")
    assert shown["current"] is None
    assert database.ok("db", "current").startswith("current  -\nhead     ")
    assert not path.exists() or path.stat().st_size == 0


@pytest.mark.parametrize("command", [["models", "list"], ["db", "upgrade"]])
def test_a_database_of_a_newer_release_is_refused(
    database: Regctl, path: Path, command: list[str]
) -> None:
    """It is left as it is; the message names its revision."""
    database.done("models", "create", "churn")
    _set_revision(path, "9999")
    result = database.run(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "9999" in result.stderr
    assert database.json("db", "current")["current"] == "9999"


@pytest.mark.parametrize("url", ["memory:", "s3://bucket", "http://127.0.0.1:9"])
@pytest.mark.parametrize("command", ["upgrade", "current"])
def test_a_store_without_a_schema_says_so(url: str, command: str) -> None:
    """Nothing is opened or asked."""
    result = Regctl(url).run("db", command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Only SQL databases have a schema" in result.stderr


def test_an_unknown_store_is_a_usage_error() -> None:
    """As everywhere."""
    assert Regctl("nonsense://x").run("db", "current").exit_code == 2
