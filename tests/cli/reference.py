"""The generated part of `docs/reference/regctl.md`: every command's own help.

`python tests/cli/reference.py` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from registry_cli.errors import ExitCode
from registry_cli.main import regctl

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "regctl.md"
HEADING = "\n## Reference\n"
WIDTH = 80
"""Columns that help is wrapped to here, as on a narrow terminal."""

MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.ERROR: "anything else: a damaged store, a missing driver, a schema to upgrade, a refusal, a check of nothing; for `diff` and `prompts diff`, a difference",
    ExitCode.USAGE: "usage: an unknown option, a bad name, a bad filter, an unknown store URL",
    ExitCode.NOT_FOUND: "there is no such model, version or alias, or no registry",
    ExitCode.NOT_PERMITTED: "the store refused the credentials, or the caller may not do that",
    ExitCode.CONFLICT: "it exists already, or a race was lost; nothing was changed",
    ExitCode.REFUSED: "a gate does not let the version be promoted; the message says what it lacks",
    ExitCode.INCOMPLETE: "something was not copied, the copy differs, or `apply --check` found a difference",
    ExitCode.DAMAGED: "files are not what was registered, or a check found something wrong",
    ExitCode.UNAVAILABLE: "the store did not answer; try again later",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
    ExitCode.BROKEN_PIPE: "the reader of stdout went away, as in `regctl models list \\| head -1`",
}


def commands() -> Iterator[click.Context]:
    """Every command, as it is when its `--help` is asked for."""
    settings = {**regctl.context_settings, "terminal_width": WIDTH}
    yield from _commands(click.Context(regctl, info_name="regctl", **settings))


def _commands(ctx: click.Context) -> Iterator[click.Context]:
    yield ctx
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            child = ctx.command.get_command(ctx, name)
            yield from _commands(click.Context(child, info_name=name, parent=ctx))


def reference() -> str:
    """The generated part of the page, its heading first."""
    parts = [HEADING]
    for ctx in commands():
        level = "###" if ctx.command_path.count(" ") < 2 else "####"
        parts.append(f"\n{level} `{ctx.command_path}`\n\n```text\n{ctx.get_help()}\n```\n")
    return "".join(parts)


def exit_codes() -> list[str]:
    """The rows of the table of exit codes."""
    return [f"| {code.value} | {MEANINGS[code]} |" for code in ExitCode]


def main() -> None:
    """Writes the generated part of the page."""
    head = PAGE.read_text().partition(HEADING)[0]
    PAGE.write_text(head + reference())


if __name__ == "__main__":
    main()
