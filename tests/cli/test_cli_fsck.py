"""`regctl store fsck` says what it looked at, and what it did not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from cli.invoking import Regctl

FOREIGN = 7


@attrs.frozen
class Checked:
    """How a check ended."""

    code: int
    printed: dict[str, Any]
    stderr: str


def fsck(cli: Regctl, *arguments: str) -> Checked:
    result = cli.run("-o", "json", "store", "fsck", *arguments)
    return Checked(result.exit_code, json.loads(result.stdout), result.stderr)


@pytest.fixture(params=["sqlite", "postgresql", "s3"])
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> Regctl:
    """A registry with versions that are elsewhere."""
    urls: dict[str, Callable[[], str]] = {
        "sqlite": lambda: f"sqlite:///{tmp_path / 'registry.db'}",
        "postgresql": lambda: request.getfixturevalue("postgres_url"),
        "s3": lambda: request.getfixturevalue("s3_url"),
    }
    cli = Regctl(urls[request.param]())
    cli.done("models", "create", "churn")
    for number in range(FOREIGN):
        cli.ok("versions", "create", "churn", f"s3://elsewhere/{number}")
    return cli


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "artifacts")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory of two files."""
    directory = tmp_path / "model"
    directory.mkdir()
    for name in ("weights", "MLmodel"):
        (directory / name).write_text(name)
    return directory


def test_sources_elsewhere_are_not_counted_as_checked(cli: Regctl, root: str, model: Path) -> None:
    """Nobody here knows what they should hold."""
    cli.run("models", "push", "churn", str(model), "--artifacts", root)
    found = fsck(cli, "--artifacts", root)
    assert (found.code, found.printed["clean"], found.printed["findings"]) == (0, True, [])
    checked = found.printed["checked"]
    assert (checked["registered_models"], checked["model_versions"]) == (1, FOREIGN + 1)
    assert (checked["versions_with_files"], checked["files"]) == (1, 2)
    assert found.printed["not_checked"] == {"sources_elsewhere": FOREIGN}


def test_without_an_artifact_root_the_files_are_not_checked(cli: Regctl) -> None:
    """The metadata is, and the report says which is which."""
    found = fsck(cli, "--artifacts", "none")
    assert (found.code, found.printed["clean"]) == (0, True)
    assert "files" not in found.printed["checked"]
    assert found.printed["checked"]["model_versions"] == FOREIGN
    assert found.printed["not_checked"] == {"sources_without_artifact_root": FOREIGN}
    assert "no artifact root" in found.stderr


def test_a_database_is_checked_itself(tmp_path: Path) -> None:
    """Also where nothing else could be looked at."""
    cli = Regctl(f"sqlite:///{tmp_path / 'registry.db'}")
    cli.done("models", "create", "churn")
    with sqlite3.connect(tmp_path / "registry.db") as raw:
        raw.execute("INSERT INTO registered_model_aliases VALUES ('churn', 'lost', 9)")
    raw.close()
    for arguments, code in (((), 6), (("--repair",), 0), ((), 0)):
        found = fsck(cli, "--artifacts", "none", *arguments)
        assert (found.code, found.printed["clean"]) == (code, code == 0)


def test_a_check_of_nothing_is_not_clean() -> None:
    """A store without a check of its own, and no artifact root."""
    cli = Regctl("memory:")
    found = fsck(cli)
    assert (found.code, found.printed["clean"]) == (1, False)
    assert (found.printed["checked"], found.printed["findings"]) == ({}, [])
    assert "no check of its own" in found.stderr
    assert "clean: no\nchecked: nothing\n" in cli.run("store", "fsck").stderr


def test_people_see_the_same(cli: Regctl, root: str) -> None:
    """In words, on stderr, as all that is no result; a table only of what was found."""
    found = cli.says("store", "fsck", "--artifacts", root)
    assert "clean: yes\nchecked: 1 registered models, 7 model versions" in found
    assert "0 versions with files, 0 files\nnot checked: 7 sources elsewhere\n" in found


def test_a_collection_of_garbage_is_shown_as_before(cli: Regctl, root: str) -> None:
    """What it amounts to is no table of counts."""
    found = cli.says("artifacts", "gc", "--artifacts", root)
    assert found == "removed: no, files: 0, bytes: 0, unfinished writes: 0\n"
