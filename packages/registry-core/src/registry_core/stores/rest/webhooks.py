"""The webhooks of a server."""

from __future__ import annotations

import re
from typing import TypeVar

import attrs

from registry_core import wire
from registry_core.errors import StoreCorruptedError, UnsupportedBackendError, WebhookNotFoundError
from registry_core.models import NewWebhook, Unset, Webhook, WebhookChanges
from registry_core.stores.rest.transport import Transport
from registry_core.wire import webhooks as messages

PAGE_SIZE = 1_000
"""Webhooks read at a time; the most that MLflow gives (contract 2.22)."""

_ID = re.compile(r"[\w.~-]+\Z", re.ASCII)

T = TypeVar("T")


class RestWebhooks:
    """The webhooks of a server, which chooses their ids and keeps their secrets.

    A secret comes to a store encrypted with a key of this side, and the server would sign with it
    as it stands: so secrets are refused here, and are given to the server itself.
    """

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """The webhook as stored, under an id that the server chose."""
        _no_secret(new.secret)
        request = messages.CreateWebhook(
            name=new.name,
            url=new.url,
            events=new.events,
            description=new.description,
            status=new.status,
        )
        return _webhook(self._send("POST", "/webhooks", request))

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `Store`."""
        return _webhook(self._http.read(_path(webhook_id), {}))

    def list_webhooks(self) -> list[Webhook]:
        """See `Store`."""
        found: list[Webhook] = []
        token: str | None = None
        while True:
            request = messages.ListWebhooks(max_results=PAGE_SIZE, page_token=token)
            answer = self._http.read("/webhooks", messages.encode_webhook_request(request))
            found += map(messages.decode_webhook, wire_list(answer, "webhooks"))
            token = answer.get("next_page_token")
            if not token:
                return sorted(found, key=lambda item: (-item.creation_timestamp, item.webhook_id))

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """See `Store`."""
        _no_secret(changes.secret)
        request = messages.UpdateWebhook(
            webhook_id=webhook_id,
            name=_given(changes.name),
            url=_given(changes.url),
            events=() if isinstance(changes.events, Unset) else changes.events,
            description=_erased(changes.description),
            secret=_erased(changes.secret),
            status=_given(changes.status),
        )
        return _webhook(self._send("PATCH", _path(webhook_id), request))

    def delete_webhook(self, webhook_id: str) -> None:
        """See `Store`."""
        self._send("DELETE", _path(webhook_id), messages.DeleteWebhook(webhook_id=webhook_id))

    def _send(self, method: str, path: str, request: attrs.AttrsInstance) -> wire.Json:
        return self._http.write(method, path, messages.encode_webhook_request(request))


def wire_list(answer: wire.Json, key: str) -> list[object]:
    """The list in an answer; empty ones are left out there."""
    items = answer.get(key, [])
    if not isinstance(items, list):
        raise StoreCorruptedError(f"The answer's {key} is no list.")
    return items


def _webhook(answer: wire.Json) -> Webhook:
    return messages.decode_webhook(answer.get("webhook"))


def _path(webhook_id: str) -> str:
    if not _ID.match(webhook_id):
        raise WebhookNotFoundError(webhook_id)
    return f"/webhooks/{webhook_id}"


def _no_secret(secret: str | Unset | None) -> None:
    if secret and not isinstance(secret, Unset):
        raise UnsupportedBackendError(
            "The secret of a webhook cannot be set through this store: give it to the server."
        )


def _given(value: T | Unset) -> T | None:
    return None if isinstance(value, Unset) else value


def _erased(value: str | Unset | None) -> str | None:
    """What the wire needs: nothing for "leave it", an empty text for "erase it"."""
    return None if isinstance(value, Unset) else value or ""
