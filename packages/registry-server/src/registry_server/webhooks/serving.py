"""The part of an application that has webhooks."""

from __future__ import annotations

from registry_core import Registry
from registry_core.webhook_delivery.delivering import (
    Delivering,
    DeliveryOptions,
    start_delivering,
)
from registry_core.webhooks import MLFLOW_SAMPLES, MlflowView, SecretBox, UrlPolicy, Webhooks
from registry_server.http.parts import Part
from registry_server.process.settings import Settings
from registry_server.webhooks.operations import SCHEMAS, Handlers, webhook_operations

_OTHER_SERVERS = ("http:", "https:")


class WebhookServing:
    """The operations on webhooks, and the delivery of a registry's changes to them."""

    def __init__(self, settings: Settings) -> None:
        """Serve nothing yet.

        Raises:
            InvalidArgumentError: the key for secrets is not one.
            BackendNotInstalledError: there is a key, but no library to use it with.
        """
        self._settings = settings
        key = settings.webhook_secret_key
        self._secrets = SecretBox(key) if key else None
        self._delivering: Delivering | None = None
        self._handlers = Handlers()
        self.own_handlers = Handlers()
        """What is done to webhooks that may ask for all events."""

    @property
    def part(self) -> Part:
        """What it adds to an application."""
        return Part(
            operations=webhook_operations(self._handlers, self.own_handlers),
            schemas=SCHEMAS,
            start=self.start,
            on_exit=(self.close,),
        )

    def start(self, registry: Registry) -> None:
        """Serve the webhooks of a registry, which from now on hear of its changes.

        Where its store is another server, that one delivers. Where the store keeps no outbox,
        webhooks hear only of the changes that this process makes.
        """
        webhooks = Webhooks(registry.store, urls=self._urls(), secrets=self._secrets)
        delivering = self._delivering = start_delivering(
            registry,
            webhooks,
            self._options(),
            is_elsewhere=self._settings.store.lower().startswith(_OTHER_SERVERS),
        )
        deliveries, changed = delivering.deliveries, delivering.changed
        self.own_handlers.start(webhooks, deliveries, changed)
        as_mlflow_sees = Webhooks(
            MlflowView(registry.store),
            urls=webhooks.urls,
            secrets=self._secrets,
            known=MLFLOW_SAMPLES,
        )
        self._handlers.start(as_mlflow_sees, deliveries, changed)

    def close(self) -> None:
        """End the deliveries. What is queued in the store stays there."""
        if self._delivering is not None:
            self._delivering.close()

    def _urls(self) -> UrlPolicy:
        return UrlPolicy(
            schemes=self._settings.webhook_schemes,
            allow_private_addresses=self._settings.webhook_private_addresses,
        )

    def _options(self) -> DeliveryOptions:
        settings = self._settings
        return DeliveryOptions(
            attempt_seconds=settings.webhook_timeout_seconds,
            retries=settings.webhook_retries,
            threads=settings.webhook_threads,
            cache_seconds=settings.webhook_cache_seconds,
        )
