"""`regctl access`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.invoking import Regctl
from services.live_server import LiveServer

FILE = """
[user.ann]
groups = ["fraud"]
tokens = [{ hash = "sha256:%s", expires = 2020-01-01, note = "old laptop" }]

[[grant]]
groups = ["fraud", "nobody"]
role = "writer"
models = ["churn*"]

[[grant]]
users = ["eve"]
role = "reader"

[[protect]]
aliases = ["champion"]
""" % ("ab" * 32)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "access.toml"
    path.write_text(FILE)
    return str(path)


def test_check_says_what_is_in_the_file_and_what_looks_like_a_slip(file: str) -> None:
    done = Regctl("memory:").run("-o", "json", "access", "check", file)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["grants"] == 2
    for slip in (
        "nobody is in the group 'nobody'",
        "there is no user 'eve'",
        "'ann' has no secret that is good",
        "old laptop",
    ):
        assert slip in done.stderr
    Path(file).write_text("[[grant]]\nusers = ['a']\nrole = 'owner'")
    wrong = Regctl("memory:").run("access", "check", file)
    assert wrong.exit_code == 2
    assert "[[grant]] (line 1): 'role' must be one of" in wrong.stderr


@pytest.mark.parametrize(
    ("asked", "code", "reason"),
    [
        (["--action", "edit", "--model", "churn"], 0, "by line 6: [[grant]] writer"),
        (["--action", "delete", "--model", "churn"], 4, "may be read, by line 6"),
        (["--action", "read", "--model", "x"], 4, "no grant of this caller matches"),
        (["--action", "read", "--model", "x", "--group", "nobody"], 4, "no grant of this caller"),
        (["--action", "webhooks"], 4, "no grant for all models"),
        (["--action", "move-alias", "--model", "churn", "--alias", "beta"], 0, "line 6"),
        (
            ["--action", "move-alias", "--model", "churn", "--alias", "champion"],
            4,
            "protected by line 15: [[protect]]",
        ),
    ],
)
def test_why_names_the_line_that_decides(
    file: str, asked: list[str], code: int, reason: str
) -> None:
    done = Regctl("memory:").run(
        "-o", "json", "access", "why", "--file", file, "--as", "ann", *asked
    )
    assert done.exit_code == code, done.stderr
    assert reason in json.loads(done.stdout)["reason"]


def test_whoami_asks_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Regctl("memory:").run("access", "whoami").exit_code == 2
    with LiveServer() as server:
        done = Regctl(server.url).run("-o", "json", "access", "whoami")
    answer = json.loads(done.stdout)
    assert "lets every caller do everything" in done.stderr
    assert answer == {"name": None, "groups": [], "grants": []}
