"""`regctl artifacts`: the files of model versions."""

from __future__ import annotations

import click

from registry_cli.examples import example
from registry_cli.groups import Group
from registry_cli.options import (
    Seconds,
    Target,
    on_artifacts,
    shows_results,
    version_argument,
)
from registry_cli.session import Session, pass_session
from registry_cli.views import manifest_fields


@click.group(cls=Group, epilog=example("regctl artifacts verify churn@champion"))
def artifacts() -> None:
    """The files of model versions, kept below the artifact root."""


@artifacts.command("list", epilog=example("regctl artifacts list churn@champion"))
@version_argument()
@on_artifacts
@shows_results
@pass_session
def list_artifacts(session: Session, target: Target) -> None:
    """List the files of a model version, as they were registered."""
    key = target[0].key(session.registry)
    manifest = session.registry.get_model_version_manifest(*key)
    session.output.records(
        "files",
        ("path", "size", "sha256"),
        ({"path": file.path, "size": file.size, "sha256": file.sha256} for file in manifest.files),
        summary={"digest": manifest.digest, "bytes": manifest.size},
    )


@artifacts.command(epilog=example("regctl artifacts verify churn@champion"))
@version_argument()
@on_artifacts
@shows_results
@pass_session
def verify(session: Session, target: Target) -> None:
    """Read every byte of a model version, and compare it with what was registered.

    Exits with 6 and names each file with the expected and the found size or
    digest if something differs.
    """
    name, version = target[0].key(session.registry)
    manifest = session.registry.verify_model_version(name, version)
    session.output.fields(manifest_fields(name, version, manifest))


@artifacts.command(epilog=example("regctl artifacts gc --grace 48h --delete"))
@click.option(
    "--dry-run/--delete",
    " /--no-dry-run",
    "dry_run",
    default=True,
    help="Only say what would be removed, or remove it.  [default: --dry-run]",
)
@click.option(
    "--grace",
    type=Seconds(),
    default="24h",
    show_default=True,
    metavar="DURATION",
    help="Keep what was written since: longer than any upload takes.",
)
@on_artifacts
@shows_results
@pass_session
def gc(session: Session, *, dry_run: bool, grace: float) -> None:
    """Remove files that no model version refers to.

    Files of deleted models and versions stay for as long as these can be
    restored: REGISTRY_TRASH_DAYS, or 30 days.

    Safe beside pushes and servers: what a version refers to is never removed.
    """
    garbage = session.registry.files.collect_garbage(grace_seconds=grace, dry_run=dry_run)
    session.output.records(
        "folders",
        ("folder",),
        ({"folder": folder} for folder in garbage.folders),
        summary={
            "removed": not dry_run,
            "files": garbage.files,
            "bytes": garbage.size,
            "unfinished_writes": garbage.partial,
        },
    )
