"""The calls about webhooks, and how MLflow's server delivers events to them.

A change queues its events for webhooks in the same atomic step, in every process. In MLflow's
server each worker delivers what is queued, as a server of ours does; both may serve one registry.
So MLflow itself gets no webhook to deliver to: it would deliver each event a second time.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any

from mlflow.entities.webhook import Webhook, WebhookEvent, WebhookStatus, WebhookTestResult
from mlflow.environment_variables import (
    MLFLOW_WEBHOOK_CACHE_TTL,
    MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS,
    MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES,
    MLFLOW_WEBHOOK_REQUEST_TIMEOUT,
)
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry.rest_store import RestStore
from mlflow.utils.credentials import get_default_host_creds
from mlflow.webhooks import delivery

from registry_core import Registry, models
from registry_core.models import UNSET, WebhookAction, WebhookChanges, WebhookEntity
from registry_core.webhook_delivery.delivering import (
    Delivering,
    DeliveryOptions,
    start_delivering,
)
from registry_core.webhook_delivery.delivery import CACHE_SECONDS
from registry_core.webhooks import DEFAULT_PAGE_SIZE, MlflowView, Webhooks
from registry_core.webhooks.environment import webhooks_of


class WebhookCalls:
    """The part of `RegistryStore` that is about webhooks."""

    store_url: str
    serving: bool
    _call: Callable[[Callable[[Registry], Any]], Any]
    _delivering: Delivering | None = None

    @cached_property
    def _server(self) -> _Server | None:
        """Where the store is a server: that, which keeps its webhooks, and tells them, itself."""
        is_server = self.store_url.lower().startswith(("http:", "https:"))
        return _Server(self.store_url) if is_server else None

    def _webhooks(self, call: Callable[[Webhooks], Any]) -> Any:
        return self._call(lambda registry: call(webhooks_of(MlflowView(registry.store))))

    def _change(self, call: Callable[[Webhooks], Any]) -> Any:
        result = self._webhooks(call)
        if self._delivering is not None:
            self._delivering.changed()
        return result

    def _start_delivering(self, registry: Registry) -> None:
        """Have this process deliver what is queued in the registry it has opened."""
        if self._server is None:
            self._delivering = start_delivering(
                registry, webhooks_of(registry.store), delivery_options()
            )
            atexit.register(self._delivering.close)

    def create_webhook(
        self,
        name: str,
        url: str,
        events: list[WebhookEvent],
        description: str | None = None,
        secret: str | None = None,
        status: WebhookStatus | None = None,
    ) -> Webhook:
        """See `AbstractStore`."""
        if self._server is not None:
            return self._server.create_webhook(name, url, events, description, secret, status)
        made = self._change(
            lambda webhooks: webhooks.create_webhook(
                name,
                url=url,
                events=_ours(events),
                description=description,
                secret=secret,
                status=_status(status or WebhookStatus.ACTIVE),
            )
        )
        return webhook(made)

    def get_webhook(self, webhook_id: str) -> Webhook:
        """See `AbstractStore`. Only MLflow's server gets the secret: it signs a test with it."""
        if self._server is not None:
            return self._server.get_webhook(webhook_id)
        return self._get(webhook_id, with_secret=self.serving)

    def _get(self, webhook_id: str, *, with_secret: bool) -> Webhook:
        def get(webhooks: Webhooks) -> Webhook:
            stored = webhooks.get_webhook(webhook_id)
            return webhook(stored, webhooks.signing_secret(stored) if with_secret else None)

        return self._webhooks(get)

    def list_webhooks(
        self, max_results: int | None = None, page_token: str | None = None
    ) -> PagedList:
        """See `AbstractStore`."""
        if self._server is not None:
            return self._server.list_webhooks(max_results, page_token)
        page = self._webhooks(
            lambda webhooks: webhooks.list_webhooks(
                max_results=max_results or DEFAULT_PAGE_SIZE, page_token=page_token
            )
        )
        return PagedList([*map(webhook, page.items)], page.next_page_token)

    def list_webhooks_by_event(
        self,
        event: WebhookEvent,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> PagedList:
        """Return none: MLflow's server asks whom it has to tell itself."""
        return PagedList([], None)

    def update_webhook(
        self,
        webhook_id: str,
        name: str | None = None,
        description: str | None = None,
        url: str | None = None,
        events: list[WebhookEvent] | None = None,
        secret: str | None = None,
        status: WebhookStatus | None = None,
    ) -> Webhook:
        """See `AbstractStore`. An empty description or secret erases it."""
        if self._server is not None:
            return self._server.update_webhook(
                webhook_id, name, description, url, events, secret, status
            )
        changes = WebhookChanges(
            name=_given(name),
            url=_given(url),
            events=UNSET if events is None else _ours(events),
            description=_given(description),
            secret=_given(secret),
            status=UNSET if status is None else _status(status),
        )
        return webhook(self._change(lambda it: it.update_webhook(webhook_id, changes)))

    def delete_webhook(self, webhook_id: str) -> None:
        """See `AbstractStore`."""
        if self._server is not None:
            self._server.delete_webhook(webhook_id)
        else:
            self._change(lambda it: it.delete_webhook(webhook_id))

    def test_webhook(self, webhook_id: str, event: WebhookEvent | None = None) -> WebhookTestResult:
        """See `AbstractStore`. This process sends the sample, or the server whose store this is."""
        if self._server is not None:
            return self._server.test_webhook(webhook_id, event)
        return delivery.test_webhook(self._get(webhook_id, with_secret=True), event)


def delivery_options() -> DeliveryOptions:
    """Return how MLflow's settings say to deliver.

    Changes of webhooks by other processes are known as soon as on a server of ours, at least.
    """
    return DeliveryOptions(
        attempt_seconds=MLFLOW_WEBHOOK_REQUEST_TIMEOUT.get(),
        retries=MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES.get(),
        threads=MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS.get(),
        cache_seconds=min(MLFLOW_WEBHOOK_CACHE_TTL.get(), CACHE_SECONDS),
    )


class _Server:
    """MLflow's own calls about the webhooks of a server, with errors as the server has put them."""

    def __init__(self, url: str) -> None:
        self._store = RestStore(partial(get_default_host_creds, url))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._store, name)

        def with_plain_errors(*args: Any) -> Any:
            try:
                return call(*args)
            except RestException as error:
                # Its message begins with the code, which the caller that passes it on adds again.
                message = str(error.json.get("message", error.message))
                code = ErrorCode.Value(error.error_code)
                raise MlflowException(message, error_code=code) from error

        return with_plain_errors


def webhook(stored: models.Webhook, secret: str | None = None) -> Webhook:
    """Return a webhook as MLflow's entity, with its signing secret where it is given."""
    return Webhook(
        webhook_id=stored.webhook_id,
        name=stored.name,
        url=stored.url,
        events=[WebhookEvent(str(each.entity), str(each.action)) for each in stored.events],
        creation_timestamp=stored.creation_timestamp,
        last_updated_timestamp=stored.last_updated_timestamp,
        description=stored.description,
        status=str(stored.status),
        secret=secret,
    )


def _ours(events: Iterable[WebhookEvent]) -> tuple[models.WebhookEvent, ...]:
    events = list(events)
    if not events or not all(isinstance(each, WebhookEvent) for each in events):
        raise MlflowException(
            f"Webhook events must be a non-empty list of WebhookEvent objects: {events}.",
            error_code=INVALID_PARAMETER_VALUE,
        )
    return tuple(
        models.WebhookEvent(WebhookEntity(str(each.entity)), WebhookAction(str(each.action)))
        for each in events
    )


def _status(status: WebhookStatus) -> models.WebhookStatus:
    return models.WebhookStatus(str(status))


def _given(text: str | None) -> Any:
    return UNSET if text is None else text
