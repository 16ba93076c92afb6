"""`regctl approvals`: who has approved a model version, and what gates say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from registry_cli.examples import example
from registry_cli.groups import Group
from registry_cli.options import (
    Target,
    on_store,
    reason_option,
    shows_results,
    version_argument,
)
from registry_cli.output import notice
from registry_cli.session import Session, pass_session
from registry_cli.times import when

if TYPE_CHECKING:
    from registry_core.gates import Verdict
    from registry_core.gating import Review
    from registry_core.models import Approval


@click.group(cls=Group, epilog=example("regctl approvals list churn/7"))
def approvals() -> None:
    """Approvals of model versions, and what gates say of them.

    A gate is a rule of the registry's access file: what a version needs before
    an alias or a stage may point at it. A move that a gate refuses ends with
    exit code 7, and says what is missing.
    """


@approvals.command(
    "add", epilog=example('regctl approvals add churn/7 --reason "AUC 0.91, checked by hand"')
)
@version_argument()
@click.option(
    "--digest", metavar="DIGEST", help="Only if the version has this digest; see approvals list."
)
@reason_option
@on_store
@pass_session
def add(session: Session, target: Target, digest: str | None) -> None:
    """Approve a model version as it is.

    The approval counts while the version's files are the same. An earlier one
    of yours goes.
    """
    name, version = target[0].key(session.registry)
    approval = session.registry.approve_model_version(name, version, digest=digest)
    notice(f"{approval.actor} approves version {version} of '{name}' ({approval.digest}).")


@approvals.command("list", epilog=example("regctl approvals list churn/7"))
@version_argument()
@shows_results
@pass_session
def list_approvals(session: Session, target: Target) -> None:
    """List the approvals of a model version, and what gates say.

    A gate's verdict is for a move that you would make now.
    """
    review = session.registry.review_model_version(*target[0].key(session.registry))
    session.output.records(
        "approvals",
        ("actor", "time", "counts", "reason", "digest"),
        (_row(each, review) for each in review.approvals),
        summary={
            "digest": review.digest,
            "approvals": len(review.approvals),
            "gates": ", ".join(map(_said, review.verdicts)) or "none",
        },
    )


def _said(verdict: Verdict) -> str:
    return f"{verdict.gate.name}: {'; '.join(verdict.missing) or 'passes'}"


def _row(approval: Approval, review: Review) -> dict[str, Any]:
    return {
        "actor": approval.actor,
        "time": when(approval.time),
        "counts": "yes" if approval.digest == review.digest else "no: it is of something else",
        "reason": approval.reason or "",
        "groups": list(approval.groups),
        "is_authenticated": approval.is_authenticated,
        "digest": approval.digest,
    }


@approvals.command(
    "withdraw", epilog=example('regctl approvals withdraw churn/7 --reason "the data was wrong"')
)
@version_argument()
@reason_option
@on_store
@pass_session
def withdraw(session: Session, target: Target) -> None:
    """Take your own approval back. What was promoted by it stays."""
    name, version = target[0].key(session.registry)
    session.registry.withdraw_model_version_approval(name, version)
    notice(f"Withdrew the approval of version {version} of '{name}'.")
