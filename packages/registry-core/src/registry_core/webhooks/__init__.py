"""Webhooks: their rules, their secrets, and what a receiver gets for which event (contract 6)."""

from registry_core.webhooks.addresses import why_not_public
from registry_core.webhooks.events import (
    MLFLOW_SAMPLES,
    SAMPLES,
    Notification,
    notification_of,
    notification_of_event,
    payload_of,
)
from registry_core.webhooks.facade import DEFAULT_PAGE_SIZE, Webhooks
from registry_core.webhooks.mlflow_view import MlflowView
from registry_core.webhooks.signing import KEY_VARIABLES, SecretBox, sign
from registry_core.webhooks.urls import (
    SystemResolver,
    Target,
    UnresolvedHostError,
    UrlPolicy,
)

__all__ = [
    "DEFAULT_PAGE_SIZE",
    "KEY_VARIABLES",
    "MLFLOW_SAMPLES",
    "SAMPLES",
    "MlflowView",
    "Notification",
    "SecretBox",
    "SystemResolver",
    "Target",
    "UnresolvedHostError",
    "UrlPolicy",
    "Webhooks",
    "notification_of",
    "notification_of_event",
    "payload_of",
    "sign",
    "why_not_public",
]
