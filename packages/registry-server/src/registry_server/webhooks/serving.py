"""The part of an application that has webhooks."""

from __future__ import annotations

from registry_core import Registry
from registry_core.outbox import outbox_of
from registry_core.webhooks import MLFLOW_SAMPLES, MlflowView, SecretBox, UrlPolicy, Webhooks
from registry_server.http.parts import Part
from registry_server.process.settings import Settings
from registry_server.webhooks.attempts import Retries
from registry_server.webhooks.delivery import Deliveries
from registry_server.webhooks.operations import SCHEMAS, Handlers, webhook_operations
from registry_server.webhooks.outbox import Outbox
from registry_server.webhooks.relay import Relay
from registry_server.webhooks.sender import Sender

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
        self._deliveries: Deliveries | None = None
        self._relay: Relay | None = None
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
        deliveries = self._deliveries = self._delivering(webhooks, registry)
        changed, outbox = deliveries.webhooks_changed, outbox_of(registry.store)
        if self._settings.store.lower().startswith(_OTHER_SERVERS):
            pass
        elif outbox is None:
            registry.observe(deliveries.observe)
        else:
            attempt_seconds = self._settings.webhook_timeout_seconds
            self._relay = Relay(outbox, deliveries, attempt_seconds=attempt_seconds)
            registry.observe(self._relay.observe)
            changed = self._relay.webhooks_changed
            self._relay.start()
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
        if self._relay is not None:
            self._relay.close()
        if self._deliveries is not None:
            self._deliveries.close()

    def _urls(self) -> UrlPolicy:
        return UrlPolicy(
            schemes=self._settings.webhook_schemes,
            allow_private_addresses=self._settings.webhook_private_addresses,
        )

    def _delivering(self, webhooks: Webhooks, registry: Registry) -> Deliveries:
        settings = self._settings
        return Deliveries(
            webhooks,
            is_prompt=lambda name: registry.get_registered_model(name).is_prompt,
            sender=Sender(webhooks.urls, timeout_seconds=settings.webhook_timeout_seconds),
            outbox=Outbox(threads=settings.webhook_threads),
            retries=Retries(most=settings.webhook_retries),
            cache_seconds=settings.webhook_cache_seconds,
        )
