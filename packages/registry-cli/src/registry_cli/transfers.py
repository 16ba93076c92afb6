"""`regctl models push` and `pull`: a directory into the registry, and back."""

from __future__ import annotations

from pathlib import Path

import click

import registry_core
from registry_cli.examples import example
from registry_cli.options import (
    Target,
    name_argument,
    on_artifacts,
    on_store,
    reason_option,
    shows_results,
    tag_option,
    tracking_option,
    version_argument,
)
from registry_cli.output import notice, progress
from registry_cli.session import Session, makes_registry, pass_session


@click.command(epilog=example("regctl models push churn ./model --create --alias challenger"))
@name_argument
@click.argument("directory", metavar="DIRECTORY", type=click.Path(exists=True, path_type=Path))
@click.option("--create", is_flag=True, help="Create the registered model if it does not exist.")
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
@click.option(
    "--if-changed",
    is_flag=True,
    help="Push nothing if the newest version has the same files.",
)
@click.option(
    "--no-follow-links",
    "follow_links",
    flag_value=False,
    default=True,
    help="Refuse links, instead of pushing the files that they lead to.",
)
@on_artifacts
@reason_option
@shows_results
@pass_session
@makes_registry
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
    if_changed: bool,
    follow_links: bool,
) -> None:
    """Upload a directory, or one file, as the next version of a registered model.

    Its files cannot be changed from then on. Run it again after an interruption:
    what is already there is not sent twice. Nothing is created if the push
    cannot succeed.
    """
    registry = session.registry
    for alias in aliases:
        # What would fail only after the upload.
        registry_core.validation.new_alias(alias)
    newest = _newest(session, name) if if_changed else None
    with progress(f"Pushing {directory}", f"Pushed {directory}") as report:
        version = registry.push_model_version(
            name,
            directory,
            run_id=run_id,
            description=description,
            tags=dict(tags),
            create=create,
            if_changed=if_changed,
            follow_links=follow_links,
            progress=report,
        )
    if version.version == newest:
        notice(f"models:/{name}/{newest} has the same files: nothing was pushed.")
    for alias in aliases:
        registry.set_registered_model_alias(name, alias, version.version)
    session.output.version(registry.get_model_version(name, version.version))


@click.command(epilog=example("regctl models pull churn@champion -o ./model"))
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
@tracking_option
@click.option(
    "--require-sealed", is_flag=True, help="Refuse files that nobody has sealed in the registry."
)
@on_store
@on_artifacts
@pass_session
def pull(
    session: Session,
    target: Target,
    *,
    directory: Path,
    tracking_uri: str | None,
    require_sealed: bool,
) -> None:
    """Download the files of a model version, and verify each of them.

    A file that differs from what was registered is not written. Run it again
    after an interruption: what is already there is not fetched twice.

    Files outside of the registry, such as s3://other/... or mlflow-artifacts:/...,
    are read from there with the credentials of this machine. Nobody has sealed
    them, so they are not verified; a note on stderr says so.
    """
    registry = session.registry
    name, version = target[0].key(registry)
    with progress(f"Pulling {name} {version}", f"Pulled {name} {version}") as report:
        manifest = registry.pull_model_version(
            name,
            version,
            directory,
            tracking_uri=tracking_uri,
            require_sealed=require_sealed,
            progress=report,
        )
    # Help shows no result, and need not pay for the table of fields.
    from registry_cli.views import manifest_fields  # noqa: PLC0415 see above

    session.output.fields({"directory": str(directory), **manifest_fields(name, version, manifest)})


@click.command(epilog=example("regctl versions adopt churn/3 --reason 'the old bucket goes away'"))
@version_argument()
@click.option(
    "--from",
    "files_at",
    metavar="URI",
    help="Where the files are, if not where the version says; a path of this machine has to be.",
)
@tracking_option
@click.option("--dry-run", is_flag=True, help="Change nothing, and say what would be copied.")
@on_artifacts
@reason_option
@shows_results
@pass_session
def adopt(
    session: Session,
    target: Target,
    *,
    files_at: str | None,
    tracking_uri: str | None,
    dry_run: bool,
) -> None:
    """Copy the files of a model version from elsewhere into the registry.

    They are sealed there, and the version's source is there from then on; its
    history says where it was. Files are read with the credentials of this
    machine, also through a server. Run it again after an interruption.
    """
    registry = session.registry
    name, version = target[0].key(registry)
    with progress(f"Adopting {name} {version}", f"Adopted {name} {version}") as report:
        done = registry.adopt_model_version(
            name,
            version,
            files_at=files_at,
            tracking_uri=tracking_uri,
            dry_run=dry_run,
            progress=report,
        )
    if dry_run and done.files:
        notice(f"Would copy {done.files} files, {done.size} bytes, from {done.place}.")
    elif done.is_written:
        notice(f"Copied {done.files} files, {done.size} bytes, from {done.place}.")
    else:
        notice(f"The registry has the files of models:/{name}/{version}: nothing was copied.")
    session.output.version(done.version)


def _newest(session: Session, name: str) -> int | None:
    """The number of the newest READY version; a push that uploads something never returns it."""
    search = registry_core.search
    of_model = search.Comparison(search.AttributeRef("name"), search.Op.EQ, name)
    versions = session.registry.iter_model_versions(
        search.render_filter((of_model,)), order_by=("version_number DESC",)
    )
    ready = registry_core.Status.READY
    return next((version.version for version in versions if version.status is ready), None)
