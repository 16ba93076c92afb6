"""`regctl models push|pull` and `regctl artifacts`: what a shell sees of the files of versions."""

from __future__ import annotations

import hashlib
import json
import os
import pty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from cli.invoking import Regctl
from registry_core import open_registry
from services import forking
from services.artifacts import MODEL, artifact_url, read_tree, write_tree

MISMATCH = 6
WEIGHTS = "data/weights.bin"


@pytest.fixture(params=["local", "s3"])
def pushed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Regctl:
    """The command on a registry with one pushed version, `churn@champion`."""
    monkeypatch.setenv("REGISTRY_ARTIFACTS", artifact_url(request.param, request))
    cli = Regctl(f"sqlite:///{tmp_path / 'registry.db'}")
    write_tree(tmp_path / "model")
    cli.done("models", "push", "churn", str(tmp_path / "model"), "--create", "--alias", "champion")
    return cli


def test_pull_gives_what_was_pushed(pushed: Regctl, tmp_path: Path) -> None:
    """Verified; a second run finds it there."""
    for _ in range(2):
        pushed.done("models", "pull", "models:/churn@champion", "-o", str(tmp_path / "out"))
        assert read_tree(tmp_path / "out") == MODEL
    listed = pushed.json("artifacts", "list", "models:/churn@champion")
    assert {file["path"]: file["sha256"] for file in listed["files"]} == {
        path: sha256(body) for path, body in MODEL.items()
    }


Files = dict[str, bytes | None]

CHANGES: dict[str, Callable[[], Files]] = {
    "byte flipped": lambda: {WEIGHTS: b"\xff" + MODEL[WEIGHTS][1:]},
    "truncated": lambda: {WEIGHTS: MODEL[WEIGHTS][:-1]},
    "swapped": lambda: {
        "MLmodel": MODEL["data/deep/labels.txt"],
        "data/deep/labels.txt": MODEL["MLmodel"],
    },
    "added": lambda: {"data/evil.py": b"import os"},
    "removed": lambda: {"MLmodel": None},
}
"""What a file is now, by its path; None is gone."""


@pytest.mark.parametrize("change", CHANGES)
def test_changed_files_are_told(pushed: Regctl, tmp_path: Path, change: str) -> None:
    """By pull and verify, with the path and both sizes or digests, and by the exit code."""
    files = CHANGES[change]()
    with open_registry(pushed.store) as registry:
        folder = registry.files.own_path(registry.get_model_version("churn", 1).source)
        assert registry.artifacts is not None
        for path, body in files.items():
            if body is None:
                registry.artifacts.remove([f"{folder}/{path}"])
            else:
                registry.artifacts.write(f"{folder}/{path}", [body])
    for command in (
        ("models", "pull", "models:/churn@champion", "-o", str(tmp_path / "out")),
        ("artifacts", "verify", "models:/churn@champion"),
    ):
        result = pushed.run(*command)
        assert result.exit_code == MISMATCH
        for path, body in files.items():
            assert f"'{path}': {told(MODEL.get(path), body)}" in result.stderr


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def told(before: bytes | None, after: bytes | None) -> str:
    if before is None:
        return f"expected no such file, found {len(after or b'')} bytes"
    if after is None:
        return f"expected sha256 {sha256(before)}, found no such file"
    if len(before) == len(after):
        return f"expected sha256 {sha256(before)}, found sha256 {sha256(after)}"
    return f"expected {len(before)} bytes, found {len(after)} bytes"


@pytest.mark.parametrize("pushed", ["local"], indirect=True)
def test_gc_only_says_what_it_would_do(pushed: Regctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is told to delete; what is alive and what is young stays."""
    command = ("artifacts", "gc", "--grace", "0s")
    assert pushed.json(*command)["folders"] == []
    assert pushed.run("versions", "delete", "churn", "1", "--yes").exit_code == 0
    assert pushed.json(*command)["folders"] == [], "the version can be restored"
    monkeypatch.setenv("REGISTRY_TRASH_DAYS", "0")
    for more, removed, left in (
        ((), False, 1),
        (("--dry-run",), False, 1),
        (("--grace", "1h", "--delete"), True, 0),
        (("--delete",), True, 1),
        (("--delete",), True, 0),
    ):
        found = pushed.json(*command, *more)
        assert (found["removed"], len(found["folders"])) == (removed, left)


@pytest.mark.parametrize("pushed", ["local"], indirect=True)
def test_progress_is_shown_on_a_terminal_only(pushed: Regctl, tmp_path: Path) -> None:
    """A pipe gets no bar; stdout is the same."""
    command = ["--store", pushed.store, "models", "pull", "models:/churn@champion", "-o"]
    piped = forking.run("registry_cli", *command, str(tmp_path / "a"))
    (said,) = piped.stderr.splitlines()
    assert said.startswith("Pulled churn 1: ")
    ours, theirs = pty.openpty()
    with Path(os.devnull).open("r+b") as nothing:
        process = forking.start(
            "registry_cli",
            [*command, str(tmp_path / "b")],
            streams=(nothing.fileno(), nothing.fileno(), theirs),
            environment=os.environ,
        )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux: EIO once nobody has the other end
        while piece := os.read(ours, 65536):
            shown += piece
    assert process.wait(60) == 0
    os.close(ours)
    assert b"Pulling churn" in shown
    assert b"100%" in shown
    assert read_tree(tmp_path / "a") == read_tree(tmp_path / "b") == MODEL


def test_untouched_version_is_verified(pushed: Regctl) -> None:
    """And says how many files it has."""
    shown = pushed.ok("-o", "json", "artifacts", "verify", "models:/churn/1")
    assert json.loads(shown)["files"] == len(MODEL)
