"""`regctl models push` and `pull`: a directory into the registry, and back."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

import registry_core
from registry_cli.options import (
    VersionRef,
    name_argument,
    on_artifacts,
    on_store,
    reason_option,
    shows_results,
    tag_option,
    version_argument,
)
from registry_cli.output import progress
from registry_cli.session import Session, pass_session

Target = tuple[VersionRef, tuple[str, ...]]


@click.command()
@name_argument
@click.argument("directory", metavar="DIRECTORY", type=click.Path(exists=True, path_type=Path))
@click.option("--create", is_flag=True, help="Create the registered model if there is none.")
@click.option(
    "--alias",
    "aliases",
    metavar="ALIAS",
    multiple=True,
    help="Point an alias at the new version; may be given again.",
)
@click.option("--run-id", metavar="ID", help="The run that made the model.")
@click.option("--description", metavar="TEXT", help="What is new in this version.")
@tag_option
@on_artifacts
@reason_option
@shows_results
@pass_session
def push(
    session: Session,
    *,
    name: str,
    directory: Path,
    create: bool,
    aliases: tuple[str, ...],
    run_id: str | None,
    description: str | None,
    tags: tuple[tuple[str, str], ...],
) -> None:
    """Upload a directory, or one file, as the next version of a registered model.

    Its files cannot be changed from then on. Run it again after an interruption:
    what is already there is not sent twice.
    """
    registry = session.registry
    _check(session, aliases)
    if create:
        _create(session, name)
    with progress(f"Pushing {directory}") as report:
        version = registry.create_model_version(
            name,
            source=str(directory.absolute()),
            run_id=run_id,
            description=description,
            tags=dict(tags),
            progress=report,
        )
    for alias in aliases:
        registry.set_registered_model_alias(name, alias, version.version)
    session.output.version(registry.get_model_version(name, version.version))


@click.command()
@version_argument()
@click.option(
    "-o",
    "--output-dir",
    "directory",
    metavar="DIRECTORY",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to put the files: an empty directory, or what an earlier pull left.",
)
@on_store
@on_artifacts
@pass_session
def pull(session: Session, target: Target, directory: Path) -> None:
    """Download the files of a model version, and verify each of them.

    Nothing is written that is not as it was registered. Run it again after an
    interruption: what is already there is not fetched twice.
    """
    name, version = target[0].key(session.registry)
    with progress(f"Pulling {name} {version}") as report:
        manifest = session.registry.pull_model_version(name, version, directory, progress=report)
    session.output.fields(
        {
            "directory": str(directory),
            "version": f"models:/{name}/{version}",
            "digest": manifest.digest,
            "files": len(manifest.files),
            "bytes": manifest.size,
        }
    )


def _check(session: Session, aliases: tuple[str, ...]) -> None:
    """Refuse what would fail only after the upload."""
    _ = session.registry.files
    for alias in aliases:
        registry_core.validation.new_alias(alias)


def _create(session: Session, name: str) -> None:
    with suppress(registry_core.AlreadyExistsError):
        session.registry.create_registered_model(name)
