"""`regctl` brings back what was deleted, and says what there is to bring back."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.invoking import Regctl


@pytest.fixture
def cli(tmp_path: Path) -> Regctl:
    return Regctl(f"sqlite:///{tmp_path}/registry.db")


def test_a_deleted_model_is_listed_and_restored(cli: Regctl) -> None:
    cli.run("models", "create", "churn", "--description", "old")
    cli.run("models", "delete", "churn", "--yes", "--reason", "a slip")
    (gone,) = cli.json("models", "deleted")["deleted_models"]
    assert (gone["name"], gone["reason"]) == ("churn", "a slip")
    listed = cli.json("history", "churn", "--deleted")["events"]
    assert [event["action"] for event in listed] == ["delete_model", "create_model"]

    cli.run("models", "create", "churn")
    taken = cli.run("models", "restore", "churn")
    assert taken.exit_code == 5
    assert "--as" in taken.stderr
    restored = cli.json("models", "restore", "churn", "--as", "churn-old", "--id", gone["model_id"])
    assert restored["registered_model"]["description"] == "old"
    assert cli.json("models", "deleted")["deleted_models"] == []
    assert cli.run("models", "restore", "churn").exit_code == 3


def test_a_deleted_version_is_listed_and_restored(cli: Regctl) -> None:
    cli.run("models", "create", "churn")
    cli.run("versions", "create", "churn", "s3://b/1")
    cli.run("versions", "delete", "churn", "1", "--yes")
    (gone,) = cli.json("versions", "deleted", "churn")["deleted_versions"]
    assert (gone["version"], gone["source"]) == (1, "s3://b/1")
    assert cli.run("versions", "restore", "churn", "1").exit_code == 0
    assert cli.json("versions", "deleted", "churn")["deleted_versions"] == []
    assert cli.run("versions", "restore", "churn", "1").exit_code == 3
