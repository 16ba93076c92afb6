"""Webhooks as stores keep them: made, changed, and in the order of lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import attrs

from registry_core.models import UNSET, NewWebhook, Unset, Webhook, WebhookChanges

ValueT = TypeVar("ValueT")


def create_webhook(new: NewWebhook, now: int) -> Webhook:
    """Return a new webhook."""
    return Webhook(
        webhook_id=new.webhook_id,
        name=new.name,
        url=new.url,
        events=new.events,
        description=new.description,
        status=new.status,
        secret=new.secret,
        creation_timestamp=now,
        last_updated_timestamp=now,
    )


def apply_changes(webhook: Webhook, changes: WebhookChanges, now: int) -> Webhook:
    """Return the webhook with the fields of `changes` that are set."""
    return attrs.evolve(
        webhook,
        name=_given(changes.name, webhook.name),
        url=_given(changes.url, webhook.url),
        events=_given(changes.events, webhook.events),
        description=_given(changes.description, webhook.description),
        status=_given(changes.status, webhook.status),
        secret=_given(changes.secret, webhook.secret),
        last_updated_timestamp=now,
    )


def newest_first(webhooks: Iterable[Webhook]) -> list[Webhook]:
    """Return the webhooks in the order they are listed in."""
    return sorted(webhooks, key=lambda hook: (-hook.creation_timestamp, hook.webhook_id))


def _given(value: ValueT | Unset, otherwise: ValueT) -> ValueT:
    return otherwise if value is UNSET else value
