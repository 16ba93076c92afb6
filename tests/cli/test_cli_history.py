"""`regctl history`, `activity`, `models alias --if-current` and `models rollback`."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.invoking import Regctl


@pytest.fixture
def churn(tmp_path: Path) -> Regctl:
    regctl = Regctl(f"sqlite:///{tmp_path}/registry.db")
    regctl.done("models", "create", "churn")
    for number in (1, 2, 3):
        regctl.ok("versions", "create", "churn", f"s3://bucket/{number}")
    return regctl


def events(regctl: Regctl, *options: str) -> list[dict]:
    lines = regctl.ok("history", "churn", "-o", "jsonl", *options).splitlines()
    return [json.loads(line) for line in lines]


def test_who_moved_champion(churn: Regctl) -> None:
    """One command: who, when, why, from which version to which."""
    churn.says("models", "alias", "churn", "champion", "1", "--reason", "first")
    churn.says("models", "alias", "churn", "champion", "2", "--reason", "better")
    moved, made = events(churn, "--alias", "champion")
    assert (made["before"], made["after"], made["reason"]) == (None, 1, "first")
    assert (moved["before"], moved["after"], moved["origin"]) == (1, 2, "regctl")
    table = churn.ok("history", "churn", "--alias", "champion")
    assert "1 -> 2" in table
    assert "better" in table


def test_a_move_is_told_on_stderr(churn: Regctl) -> None:
    churn.says("models", "alias", "churn", "champion", "1")
    result = churn.run("models", "alias", "churn", "champion", "2")
    assert (result.stdout, result.stderr) == ("", "champion: 1 -> 2\n")


def test_two_promoters_do_not_overwrite_each_other(churn: Regctl) -> None:
    first = churn.says("models", "alias", "churn", "champion", "1", "--if-absent")
    assert first == "champion: nothing -> 1\n"
    second = churn.says("models", "alias", "churn", "champion", "2", "--if-current", "1")
    assert second == "champion: 1 -> 2\n"
    for option in (("--if-current", "1"), ("--if-absent",)):
        late = churn.run("models", "alias", "churn", "champion", "3", *option)
        assert late.exit_code == 5
        assert "is 2 and not" in late.stderr
    both = churn.run(
        "models", "alias", "churn", "champion", "3", "--if-absent", "--if-current", "2"
    )
    assert both.exit_code == 2


def test_an_alias_is_put_back(churn: Regctl) -> None:
    for number in ("1", "2"):
        churn.says("models", "alias", "churn", "champion", number)
    back = churn.run("models", "rollback", "churn", "--alias", "champion", "--reason", "slow")
    assert (back.exit_code, back.stderr) == (0, "champion: put back to 1\n")
    assert events(churn, "--limit", "1")[0]["reason"] == "slow"
    gone = churn.run("models", "rollback", "churn", "--alias", "champion", "--to", "4")
    assert gone.stderr == "champion: put back to nothing\n"
    never = churn.run("models", "rollback", "churn", "--alias", "other")
    assert never.exit_code == 2


@pytest.mark.parametrize("since", ["1h", "7d", "2020-01-31", "2020-01-31T12:00:00+01:00"])
def test_moments_are_ages_or_dates(churn: Regctl, since: str) -> None:
    assert len(events(churn, "--since", since)) == 4
    assert events(churn, "--until", since) == []


def test_a_moment_that_is_none_is_a_usage_error(churn: Regctl) -> None:
    result = churn.run("history", "churn", "--since", "yesterday")
    assert (result.exit_code, "'yesterday' is not a date" in result.stderr) == (2, True)


def test_activity_is_that_of_all_models(churn: Regctl) -> None:
    churn.done("models", "create", "other")
    names = churn.ok("activity", "--action", "create_model", "-o", "name", "--oldest-first")
    assert names.splitlines() == ["churn#1", "other#1"]


def test_a_history_of_nothing_is_not_found(churn: Regctl) -> None:
    assert churn.run("history", "absent").exit_code == 3


def test_a_model_is_shown_as_of_a_moment(churn: Regctl) -> None:
    """By the times of its events."""
    churn.says("models", "alias", "churn", "champion", "1")
    (made,) = events(churn, "--alias", "champion")
    while time.time_ns() // 1_000_000 <= made["time"]:
        pass  # The next one is in another millisecond.
    churn.says("models", "alias", "churn", "champion", "2")
    moved, _ = events(churn, "--alias", "champion")
    for event, version in ((made, "1"), (moved, "2")):
        at = datetime.fromtimestamp(event["time"] / 1000, UTC).isoformat()
        shown = json.loads(churn.ok("models", "get", "churn", "--as-of", at, "-o", "json"))
        assert shown["registered_model"]["aliases"] == [{"alias": "champion", "version": version}]
    early = churn.run("models", "get", "churn", "--as-of", "2001-01-01")
    assert early.exit_code == 2
    assert "The history of model 'churn' begins at" in early.stderr


def test_a_history_that_does_not_fit_its_model_is_named(churn: Regctl, tmp_path: Path) -> None:
    """As after somebody has written into the database."""
    true = churn.says("history", "churn", "--verify")
    assert true == "verified: yes, events: 4, unchecked: 0\n"
    with closing(sqlite3.connect(tmp_path / "registry.db")) as database, database:
        database.execute("UPDATE model_versions SET source = 's3://evil' WHERE version = 2")
    forged = churn.run("history", "churn", "--verify")
    assert forged.exit_code == 6
    assert "source is 's3://evil', and 's3://bucket/2' by the history" in forged.stdout


@pytest.mark.parametrize(
    ("group", "of", "what"),
    [("models", ["churn"], "tag 'k'"), ("versions", ["churn", "2"], "tag 'k' of version 2")],
)
def test_a_tag_is_compared_and_set(churn: Regctl, group: str, of: list[str], what: str) -> None:
    first = churn.says(group, "tag", *of, "k=", "--if-absent")
    assert first == f"{what}: nothing -> \n"
    assert churn.says(group, "tag", *of, "k=v", "--if-current", "") == f"{what}:  -> v\n"
    for command, option in (
        (["tag", *of, "k=w"], ["--if-absent"]),
        (["tag", *of, "k=w"], ["--if-current", ""]),
        (["untag", *of, "k"], ["--if-current", "w"]),
    ):
        late = churn.run(group, *command, *option)
        assert (late.exit_code, "is 'v' and not" in late.stderr) == (5, True)
    assert churn.says(group, "untag", *of, "k", "--if-current", "v") == f"{what}: v -> nothing\n"
    two = churn.run(group, "tag", *of, "a=1", "b=2", "--if-absent")
    both = churn.run(group, "tag", *of, "a=1", "--if-absent", "--if-current", "1")
    assert (two.exit_code, both.exit_code) == (2, 2)
    actions = [event["action"] for event in events(churn)]
    assert [action.split("_")[0] for action in actions[:3]] == ["delete", "set", "set"]
    assert not any(action.endswith("tag") for action in actions[3:])


def test_a_stage_is_compared_and_set(churn: Regctl) -> None:
    move = ("versions", "transition", "churn", "2")
    moved = churn.run(*move, "Production", "--if-current", "None", "-o", "name")
    assert (moved.exit_code, moved.stderr) == (0, "stage of version 2: None -> Production\n")
    late = churn.run(*move, "Archived", "--if-current", "Staging")
    assert (late.exit_code, "is 'Production' and not 'Staging'" in late.stderr) == (5, True)


def test_an_alias_is_removed_only_from_where_it_is_expected(churn: Regctl) -> None:
    churn.says("models", "alias", "churn", "champion", "1")
    late = churn.run("models", "unalias", "churn", "champion", "--if-current", "2")
    assert (late.exit_code, "is 1 and not 2" in late.stderr) == (5, True)
    gone = churn.says("models", "unalias", "churn", "champion", "--if-current", "1")
    assert gone == "champion: 1 -> nothing\n"


def test_a_damaged_event_is_named_though_nothing_shows_it(churn: Regctl, tmp_path: Path) -> None:
    """A later event about the same thing has superseded it, so that the model is as it should be."""
    churn.says("models", "alias", "churn", "champion", "2")
    with closing(sqlite3.connect(tmp_path / "registry.db")) as database, database:
        database.execute("UPDATE model_events SET actor = 'bob' WHERE sequence = 4")
    damaged = churn.run("history", "churn", "--verify")
    assert damaged.exit_code == 6
    assert "event 4 is damaged" in damaged.stdout
    assert damaged.stderr == "verified: no, events: 5, unchecked: 0\n"


def test_a_job_that_is_run_again_creates_nothing_more(churn: Regctl) -> None:
    create = ("versions", "create", "churn", "s3://bucket/4", "--idempotency-key", "build-4")
    assert churn.names(*create) == churn.names(*create) == ["models:/churn/4"]
    other = churn.run(
        "versions", "create", "churn", "s3://bucket/5", "--idempotency-key", "build-4"
    )
    assert (other.exit_code, "was used for another request" in other.stderr) == (5, True)
    model = ("models", "create", "new", "--idempotency-key", "build-4")
    assert churn.names(*model) == churn.names(*model) == ["new"]


def test_prune_history_says_what_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TRASH_DAYS", "0")
    cli = Regctl(f"sqlite:///{tmp_path}/registry.db")
    cli.run("models", "create", "churn")
    for text in "abc":
        cli.run("models", "update", "churn", "--description", text)
    before = ("--before", "0s")
    would = cli.json("models", "prune-history", "churn", *before, "--dry-run")
    assert len(cli.json("history", "churn")["events"]) == 4
    done = cli.json("models", "prune-history", "churn", *before, "--reason", "old")
    assert done["pruned"] == would["pruned"] == [{"removed": 4, "added": 1, "first": 4}]
    (event,) = cli.json("history", "churn")["events"]
    assert (event["sequence"], event["reason"], event["origin"]) == (4, "old", "baseline")
    assert cli.run("history", "churn", "--verify").exit_code == 0
    monkeypatch.delenv("REGISTRY_TRASH_DAYS")
    refused = cli.run("models", "prune-history", "churn", *before)
    assert (refused.exit_code, "can be restored" in refused.stderr) == (2, True)
