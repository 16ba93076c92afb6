"""`regctl apply`: registered models and webhooks as code."""

from __future__ import annotations

from pathlib import Path

import click

from registry_cli.errors import ExitCode
from registry_cli.examples import example
from registry_cli.options import reason_option, shows_results
from registry_cli.output import notice
from registry_cli.session import Session, pass_session


@click.command(epilog=example("regctl apply -f registry.toml --check"))
@click.option(
    "-f",
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="What models and webhooks should be like, in TOML.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be changed.")
@click.option(
    "--check", is_flag=True, help="Change nothing, and exit with 8 if something would be changed."
)
@click.option(
    "--prune",
    is_flag=True,
    help="Also remove tags, aliases and webhooks that the file does not have.",
)
@reason_option
@shows_results
@click.pass_context
@pass_session
def apply(
    session: Session,
    ctx: click.Context,
    *,
    file: Path,
    dry_run: bool,
    check: bool,
    prune: bool,
) -> None:
    """Make registered models and webhooks what a file says they are.

    A table [models.NAME] may have a description, tags and aliases; a table
    [webhooks.NAME] has a url and events, and may have a description, enabled
    and secret_env. What the file does not name stays as it is, and no model
    is ever deleted; --prune removes tags and aliases of the models that it
    names, and webhooks if it has any.

    Nothing that somebody else changes meanwhile is overwritten; the exit code
    is 5 then.
    """
    from registry_core import declarations  # noqa: PLC0415 completion must not pay for it

    declared = declarations.load(file)
    session.may_create = not (dry_run or check)
    steps = declarations.plan(session.registry, declared, prune=prune)
    is_plan = dry_run or check
    if not is_plan:
        for step in steps:
            step.apply()
    session.output.records(
        "changes",
        ("subject", "what", "before", "after"),
        (
            {
                "subject": step.subject,
                "what": step.what or None,
                "before": step.before,
                "after": step.after,
            }
            for step in steps
        ),
        summary={"changes": len(steps), "applied": not is_plan},
    )
    if not steps:
        notice("The registry is what the file says.")
    elif check:
        ctx.exit(ExitCode.INCOMPLETE)
