"""Webhooks as stores keep them: made, changed, and in the order of lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TypeVar

import attrs

from registry_core.models import UNSET, NewWebhook, Unset, Webhook, WebhookChanges, WebhookEvent

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
        copied_as=new.copied_as,
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
        copied_as=_given(changes.copied_as, webhook.copied_as),
        last_updated_timestamp=now,
    )


def differing_fields(one: Webhook | NewWebhook, other: Webhook | NewWebhook) -> list[str]:
    """Return the names of the fields in which two webhooks differ, ids, times and secrets apart."""
    return [field for field in _COMPARED if _compared(one, field) != _compared(other, field)]


def digest_of(webhook: Webhook) -> str:
    """Return a digest of the fields that `differing_fields` compares."""
    said = [_compared(webhook, field) for field in _COMPARED]
    return hashlib.sha256(json.dumps(said, default=_spelled).encode()).hexdigest()[:DIGEST_DIGITS]


def _spelled(event: WebhookEvent) -> str:
    return f"{event.entity.value}.{event.action.value}"


DIGEST_DIGITS = 32
"""Hexadecimal digits of a digest of a webhook: those of two are the same by chance never."""

_COMPARED = ("name", "url", "events", "description", "status")


def _compared(webhook: Webhook | NewWebhook, field: str) -> object:
    value = getattr(webhook, field)
    return sorted(value) if field == "events" else value or None


def newest_first(webhooks: Iterable[Webhook]) -> list[Webhook]:
    """Return the webhooks in the order they are listed in."""
    return sorted(webhooks, key=lambda hook: (-hook.creation_timestamp, hook.webhook_id))


def _given(value: ValueT | Unset, otherwise: ValueT) -> ValueT:
    return otherwise if value is UNSET else value
