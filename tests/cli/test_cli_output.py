"""What regctl prints: four formats, and nothing that a terminal would obey."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.invoking import Regctl
from registry_cli import output
from registry_cli.session import Session
from registry_core import ModelVersion, RegisteredModel, Registry, open_store, wire


def _model(name: str = "churn", **fields: Any) -> RegisteredModel:
    return RegisteredModel(
        name=name, creation_timestamp=1_700_000_000_000, last_updated_timestamp=1_700_000_000_999, **fields
    )  # fmt: skip


def test_table_aligns_and_names_its_columns(churn: Regctl) -> None:
    """A header and a line each; the moment is UTC in ISO 8601."""
    table = churn.ok("models", "list")
    table = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<20 characters here>", table)
    assert table == (
        "NAME   LATEST  ALIASES     UPDATED               TAGS\n"
        "churn  3       champion=2  <20 characters here>  team=risk\n"
    )


def test_table_of_versions(churn: Regctl) -> None:
    """Stage, status, aliases and source are on the line of each version."""
    table = churn.ok("versions", "list", "--order-by", "version_number", "--limit", "2")
    table = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<20 characters here>", table)
    assert table == (
        "NAME   VERSION  STAGE  STATUS  ALIASES   UPDATED               SOURCE\n"
        "churn  1        None   READY             <20 characters here>  s3://bucket/churn/1\n"
        "churn  2        None   READY   champion  <20 characters here>  s3://bucket/churn/2\n"
    )


def test_timestamps_are_utc(capsys: pytest.CaptureFixture[str]) -> None:
    """1700000000999 ms is shown to the second, in UTC, whatever the machine's zone."""
    output.TableOutput().model(_model())
    assert "created  2023-11-14T22:13:20Z" in capsys.readouterr().out


def test_a_moment_that_no_calendar_has_is_shown_as_stored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A damaged timestamp is no reason to fail."""
    damaged = RegisteredModel(name="m", creation_timestamp=10**18, last_updated_timestamp=0)
    output.TableOutput().model(damaged)
    assert f"created  {10**18} ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "envelope"),
    [
        (("models", "get", "churn"), "registered_model"),
        (("versions", "get", "churn", "2"), "model_version"),
    ],
)
def test_json_of_one_result_is_the_wire_answer(
    churn: Regctl, command: tuple[str, ...], envelope: str
) -> None:
    """JSON has the key that MLflow's REST API answers with; jsonl is the object alone."""
    (shown,) = churn.json(*command).items()
    assert shown[0] == envelope
    assert json.loads(churn.ok("-o", "jsonl", *command)) == shown[1]


def test_json_of_a_model_is_what_the_wire_encodes(capsys: pytest.CaptureFixture[str]) -> None:
    """No second encoding of entities exists."""
    model = _model(tags={"a": "é"}, aliases={"champion": 2}, description="d")
    output.JsonOutput().model(model)
    assert json.loads(capsys.readouterr().out) == {
        "registered_model": wire.plain(wire.encode_registered_model(model))
    }


@pytest.mark.parametrize("noun", ["models", "versions"])
def test_json_of_a_list_is_one_document(churn: Regctl, noun: str) -> None:
    """The list sits under the wire's key, and equals the lines of jsonl."""
    key = {"models": "registered_models", "versions": "model_versions"}[noun]
    document = churn.json(noun, "list")
    lines = churn.ok("-o", "jsonl", noun, "list").splitlines()
    assert document == {key: [json.loads(line) for line in lines]}
    assert len(lines) == {"models": 1, "versions": 3}[noun]


@pytest.mark.parametrize(
    ("format_name", "expected"),
    [
        ("table", "NAME  LATEST  ALIASES  UPDATED  TAGS\n"),
        ("json", '{"registered_models": []}\n'),
        ("jsonl", ""),
        ("name", ""),
    ],
)
def test_an_empty_list_in_every_format(cli: Regctl, format_name: str, expected: str) -> None:
    """An empty list is a list: JSON has the key with nothing in it."""
    assert cli.ok("-o", format_name, "models", "list") == expected


@pytest.mark.parametrize("where", ["before", "after"])
def test_output_may_be_chosen_before_or_after_the_command(churn: Regctl, where: str) -> None:
    """The option works on both sides; after the command it wins."""
    before = ("-o", "name") if where == "before" else ("-o", "json")
    after = ("-o", "name") if where == "after" else ()
    assert churn.ok(*before, "models", "list", *after) == "churn\n"


def test_store_may_be_chosen_after_the_command(tmp_path: Path) -> None:
    """The store after the command wins over the one before it."""
    wrong = Regctl("nonsense://x")
    open_store(f"sqlite:///{tmp_path}/r.db").close()
    assert wrong.ok("models", "list", "-o", "name", "--store", f"sqlite:///{tmp_path}/r.db") == ""


class _Pages:
    """A registry whose second page is never reached by a reader of the first."""

    def iter_registered_models(self, *_: object, **__: object) -> Iterator[RegisteredModel]:
        yield _model("first")
        raise AssertionError("read on")

    def acting_as(self, **_: object) -> _Pages:
        return self

    def close(self) -> None:
        pass


@pytest.mark.parametrize("format_name", ["jsonl", "json", "name"])
def test_results_are_printed_before_the_next_is_read(
    format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of any length is printed as it is read: nothing is gathered first."""
    monkeypatch.setattr("registry_core.open_registry", lambda _, **__: _Pages())
    result = Regctl("memory:").run("-o", format_name, "models", "list")
    assert "first" in result.stdout
    assert "read on" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize("format_name", ["table", "json", "jsonl", "name"])
def test_a_list_that_fails_at_once_prints_nothing(cli: Regctl, format_name: str) -> None:
    """A bad filter leaves stdout empty in every format."""
    result = cli.run("-o", format_name, "models", "list", "--filter", "oops")
    assert (result.exit_code, result.stdout) == (2, "")


def test_control_characters_are_shown_escaped(cli: Regctl) -> None:
    """A terminal must not obey what is written in names, tags and descriptions."""
    evil = "a\x1b[31mb\nc\u202ed"
    cli.ok("models", "create", evil, "--tag", "k=\x07", "--description", "one\ntwo\x1b]0;x\x07")
    listed = cli.ok("models", "list")
    assert "a\\x1b[31mb\\nc\\u202ed" in listed
    assert listed.count("\n") == 2
    record = cli.ok("models", "get", evil)
    assert "k=\\x07" in record
    assert "description  one\n" in record
    assert "             two\\x1b]0;x\\x07\n" in record
    assert not set("\x1b\x07\u202e") & set(listed + record)


def test_names_reach_a_pipe_as_they_are(cli: Regctl) -> None:
    """What a script reads can be given back to regctl."""
    cli.ok("models", "create", "naïve\tname")
    assert cli.ok("-o", "name", "models", "list") == "naïve\tname\n"


def test_errors_escape_other_peoples_text(cli: Regctl) -> None:
    """A name in a message cannot move the cursor."""
    result = cli.run("models", "get", "x\x1b[2J")
    assert result.stderr == "Error: Registered Model with name=x\\x1b[2J not found\n"


def test_versions_are_named_by_uri(capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a version is what every command accepts as one."""
    version = ModelVersion(
        name="a b", version=7, source="s", creation_timestamp=0, last_updated_timestamp=0
    )
    output.NameOutput().version(version)
    assert capsys.readouterr().out == "models:/a b/7\n"


def test_every_format_that_is_offered_exists() -> None:
    """The choices of --output are the classes behind it."""
    from registry_cli.options import FORMATS

    assert list(FORMATS) == list(output.OUTPUTS)
    for name in FORMATS:
        assert Session(store=None, output=name, show_traceback=False).output


def test_the_registry_is_closed_when_the_command_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it fails."""
    from registry_core.stores.memory import MemoryStore

    closed = []

    class Watched(MemoryStore):
        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr("registry_core.open_registry", lambda _, **__: Registry(Watched()))
    Regctl("memory:").run("models", "list")
    Regctl("memory:").run("models", "get", "none")
    assert closed == [True, True]
