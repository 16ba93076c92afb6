"""`regctl db`: the schema of a registry kept in a SQL database."""

from __future__ import annotations

import click

from registry_cli.options import on_store, shows_results
from registry_cli.output import notice
from registry_cli.session import Session, pass_session


@click.group()
def db() -> None:
    """The schema of a registry kept in a SQL database."""


@db.command()
@on_store
@pass_session
def upgrade(session: Session) -> None:
    """Bring the database to the schema that this release needs.

    Safe to run again. Back up first: an older release refuses the newer schema.
    """
    from registry_core.backends import (  # noqa: PLC0415 --help must not pay for it
        store_revision,
        upgrade_store,
    )

    upgrade_store(session.store_url)
    notice(f"The database is at revision {store_revision(session.store_url).current}.")


@db.command()
@shows_results
@pass_session
def current(session: Session) -> None:
    """Show the revision of the database's schema, and the one this release needs."""
    from registry_core.backends import store_revision  # noqa: PLC0415 --help must not pay for it

    revision = store_revision(session.store_url)
    session.output.fields({"current": revision.current, "head": revision.head})
