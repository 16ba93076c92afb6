"""Webhooks as JSON, both ways (contract 2.22, 6.1): requests, answers, and their enumerations.

- Entities, actions and statuses are written by their name in upper case; they are read by that name
  or by MLflow's number, as a number or a numeral. Anything else is refused.
- A webhook without description has none in its JSON; its secret is never there.
- In an update an empty name or URL and an empty list of events leave the webhook as it is; an empty
  description or secret erases it. A page of zero webhooks is one of the usual size.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from registry_core import validation
from registry_core.errors import InvalidArgumentError, StoreCorruptedError
from registry_core.models import (
    UNSET,
    Webhook,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.search import Page
from registry_core.wire.converter import Json, WrongTypeError, converter

EnumT = TypeVar("EnumT", bound=enum.Enum)


# Requests


@attrs.frozen(kw_only=True)
class CreateWebhook:
    """A webhook to create."""

    name: str
    url: str
    events: tuple[WebhookEvent, ...]
    description: str | None = None
    secret: str | None = attrs.field(default=None, repr=False)
    status: WebhookStatus = WebhookStatus.ACTIVE


class AnyWebhookEvent(WebhookEvent):
    """In a request of our own routes: an event of MLflow's or ours. What is read is the latter."""


@attrs.frozen(kw_only=True)
class CreateAnyWebhook(CreateWebhook):
    """A webhook to create, which may ask for our events as well."""

    events: tuple[AnyWebhookEvent, ...]
    copied_as: str | None = None


@attrs.frozen(kw_only=True)
class ListWebhooks:
    """The wanted page of webhooks; `max_results` 0 means the usual size."""

    max_results: int = 0
    page_token: str | None = None


@attrs.frozen(kw_only=True)
class GetWebhook:
    """The webhook to get."""

    webhook_id: str


@attrs.frozen(kw_only=True)
class UpdateWebhook:
    """New values for some fields of a webhook."""

    webhook_id: str
    name: str | None = None
    description: str | None = None
    url: str | None = None
    events: tuple[WebhookEvent, ...] = ()
    secret: str | None = attrs.field(default=None, repr=False)
    status: WebhookStatus | None = None

    def changes(self) -> WebhookChanges:
        """Return what is to change, as a store understands it."""
        return WebhookChanges(
            name=self.name or UNSET,
            url=self.url or UNSET,
            events=self.events or UNSET,
            description=UNSET if self.description is None else self.description,
            secret=UNSET if self.secret is None else self.secret,
            status=self.status or UNSET,
        )


@attrs.frozen(kw_only=True)
class UpdateAnyWebhook(UpdateWebhook):
    """New values for some fields of a webhook, which may ask for our events as well."""

    events: tuple[AnyWebhookEvent, ...] = ()
    copied_as: str | None = None

    def changes(self) -> WebhookChanges:
        """See `UpdateWebhook`."""
        changes = UpdateWebhook.changes(self)
        return attrs.evolve(changes, copied_as=self.copied_as or UNSET)


@attrs.frozen(kw_only=True)
class DeleteWebhook:
    """The webhook to delete."""

    webhook_id: str


@attrs.frozen(kw_only=True)
class TestWebhook:
    """The webhook to send a sample to, and of which event, if not of its first."""

    __test__ = False  # not one of pytest's

    webhook_id: str
    event: WebhookEvent | None = None


@attrs.frozen(kw_only=True)
class TestAnyWebhook(TestWebhook):
    """The webhook to send a sample to, which may be of our events as well."""

    event: AnyWebhookEvent | None = None


@attrs.frozen(kw_only=True)
class TestResult:
    """How a test delivery went."""

    __test__ = False  # not one of pytest's

    success: bool
    response_status: int | None = None
    response_body: str | None = None
    error_message: str | None = None


# Enumerations

_ANY_ENTITY = dict(enumerate(WebhookEntity, start=1))
_ANY_ACTION = dict(enumerate(WebhookAction, start=1))


def _until(last: EnumT, numbers: Mapping[int, EnumT]) -> Mapping[int, EnumT]:
    """The members up to one of them: those of MLflow come first."""
    end = next(number for number, member in numbers.items() if member is last)
    return {number: member for number, member in numbers.items() if number <= end}


_ENTITY_NUMBERS = _until(WebhookEntity.BUDGET_POLICY, _ANY_ENTITY)
_ACTION_NUMBERS = _until(WebhookAction.EXCEEDED, _ANY_ACTION)
_STATUS_NUMBERS = dict(enumerate(WebhookStatus, start=1))
"""MLflow's numbers, which follow the order of the members (contract 6.1)."""


def _read(value: object, numbers: Mapping[int, EnumT], *, parameter: str) -> EnumT:
    if type(value) is int or type(value) is str:
        for number, member in numbers.items():
            if value in (number, str(number), member.name):
                return member
    raise InvalidArgumentError(
        f"Invalid value {value!r} for parameter '{parameter}' supplied: it must be one of "
        f"{', '.join(member.name for member in numbers.values())}."
    )


def _status(value: object, _: object) -> WebhookStatus:
    return _read(value, _STATUS_NUMBERS, parameter="status")


def _event(value: object, annotation: object) -> WebhookEvent:
    is_any = annotation is AnyWebhookEvent
    if type(value) is not dict:
        raise WrongTypeError
    for part in ("entity", "action"):
        if value.get(part) is None:
            raise validation.missing(part)
    return WebhookEvent(
        _read(value["entity"], _ANY_ENTITY if is_any else _ENTITY_NUMBERS, parameter="entity"),
        _read(value["action"], _ANY_ACTION if is_any else _ACTION_NUMBERS, parameter="action"),
    )


def _events(value: object, annotation: object) -> tuple[WebhookEvent, ...]:
    if type(value) is not list:
        raise WrongTypeError
    element = AnyWebhookEvent if annotation == tuple[AnyWebhookEvent, ...] else WebhookEvent
    return tuple(_event(item, element) for item in value)


# Not by a predicate: a hook for `str`, which it is a subclass of, would go first.
converter.register_structure_hook(WebhookStatus, _status)
converter.register_structure_hook_func(
    lambda annotation: annotation is WebhookEvent or annotation is AnyWebhookEvent, _event
)
converter.register_structure_hook_func(
    lambda annotation: annotation in (tuple[WebhookEvent, ...], tuple[AnyWebhookEvent, ...]),
    _events,
)


def encode_webhook_request(request: attrs.AttrsInstance) -> Json:
    """Return the JSON body that asks for an operation; what is unset, and the id, are left out."""
    fields = attrs.asdict(request, recurse=False, filter=_is_given)
    return {name: _encode(value) for name, value in fields.items()}


def _is_given(attribute: attrs.Attribute[Any], value: object) -> bool:
    return attribute.name != "webhook_id" and value != attribute.default


def _encode(value: object) -> object:
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if isinstance(value, WebhookEvent):
        return encode_event(value)
    return value.name if isinstance(value, enum.Enum) else value


# Answers


def encode_webhook(webhook: Webhook) -> Json:
    """Return the webhook as MLflow writes it."""
    out: Json = {
        "webhook_id": webhook.webhook_id,
        "name": webhook.name,
        "url": webhook.url,
        "events": [encode_event(event) for event in webhook.events],
        "status": webhook.status.name,
        "creation_timestamp": webhook.creation_timestamp,
        "last_updated_timestamp": webhook.last_updated_timestamp,
    }
    if webhook.description:
        out["description"] = webhook.description
    return out


def encode_event(event: WebhookEvent) -> Json:
    """Return the event as MLflow writes it."""
    return {"entity": event.entity.name, "action": event.action.name}


def decode_webhook(raw: object) -> Webhook:
    """Return the webhook that a server answered with. Its secret is never in an answer."""
    try:
        fields: Any = dict(raw)  # type: ignore[call-overload]  # anything may have been answered
        return Webhook(
            webhook_id=fields["webhook_id"],
            name=fields["name"],
            url=fields["url"],
            events=_events(fields["events"], tuple[AnyWebhookEvent, ...]),
            description=fields.get("description") or None,
            status=_status(fields["status"], None),
            creation_timestamp=int(fields["creation_timestamp"]),
            last_updated_timestamp=int(fields["last_updated_timestamp"]),
            copied_as=fields.get("copied_as"),
        )
    except (LookupError, TypeError, ValueError, WrongTypeError):  # our errors are ValueErrors
        raise StoreCorruptedError("A webhook in the answer cannot be read") from None


def webhook(value: Webhook) -> Json:
    """Return the answer that holds a webhook."""
    return {"webhook": encode_webhook(value)}


def any_webhook(value: Webhook) -> Json:
    """Return the answer of our own routes that holds a webhook."""
    return {"webhook": _encode_any(value)}


def any_webhooks(page: Page[Webhook]) -> Json:
    """Return the answer of our own routes that holds a page of webhooks."""
    return webhooks(page, _encode_any)


def _encode_any(webhook: Webhook) -> Json:
    out = encode_webhook(webhook)
    return out if webhook.copied_as is None else out | {"copied_as": webhook.copied_as}


def webhooks(page: Page[Webhook], encode: Callable[[Webhook], Json] = encode_webhook) -> Json:
    """Return the answer that holds a page of webhooks."""
    out: Json = {"webhooks": [encode(item) for item in page.items]} if page.items else {}
    if page.next_page_token:
        out["next_page_token"] = page.next_page_token
    return out


def test_result(result: TestResult) -> Json:
    """Return the answer that says how a test delivery went."""
    return {"result": attrs.asdict(result, filter=lambda _, value: value is not None)}


def decode_test_result(answer: Json) -> TestResult:
    """Return the outcome of a test delivery that a server answered with."""
    try:
        fields: Any = dict(answer["result"])
        status = fields.get("response_status")
        return TestResult(
            success=bool(fields.get("success", False)),
            response_status=None if status is None else int(status),
            response_body=fields.get("response_body"),
            error_message=fields.get("error_message"),
        )
    except (LookupError, TypeError, ValueError):
        raise StoreCorruptedError("The outcome of a test in the answer cannot be read") from None
