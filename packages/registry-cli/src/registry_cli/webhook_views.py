"""What webhooks and deliveries look like: their columns, their record, their name, their JSON."""

from __future__ import annotations

from registry_cli.event_views import what
from registry_cli.times import when
from registry_cli.views import View
from registry_core.models import Webhook
from registry_core.outbox import QueuedDelivery
from registry_core.wire.deliveries import encode_delivery
from registry_core.wire.webhooks import encode_webhook


def _events(webhook: Webhook, separator: str) -> str:
    return separator.join(f"{event.entity}.{event.action}" for event in webhook.events)


WEBHOOK = View[Webhook](
    one="webhook",
    many="webhooks",
    header=("ID", "NAME", "STATUS", "EVENTS", "URL"),
    row=lambda hook: (
        hook.webhook_id,
        hook.name,
        hook.status.value,
        _events(hook, ", "),
        hook.url,
    ),
    record=lambda hook: (
        ("id", hook.webhook_id),
        ("name", hook.name),
        ("description", hook.description or ""),
        ("status", hook.status.value),
        ("url", hook.url),
        ("events", _events(hook, "\n")),
        ("created", when(hook.creation_timestamp)),
        ("updated", when(hook.last_updated_timestamp)),
    ),
    name=lambda hook: hook.webhook_id,
    wire=encode_webhook,
)
"""Webhooks; their name is their id, since several may have one name."""

DELIVERY = View[QueuedDelivery](
    one="delivery",
    many="deliveries",
    header=("ID", "MODEL", "SEQ", "ACTION", "WHAT", "STATE", "SINCE", "FAILURES", "PROBLEM"),
    row=lambda each: (
        each.delivery_id,
        each.event.name,
        str(each.event.sequence),
        each.event.action.value,
        what(each.event),
        "queued" if each.problem is None else "given up",
        when(each.event.time if each.problem is None else each.due),
        str(each.failures),
        each.problem or "",
    ),
    record=lambda each: tuple(
        (field, "" if value is None else str(value))
        for field, value in encode_delivery(each).items()
    ),
    name=lambda each: each.delivery_id,
    wire=encode_delivery,
)
"""Deliveries; their name is their id."""
