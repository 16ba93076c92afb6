"""`regctl versions`: model versions, their stages and their tags."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, cast

import click

from registry_cli import bulk, transfers, trash
from registry_cli.completion import complete_model, complete_stage
from registry_cli.examples import example
from registry_cli.expectations import (
    Expectation,
    expects_some_value,
    expects_stage,
    expects_value,
    tags_of,
)
from registry_cli.groups import Group
from registry_cli.options import (
    Target,
    description_option,
    idempotency_option,
    list_options,
    name_argument,
    of_model,
    on_store,
    reason_option,
    shows_results,
    tag_option,
    tag_pair,
    version_argument,
    yes_option,
)
from registry_cli.output import confirm, notice
from registry_cli.session import PAGE_SIZE, Session, pass_session

if TYPE_CHECKING:
    from registry_core.models import StageName


@click.group(cls=Group, epilog=example("regctl versions get churn@champion"))
def versions() -> None:
    """Model versions, their stages and their tags.

    A version is written `NAME VERSION`, or as a URI with or without models:/ in
    front: NAME/3, NAME@ALIAS or models:/NAME/latest.
    """


@versions.command(
    epilog=example("regctl versions create churn s3://models/churn/build-412 --tag auc=0.91")
)
@name_argument
@click.argument("source", metavar="SOURCE")
@click.option("--run-id", metavar="ID", help="The run that made the model.")
@click.option("--run-link", metavar="URL", help="Where to read about that run.")
@click.option("--model-id", metavar="ID", help="The logged model that this is.")
@click.option("--description", metavar="TEXT", help="What is new in this version.")
@tag_option
@idempotency_option
@reason_option
@shows_results
@pass_session
def create(
    session: Session,
    *,
    name: str,
    source: str,
    run_id: str | None,
    run_link: str | None,
    model_id: str | None,
    description: str | None,
    tags: tuple[tuple[str, str], ...],
    idempotency_key: str | None,
) -> None:
    """Create the next version of a registered model from the URI of its artifacts.

    SOURCE is kept as it is given, but for a models:/ URI, which is resolved now,
    and a path of this machine, which is uploaded as by `regctl models push`.
    """
    created = session.registry.create_model_version(
        name,
        source=source,
        run_id=run_id,
        run_link=run_link,
        model_id=model_id,
        description=description,
        tags=dict(tags),
        idempotency_key=idempotency_key,
    )
    session.output.version(created)


@versions.command(epilog=example("regctl versions get churn@champion -o json"))
@version_argument()
@shows_results
@pass_session
def get(session: Session, target: Target) -> None:
    """Show a model version with its tags and aliases."""
    registry = session.registry
    session.output.version(registry.get_model_version(*target[0].key(registry)))


@versions.command(
    "list", epilog=example("regctl versions list churn --order-by 'version_number DESC' --limit 5")
)
@click.argument("name", metavar="[NAME]", required=False, shell_complete=complete_model)
@list_options
@shows_results
@pass_session
def list_versions(
    session: Session,
    name: str | None,
    filter_text: str | None,
    order_by: tuple[str, ...],
    limit: int | None,
) -> None:
    """List model versions, last updated first unless ordered otherwise.

    With NAME, only those of that registered model. Versions of prompts are left
    out unless the filter asks for them.
    """
    matching = session.registry.iter_model_versions(
        of_model(name, filter_text),
        order_by=order_by,
        page_size=min(limit or PAGE_SIZE, PAGE_SIZE),
    )
    session.output.versions(islice(matching, limit))


@versions.command(
    epilog=example('regctl versions update churn/3 --description "with the data of May"')
)
@version_argument()
@description_option
@reason_option
@shows_results
@pass_session
def update(session: Session, target: Target, description: str) -> None:
    """Change the description of a model version."""
    key = target[0].key(session.registry)
    session.output.version(session.registry.update_model_version(*key, description=description))


@versions.command(epilog=example("regctl versions delete churn/2 --yes"))
@version_argument()
@yes_option
@reason_option
@on_store
@pass_session
def delete(session: Session, target: Target, *, yes: bool) -> None:
    """Delete a model version; its number is not used again."""
    name, version = target[0].key(session.registry)
    confirm(f"Delete version {version} of registered model '{name}'?", yes=yes)
    session.registry.delete_model_version(name, version)
    notice(f"Deleted version {version} of registered model '{name}'.")


@versions.command(epilog=example("regctl versions transition churn/3 Production"))
@version_argument("STAGE")
@click.option(
    "--archive-existing-versions",
    is_flag=True,
    help="Move every other version in the stage to Archived, in the same step.",
)
@expects_stage
@reason_option
@shows_results
@pass_session
def transition(
    session: Session,
    target: Target,
    *,
    archive_existing_versions: bool,
    expected: Expectation,
) -> None:
    """Move a model version to a stage: None, Staging, Production or Archived.

    With --if-current nothing is changed, and the exit code is 5, if the version
    is in another stage.
    """
    ref, (stage,) = target
    moved = session.registry.transition_model_version_stage(
        *ref.key(session.registry),
        stage=cast("StageName", stage),
        archive_existing_versions=archive_existing_versions,
        **expected.keywords,
    )
    expected.tell(f"stage of version {moved.version}", moved.current_stage.value)
    session.output.version(moved)


@versions.command(epilog=example("regctl versions tag churn@challenger tested=yes"))
@version_argument("KEY=VALUE...")
@click.option(
    "--filter",
    "filter_text",
    metavar="TEXT",
    is_eager=True,
    help="Tag every version that matches, in place of one: \"name = 'churn' AND run_id = 'r1'\".",
)
@click.option("--dry-run", is_flag=True, help="With --filter: only show which versions match.")
@expects_value
@reason_option
@shows_results
@pass_session
def tag(
    session: Session,
    target: Target,
    *,
    filter_text: str | None,
    dry_run: bool,
    expected: Expectation,
) -> None:
    """Set tags of a model version, or of all that match a filter.

    With --if-current or --if-absent, which are about one tag, nothing is
    changed, and the exit code is 5, if the tag is something else.
    """
    ref, words = target
    tags = [tag_pair(word) for word in words]
    if filter_text is not None:
        if expected.is_given:
            raise click.UsageError("--if-current and --if-absent are about one version.")
        bulk.tag_matching(session, filter_text, tags, dry_run=dry_run)
        return
    if dry_run:
        raise click.UsageError("--dry-run needs --filter.")
    expected.require_one(tags)
    name, version = ref.key(session.registry)
    for key, value in tags:
        session.registry.set_model_version_tag(name, version, key, value, **expected.keywords)
        expected.tell(f"tag '{key}' of version {version}", value)
    expected.tell_all(f"Set {tags_of(key for key, _ in tags)} of models:/{name}/{version}.")


@versions.command(epilog=example("regctl versions untag churn/3 tested"))
@version_argument("KEY...")
@expects_some_value
@reason_option
@on_store
@pass_session
def untag(session: Session, target: Target, expected: Expectation) -> None:
    """Remove tags of a model version; they need not exist.

    With --if-current, which is about one tag, nothing is changed, and the exit
    code is 5, if the tag is something else.
    """
    ref, keys = target
    expected.require_one(keys)
    name, version = ref.key(session.registry)
    for key in keys:
        session.registry.delete_model_version_tag(name, version, key, **expected.keywords)
        expected.tell(f"tag '{key}' of version {version}", None)
    expected.tell_all(f"Removed {tags_of(keys)} of models:/{name}/{version}.")


@versions.command("download-uri", epilog=example("regctl versions download-uri churn@champion"))
@version_argument()
@shows_results
@pass_session
def download_uri(session: Session, target: Target) -> None:
    """Show where the artifacts of a model version are."""
    key = target[0].key(session.registry)
    uri = session.registry.get_model_version_download_uri(*key)
    session.output.fields({"artifact_uri": uri})


@versions.command(epilog=example("regctl versions latest churn --stage Production"))
@name_argument
@click.option(
    "--stage",
    "stages",
    metavar="STAGE",
    multiple=True,
    shell_complete=complete_stage,
    help="Only this stage; may be given again.",
)
@shows_results
@pass_session
def latest(session: Session, name: str, stages: tuple[str, ...]) -> None:
    """List the newest version of each stage of a registered model."""
    session.output.versions(
        session.registry.get_latest_versions(name, stages=cast("tuple[StageName, ...]", stages))
    )


for command in (transfers.adopt, trash.deleted_versions, trash.restore_version, bulk.diff):
    versions.add_command(command)
