"""`regctl approvals`, and what a gate does to a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.invoking import Regctl

GATES = """
[[gate]]
name = "release"
models = ["churn"]
aliases = ["champion"]
tags = { validation = "passed" }
approvals = 1
"""


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Regctl:
    """The command on a file, with two versions of a model."""
    monkeypatch.setenv("REGISTRY_ACTOR", "ann")
    cli = Regctl(f"sqlite:///{tmp_path / 'registry.db'}")
    cli.says("db", "upgrade")
    cli.ok("models", "create", "churn")
    for _ in range(2):
        cli.ok("versions", "create", "churn", "s3://bucket/churn")
    return cli


def fails(cli: Regctl, code: int, *arguments: str) -> str:
    """The message of a command that must fail with a code."""
    result = cli.run(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    return result.stderr


def test_approvals_are_added_listed_and_withdrawn(
    local: Regctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.says("approvals", "add", "models:/churn/2", "--reason", "AUC 0.91")
    monkeypatch.setenv("REGISTRY_ACTOR", "bob")
    local.says("approvals", "add", "churn", "2")
    found = local.json("approvals", "list", "models:/churn/2")
    assert [(each["actor"], each["reason"], each["counts"]) for each in found["approvals"]] == [
        ("ann", "AUC 0.91", "yes"),
        ("bob", "", "yes"),
    ]
    assert found["digest"].startswith("fields:")
    local.says("approvals", "withdraw", "churn", "2", "--reason", "a slip")
    fails(local, 3, "approvals", "withdraw", "churn", "2")
    fails(local, 5, "approvals", "add", "churn", "2", "--digest", f"sha256:{'0' * 64}")
    assert local.names("approvals", "list", "churn", "2") == ["ann"]


def test_a_gate_refuses_with_a_code_of_its_own_and_says_why(
    local: Regctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = tmp_path / "access.toml"
    access.write_text(GATES)
    move = ("models", "alias", "churn", "champion", "2")
    refused = fails(local, 7, "--gates", str(access), *move)
    assert "needs tag validation=passed; needs 1 approval by others than ann and has 0" in refused
    monkeypatch.setenv("REGISTRY_ACCESS_FILE", str(access))
    fails(local, 7, *move)
    local.says("versions", "tag", "churn", "2", "validation=passed")
    monkeypatch.setenv("REGISTRY_ACTOR", "bob")
    local.says("approvals", "add", "churn", "2")
    monkeypatch.setenv("REGISTRY_ACTOR", "ann")
    assert "release: passes" in local.run("approvals", "list", "churn", "2").stderr
    local.says(*move)
    actions = local.ok("history", "churn", "-o", "jsonl").splitlines()
    assert [json.loads(line)["action"] for line in actions[:2]] == ["set_alias", "pass_gate"]
    access.write_text("[[gate]]\nalias = 1\n")
    assert "'alias' is not known here" in fails(local, 2, *move)


def test_the_gates_of_a_server_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "access.toml").write_text(GATES)
    remote = Regctl("http://127.0.0.1:9")
    refused = fails(remote, 2, "--gates", str(tmp_path / "access.toml"), "models", "get", "churn")
    assert "a server has its gates" in refused
