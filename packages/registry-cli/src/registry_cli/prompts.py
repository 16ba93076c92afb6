"""`regctl prompts`: prompts and their versions, as MLflow's clients keep them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from registry_cli.bulk import text_diff
from registry_cli.completion import complete_prompt
from registry_cli.errors import ExitCode
from registry_cli.examples import example
from registry_cli.groups import Group
from registry_cli.options import list_options, shows_results
from registry_cli.output import print_lines
from registry_cli.session import Session, pass_session
from registry_cli.times import when

if TYPE_CHECKING:
    from registry_core import PromptVersion


@click.group(cls=Group, epilog=example("regctl prompts get greeting@live"))
def prompts() -> None:
    """Prompts and their versions, as MLflow's clients keep them.

    A version is written NAME/VERSION, NAME@ALIAS or prompts:/NAME/VERSION; a
    name alone is its newest version.
    """


@prompts.command("list", epilog=example("regctl prompts list --filter \"name LIKE 'support%'\""))
@list_options
@shows_results
@pass_session
def list_prompts(
    session: Session, filter_text: str | None, order_by: tuple[str, ...], limit: int | None
) -> None:
    """List prompts, by name unless ordered otherwise."""
    matching = islice(session.registry.prompts.list(filter_text, order_by=order_by), limit)
    session.output.records(
        "prompts",
        ("name", "newest", "aliases", "updated", "description"),
        (
            {
                "name": each.name,
                "newest": each.newest_version,
                "aliases": ", ".join(f"{alias}={n}" for alias, n in each.aliases.items()) or None,
                "updated": when(each.last_updated_timestamp),
                "description": each.description or None,
            }
            for each in matching
        ),
        summary={},
    )


@prompts.command(epilog=example("regctl prompts get greeting@live"))
@click.argument("prompt", metavar="PROMPT", shell_complete=complete_prompt)
@shows_results
@pass_session
def get(session: Session, prompt: str) -> None:
    """Show a version of a prompt: its template, and what is known of it.

    With -o name the template alone.
    """
    version = _version(session, prompt)
    if session.output_format == "name":
        print_lines(version.text.split("\n"))
        return
    session.output.fields(
        {
            "prompt": version.uri,
            "description": version.description,
            "variables": ", ".join(sorted(version.variables)) or None,
            "aliases": ", ".join(version.aliases) or None,
            "created": when(version.creation_timestamp),
            "tags": "\n".join(f"{key}={value}" for key, value in version.tags.items()) or None,
            "template": version.text,
        }
    )


@prompts.command(epilog=example("regctl prompts diff greeting/1 greeting@live"))
@click.argument("first", metavar="PROMPT", shell_complete=complete_prompt)
@click.argument("second", metavar="PROMPT", shell_complete=complete_prompt)
@shows_results
@pass_session
@click.pass_context
def diff(ctx: click.Context, session: Session, first: str, second: str) -> None:
    """Show how the templates of two versions of prompts differ, line by line.

    Exits with 1 if they do.
    """
    one, other = _version(session, first), _version(session, second)
    lines = text_diff(one.text, other.text, (one.uri, other.uri))
    if session.output_format in ("json", "jsonl"):
        session.output.fields(
            {"first": one.uri, "second": other.uri, "diff": "\n".join(lines) or None}
        )
    else:
        print_lines(lines)
    if lines:
        ctx.exit(ExitCode.ERROR)


def _version(session: Session, text: str) -> PromptVersion:
    prompts = session.registry.prompts
    has_version = "@" in text or "/" in text.removeprefix("prompts:/")
    return prompts.resolve(text if has_version else f"{text.removeprefix('prompts:/')}@latest")
