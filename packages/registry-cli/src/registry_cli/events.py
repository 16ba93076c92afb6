"""`regctl events follow`: what is done to models, as it is done."""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from pathlib import Path

import click

from registry_cli.examples import example
from registry_cli.groups import Group
from registry_cli.options import Moment, on_store
from registry_cli.output import OUTPUTS
from registry_cli.session import Session, pass_session

EVERY_SECONDS = 2.0
"""Seconds between two looks, unless the user says otherwise."""


@click.group(cls=Group, epilog=example("regctl events follow --since 1h"))
def events() -> None:
    """Changes of registered models, as they happen."""


@events.command(epilog=example("regctl events follow --cursor-file cursor | jq .action"))
@click.option(
    "--since", type=Moment(), metavar="TIME", help="Begin with events of then: 2h, 2026-01-31."
)
@click.option(
    "--cursor-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Go on where the last run with this file has ended, and note there how far this one is.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=EVERY_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@click.option("--once", is_flag=True, help="Look once, and end.")
@on_store
@pass_session
def follow(
    session: Session,
    *,
    since: datetime | None,
    cursor_file: Path | None,
    every: float,
    once: bool,
) -> None:
    """Print events as they come, one JSON object to a line, until stopped.

    For machines that no webhook can reach. Those of a model come in the order
    of their numbers, also if one is committed late. With --cursor-file nothing
    is missed between two runs; what was printed just before a run was killed
    may come again.
    """
    from registry_core.feed import Feed  # noqa: PLC0415 `regctl --help` must not pay for it

    cursor = _read(cursor_file)
    start = None if since is None or cursor is not None else round(since.timestamp() * 1000)
    feed = Feed(session.registry.store, since=start, cursor=cursor)
    output = OUTPUTS["jsonl"]()
    while True:
        new_events = feed.poll()
        output.events(new_events)
        sys.stdout.flush()
        if cursor_file is not None:
            _write(cursor_file, feed.cursor)
        if once:
            return
        time.sleep(every)


def _read(file: Path | None) -> str | None:
    if file is None or not file.exists():
        return None
    try:
        return file.read_text()
    except (OSError, UnicodeError) as error:
        raise click.UsageError(f"The cursor in '{file}' cannot be read: {error}") from None


def _write(file: Path, cursor: str) -> None:
    new = file.with_name(f"{file.name}.new")
    try:
        with new.open("w") as stream:
            stream.write(cursor)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    except OSError as error:
        raise click.UsageError(f"The cursor cannot be kept in '{file}': {error}") from None
