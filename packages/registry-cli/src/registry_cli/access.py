"""`regctl access`: what an access file says, which line decides, and who one is to a server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from registry_cli.errors import ExitCode
from registry_cli.examples import example
from registry_cli.groups import Group
from registry_cli.options import shows_results
from registry_cli.output import notice
from registry_cli.session import Session, pass_session

if TYPE_CHECKING:
    from registry_core.access import AccessFile

FILE_VARIABLE = "REGISTRY_ACCESS_FILE"

_ACTIONS = (
    "read",
    "register",
    "edit",
    "delete",
    "move-alias",
    "webhooks",
    "restore",
    "prune",
)
"""The permissions, as `registry_core.permissions` has them: `--help` need not import it."""


@click.group(cls=Group, epilog=example("regctl access whoami"))
def access() -> None:
    """Who may do what: the access file of a server."""


@access.command(epilog=example("regctl access check access.toml"))
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False))
@shows_results
@pass_session
def check(session: Session, file: str) -> None:
    """Read an access file, and say what is wrong with it.

    Errors name the table and the key. What looks like a slip is a warning.
    """
    from registry_core.access import load  # noqa: PLC0415 not for other commands

    policy = load(file)
    for warning in _warnings(policy):
        notice(f"Warning: {warning}")
    session.output.fields(
        {
            "file": file,
            "users": len(policy.users),
            "issuers": len(policy.issuers),
            "grants": len(policy.policy.grants),
            "protections": len(policy.policy.protections),
        }
    )


@access.command(
    epilog=example("regctl access why --file access.toml --as ann --action edit --model churn")
)
@click.option("--as", "name", metavar="NAME", required=True, help="The caller's name.")
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="A group of an issuer.")
@click.option("--action", type=click.Choice(_ACTIONS), required=True, help="The permission.")
@click.option("--model", metavar="MODEL", help="The registered model; none for all of them.")
@click.option("--alias", metavar="ALIAS", help="The alias, or a stage as in stage:Production.")
@click.option(
    "--file",
    metavar="FILE",
    envvar=FILE_VARIABLE,
    show_envvar=True,
    required=True,
    type=click.Path(dir_okay=False),
    help="The access file.",
)
@shows_results
@pass_session
@click.pass_context
def why(
    ctx: click.Context,
    session: Session,
    *,
    name: str,
    groups: tuple[str, ...],
    action: str,
    model: str | None,
    alias: str | None,
    file: str,
) -> None:
    """Say whether something is allowed, and which line of the file decides.

    Exits with 0 if it is, and with 4 if it is not. The server decides by the
    same code.
    """
    from registry_core.access import Permission, Principal, load  # noqa: PLC0415 as above

    if alias is not None and (action != Permission.MOVE_ALIAS or model is None):
        raise click.UsageError("--alias needs --action move-alias and a --model.")
    policy = load(file)
    user = policy.users.get(name)
    named = {*groups, *(user.groups if user else ())}
    principal = Principal(name=name, groups=frozenset(named))
    decision = policy.policy.decide(principal, Permission(action), model, alias)
    session.output.fields(
        {"decision": "allowed" if decision.allowed else "refused", "reason": decision.reason}
    )
    if not decision.allowed:
        ctx.exit(ExitCode.NOT_PERMITTED)


@access.command(epilog=example("regctl --store https://registry.example access whoami"))
@shows_results
@pass_session
def whoami(session: Session) -> None:
    """Show who you are to the server of the registry, and what you may do there."""
    ask = getattr(session.registry.store, "whoami", None)
    if ask is None:
        raise click.UsageError("Only a server knows callers: give its URL as --store.")
    caller = ask()
    notice(f"{caller['name'] or 'Nobody'}, in the groups: {', '.join(caller['groups']) or 'none'}.")
    if not caller["is_restricted"]:
        notice("This server lets every caller do everything.")
    session.output.records(
        "grants",
        ("role", "permissions", "models", "aliases", "place"),
        (
            {
                "role": grant["role"] or "",
                "permissions": ", ".join(grant["permissions"]),
                "models": ", ".join(grant["models"]),
                "aliases": "" if grant["aliases"] is None else ", ".join(grant["aliases"]),
                "place": grant["place"],
            }
            for grant in caller["grants"]
        ),
        summary={"name": caller["name"], "groups": caller["groups"]},
    )


def _warnings(file: AccessFile) -> Iterator[str]:
    """What is allowed in a file, and rarely meant."""
    groups = {group for user in file.users.values() for group in user.groups}
    for grant in file.policy.grants:
        for name in sorted(grant.users - file.users.keys() - {"*"}):
            if not file.issuers:
                yield f"{grant.place}: there is no user '{name}'"
        for group in sorted(grant.groups - groups):
            if not file.issuers:
                yield f"{grant.place}: nobody is in the group '{group}'"
    now = time.time()
    for user in file.users.values():
        secrets = (*user.tokens, *user.passwords)
        if not any(secret.is_good(now) for secret in secrets):
            yield f"user '{user.name}' has no secret that is good, and cannot call"
        for secret in secrets:
            if secret.expires is not None and not secret.is_good(now):
                note = secret.note or "without a note"
                yield f"user '{user.name}' has a secret that has expired: {note}"
