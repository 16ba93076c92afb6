"""Starts and ends the delivery of webhooks in a process that serves a registry."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from registry_core.outbox import outbox_of
from registry_core.registry import Registry
from registry_core.webhook_delivery.attempts import Retries
from registry_core.webhook_delivery.delivery import Deliveries
from registry_core.webhook_delivery.outbox import Outbox
from registry_core.webhook_delivery.relay import Relay
from registry_core.webhook_delivery.sender import Sender
from registry_core.webhooks import Webhooks


@attrs.frozen(kw_only=True)
class DeliveryOptions:
    """How a process delivers, as its settings say."""

    attempt_seconds: float
    """Seconds that one attempt may take."""
    retries: int
    """Further attempts after a failure."""
    threads: int
    """Threads that deliver."""
    cache_seconds: float
    """Seconds that a change of webhooks by another process may stay unknown."""


@attrs.frozen(kw_only=True)
class Delivering:
    """The delivery of webhooks while it runs."""

    deliveries: Deliveries
    changed: Callable[[], None]
    """To be called after each change of webhooks by this process."""
    relay: Relay | None = None

    def close(self) -> None:
        """End the deliveries. What is queued in the store stays there."""
        if self.relay is not None:
            self.relay.close()
        self.deliveries.close()


def start_delivering(
    registry: Registry,
    webhooks: Webhooks,
    options: DeliveryOptions,
    *,
    is_elsewhere: bool = False,
) -> Delivering:
    """Tell webhooks of a registry's changes from now on.

    Where its store keeps no outbox, they hear only of the changes that this process makes.

    Args:
        registry: The registry.
        webhooks: Its webhooks.
        options: How to deliver.
        is_elsewhere: The store is another server, which delivers; this process sends tests alone.
    """
    deliveries = Deliveries(
        webhooks,
        is_prompt=lambda name: registry.get_registered_model(name).is_prompt,
        sender=Sender(webhooks.urls, timeout_seconds=options.attempt_seconds),
        outbox=Outbox(threads=options.threads),
        retries=Retries(most=options.retries),
        cache_seconds=options.cache_seconds,
    )
    outbox = None if is_elsewhere else outbox_of(registry.store)
    if outbox is None:
        if not is_elsewhere:
            registry.observe(deliveries.observe, waits=False)
        return Delivering(deliveries=deliveries, changed=deliveries.webhooks_changed)
    relay = Relay(outbox, deliveries, attempt_seconds=options.attempt_seconds)
    registry.observe(relay.observe, waits=False)
    relay.start()
    return Delivering(deliveries=deliveries, changed=relay.webhooks_changed, relay=relay)
