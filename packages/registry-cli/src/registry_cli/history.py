"""What was done to models, and undoing it: `history`, `activity` and `models rollback`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import click

from registry_cli.options import name_argument, on_store, reason_option, shows_results
from registry_cli.output import notice
from registry_cli.session import Session, pass_session

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Moment(click.ParamType[datetime]):
    """A moment: an age such as `2h` or `7d`, or a date and time in ISO 8601."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The moment, with a time zone; one without is in that of this machine."""
        if isinstance(value, datetime):
            return value
        if found := re.fullmatch(r"(\d{1,6})([smhdw])", value):
            age = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
            return datetime.now(UTC) - age
        try:
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo is not None else moment.astimezone()
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no moment: write an age such as 30m, 2h or 7d, or a date and time "
                "such as 2026-01-31T12:00",
                param,
                ctx,
            )


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


@click.command()
@name_argument
@click.option("--alias", metavar="ALIAS", help="Only events about this alias.")
@click.option("--version", metavar="VERSION", help="Only events about this version.")
@_action_option
@_since_option
@_until_option
@_limit_option
@_oldest_option
@shows_results
@pass_session
def history(
    session: Session,
    name: str,
    *,
    alias: str | None,
    version: str | None,
    actions: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    oldest_first: bool,
) -> None:
    """Show who changed a registered model, when, why, and from what to what.

    Who moved champion: `regctl history churn --alias champion`.
    """
    events = session.registry.history(
        name,
        alias=alias,
        version=version,
        actions=actions,
        since=since,
        until=until,
        newest_first=not oldest_first,
    )
    session.output.events(islice(events, limit))


@click.command()
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


@click.command()
@name_argument
@click.option("--alias", required=True, metavar="ALIAS", help="The alias to put back.")
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
