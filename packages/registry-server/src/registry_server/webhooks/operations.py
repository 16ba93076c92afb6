"""The operations on webhooks, and which operations on the registry are events (contract 6)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import attrs

from registry_core import Page, outbox
from registry_core.access import GuardedStore, Permission
from registry_core.authors import Author
from registry_core.models import Webhook, WebhookAction, WebhookEntity, WebhookStatus
from registry_core.outbox import delivery_log_of
from registry_core.webhook_delivery.delivery import Deliveries, TestsUnderWayError
from registry_core.webhooks import DEFAULT_PAGE_SIZE, MLFLOW_SAMPLES, Webhooks
from registry_core.wire import Json
from registry_core.wire import deliveries as wire_deliveries
from registry_core.wire import webhooks as wire
from registry_core.wire.prefixes import OWN_API
from registry_server.http.operations import Operation, RequestContext, Work
from registry_server.http.response_shapes import NOTHING, ResponseShape
from registry_server.http.responses import RequestRefusedError

_TEST_AGAIN_SECONDS = 5
"""When to ask again for a test that has to wait for others."""


def _webhook_schema(event: str, *own: str) -> Json:
    """The schema of a webhook, by the name of the schema of its events, with texts of our own."""
    fields: Json = {
        name: {"type": "string"} for name in ("webhook_id", "name", "description", "url", *own)
    }
    fields |= {
        "events": {"type": "array", "items": {"$ref": f"#/components/schemas/{event}"}},
        "status": {"$ref": "#/components/schemas/WebhookStatus"},
        "creation_timestamp": {"type": "integer", "format": "int64"},
        "last_updated_timestamp": {"type": "integer", "format": "int64"},
    }
    required = [name for name in fields if name not in ("description", *own)]
    return {"type": "object", "properties": fields, "required": required}


SCHEMAS: Json = {
    "WebhookEvent": {
        "type": "object",
        "properties": {
            "entity": {"enum": sorted({event.entity.name for event in MLFLOW_SAMPLES})},
            "action": {"enum": sorted({event.action.name for event in MLFLOW_SAMPLES})},
        },
        "required": ["entity", "action"],
    },
    "AnyWebhookEvent": {
        "type": "object",
        "description": "An event of MLflow's, or one of ours.",
        "properties": {
            "entity": {"enum": [entity.name for entity in WebhookEntity]},
            "action": {"enum": [action.name for action in WebhookAction]},
        },
        "required": ["entity", "action"],
    },
    "WebhookStatus": {"enum": [status.name for status in WebhookStatus]},
    "Webhook": _webhook_schema("WebhookEvent"),
    "AnyWebhook": _webhook_schema("AnyWebhookEvent", "copied_as"),
    "Delivery": {
        "type": "object",
        "description": "An event for a webhook. `due` is the time of the next attempt, or, where "
        "there is a problem, the time it was given up, in milliseconds since the epoch.",
        "properties": {
            "delivery_id": {"type": "string"},
            "webhook_id": {"type": "string"},
            "failures": {"type": "integer"},
            "due": {"type": "integer"},
            "problem": {"type": ["string", "null"]},
            "event": {"$ref": "#/components/schemas/Event"},
        },
    },
}
"""What requests and answers about webhooks are made of."""


def _one(name: str, webhook: str, encode: Callable[[Webhook], Json]) -> ResponseShape[Webhook]:
    reference = {"$ref": f"#/components/schemas/{webhook}"}
    return ResponseShape(name, encode, {"webhook": reference}, required=("webhook",))


def _page(
    name: str, webhook: str, encode: Callable[[Page[Webhook]], Json]
) -> ResponseShape[Page[Webhook]]:
    reference = {"$ref": f"#/components/schemas/{webhook}"}
    return ResponseShape(
        name,
        encode,
        {
            "webhooks": {"type": "array", "items": reference},
            "next_page_token": {
                "type": "string",
                "description": "Present if there is a further page.",
            },
        },
    )


WEBHOOK = _one("WebhookAnswer", "Webhook", wire.webhook)
WEBHOOKS = _page("WebhooksAnswer", "Webhook", wire.webhooks)
ANY_WEBHOOK = _one("AnyWebhookAnswer", "AnyWebhook", wire.any_webhook)
ANY_WEBHOOKS = _page("AnyWebhooksAnswer", "AnyWebhook", wire.any_webhooks)
TEST_RESULT: ResponseShape[wire.TestResult] = ResponseShape(
    "WebhookTestAnswer",
    wire.test_result,
    {
        "result": {
            "type": "object",
            "properties": {
                "success": {"type": "boolean"},
                "response_status": {"type": "integer"},
                "response_body": {"type": "string"},
                "error_message": {"type": "string"},
            },
            "required": ["success"],
        }
    },
    required=("result",),
)


DELIVERIES: ResponseShape[wire_deliveries.Deliveries] = ResponseShape(
    "DeliveriesAnswer",
    wire_deliveries.encode_deliveries,
    {
        "queued": {"type": "array", "items": {"$ref": "#/components/schemas/Delivery"}},
        "dead": {"type": "array", "items": {"$ref": "#/components/schemas/Delivery"}},
    },
    required=("queued", "dead"),
)
REDELIVERED: ResponseShape[int] = ResponseShape(
    "RedeliverAnswer",
    lambda count: {"redelivered": count},
    {"redelivered": {"type": "integer"}},
    required=("redelivered",),
)


class Handlers:
    """What each operation on webhooks does, once they are started. A change acts at once."""

    def start(
        self, webhooks: Webhooks, deliveries: Deliveries, changed: Callable[[], None]
    ) -> None:
        """Serve these webhooks; `changed` hears of every change of them."""
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._changed = changed

    @property
    def keeps_secrets(self) -> bool:
        """Whether webhooks may have secrets: whether there is a key to keep them with."""
        return self._webhooks.keeps_secrets

    def create(self, context: RequestContext, request: wire.CreateWebhook) -> Webhook:
        """Create a webhook."""
        _permit(context)
        created = self._webhooks.create_webhook(
            request.name,
            url=request.url,
            events=request.events,
            description=request.description,
            secret=request.secret,
            status=request.status,
            idempotency_key=context.idempotency_key,
            by=None if context.user is None else Author(actor=context.user, is_authenticated=True),
            copied_as=request.copied_as if isinstance(request, wire.CreateAnyWebhook) else None,
        )
        self._changed()
        return created

    def list(self, context: RequestContext, request: wire.ListWebhooks) -> Page[Webhook]:
        """Give a page of webhooks."""
        _permit(context)
        return self._webhooks.list_webhooks(
            max_results=request.max_results or DEFAULT_PAGE_SIZE, page_token=request.page_token
        )

    def get(self, context: RequestContext, request: wire.GetWebhook) -> Webhook:
        """Give one webhook."""
        _permit(context)
        return self._webhooks.get_webhook(request.webhook_id)

    def update(self, context: RequestContext, request: wire.UpdateWebhook) -> Webhook:
        """Change a webhook."""
        _permit(context)
        updated = self._webhooks.update_webhook(request.webhook_id, request.changes())
        self._changed()
        return updated

    def delete(self, context: RequestContext, request: wire.DeleteWebhook) -> None:
        """Delete a webhook."""
        _permit(context)
        self._webhooks.delete_webhook(request.webhook_id)
        self._changed()

    def deliveries(
        self, context: RequestContext, request: wire_deliveries.GetDeliveries
    ) -> wire_deliveries.Deliveries:
        """Give the queued deliveries and the dead letters of a webhook."""
        _permit(context)
        webhook_id = self._webhooks.get_webhook(request.webhook_id).webhook_id
        queued, dead = outbox.listed(delivery_log_of(context.registry.store), webhook_id)
        return wire_deliveries.Deliveries(queued=queued, dead=dead)

    def redeliver(self, context: RequestContext, request: wire_deliveries.Redeliver) -> int:
        """Queue deliveries anew that were given up."""
        _permit(context)
        webhook_id = self._webhooks.get_webhook(request.webhook_id).webhook_id
        count = delivery_log_of(context.registry.store).redeliver(webhook_id, request.delivery_ids)
        self._changed()  # Look for them.
        return count

    def test(self, context: RequestContext, request: wire.TestWebhook) -> wire.TestResult:
        """Send a sample to a webhook."""
        _permit(context)
        webhook = self._webhooks.get_webhook(request.webhook_id)
        event = self._webhooks.test_event(webhook, request.event)
        try:
            return self._deliveries.test(webhook, event)
        except TestsUnderWayError:
            raise RequestRefusedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "RESOURCE_EXHAUSTED",
                "This webhook, or as many others as may be, is being tested: try again when its "
                "receiver has answered.",
                headers=((b"retry-after", b"%d" % _TEST_AGAIN_SECONDS),),
            ) from None


def _permit(context: RequestContext) -> None:
    """Return if the caller may see and change webhooks, which get events of every model.

    Raises:
        NotPermittedError: The caller may not.
    """
    store = context.registry.store
    if isinstance(store, GuardedStore):
        store.check_name(Permission.WEBHOOKS, None)


def webhook_operations(handlers: Handlers, own: Handlers) -> tuple[Operation[Any, Any], ...]:
    """Return the rows of contract 2.22, and our own, which know all events."""
    return (*_mlflow_operations(handlers), *_own_operations(own), *_delivery_operations(own))


def _mlflow_operations(handlers: Handlers) -> tuple[Operation[Any, Any], ...]:
    """The rows of contract 2.22."""
    return (
        Operation(
            id="createWebhook",
            method="POST",
            path="/webhooks",
            request=wire.CreateWebhook,
            call=handlers.create,
            answer=WEBHOOK,
            summary="Create a webhook.",
            work=Work.WAITING,
        ),
        Operation(
            id="listWebhooks",
            method="GET",
            path="/webhooks",
            request=wire.ListWebhooks,
            call=handlers.list,
            answer=WEBHOOKS,
            summary="List webhooks, newest first.",
            work=Work.READING,
        ),
        Operation(
            id="getWebhook",
            method="GET",
            path="/webhooks/{webhook_id}",
            request=wire.GetWebhook,
            call=handlers.get,
            answer=WEBHOOK,
            summary="Get a webhook.",
            work=Work.READING,
        ),
        Operation(
            id="updateWebhook",
            method="PATCH",
            path="/webhooks/{webhook_id}",
            request=wire.UpdateWebhook,
            call=handlers.update,
            answer=WEBHOOK,
            summary="Change some fields of a webhook.",
            work=Work.WAITING,
        ),
        Operation(
            id="deleteWebhook",
            method="DELETE",
            path="/webhooks/{webhook_id}",
            request=wire.DeleteWebhook,
            call=handlers.delete,
            answer=NOTHING,
            summary="Delete a webhook.",
        ),
        Operation(
            id="testWebhook",
            method="POST",
            path="/webhooks/{webhook_id}/test",
            request=wire.TestWebhook,
            call=handlers.test,
            answer=TEST_RESULT,
            summary="Send a sample of an event to a webhook now.",
            work=Work.WAITING,
        ),
    )


def _own_operations(handlers: Handlers) -> tuple[Operation[Any, Any], ...]:
    """The same under our own prefix, with all events."""
    requests = {
        wire.CreateWebhook: wire.CreateAnyWebhook,
        wire.UpdateWebhook: wire.UpdateAnyWebhook,
        wire.TestWebhook: wire.TestAnyWebhook,
    }
    answers: dict[str, ResponseShape[Any]] = {
        WEBHOOK.name: ANY_WEBHOOK,
        WEBHOOKS.name: ANY_WEBHOOKS,
    }
    return tuple(
        attrs.evolve(
            each,
            id=each.id.replace("Webhook", "AnyWebhook"),
            prefix=OWN_API,
            request=requests.get(each.request, each.request),
            answer=answers.get(each.answer.name, each.answer),
        )
        for each in _mlflow_operations(handlers)
    )


def _delivery_operations(handlers: Handlers) -> tuple[Operation[Any, Any], ...]:
    """The routes of queued deliveries and of dead letters."""
    return (
        Operation(
            id="getWebhookDeliveries",
            prefix=OWN_API,
            method="GET",
            path="/webhooks/{webhook_id}/deliveries",
            request=wire_deliveries.GetDeliveries,
            call=handlers.deliveries,
            answer=DELIVERIES,
            summary="Get the queued deliveries and the dead letters of a webhook.",
            work=Work.SEARCHING,
        ),
        Operation(
            id="redeliverToWebhook",
            prefix=OWN_API,
            method="POST",
            path="/webhooks/{webhook_id}/redeliver",
            request=wire_deliveries.Redeliver,
            call=handlers.redeliver,
            answer=REDELIVERED,
            summary="Queue deliveries to a webhook anew that were given up.",
            work=Work.WAITING,
        ),
    )
