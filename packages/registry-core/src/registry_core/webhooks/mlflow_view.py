"""The webhooks of a registry as clients of MLflow may see them.

MLflow's client cannot read an event that it does not know, nor a webhook without events, and then
shows none of a whole list. So the events that are ours are left out, and a webhook that has no
others is absent.
"""

from __future__ import annotations

import attrs

from registry_core import store
from registry_core.errors import WebhookNotFoundError
from registry_core.models import NewWebhook, Unset, Webhook, WebhookChanges
from registry_core.outbox import OWN_EVENTS


class MlflowView:
    """See `registry_core.store.Webhooks`."""

    def __init__(self, webhooks: store.Webhooks) -> None:
        self._webhooks = webhooks

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """See `Webhooks`."""
        return self._webhooks.create_webhook(new)

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `Webhooks`."""
        return _shown(self._webhooks.get_webhook(webhook_id))

    def list_webhooks(self) -> list[Webhook]:
        """See `Webhooks`."""
        return [_shown(each) for each in self._webhooks.list_webhooks() if _is_shown(each)]

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """See `Webhooks`. New events replace those that are seen; ours stay."""
        before = self._webhooks.get_webhook(webhook_id)
        _shown(before)  # Or it is absent.
        if not isinstance(changes.events, Unset):
            kept = OWN_EVENTS.intersection(before.events)
            changes = attrs.evolve(changes, events=tuple(sorted({*changes.events, *kept})))
        return _shown(self._webhooks.update_webhook(webhook_id, changes))

    def delete_webhook(self, webhook_id: str) -> None:
        """See `Webhooks`."""
        _shown(self._webhooks.get_webhook(webhook_id))  # Or it is absent.
        self._webhooks.delete_webhook(webhook_id)


def _is_shown(webhook: Webhook) -> bool:
    return not OWN_EVENTS.issuperset(webhook.events)


def _shown(webhook: Webhook) -> Webhook:
    if not _is_shown(webhook):
        raise WebhookNotFoundError(webhook.webhook_id)
    events = tuple(each for each in webhook.events if each not in OWN_EVENTS)
    return webhook if len(events) == len(webhook.events) else attrs.evolve(webhook, events=events)
