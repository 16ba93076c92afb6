"""What was deleted: `models deleted|restore` and `versions deleted|restore`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from registry_cli.examples import example
from registry_cli.options import name_argument, on_store, reason_option, shows_results
from registry_cli.output import notice
from registry_cli.session import Session, pass_session
from registry_cli.times import when

if TYPE_CHECKING:
    from registry_core.trash import DeletedModel, DeletedVersion


def _common(deleted: DeletedModel | DeletedVersion) -> Mapping[str, Any]:
    return {
        "deleted_at": when(deleted.deleted_at),
        "deleted_by": deleted.deleted_by,
        "reason": deleted.reason or "",
        "kept_until": when(deleted.kept_until),
    }


@click.command("deleted", epilog=example("regctl models deleted"))
@click.argument("name", metavar="[MODEL]", required=False)
@shows_results
@pass_session
def deleted_models(session: Session, name: str | None) -> None:
    """List deleted registered models, the one deleted last first."""
    models = session.registry.deleted_registered_models(name)
    session.output.records(
        "deleted_models",
        ("name", "model_id", "deleted_at", "deleted_by", "reason", "kept_until"),
        ({"name": each.name, "model_id": each.model_id, **_common(each)} for each in models),
        summary={"deleted": len(models)},
    )


@click.command("restore", epilog=example("regctl models restore churn --as churn-old"))
@name_argument
@click.option("--as", "new_name", metavar="NEW", help="Give it another name.")
@click.option(
    "--id", "model_id", metavar="MODEL_ID", help="Which of several; by default the last deleted."
)
@reason_option
@shows_results
@pass_session
def restore_model(
    session: Session, name: str, *, new_name: str | None, model_id: str | None
) -> None:
    """Bring a deleted registered model back, as it was.

    Its versions, tags, aliases, stages, times and history come back. If its
    name is in use, the exit code is 5: give it another one with --as.
    """
    session.output.model(
        session.registry.restore_registered_model(name, new_name=new_name, model_id=model_id)
    )


@click.command("deleted", epilog=example("regctl versions deleted churn"))
@name_argument
@shows_results
@pass_session
def deleted_versions(session: Session, name: str) -> None:
    """List deleted versions of a registered model, the one deleted last first."""
    versions = session.registry.deleted_model_versions(name)
    session.output.records(
        "deleted_versions",
        ("version", "source", "deleted_at", "deleted_by", "reason", "kept_until"),
        (
            {
                "version": each.version,
                "source": each.fields.get("source", ""),
                **_common(each),
            }
            for each in versions
        ),
        summary={"deleted": len(versions)},
    )


@click.command("restore", epilog=example("regctl versions restore churn 2"))
@name_argument
@click.argument("version", metavar="VERSION")
@reason_option
@on_store
@pass_session
def restore_version(session: Session, name: str, version: str) -> None:
    """Bring a deleted version back, as it was, but for its aliases."""
    restored = session.registry.restore_model_version(name, version)
    notice(f"Restored version {restored.version} of '{name}'.")
