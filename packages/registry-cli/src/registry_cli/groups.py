"""Groups of commands: loaded when they are used, and listed with whole sentences.

Strategy: `regctl --help` and completion must not wait for the modules of forty commands. The root
knows the sentence of each of its commands, and imports the module when the command is run; a test
compares the sentences with those of the commands.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import click

SENTENCE_MAX_LENGTH = 1_000
"""Characters of a command's first sentence in a list, which is wrapped and never cut."""


class Lazy(NamedTuple):
    """Where a command is, as `module:name` in this package, and the first sentence of its help."""

    target: str
    sentence: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self.target.partition(":")
        command: click.Command = getattr(importlib.import_module(f"registry_cli.{module}"), name)
        return command


class Group(click.Group):
    """A group whose list shows the first sentence of each command in full."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        rows = [(name, self.sentence(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, sentence in rows if sentence])

    def sentence(self, ctx: click.Context, name: str) -> str:
        """Return the first sentence of a command's help."""
        command = self.get_command(ctx, name)
        if command is None or command.hidden:
            return ""
        return command.get_short_help_str(SENTENCE_MAX_LENGTH)


class LazyGroup(Group):
    """A group whose commands are imported when they are used; others may be added as to any."""

    lazy: dict[str, Lazy]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named; or what it may have been meant to be."""
        name = args[0]
        is_known = name.startswith("-") or self.get_command(ctx, name) is not None
        if not is_known and not ctx.resilient_parsing:
            # Click proposes only what is loaded.
            from difflib import get_close_matches  # noqa: PLC0415 a mistake may take its time

            if close := get_close_matches(name, self.list_commands(ctx), n=1):
                ctx.fail(f"No such command '{name}'. Did you mean '{close[0]}'?")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported."""
        if cmd_name in self.lazy and cmd_name not in self.commands:
            self.add_command(self.lazy[cmd_name].load(), cmd_name)
        return super().get_command(ctx, cmd_name)

    def sentence(self, ctx: click.Context, name: str) -> str:
        """See `Group`; nothing is imported."""
        return self.lazy[name].sentence if name in self.lazy else super().sentence(ctx, name)
