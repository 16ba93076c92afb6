"""The pages of webhooks: where events go, what could not be delivered, and the forms for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from registry_core import InvalidArgumentError, Registry, UnsupportedBackendError
from registry_core.models import Webhook, WebhookAction, WebhookEntity, WebhookEvent, WebhookStatus
from registry_core.webhooks import SAMPLES
from registry_core.wire import Json
from registry_core.wire import deliveries as wire_deliveries
from registry_core.wire import webhooks as wire
from registry_server.http.operations import RequestContext
from registry_server.pages import links
from registry_server.pages.answers import Redirect, View
from registry_server.pages.requests import PageRequest
from registry_server.webhooks.operations import Handlers

PAGE_SIZE = 25
"""Webhooks of a page."""

DELIVERIES_SHOWN = 100
"""Deliveries that wait, and as many that were given up, that a page lists; how many more there are
is said."""

ANSWER_MAX_LENGTH = 2_000
"""Characters of a receiver's answer to a test that are shown."""

_NEVER = WebhookEntity.BUDGET_POLICY
"""The events that never happen here; MLflow's webhooks may ask for them."""

_SUBJECTS = (
    ("Models", WebhookEntity.REGISTERED_MODEL),
    ("Their tags", WebhookEntity.REGISTERED_MODEL_TAG),
    ("Their aliases", WebhookEntity.MODEL_VERSION_ALIAS),
    ("Model versions", WebhookEntity.MODEL_VERSION),
    ("Their tags", WebhookEntity.MODEL_VERSION_TAG),
    ("Prompts", WebhookEntity.PROMPT),
    ("Their tags", WebhookEntity.PROMPT_TAG),
    ("Their aliases", WebhookEntity.PROMPT_ALIAS),
    ("Prompt versions", WebhookEntity.PROMPT_VERSION),
    ("Their tags", WebhookEntity.PROMPT_VERSION_TAG),
)
"""What events are about, as the form asks for it."""

_ACTIONS = {
    WebhookAction.CREATED: "created",
    WebhookAction.SET: "set",
    WebhookAction.UPDATED: "described",
    WebhookAction.RENAMED: "renamed",
    WebhookAction.TRANSITIONED: "moved to a stage",
    WebhookAction.FINALIZED: "uploaded or failed",
    WebhookAction.DELETED: "deleted",
    WebhookAction.RESTORED: "restored",
}
"""What happens to them, in the order of the form."""

_ALIASES = (WebhookEntity.MODEL_VERSION_ALIAS, WebhookEntity.PROMPT_ALIAS)
"""What is created, for MLflow, whenever it is set."""


class WebhookPages:
    """The pages of the webhooks that a server delivers to."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    # Pages

    def show_all(self, request: PageRequest, registry: Registry) -> View:
        """Return the webhooks, newest first."""
        request_ = wire.ListWebhooks(
            max_results=PAGE_SIZE, page_token=request.query.get("page") or None
        )
        page = self._handlers.list(_context(registry), request_)
        return View(
            template="webhooks.html",
            context={"page": page, "token": request.query.get("page"), "place": place},
            data=lambda: wire.webhooks(page),
        )

    def show(self, request: PageRequest, registry: Registry, webhook_id: str) -> View:  # noqa: ARG002
        """Return a webhook, its queued deliveries and its dead letters."""
        return self._shown(registry, webhook_id)

    def new(self, request: PageRequest, registry: Registry) -> View:  # noqa: ARG002 as all views
        """Return the form for a new webhook."""
        return self._form(None)

    def edit(self, request: PageRequest, registry: Registry, webhook_id: str) -> View:  # noqa: ARG002
        """Return the form that changes a webhook."""
        return self._form(self._webhook(registry, webhook_id))

    # Forms

    def create(self, request: PageRequest, registry: Registry) -> Redirect:
        """Create a webhook."""
        context = _context(registry)
        asked = wire.CreateWebhook(
            name=request.text("name"),
            url=request.text("url"),
            events=_chosen(request.form),
            description=request.text("description") or None,
            secret=request.form.get("secret") or None,
        )
        made = self._handlers.create(context, asked)
        return Redirect(
            to=links.webhook(made.webhook_id), notice=f"{made.name} gets events now. Test it."
        )

    def change(self, request: PageRequest, registry: Registry, webhook_id: str) -> Redirect:
        """Change a webhook; an empty secret is the one that it has."""
        context = _context(registry)
        secret = request.form.get("secret") or None
        asked = wire.UpdateWebhook(
            webhook_id=webhook_id,
            name=request.text("name"),
            url=request.text("url"),
            events=_chosen(request.form),
            description=request.text("description"),
            secret="" if request.text("unsigned") == "yes" else secret,
        )
        changed = self._handlers.update(context, asked)
        return Redirect(to=links.webhook(webhook_id), notice=f"{changed.name} was changed.")

    def switch(self, request: PageRequest, registry: Registry, webhook_id: str) -> Redirect:
        """Switch a webhook on or off."""
        is_on = request.text("status") == WebhookStatus.ACTIVE
        status = WebhookStatus.ACTIVE if is_on else WebhookStatus.DISABLED
        asked = wire.UpdateWebhook(webhook_id=webhook_id, status=status)
        changed = self._handlers.update(_context(registry), asked)
        now = "gets events again" if is_on else "gets nothing until you switch it on again"
        return Redirect(to=links.webhook(webhook_id), notice=f"{changed.name} {now}.")

    def test(self, request: PageRequest, registry: Registry, webhook_id: str) -> View:
        """Send a sample, and show what the receiver answered."""
        event = _parsed(request.text("event"))
        asked = wire.TestWebhook(webhook_id=webhook_id, event=event)
        result = self._handlers.test(_context(registry), asked)
        return self._shown(registry, webhook_id, result)

    def redeliver(self, request: PageRequest, registry: Registry, webhook_id: str) -> Redirect:
        """Queue what was given up anew: one delivery, or all that there are."""
        context = _context(registry)
        delivery_id = request.text("delivery_id")
        ids: Iterable[str] = (delivery_id,)
        if not delivery_id:
            deliveries = self._handlers.deliveries(
                context, wire_deliveries.GetDeliveries(webhook_id=webhook_id)
            )
            ids = (each.delivery_id for each in deliveries.dead)
        asked = wire_deliveries.Redeliver(webhook_id=webhook_id, delivery_ids=tuple(ids))
        count = self._handlers.redeliver(context, asked)
        notice = _counted(count) if count else "Nothing was given up any more."
        return Redirect(to=links.webhook(webhook_id), notice=notice)

    def delete(self, request: PageRequest, registry: Registry, webhook_id: str) -> Redirect:
        """Delete a webhook whose name was repeated by hand."""
        webhook = self._webhook(registry, webhook_id)
        if request.text("confirmed") != webhook.name:
            raise InvalidArgumentError(
                "Nothing was deleted: the name that was typed is not the name of the webhook."
            )
        self._handlers.delete(_context(registry), wire.DeleteWebhook(webhook_id=webhook.webhook_id))
        return Redirect(to="webhooks", notice=f"The webhook {webhook.name} was deleted.")

    # Shared

    def _webhook(self, registry: Registry, webhook_id: str) -> Webhook:
        return self._handlers.get(_context(registry), wire.GetWebhook(webhook_id=webhook_id))

    def _shown(
        self, registry: Registry, webhook_id: str, result: wire.TestResult | None = None
    ) -> View:
        webhook = self._webhook(registry, webhook_id)
        deliveries = self._deliveries(registry, webhook)
        context: dict[str, Any] = {
            "webhook": webhook,
            "place": place,
            "deliveries": deliveries,
            "shown": DELIVERIES_SHOWN,
            "result": result,
            "answer_max": ANSWER_MAX_LENGTH,
        }

        def data() -> Json:
            known = {} if deliveries is None else wire_deliveries.encode_deliveries(deliveries)
            tested = {} if result is None else wire.test_result(result)
            return {**wire.webhook(webhook), **known, **tested}

        return View(template="webhook.html", context=context, data=data)

    def _deliveries(
        self, registry: Registry, webhook: Webhook
    ) -> wire_deliveries.Deliveries | None:
        """Its queued deliveries and its dead letters; None where the store keeps neither."""
        try:
            return self._handlers.deliveries(
                _context(registry),
                wire_deliveries.GetDeliveries(webhook_id=webhook.webhook_id),
            )
        except UnsupportedBackendError:
            return None

    def _form(self, webhook: Webhook | None) -> View:
        return View(
            template="webhook_form.html",
            context={
                "webhook": webhook,
                "subjects": _subjects(),
                "chosen": frozenset(map(field_of, webhook.events)) if webhook else frozenset(),
                "kept": [field_of(event) for event in webhook.events if event.entity is _NEVER]
                if webhook
                else [],
                "keeps_secrets": self._handlers.keeps_secrets,
            },
            data=lambda: wire.webhook(webhook) if webhook else {},
        )


def _context(registry: Registry) -> RequestContext:
    """What operations on webhooks are given besides their request."""
    return RequestContext(registry=registry)


def place(url: str) -> str:
    """Return where a URL leads, without what is a secret in the URLs of chat services."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"


def field_of(event: WebhookEvent) -> str:
    """Return the field of a form that asks for an event."""
    return f"{event.entity}.{event.action}"


def _subjects() -> list[tuple[str, list[tuple[str, str]]]]:
    """What events are about, each with the fields for what happens to it."""
    return [
        (
            label,
            [
                (field_of(event), _said(event))
                for action in _ACTIONS
                if (event := WebhookEvent(entity, action)) in SAMPLES
            ],
        )
        for label, entity in _SUBJECTS
    ]


def _said(event: WebhookEvent) -> str:
    is_set = event.entity in _ALIASES and event.action is WebhookAction.CREATED
    return "set or moved" if is_set else _ACTIONS[event.action]


def _chosen(form: Mapping[str, str]) -> tuple[WebhookEvent, ...]:
    """The events that a form asks for.

    Raises:
        InvalidArgumentError: there is none.
    """
    chosen = tuple(event for event in SAMPLES if field_of(event) in form)
    if not chosen:
        raise InvalidArgumentError("Choose at least one event for the webhook.")
    return chosen


def _parsed(text: str) -> WebhookEvent | None:
    if not text:
        return None
    for event in SAMPLES:
        if field_of(event) == text:
            return event
    raise InvalidArgumentError(f"There is no event '{text[:100]}'.")


def _counted(count: int) -> str:
    one = count == 1
    return f"{count} deliver{'y is' if one else 'ies are'} made again."
