"""What was done to models, and undoing it: `history`, `activity`, and commands of `models`."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

import click

from registry_cli.completion import complete_alias
from registry_cli.errors import ExitCode
from registry_cli.examples import example
from registry_cli.options import Moment, name_argument, on_store, reason_option, shows_results
from registry_cli.output import notice
from registry_cli.session import Session, pass_session

_since_option = click.option(
    "--since", type=Moment(), metavar="TIME", help="Only events since then: 2h, 7d, 2026-01-31."
)
_until_option = click.option(
    "--until", type=Moment(), metavar="TIME", help="Only events before then."
)
_action_option = click.option(
    "--action",
    "actions",
    metavar="ACTION",
    multiple=True,
    help="Only events of this kind, such as set_alias; may be repeated.",
)
_limit_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="At most N events."
)
_oldest_option = click.option("--oldest-first", is_flag=True, help="Begin with the oldest event.")


@click.command(epilog=example("regctl history churn --alias champion --since 7d"))
@name_argument
@click.option(
    "--deleted",
    is_flag=True,
    help="The deleted model of that name; the one deleted last, or that of --id.",
)
@click.option("--id", "model_id", metavar="MODEL_ID", help="The deleted model with this id.")
@click.option(
    "--alias", metavar="ALIAS", shell_complete=complete_alias, help="Only events about this alias."
)
@click.option("--version", metavar="VERSION", help="Only events about this version.")
@_action_option
@_since_option
@_until_option
@_limit_option
@_oldest_option
@click.option(
    "--verify",
    is_flag=True,
    help="Play all events back and compare: the exit code is 6 where the model is not that.",
)
@shows_results
@pass_session
@click.pass_context
def history(
    ctx: click.Context,
    session: Session,
    name: str,
    *,
    deleted: bool,
    model_id: str | None,
    alias: str | None,
    version: str | None,
    actions: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    oldest_first: bool,
    verify: bool,
) -> None:
    """Show who changed a registered model, when, why, and from what to what.

    Who moved champion: `regctl history churn --alias champion`.
    """
    if verify:
        _verify(ctx, session, name)
        return
    if deleted or model_id is not None:
        deleted_model = session.registry.deleted_registered_model(name, model_id=model_id)
        model_id = deleted_model.model_id
    events = session.registry.history(
        None if model_id else name,
        model_id=model_id,
        alias=alias,
        version=version,
        actions=actions,
        since=since,
        until=until,
        newest_first=not oldest_first,
    )
    session.output.events(islice(events, limit))


def _verify(ctx: click.Context, session: Session, name: str) -> None:
    verification = session.registry.verify_history(name)
    session.output.records(
        "differences",
        ("difference",),
        ({"difference": each} for each in verification.problems),
        summary={
            "verified": verification.is_true,
            "events": verification.events,
            "unchecked": verification.unchecked,
        },
    )
    if not verification.is_true:
        ctx.exit(ExitCode.DAMAGED)


@click.command(epilog=example("regctl activity --since 1d --action set_alias"))
@_action_option
@_since_option
@_until_option
@_limit_option
@_oldest_option
@shows_results
@pass_session
def activity(
    session: Session,
    *,
    actions: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    oldest_first: bool,
) -> None:
    """Show what was done to all registered models, newest first.

    Since yesterday: `regctl activity --since 1d`.
    """
    events = session.registry.activity(
        actions=actions, since=since, until=until, newest_first=not oldest_first
    )
    session.output.events(islice(events, limit))


@click.command(
    epilog=example('regctl models rollback churn --alias champion --reason "latency doubled"')
)
@name_argument
@click.option(
    "--alias",
    required=True,
    metavar="ALIAS",
    shell_complete=complete_alias,
    help="The alias to put back.",
)
@click.option(
    "--to",
    type=click.IntRange(min=0),
    metavar="SEQUENCE",
    help="Where it pointed after this event of the history; by default before its last change.",
)
@reason_option
@on_store
@pass_session
def rollback(session: Session, name: str, *, alias: str, to: int | None) -> None:
    """Point an alias where it pointed before.

    Nothing is changed if somebody else moves the alias meanwhile; the exit
    code is 5 then. `regctl history churn --alias champion` shows the numbers
    for --to.
    """
    version = session.registry.rollback_registered_model_alias(name, alias, to=to)
    notice(f"{alias}: put back to {'nothing' if version is None else version}")


@click.command(
    "prune-history", epilog=example("regctl models prune-history churn --before 365d --dry-run")
)
@name_argument
@click.option(
    "--before",
    type=Moment(),
    metavar="TIME",
    required=True,
    help="The events before then go: 365d, 2025-01-31.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@reason_option
@shows_results
@pass_session
def prune_history(session: Session, name: str, *, before: datetime, dry_run: bool) -> None:
    """Replace the oldest events of a model by what they have led to.

    The model and the events that stay are as before; who made the changes
    before then is not known any more. Nothing is pruned that is younger than
    what `models restore` and `versions restore` bring back.
    """
    done = session.registry.prune_history(name, before=before, dry_run=dry_run)
    session.output.records(
        "pruned",
        ("removed", "added", "first"),
        ({"removed": done.removed, "added": done.added, "first": done.first},),
        summary={"name": name, "dry_run": dry_run},
    )
