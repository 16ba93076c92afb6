"""`regctl models`: registered models, their tags and their aliases."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

import click

from registry_cli import history, transfers, trash
from registry_cli.completion import complete_alias, complete_number
from registry_cli.examples import example
from registry_cli.expectations import (
    Expectation,
    expects_some_value,
    expects_some_version,
    expects_value,
    expects_version,
    tags_of,
    tell_change,
)
from registry_cli.groups import Group
from registry_cli.options import (
    Moment,
    description_option,
    idempotency_option,
    list_options,
    name_argument,
    on_store,
    reason_option,
    same_model,
    shows_results,
    tag_option,
    tag_pair,
    yes_option,
)
from registry_cli.output import confirm, notice
from registry_cli.session import PAGE_SIZE, Session, makes_registry, pass_session


@click.group(cls=Group, epilog=example("regctl models list --filter \"tags.team = 'risk'\""))
def models() -> None:
    """Registered models, their tags and their aliases."""


@models.command(
    epilog=example('regctl models create churn --description "who leaves" --tag team=risk')
)
@name_argument
@click.option("--description", metavar="TEXT", help="What the model is for.")
@tag_option
@idempotency_option
@reason_option
@shows_results
@pass_session
@makes_registry
def create(
    session: Session,
    name: str,
    description: str | None,
    tags: tuple[tuple[str, str], ...],
    idempotency_key: str | None,
) -> None:
    """Create a registered model, without versions."""
    created = session.registry.create_registered_model(
        name, description=description, tags=dict(tags), idempotency_key=idempotency_key
    )
    session.output.model(created)


@models.command(epilog=example("regctl models get churn --as-of 7d"))
@name_argument
@click.option(
    "--as-of",
    type=Moment(),
    metavar="TIME",
    help="As it was then, by its history: 2h, 7d, 2026-01-31.",
)
@shows_results
@pass_session
def get(session: Session, name: str, as_of: datetime | None) -> None:
    """Show a registered model with its tags, aliases and latest versions."""
    registry = session.registry
    session.output.model(
        registry.get_registered_model(name)
        if as_of is None
        else registry.registered_model_as_of(name, as_of)
    )


@models.command(
    "list", epilog=example("regctl models list --filter \"name LIKE 'fraud%'\" --limit 10")
)
@list_options
@shows_results
@pass_session
def list_models(
    session: Session, filter_text: str | None, order_by: tuple[str, ...], limit: int | None
) -> None:
    """List registered models, by name unless ordered otherwise.

    Prompts are left out unless the filter asks for them.
    """
    matching = session.registry.iter_registered_models(
        filter_text, order_by=order_by, page_size=min(limit or PAGE_SIZE, PAGE_SIZE)
    )
    session.output.models(islice(matching, limit))


@models.command(
    epilog=example('regctl models update churn --description "who leaves within 30 days"')
)
@name_argument
@description_option
@reason_option
@shows_results
@pass_session
def update(session: Session, name: str, description: str) -> None:
    """Change the description of a registered model."""
    session.output.model(session.registry.update_registered_model(name, description=description))


@models.command(epilog=example("regctl models rename churn churn-eu"))
@name_argument
@click.argument("new_name", metavar="NEW_NAME")
@reason_option
@shows_results
@pass_session
def rename(session: Session, name: str, new_name: str) -> None:
    """Rename a registered model, with all its versions."""
    session.output.model(session.registry.rename_registered_model(name, new_name=new_name))


@models.command(epilog=example('regctl models delete churn --yes --reason "replaced by churn-eu"'))
@name_argument
@yes_option
@reason_option
@on_store
@pass_session
def delete(session: Session, name: str, *, yes: bool) -> None:
    """Delete a registered model with all its versions."""
    confirm(f"Delete registered model '{name}' with all its versions?", yes=yes)
    session.registry.delete_registered_model(name)
    notice(f"Deleted registered model '{name}'.")


@models.command(epilog=example("regctl models tag churn team=risk owner=ann"))
@name_argument
@click.argument("tags", metavar="KEY=VALUE...", type=tag_pair, nargs=-1, required=True)
@expects_value
@reason_option
@on_store
@pass_session
def tag(
    session: Session, name: str, tags: tuple[tuple[str, str], ...], expected: Expectation
) -> None:
    """Set tags of a registered model.

    With --if-current or --if-absent, which are about one tag, nothing is
    changed, and the exit code is 5, if the tag is something else.
    """
    expected.require_one(tags)
    for key, value in tags:
        session.registry.set_registered_model_tag(name, key, value, **expected.keywords)
        expected.tell(f"tag '{key}'", value)
    expected.tell_all(f"Set {tags_of(key for key, _ in tags)} of registered model '{name}'.")


@models.command(epilog=example("regctl models untag churn owner"))
@name_argument
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@expects_some_value
@reason_option
@on_store
@pass_session
def untag(session: Session, name: str, keys: tuple[str, ...], expected: Expectation) -> None:
    """Remove tags of a registered model; they need not exist.

    With --if-current, which is about one tag, nothing is changed, and the exit
    code is 5, if the tag is something else.
    """
    expected.require_one(keys)
    for key in keys:
        session.registry.delete_registered_model_tag(name, key, **expected.keywords)
        expected.tell(f"tag '{key}'", None)
    expected.tell_all(f"Removed {tags_of(keys)} of registered model '{name}'.")


@models.command(
    epilog=example("regctl models alias churn champion churn@challenger --if-current 5")
)
@name_argument
@click.argument("alias", metavar="ALIAS", shell_complete=complete_alias)
@click.argument("version", metavar="{VERSION | URI}", shell_complete=complete_number)
@expects_version
@reason_option
@on_store
@pass_session
def alias(session: Session, name: str, alias: str, version: str, expected: Expectation) -> None:
    """Point an alias at a version, wherever it pointed before.

    The version may be a models:/ URI of the same model: `regctl models alias
    churn champion models:/churn@challenger` promotes the challenger.

    With --if-current or --if-absent nothing is changed, and the exit code is
    5, if somebody else has moved the alias: two promoters cannot overwrite
    each other unseen.
    """
    registry = session.registry
    number = same_model(name, version, registry)
    before = expected.value
    if not expected.is_given:
        before = registry.get_registered_model(name).aliases.get(alias)
    registry.set_registered_model_alias(name, alias, number, **expected.keywords)
    tell_change(alias, before, number)


@models.command(epilog=example("regctl models unalias churn challenger"))
@name_argument
@click.argument("alias", metavar="ALIAS", shell_complete=complete_alias)
@expects_some_version
@reason_option
@on_store
@pass_session
def unalias(session: Session, name: str, alias: str, expected: Expectation) -> None:
    """Remove an alias; it need not exist.

    With --if-current nothing is changed, and the exit code is 5, if the alias
    points elsewhere.
    """
    session.registry.delete_registered_model_alias(name, alias, **expected.keywords)
    expected.tell(alias, None)
    expected.tell_all(f"Removed alias '{alias}' of registered model '{name}'.")


for command in (
    transfers.push,
    transfers.pull,
    history.rollback,
    history.prune_history,
    trash.deleted_models,
    trash.restore_model,
):
    models.add_command(command)
