"""What reaches a terminal: nothing that it would obey, whoever wrote it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.invoking import Regctl
from registry_cli import output
from registry_core import errors, open_store
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.testing.calls import Calls
from services import forking
from services.hostile_server import answering, hostile_server
from services.scripted_server import Response, ScriptedServer

EVIL = "\x1b[31mred\x1b]0;title\x07\x9b2J\x7f\u202eoverride\u2066isolate\u200bnothing\u3164blank"
"""Colours, a window's title, C1, DEL, bidi, zero width and a letter that is blank."""

SHOWN = (
    "\\x1b[31mred\\x1b]0;title\\x07\\x9b2J\\x7f\\u202eoverride\\u2066isolate\\u200bnothing"
    "\\u3164blank"
)

TIMES = {"creation_timestamp": 1, "last_updated_timestamp": 2}
MODEL = {
    "name": EVIL,
    "description": f"{EVIL}\nline",
    "tags": [{"key": "k", "value": EVIL}],
    **TIMES,
}
VERSION = {
    "name": EVIL, "version": "1", "source": EVIL, "run_id": EVIL, "run_link": EVIL, "model_id": EVIL,
    "status": "FAILED_REGISTRATION", "status_message": EVIL, "user_id": EVIL, "description": EVIL,
    "aliases": [EVIL], **TIMES,
}  # fmt: skip
MODEL["latest_versions"] = [VERSION]
EVERYTHING = Response(
    200,
    {
        "registered_model": MODEL,
        "registered_models": [MODEL],
        "model_version": VERSION,
        "model_versions": [VERSION],
        "artifact_uri": EVIL,
    },
    {"Content-Type": "application/json"},
)
"""An answer to any question."""

COMMANDS = [
    ("models", "list"), ("models", "get", "m"), ("versions", "list"), ("versions", "get", "m", "1"),
    ("versions", "download-uri", "m", "1"), ("versions", "latest", "m"),
]  # fmt: skip


def _on_a_terminal(*arguments: str, store: str, keys: bytes = b"") -> str:
    """All that a process shows whose three streams are a terminal."""
    ours, theirs = pty.openpty()
    process = forking.start(
        "registry_cli", ["--store", store, *arguments],
        streams=(theirs, theirs, theirs),
        environment={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "COLUMNS": "10000"},
    )  # fmt: skip
    os.close(theirs)
    if keys:
        os.write(ours, keys)
    shown = b""
    with contextlib.suppress(OSError):  # Linux: EIO once nobody has the other end
        while piece := os.read(ours, 65_536):
            shown += piece
    process.wait(60)
    os.close(ours)
    return shown.decode("utf-8").replace("\r\n", "\n")


def _is_harmless(shown: str) -> bool:
    return all(
        char == "\n" or (unicodedata.category(char)[0] not in "CZ" or char == " ") for char in shown
    )


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    """The URL of a registry in which every text is hostile."""
    with ScriptedServer(EVERYTHING) as server:
        yield server.url


@pytest.mark.parametrize(
    ("command", "output_format"),
    [
        *itertools.product(COMMANDS, ["table", "name"]),
        *itertools.product(COMMANDS[-3:-1], ["json", "jsonl"]),
    ],
)
def test_results_are_shown_and_not_obeyed(
    hostile: str, command: tuple[str, ...], output_format: str
) -> None:
    """In every format; JSON stays JSON."""
    shown = _on_a_terminal("-o", output_format, *command, store=hostile)
    assert _is_harmless(shown)
    if output_format in ("json", "jsonl"):
        assert EVIL in json.dumps(json.loads(shown), ensure_ascii=False).replace("\\u001b", "\x1b").replace("\\u0007", "\x07")  # fmt: skip
    else:
        assert SHOWN in shown


ERRORS = {
    "message": Response(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": f"{EVIL}\nError: x"}),
    "name": Response(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"Registered Model with name={EVIL} not found"}),
    "damage": Response(200, {"registered_model": {"name": [EVIL], **TIMES}}),
    "content type": Response(200, b"{}", {"Content-Type": "\x1b[31mred"}),
    "coding": Response(200, b"{}", {"Content-Encoding": "\x1b[31mred"}),
    "redirection": Response(302, b"", {"Location": "http://h/\x1b[31m\x9b"}),
}  # fmt: skip


@pytest.mark.parametrize("flags", [(), ("--traceback",)], ids=["plain", "traceback"])
@pytest.mark.parametrize("answer", ERRORS)
def test_errors_quote_and_do_not_obey(answer: str, flags: tuple[str, ...]) -> None:
    """Also on stderr, and in a traceback; a quoted line begins no line."""
    with ScriptedServer(ERRORS[answer]) as server:
        shown = _on_a_terminal(*flags, "models", "get", "m", store=server.url)
    assert _is_harmless(shown)
    assert sum(line.startswith("Error: ") for line in shown.splitlines()) == 1


def test_logs_of_libraries_are_not_obeyed() -> None:
    """The HTTP library warns of headers that it cannot read, and quotes them."""
    head = answering(b"{}", "no header at all \x1b[31mred", "X: \x1b[31m")
    with hostile_server(head) as url:
        shown = _on_a_terminal("models", "list", store=url)
    assert "urllib3" in shown
    assert _is_harmless(shown)


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "list", "--limit", EVIL), ("models", EVIL), (f"--{EVIL}",), (EVIL,),
        ("models", "tag", "m", EVIL), ("versions", "get", EVIL), ("-o", EVIL, "models", "list"),
        ("models", "pull", "m", "1", EVIL), ("models", "push", "m", EVIL),
        ("models", "alias", "m", "a", f"models:/{EVIL}/1"),
    ],
)  # fmt: skip
def test_complaints_about_arguments_are_not_obeyed(arguments: tuple[str, ...]) -> None:
    """They come from other people's lists as often as from the keyboard."""
    shown = _on_a_terminal(*arguments, store="memory:")
    assert "Error: " in shown
    assert _is_harmless(shown)


def test_questions_and_notices_are_not_obeyed(tmp_path: Path) -> None:
    """What is about to be deleted, and what was."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with contextlib.closing(Calls(open_store(url))) as store:
        store.create_registered_model(NewRegisteredModel(name=f"{EVIL}\nDeleted"))
    shown = _on_a_terminal("models", "delete", f"{EVIL}\nDeleted", store=url, keys=b"y\n")
    assert f"Delete registered model '{SHOWN}\\nDeleted' with all its versions?" in shown
    assert f"Deleted registered model '{SHOWN}\\nDeleted'.\n" in shown
    assert _is_harmless(shown)


def test_bar_names_a_directory_and_does_not_obey_it(tmp_path: Path) -> None:
    """Its own sequences are the only ones."""
    (tmp_path / "\x1b[31mred").mkdir()
    (tmp_path / "\x1b[31mred" / "MLmodel").write_text("x" * 1000)
    store = f"sqlite:///{tmp_path / 'registry.db'}"
    shown = _on_a_terminal(
        "models", "push", "m", str(tmp_path / "\x1b[31mred"), "--create", store=store
    )
    assert "\\x1b[31mred" in shown
    assert "\x1b[31m" not in shown


def test_two_texts_of_an_error_stay_on_their_lines() -> None:
    """A problem that is somebody else's text begins no line."""
    from registry_cli.errors import message

    mismatch = errors.ArtifactMismatchError("models:/m/1", ("one\nError: two", "three"))
    assert message(mismatch).splitlines()[1:] == ["  one", "  Error: two", "  three"]
    assert (
        message(ValueError("a\nError: b")).splitlines()[1] == "  Error: b (--traceback shows where)"
    )


# A pipe


@pytest.fixture
def odd(tmp_path: Path) -> Callable[[str], Regctl]:
    """The command on a store with one version, whose source may be what it once could be."""

    def made(source: str) -> Regctl:
        url = f"sqlite:///{tmp_path / 'registry.db'}"
        with contextlib.closing(Calls(open_store(url))) as store:
            store.create_registered_model(NewRegisteredModel(name="m"))
            store.create_model_version(NewModelVersion(name="m", source=source))
        return Regctl(url)

    return made


@pytest.mark.parametrize("output_format", ["table", "name"])
def test_uri_reaches_a_pipe_byte_for_byte(odd: Callable[[str], Regctl], output_format: str) -> None:
    """A program that was given another text would look in another place."""
    source = "s3://b/ü\x1b[31m\u202e\t\x85x"
    shown = odd(source).ok("-o", output_format, "versions", "download-uri", "m", "1")
    assert shown == source + "\n"


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"])
def test_text_of_two_lines_is_not_printed_as_two(
    odd: Callable[[str], Regctl], line_break: str
) -> None:
    """`$(...)`, `xargs` and `while read` would take one for two; JSON says it exactly."""
    source = f"s3://a{line_break}s3://b"
    regctl = odd(source)
    result = regctl.run("versions", "download-uri", "m", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "holds a line break" in result.stderr
    assert result.stderr.count("\n") == 1
    assert regctl.json("versions", "download-uri", "m", "1") == {"artifact_uri": source}


def test_name_of_two_lines_does_not_name_another_model(cli: Regctl) -> None:
    """A list that is piped into a deletion would else delete what was not listed."""
    for name in ("a", "b\nproduction", "c"):
        cli.ok("models", "create", name)
    result = cli.run("-o", "name", "models", "list")
    assert (result.exit_code, result.stdout) == (1, "a\n")
    assert "'b\\nproduction' holds a line break" in result.stderr
    lines = cli.ok("-o", "jsonl", "models", "list").splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["a", "b\nproduction", "c"]


def test_json_holds_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    """Python writes DEL as it is; it is the same JSON without."""
    output.JsonOutput().fields({"uri": EVIL})
    shown = capsys.readouterr().out
    assert _is_harmless(shown)
    assert shown.isascii()
    assert json.loads(shown) == {"uri": EVIL}
