"""`regctl webhooks`: webhooks, their queued deliveries and their dead letters."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import registry_core
from registry_cli.examples import example
from registry_cli.groups import Group
from registry_cli.options import idempotency_option, on_store, shows_results, yes_option
from registry_cli.output import confirm, notice
from registry_cli.session import Session, makes_registry, pass_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_core.models import WebhookEvent
    from registry_core.outbox import DeliveryLog
    from registry_core.webhooks import Webhooks

_SCHEME_VARIABLES = ("REGISTRY_WEBHOOK_SCHEMES", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES")
_PRIVATE_VARIABLES = ("REGISTRY_WEBHOOK_PRIVATE_ADDRESSES", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS")
"""The variables that allow URLs, ours first; regctl reads them where no server does."""

_id_argument = click.argument("webhook_id", metavar="ID")


def _event(_: click.Context, __: click.Parameter, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_event_of, value))
    return None if value is None else _event_of(value)


def _event_of(text: str) -> WebhookEvent:
    from registry_core import models  # noqa: PLC0415 `regctl --help` must not pay for it

    entity, _, action = text.lower().partition(".")
    try:
        return models.WebhookEvent(models.WebhookEntity(entity), models.WebhookAction(action))
    except ValueError:
        raise click.BadParameter(
            f"'{text}' is not an ENTITY.ACTION such as model_version_alias.created"
        ) from None


def _secret(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        text = sys.stdin.read() if value == "-" else Path(value).read_text("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise click.BadParameter(f"The secret cannot be read: {error}") from None
    return text.rstrip("\r\n")


def _fields(*, required: bool) -> Callable[[Any], Any]:
    """The options that say what a webhook is like."""
    options = (
        click.option("--url", required=required, metavar="URL", help="Where to send events."),
        click.option(
            "--event",
            "events",
            multiple=True,
            required=required,
            metavar="ENTITY.ACTION",
            callback=_event,
            help="What to tell it, such as model_version_alias.created; may be repeated.",
        ),
        click.option("--description", metavar="TEXT", help="What it is for."),
        click.option(
            "--secret-file",
            "secret",
            metavar="FILE",
            callback=_secret,
            help="A file with the secret that signs deliveries; - reads it from stdin.",
        ),
        click.option(
            "--enabled/--disabled",
            default=True if required else None,
            help="Whether deliveries are made to it.",
        ),
    )

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.group(cls=Group, epilog=example("regctl webhooks list"))
def webhooks() -> None:
    """Webhooks, their queued deliveries and their dead letters."""


@webhooks.command(
    epilog=example(
        "regctl webhooks create ci --url https://ci.example.com/hook "
        "--event model_version_alias.created"
    )
)
@click.argument("name", metavar="NAME")
@_fields(required=True)
@idempotency_option
@shows_results
@pass_session
@makes_registry
def create(
    session: Session,
    name: str,
    *,
    url: str,
    events: tuple[WebhookEvent, ...],
    description: str | None,
    secret: str | None,
    enabled: bool,
    idempotency_key: str | None,
) -> None:
    """Create a webhook.

    A secret is encrypted with the key in REGISTRY_WEBHOOK_SECRET_KEY, which
    the servers of the registry must have, too.
    """
    made = _webhooks(session).create_webhook(
        name,
        url=url,
        events=events,
        description=description,
        secret=secret,
        status=_status(enabled),
        idempotency_key=idempotency_key,
    )
    session.output.webhook(made)


@webhooks.command("list", epilog=example("regctl webhooks list -o json"))
@shows_results
@pass_session
def list_webhooks(session: Session) -> None:
    """List webhooks, newest first."""
    session.output.webhooks(_webhooks(session).store.list_webhooks())


@webhooks.command(epilog=example("regctl webhooks get 0b7c..."))
@_id_argument
@shows_results
@pass_session
def get(session: Session, webhook_id: str) -> None:
    """Show a webhook; its secret is never shown."""
    session.output.webhook(_webhooks(session).get_webhook(webhook_id))


@webhooks.command(epilog=example("regctl webhooks update 0b7c... --disabled"))
@_id_argument
@click.option("--name", metavar="NAME", help="A new name.")
@_fields(required=False)
@shows_results
@pass_session
def update(
    session: Session,
    webhook_id: str,
    *,
    name: str | None,
    url: str | None,
    events: tuple[WebhookEvent, ...],
    description: str | None,
    secret: str | None,
    enabled: bool | None,
) -> None:
    """Change what is given of a webhook; an empty description or secret erases it.

    A webhook that is disabled loses its queued deliveries.
    """
    from registry_core.models import UNSET, WebhookChanges  # noqa: PLC0415 as above

    changes = WebhookChanges(
        name=name or UNSET,
        url=url or UNSET,
        events=events or UNSET,
        description=UNSET if description is None else description,
        secret=UNSET if secret is None else secret,
        status=UNSET if enabled is None else _status(enabled),
    )
    session.output.webhook(_webhooks(session).update_webhook(webhook_id, changes))


@webhooks.command(epilog=example("regctl webhooks delete 0b7c... --yes"))
@_id_argument
@yes_option
@on_store
@pass_session
def delete(session: Session, webhook_id: str, *, yes: bool) -> None:
    """Delete a webhook and its queued deliveries."""
    known = _webhooks(session)
    hook = known.get_webhook(webhook_id)
    confirm(f"Delete webhook '{hook.name}' ({webhook_id})?", yes=yes)
    known.delete_webhook(webhook_id)
    notice(f"Deleted webhook '{hook.name}' ({webhook_id}).")


@webhooks.command(epilog=example("regctl --store https://models.example.com webhooks test 0b7c..."))
@_id_argument
@click.option(
    "--event",
    metavar="ENTITY.ACTION",
    callback=_event,
    help="Which sample to send; by default that of the webhook's first event.",
)
@shows_results
@pass_session
def test(session: Session, webhook_id: str, *, event: WebhookEvent | None) -> None:
    """Have a server send a sample to a webhook now, and show the answer.

    The store must be a server: deliveries come from there. The exit code is 1
    if the sample did not arrive.
    """
    send = getattr(session.registry.store, "test_webhook", None)
    if send is None:
        raise registry_core.UnsupportedBackendError(
            "A server sends the samples: name it with --store http(s)://HOST"
        )
    result = send(webhook_id, event)
    session.output.fields(
        {
            "success": "yes" if result.success else "no",
            "response_status": result.response_status,
            "response_body": result.response_body,
            "error_message": result.error_message,
        }
    )
    if not result.success:
        raise click.exceptions.Exit(1)


@webhooks.command(epilog=example("regctl webhooks deliveries 0b7c... --dead"))
@_id_argument
@click.option("--dead", is_flag=True, help="Only those that were given up.")
@shows_results
@pass_session
def deliveries(session: Session, webhook_id: str, *, dead: bool) -> None:
    """Show the queued deliveries and the dead letters of a webhook.

    A dead letter is a delivery that was given up: it names its problem, and is kept for 30 days.
    """
    from registry_core.outbox import listed  # noqa: PLC0415 as above

    log = _log(session, webhook_id)
    queued, given_up = ([], log.dead_letters(webhook_id)) if dead else listed(log, webhook_id)
    session.output.deliveries([*given_up, *queued])


@webhooks.command(epilog=example("regctl webhooks redeliver 0b7c... --all"))
@_id_argument
@click.argument("delivery_ids", metavar="DELIVERY...", nargs=-1)
@click.option("--all", "all_dead", is_flag=True, help="All that were given up.")
@on_store
@pass_session
def redeliver(
    session: Session, webhook_id: str, delivery_ids: tuple[str, ...], *, all_dead: bool
) -> None:
    """Send dead letters again.

    They keep their delivery ids.
    """
    if bool(delivery_ids) == all_dead:
        raise click.UsageError("Name deliveries, or pass --all.")
    log = _log(session, webhook_id)
    chosen = delivery_ids
    if all_dead:
        chosen = tuple(each.delivery_id for each in log.dead_letters(webhook_id))
    count = log.redeliver(webhook_id, chosen)
    notice(f"Queued {count} of {len(chosen)} deliveries.")
    if count < len(chosen):
        raise click.exceptions.Exit(1)


def _webhooks(session: Session) -> Webhooks:
    from registry_core.webhooks import SecretBox, UrlPolicy, Webhooks  # noqa: PLC0415 as above

    if session.store_url.lower().startswith(("http:", "https:")):
        # The server has its own rules, and looks names up in its own network.
        urls = UrlPolicy(schemes=("https", "http"), allow_private_addresses=True)
        return Webhooks(session.registry.store, urls=urls)
    schemes = _given(_SCHEME_VARIABLES) or "https"
    is_private = _given(_PRIVATE_VARIABLES).lower() in ("1", "true", "yes", "on")
    try:
        urls = UrlPolicy(
            schemes=tuple(each.strip().lower() for each in schemes.split(",")),
            allow_private_addresses=is_private,
        )
    except ValueError:
        raise registry_core.InvalidArgumentError(
            f"{_SCHEME_VARIABLES[0]} must be https, http or both, and not '{schemes}'"
        ) from None
    return Webhooks(session.registry.store, urls=urls, secrets=SecretBox.from_environ(os.environ))


def _log(session: Session, webhook_id: str) -> DeliveryLog:
    from registry_core.outbox import delivery_log_of  # noqa: PLC0415 as above

    _webhooks(session).get_webhook(webhook_id)  # or it is not found
    return delivery_log_of(session.registry.store)


def _given(variables: tuple[str, ...]) -> str:
    return next((os.environ[each] for each in variables if os.environ.get(each)), "")


def _status(enabled: bool) -> Any:  # noqa: FBT001 it is the whole argument
    from registry_core.models import WebhookStatus  # noqa: PLC0415 as above

    return WebhookStatus.ACTIVE if enabled else WebhookStatus.DISABLED
