"""`docs/reference/regctl.md` says what regctl says."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli import reference
from registry_cli.main import regctl

COMMANDS = {ctx.command_path: ctx for ctx in reference.commands()}


def test_the_reference_is_what_help_prints() -> None:
    """`python tests/cli/reference.py` writes it anew after a change."""
    page = reference.PAGE.read_text()
    assert page.partition(reference.HEADING)[1:] == (
        reference.HEADING,
        reference.reference().removeprefix(reference.HEADING),
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(command: str) -> None:
    """No command and no option is without a sentence, and no argument without a name."""
    found = COMMANDS[command].command
    assert found.help
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            assert parameter.help
        else:
            assert parameter.make_metavar(COMMANDS[command]).isupper()


def test_every_exit_code_is_in_the_table() -> None:
    """The page lists the codes, and what each means."""
    page = reference.PAGE.read_text()
    missing = [row for row in reference.exit_codes() if row not in page]
    assert missing == []


def test_the_commands_are_those_that_were_promised() -> None:
    """A command that is dropped or renamed is noticed."""
    models = "create get list update rename delete tag untag alias unalias"
    versions = "create get list update delete transition tag untag download-uri latest"
    promised = {
        *(f"regctl models {name}" for name in models.split()),
        *(f"regctl versions {name}" for name in versions.split()),
        "regctl models push",
        "regctl models pull",
        *(f"regctl artifacts {name}" for name in ("list", "verify", "gc")),
        "regctl store fsck",
        "regctl db upgrade",
        "regctl db current",
    }
    assert promised <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_of_that_very_command(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that Click can read, with options that the command has."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    for file in ("registry.toml", "backup.jsonl.gz"):
        (tmp_path / file).touch()
    ctx = COMMANDS[command]
    shown = ctx.command.epilog or ""
    assert "Example:" in shown
    words = shlex.split(shown.rpartition("Example:")[2].partition("|")[0])
    assert words[0] == "regctl"
    if not isinstance(ctx.command, click.Group):
        path = command.split()
        start = words.index(path[1])
        assert words[start : start + len(path) - 1] == path[1:]
        # Parsed as it stands; what is missing or unknown raises.
        ctx.command.make_context(path[-1], words[start + len(path) - 1 :], resilient_parsing=False)


def test_no_list_of_commands_is_cut_and_no_sentence_is_out_of_date() -> None:
    """The root knows the sentences of commands that it has not loaded."""
    for ctx in COMMANDS.values():
        if isinstance(ctx.command, click.Group):
            assert "..." not in ctx.get_help().partition("Commands:")[2].partition("Example:")[0]
    root = COMMANDS["regctl"]
    for name, lazy in regctl.lazy.items():
        assert lazy.sentence == lazy.load().get_short_help_str(1_000), name
    assert set(regctl.list_commands(root)) >= set(regctl.lazy)


def test_help_imports_no_command() -> None:
    """Nor what only commands need: `regctl --help` is what people wait for."""
    script = (
        "import sys, registry_cli.main as m\n"
        "try: m.regctl(['--help'], prog_name='regctl')\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert not loaded & {
        f"registry_cli.{lazy.target.partition(':')[0]}" for lazy in regctl.lazy.values()
    }
    assert not loaded & {"attrs", "sqlalchemy", "registry_core.registry", "importlib.metadata"}
