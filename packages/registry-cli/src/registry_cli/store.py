"""`regctl store`: whether what a registry keeps is in order."""

from __future__ import annotations

import click

from registry_cli.errors import ExitCode
from registry_cli.examples import example
from registry_cli.groups import Group
from registry_cli.options import Seconds, on_artifacts, shows_results
from registry_cli.output import notice
from registry_cli.session import Session, pass_session


@click.group(cls=Group, epilog=example("regctl store fsck"))
def store() -> None:
    """What a registry keeps: metadata, and the files of model versions."""


@store.command(epilog=example("regctl store fsck --repair"))
@click.option("--repair", is_flag=True, help="Put right what can be without losing anything.")
@click.option(
    "--grace",
    type=Seconds(),
    metavar="DURATION",
    help="Ignore leftovers younger than this: their operation may still be running.  "
    "[default: 1h, and 24h for files]",
)
@on_artifacts
@shows_results
@pass_session
@click.pass_context
def fsck(ctx: click.Context, session: Session, *, repair: bool, grace: float | None) -> None:
    """Find what crashes and accidents left behind.

    Says what was looked at, and what could not be. Exits with 6 if something is
    wrong and was not repaired, with 1 if there was nothing it could look at.
    Sizes of files are compared; `regctl artifacts verify` reads their bytes.
    """
    if session.store_url.lower().startswith(("http:", "https:")):
        raise click.UsageError(
            "A server's registry is checked where it is kept: give the server's own --store."
        )
    report = session.registry.fsck(repair=repair, grace_seconds=grace)
    session.output.records(
        "findings",
        ("problem", "subject", "detail", "repairable", "repaired"),
        (
            {
                "problem": finding.problem,
                "subject": finding.subject,
                "detail": finding.detail,
                "repairable": finding.repairable,
                "repaired": finding.repaired,
            }
            for finding in report.findings
        ),
        summary={
            "clean": report.clean,
            "checked": dict(report.checked),
            "not_checked": dict(report.not_checked),
        },
    )
    for note in report.notes:
        notice(note)
    if not report.clean:
        ctx.exit(ExitCode.DAMAGED if report.findings else ExitCode.ERROR)
