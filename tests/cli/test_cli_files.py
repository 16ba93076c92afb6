"""Where a registry is not, and where it cannot be: what a newcomer's typing errors are told."""

from __future__ import annotations

import sqlite3

import pytest

from cli.invoking import Regctl
from registry_core import open_store

READS = [
    ("models", "list"), ("models", "get", "churn"), ("versions", "list"), ("activity",),
    ("models", "delete", "churn", "--yes"), ("models", "tag", "churn", "a=b"), ("store", "fsck"),
    ("export", "out.jsonl"), ("webhooks", "list"), ("events", "follow", "--once"),
    ("versions", "create", "churn", "s3://b/churn"), ("diff", "sqlite:///registry.db", "memory:"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", READS, ids=" ".join)
def test_a_command_that_only_looks_makes_no_database(tmp_path, command):
    """In a wrong folder it says so, instead of showing an empty registry."""
    result = Regctl("sqlite:///registry.db").run(*command)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "There is no registry at sqlite:///registry.db: the file is not there" in result.stderr
    assert not any(tmp_path.iterdir())


def test_the_first_command_that_makes_something_makes_the_registry(tmp_path):
    """And says where, once."""
    cli = Regctl("sqlite:///registry.db")
    first = cli.run("models", "create", "churn")
    assert first.exit_code == 0
    assert first.stderr.splitlines()[0] == "Made a new registry: sqlite:///registry.db"
    assert "Made" not in cli.run("models", "create", "fraud").stderr
    assert "how to go on" not in first.stderr
    assert "regctl models create NAME" in Regctl("sqlite:///other.db").run("models", "list").stderr


def test_the_target_of_a_copy_is_made_and_its_source_is_not(tmp_path):
    """The source may be misspelt."""
    open_store("sqlite:///one.db").close()
    wrong = Regctl("memory:").run("copy", "sqlite:///two.db", "sqlite:///three.db")
    assert wrong.exit_code == 3
    assert [path.name for path in tmp_path.glob("*.db")] == ["one.db"]
    done = Regctl("memory:").run("copy", "sqlite:///one.db", "sqlite:///three.db")
    assert (done.exit_code, "Made a new registry: sqlite:///three.db" in done.stderr) == (0, True)


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("registry.db", "Did you mean sqlite:///registry.db?"),
        (".", "Did you mean sqlite:///./registry.db?"),
        ("sqlite:///new/folder/r.db", "new/folder' of 'sqlite:///new/folder/r.db' does not exist"),
        ("sqlite:///.", "'sqlite:///.' is a folder: name a file in it"),
        ("sqlite:///file.txt/r.db", "is not a folder"),
        ("sqlite://registry.db", "is not a SQLite URL: write sqlite:///relative.db"),
    ],
)
def test_what_cannot_be_a_store_is_a_mistake_in_the_command(tmp_path, store, message):
    """Exit code 2, since trying again does not help."""
    (tmp_path / "file.txt").write_text("x")
    for command in (("models", "list"), ("models", "create", "churn")):
        result = Regctl(store).run(*command)
        assert result.exit_code == 2
        assert message in result.stderr
        assert "try again" not in result.stderr


def test_a_database_of_mlflows_is_answered_with_the_command_that_copies_it(tmp_path):
    """Nothing is written into it."""
    with sqlite3.connect("mlflow.db") as database:
        for table in ("alembic_version", "experiments", "runs", "registered_models"):
            database.execute(f"CREATE TABLE {table} (x)")
    database.close()
    before = (tmp_path / "mlflow.db").read_bytes()
    for command in (("models", "list"), ("models", "create", "churn"), ("db", "upgrade")):
        result = Regctl("sqlite:///mlflow.db").run(*command)
        assert result.exit_code == 1
        wanted = "regctl copy mlflow+sqlite:///mlflow.db sqlite:///registry.db"
        assert wanted in result.stderr
    assert (tmp_path / "mlflow.db").read_bytes() == before
