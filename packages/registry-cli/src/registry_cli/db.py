"""`regctl db`: the schema of a registry kept in a SQL database."""

from __future__ import annotations

import click

import registry_core
from registry_cli.examples import example
from registry_cli.groups import Group
from registry_cli.options import on_store, shows_results
from registry_cli.output import notice
from registry_cli.session import Session, pass_session


@click.group(cls=Group, epilog=example("regctl db current"))
def db() -> None:
    """The schema of a registry kept in a SQL database."""


@db.command(epilog=example("regctl --store postgresql://registry@db/registry db upgrade"))
@on_store
@pass_session
def upgrade(session: Session) -> None:
    """Bring the database to the schema that this release needs.

    Safe to run again. Back up first: an older release refuses the newer schema.
    """
    registry_core.upgrade_store(session.store_url)
    revision = registry_core.store_revision(session.store_url)
    notice(f"The database is at revision {revision.current}.")


@db.command(epilog=example("regctl db current"))
@shows_results
@pass_session
def current(session: Session) -> None:
    """Show the revision of the database's schema, and the one this release needs."""
    revision = registry_core.store_revision(session.store_url)
    session.output.fields({"current": revision.current, "head": revision.head})
