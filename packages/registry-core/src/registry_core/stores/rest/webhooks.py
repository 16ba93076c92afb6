"""The webhooks of a server."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

import attrs

from registry_core import wire
from registry_core.errors import StoreCorruptedError, UnsupportedBackendError, WebhookNotFoundError
from registry_core.idempotency import new_key
from registry_core.models import NewWebhook, Unset, Webhook, WebhookChanges, WebhookEvent
from registry_core.outbox import OWN_EVENTS, QueuedDelivery
from registry_core.search import Page, all_pages
from registry_core.stores.rest.transport import Transport
from registry_core.wire import webhooks as messages
from registry_core.wire.deliveries import Deliveries, decode_deliveries
from registry_core.wire.prefixes import OWN_API

PAGE_SIZE = 1_000
"""Webhooks read at a time; the most that MLflow gives (contract 2.22)."""

TOKEN_MAX_LENGTH = 64 * 1024
"""Characters of a page token: a server may put the last row's values into it, but no more."""

_ID = re.compile(r"[\w.~-]+\Z", re.ASCII)

T = TypeVar("T")
AnyRequestT = TypeVar("AnyRequestT", messages.CreateAnyWebhook, messages.UpdateAnyWebhook)


class RestWebhooks:
    """The webhooks of a server, which chooses their ids and keeps their secrets.

    A secret comes to a store encrypted with a key of this side, and the server would sign with it
    as it stands: so secrets are refused here, and are given to the server itself.
    """

    def __init__(self, transport: Transport) -> None:
        self._http = transport
        self._has_own_routes = True  # Until the server has none.

    def create_webhook(self, new: NewWebhook) -> Webhook:
        """Return the webhook as stored, under an id that the server chose."""
        _no_secret(new.secret)
        request = messages.CreateAnyWebhook(
            name=new.name,
            url=new.url,
            events=new.events,  # type: ignore[arg-type] # what is written is the same
            description=new.description,
            status=new.status,
            copied_as=new.copied_as,
        )
        # As every creation: so that it can be sent again when its answer is lost.
        key = new.idempotency_key or new_key()

        def create(api: str) -> Webhook:
            fields = messages.encode_webhook_request(request if api else _as_mlflows(request))
            path = f"{api}/webhooks"
            return self._http.write("POST", path, fields, _webhook, idempotency_key=key)

        if not OWN_EVENTS.isdisjoint(new.events):
            return create(OWN_API)
        return create("") if new.copied_as is None else self._ours_or_mlflows(create)

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `Store`."""
        return self._ours_or_mlflows(
            lambda api: self._http.read(f"{api}{_path(webhook_id)}", {}, _webhook)
        )

    def list_webhooks(self) -> list[Webhook]:
        """See `Store`."""
        webhooks = self._ours_or_mlflows(
            lambda api: all_pages(lambda token: self._page_of_webhooks(api, token))
        )
        return sorted(webhooks, key=lambda item: (-item.creation_timestamp, item.webhook_id))

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """See `Store`."""
        _no_secret(changes.secret)
        request = messages.UpdateAnyWebhook(
            webhook_id=webhook_id,
            name=_given(changes.name),
            url=_given(changes.url),
            events=() if isinstance(changes.events, Unset) else changes.events,  # type: ignore[arg-type]
            description=_erased(changes.description),
            secret=_erased(changes.secret),
            status=_given(changes.status),
            copied_as=_given(changes.copied_as),
        )
        return self._ours_or_mlflows(
            lambda api: self._send(
                "PATCH",
                f"{api}{_path(webhook_id)}",
                request if api else _as_mlflows(request),
                _webhook,
            )
        )

    def delete_webhook(self, webhook_id: str) -> None:
        """See `Store`."""
        request = messages.DeleteWebhook(webhook_id=webhook_id)
        self._ours_or_mlflows(
            lambda api: self._send("DELETE", f"{api}{_path(webhook_id)}", request, lambda _: None)
        )

    def test_webhook(self, webhook_id: str, event: WebhookEvent | None) -> messages.TestResult:
        """Return how it went when the server sent a sample to the webhook just now."""
        request = messages.TestWebhook(webhook_id=webhook_id, event=event)
        path, decode = f"{_path(webhook_id)}/test", messages.decode_test_result
        return self._ours_or_mlflows(
            lambda api: self._send("POST", f"{api}{path}", request, decode)
        )

    def delivery_log(self) -> RestDeliveryLog:
        """See `registry_core.outbox.delivery_log_of`."""
        return RestDeliveryLog(self._http)

    def _page_of_webhooks(self, api: str, token: str | None) -> Page[Webhook]:
        request = messages.ListWebhooks(max_results=PAGE_SIZE, page_token=token)
        fields = messages.encode_webhook_request(request)
        return self._http.read(f"{api}/webhooks", fields, _webhooks)

    def _ours_or_mlflows(self, call: Callable[[str], T]) -> T:
        """The answer of our own route, which knows more events, or else of MLflow's."""
        if self._has_own_routes:
            try:
                return call(OWN_API)
            except UnsupportedBackendError:
                self._has_own_routes = False
        return call("")

    def _send(
        self,
        method: str,
        path: str,
        request: attrs.AttrsInstance,
        decode: Callable[[wire.Json], T],
    ) -> T:
        return self._http.write(method, path, messages.encode_webhook_request(request), decode)


class RestDeliveryLog:
    """See `registry_core.outbox.DeliveryLog`. Only our own server has one."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def queued(self, webhook_id: str) -> list[QueuedDelivery]:
        """See `DeliveryLog`."""
        return list(self._deliveries(webhook_id).queued)

    def dead_letters(self, webhook_id: str) -> list[QueuedDelivery]:
        """See `DeliveryLog`."""
        return list(self._deliveries(webhook_id).dead)

    def redeliver(self, webhook_id: str, delivery_ids: Collection[str]) -> int:
        """See `DeliveryLog`."""
        path = f"{OWN_API}{_path(webhook_id)}/redeliver"
        fields = {"delivery_ids": list(delivery_ids)}
        return self._http.write("POST", path, fields, lambda answer: int(answer["redelivered"]))

    def _deliveries(self, webhook_id: str) -> Deliveries:
        path = f"{OWN_API}{_path(webhook_id)}/deliveries"
        return self._http.read(path, {}, decode_deliveries)


def wire_list(answer: wire.Json, key: str) -> list[object]:
    """Return the list in an answer; empty ones are left out there."""
    items = answer.get(key, [])
    if not isinstance(items, list):
        raise StoreCorruptedError(f"The answer's {key} is not a list.")
    return items


def next_page(answer: wire.Json) -> str | None:
    """Return the token of the page after an answer's; None if it is the last."""
    token = answer.get("next_page_token")
    if token is not None and (not isinstance(token, str) or len(token) > TOKEN_MAX_LENGTH):
        raise StoreCorruptedError("The answer's next_page_token is not a token.")
    return token or None


def _webhook(answer: wire.Json) -> Webhook:
    return messages.decode_webhook(answer.get("webhook"))


def _webhooks(answer: wire.Json) -> Page[Webhook]:
    items = [messages.decode_webhook(item) for item in wire_list(answer, "webhooks")]
    return Page(items, next_page(answer))


def _path(webhook_id: str) -> str:
    if not _ID.match(webhook_id):
        raise WebhookNotFoundError(webhook_id)
    return f"/webhooks/{webhook_id}"


def _no_secret(secret: str | Unset | None) -> None:
    if secret and not isinstance(secret, Unset):
        raise UnsupportedBackendError(
            "The secret of a webhook cannot be set through this store: give it to the server."
        )


def _as_mlflows(request: AnyRequestT) -> AnyRequestT:
    """The request without what only our own routes take."""
    return attrs.evolve(request, copied_as=None)


def _given(value: T | Unset) -> T | None:
    return None if isinstance(value, Unset) else value


def _erased(value: str | Unset | None) -> str | None:
    """What the wire needs: nothing for "leave it", an empty text for "erase it"."""
    return None if isinstance(value, Unset) else value or ""
