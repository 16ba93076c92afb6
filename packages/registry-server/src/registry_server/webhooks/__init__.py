"""Webhooks: their operations, and the delivery of events to them (contract 6)."""

from registry_server.webhooks.serving import WebhookServing

__all__ = ["WebhookServing"]
