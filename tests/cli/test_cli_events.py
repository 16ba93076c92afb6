"""`regctl events follow`: what is done, as it is done."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from cli.invoking import Regctl
from services import forking


@pytest.fixture
def regctl(tmp_path: Path) -> Regctl:
    return Regctl(f"sqlite:///{tmp_path}/registry.db")


def follow(regctl: Regctl, *options: str) -> list[tuple[str, int]]:
    lines = regctl.ok("events", "follow", "--once", *options).splitlines()
    return [(event["name"], event["sequence"]) for event in map(json.loads, lines)]


def test_runs_with_a_cursor_miss_and_repeat_nothing(regctl: Regctl, tmp_path: Path) -> None:
    """The first one begins where it is told to."""
    file = ("--cursor-file", str(tmp_path / "cursor"))
    regctl.done("models", "create", "churn")
    assert follow(regctl, *file, "--since", "1h") == [("churn", 1)]
    assert follow(regctl, *file, "--since", "1h") == []
    regctl.done("models", "create", "fraud")
    regctl.ok("versions", "create", "churn", "s3://bucket/1")
    assert follow(regctl, *file) == [("fraud", 1), ("churn", 2)]
    assert follow(regctl, *file) == []
    assert follow(regctl) == []


def test_what_is_no_cursor_is_refused(regctl: Regctl, tmp_path: Path) -> None:
    """And left as it is."""
    file = tmp_path / "cursor"
    file.write_text("something else")
    regctl.done("models", "create", "churn")
    assert regctl.run("events", "follow", "--once", "--cursor-file", str(file)).exit_code == 2
    assert file.read_text() == "something else"


def test_events_are_printed_as_they_come(regctl: Regctl) -> None:
    """Each as a line, long before the command ends."""
    regctl.done("models", "create", "churn")
    command = ["--store", regctl.store, "events", "follow", "--since", "1h", "--every", "0.1"]
    with forking.talking("registry_cli", *command) as talk:
        assert json.loads(talk.stdout.readline())["name"] == "churn"
        regctl.done("models", "create", "fraud")
        assert json.loads(talk.stdout.readline())["name"] == "fraud"
        talk.process.send_signal(signal.SIGTERM)
