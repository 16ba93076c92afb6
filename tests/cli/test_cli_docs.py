"""`docs/regctl.md` says what regctl says."""

from __future__ import annotations

import click
import pytest

from cli import reference

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
