"""`WebhookServing`: what an application needs to have webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import attrs

from registry_core import Registry
from registry_core.webhooks import SecretBox, UrlPolicy, Webhooks
from registry_server.http.operations import Operation
from registry_server.process.settings import Settings
from registry_server.webhooks.delivery import Deliveries, Retries
from registry_server.webhooks.operations import webhook_operations
from registry_server.webhooks.outbox import Outbox
from registry_server.webhooks.sender import Sender

_OTHER_SERVERS = ("http:", "https:")


@attrs.frozen
class WebhookServing:
    """The operations on webhooks, and an end in order."""

    webhooks: Webhooks
    operations: tuple[Operation[Any, Any], ...]
    close: Callable[[], None]

    @classmethod
    def of(cls, registry: Registry, settings: Settings) -> Self:
        """The webhooks of a registry, which from now on hear of its changes.

        Where its store is another server, that one delivers.

        Raises:
            InvalidArgumentError: the key for secrets is not one.
            BackendNotInstalledError: there is a key, but no library to use it with.
        """
        webhooks = Webhooks(
            registry.store,
            urls=UrlPolicy(
                schemes=settings.webhook_schemes,
                allow_private_addresses=settings.webhook_private_addresses,
            ),
            secrets=SecretBox(settings.webhook_secret_key) if settings.webhook_secret_key else None,
        )
        deliveries = Deliveries(
            webhooks,
            is_prompt=lambda name: registry.get_registered_model(name).is_prompt,
            sender=Sender(webhooks.urls, timeout_seconds=settings.webhook_timeout_seconds),
            outbox=Outbox(threads=settings.webhook_threads),
            retries=Retries(most=settings.webhook_retries),
            cache_seconds=settings.webhook_cache_seconds,
        )
        if not settings.store.lower().startswith(_OTHER_SERVERS):
            registry.observe(deliveries.observe)
        return cls(
            webhooks=webhooks,
            operations=webhook_operations(webhooks, deliveries),
            close=deliveries.close,
        )
