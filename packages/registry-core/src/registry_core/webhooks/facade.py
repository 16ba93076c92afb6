"""`Webhooks`: everything about keeping webhooks that depends neither on the store nor on HTTP."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

import attrs

from registry_core import store, validation
from registry_core.arguments import checked_methods
from registry_core.authors import Author
from registry_core.errors import (
    AlreadyExistsError,
    IdempotencyKeyReusedError,
    InvalidArgumentError,
    WebhookNotFoundError,
)
from registry_core.idempotency import Idempotency
from registry_core.models import (
    UNSET,
    NewWebhook,
    Unset,
    Webhook,
    WebhookChanges,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.search import Page, paging
from registry_core.webhook_records import DIGEST_DIGITS, differing_fields
from registry_core.webhooks.events import SAMPLES, check_event, check_events
from registry_core.webhooks.signing import KEY_VARIABLES, SECRET_MAX_LENGTH, SecretBox
from registry_core.webhooks.urls import UrlPolicy

DEFAULT_PAGE_SIZE = 100
"""Webhooks in a page when the caller does not say (contract 2.22)."""

MAX_RESULTS = 1_000
"""The largest page of webhooks (contract 2.22)."""

ID_MAX_LENGTH = 256
"""Characters of a webhook's id; ours are UUIDs, MLflow's column holds 256."""

_TOKEN_KIND = "webhooks"  # noqa: S105 a page token is not a secret
"""Tells these page tokens from those of searches, and the format from later ones."""

_KEY_PART = 18
"""Characters of an id that say the idempotency key under which release 0.2.0 made a webhook: half
of its digits, with two hyphens."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?\Z", re.IGNORECASE | re.ASCII)

ArgumentT = TypeVar("ArgumentT")
ResultT = TypeVar("ResultT")


@checked_methods
class Webhooks:
    """The webhooks of a registry, on any store.

    Checks its arguments and raises subclasses of `RegistryError`, as `Registry` does. Secrets go
    to the store encrypted; without `secrets` a webhook cannot have one. Thread-safe. Checking a
    URL may take `urls.RESOLUTION_TIMEOUT_SECONDS`. `known` are the events that may be asked for.
    """

    def __init__(
        self,
        webhooks: store.Webhooks,
        *,
        urls: UrlPolicy | None = None,
        secrets: SecretBox | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        known: Collection[WebhookEvent] = SAMPLES,
    ) -> None:
        self._known = known
        self.urls = urls or UrlPolicy()
        self.store = webhooks
        self._secrets = secrets
        self._new_id = new_id

    def __repr__(self) -> str:
        keeps = "" if self.keeps_secrets else ", without secrets"
        return f"<{type(self).__name__} of {type(self.store).__name__}{keeps}>"

    @property
    def keeps_secrets(self) -> bool:
        """Whether a webhook may have a secret: whether there is a key to encrypt it with."""
        return self._secrets is not None

    def create_webhook(
        self,
        name: str,
        *,
        url: str,
        events: Iterable[WebhookEvent],
        description: str | None = None,
        secret: str | None = None,
        status: WebhookStatus = WebhookStatus.ACTIVE,
        idempotency_key: str | None = None,
        by: Author | None = None,
        copied_as: str | None = None,
    ) -> Webhook:
        """Create a webhook. Names need not be unique.

        Args:
            name: What people call it.
            url: Where events go.
            events: Which events.
            description: Free text.
            secret: With which deliveries are signed.
            status: Whether it gets events.
            idempotency_key: Asked for again under the same key, the creation gives the webhook
                that the first one made, for as long as that exists.
            by: Who creates it. The key of one whom a server has authenticated is theirs alone.
            copied_as: Where a copy of another registry creates it: see `Webhook`.

        Raises:
            IdempotencyKeyReusedError: The key was used for another webhook.
            InvalidArgumentError: An argument is illegal.
        """
        new = NewWebhook(
            webhook_id=self._new_id(),
            name=check_name(name),
            events=self._check_events(events),
            description=_description(description),
            secret=self._seal(secret),
            status=status,
            url=self.urls.check(url),
            idempotency_key=idempotency_key,
            copied_as=_copied_as(copied_as),
        )
        if idempotency_key is None:
            return self.store.create_webhook(new)
        return self._create_once(new, idempotency_key, by or Author(actor="anybody"), secret)

    def _create_once(self, new: NewWebhook, key: str, by: Author, secret: str | None) -> Webhook:
        """The webhook of an id that says the key: a store has one of each id."""
        new = attrs.evolve(new, webhook_id=_id_under(key, by))
        before = _id_of_before(key, new, by)
        for found in self.store.list_webhooks():
            if found.webhook_id == before:
                return found
            if found.webhook_id[:_KEY_PART] == new.webhook_id[:_KEY_PART]:
                return self._repeated(found, new, secret)
        try:
            return self.store.create_webhook(new)
        except AlreadyExistsError:
            return self._repeated(self.store.get_webhook(new.webhook_id), new, secret)

    def _repeated(self, found: Webhook, new: NewWebhook, secret: str | None) -> Webhook:
        """What was made under the key before, unless it was asked for in another way.

        Nothing says that of one which was changed since.
        """
        is_as_made = found.creation_timestamp == found.last_updated_timestamp
        is_as_asked = not differing_fields(found, new) and self._opened(found.secret) == secret
        if found.webhook_id == new.webhook_id and (is_as_asked or not is_as_made):
            return found
        raise IdempotencyKeyReusedError(new.idempotency_key or "")

    def _opened(self, sealed: str | None) -> str | None:
        if sealed is None or self._secrets is None:
            return None
        return self._secrets.open(sealed)

    def get_webhook(self, webhook_id: str) -> Webhook:
        """Return the webhook.

        Raises:
            WebhookNotFoundError: there is none.
        """
        return self.store.get_webhook(_check_id(webhook_id))

    def list_webhooks(
        self, *, max_results: int = DEFAULT_PAGE_SIZE, page_token: str | None = None
    ) -> Page[Webhook]:
        """Return a page of webhooks, newest first."""
        if not 1 <= max_results <= MAX_RESULTS:
            raise InvalidArgumentError(f"max_results must be between 1 and {MAX_RESULTS}.")
        start = _position(page_token) if page_token else None
        rows = [
            webhook
            for webhook in self.store.list_webhooks()
            if start is None or _sort_key(webhook) > start
        ]
        if len(rows) <= max_results:
            return Page(rows)
        return Page(rows[:max_results], _token(rows[max_results - 1]))

    def update_webhook(self, webhook_id: str, changes: WebhookChanges) -> Webhook:
        """Set the fields of a webhook that `changes` has; empty texts erase.

        `changes.secret` is the secret itself. Without any change the webhook is updated now.

        Raises:
            WebhookNotFoundError: there is none.
        """
        checked = attrs.evolve(
            changes,
            name=_if_set(check_name)(changes.name),
            events=_if_set(self._check_events)(changes.events),
            description=_if_set(_description)(changes.description),
            secret=_if_set(self._seal)(changes.secret),
            url=_if_set(self.urls.check)(changes.url),
            copied_as=_if_set(_copied_as)(changes.copied_as),
        )
        return self.store.update_webhook(_check_id(webhook_id), checked)

    def delete_webhook(self, webhook_id: str) -> None:
        """Remove the webhook.

        Raises:
            WebhookNotFoundError: there is none.
        """
        self.store.delete_webhook(_check_id(webhook_id))

    def active_webhooks(self) -> Sequence[Webhook]:
        """Return all webhooks that are to be delivered to."""
        return [hook for hook in self.store.list_webhooks() if hook.status is WebhookStatus.ACTIVE]

    def signing_secret(self, webhook: Webhook) -> str | None:
        """Return what deliveries to the webhook are signed with, if anything.

        Raises:
            StoreCorruptedError: it was encrypted with a key that is not configured.
            InvalidArgumentError: no key is configured at all.
        """
        if webhook.secret is None:
            return None
        return self._box().open(webhook.secret)

    def test_event(self, webhook: Webhook, event: WebhookEvent | None = None) -> WebhookEvent:
        """Return the event of a test delivery: the given one, or else the webhook's first."""
        return webhook.events[0] if event is None else check_event(event, self._known)

    def _check_events(self, events: Iterable[WebhookEvent]) -> tuple[WebhookEvent, ...]:
        return check_events(events, self._known)

    def _seal(self, secret: str | None) -> str | None:
        validation.optional_text(secret, parameter="secret", max_length=SECRET_MAX_LENGTH)
        return self._box().seal(secret) if secret else None

    def _box(self) -> SecretBox:
        if self._secrets is None:
            raise InvalidArgumentError(
                "Webhook secrets are not available: this server has no key to keep them with. "
                f"Set {KEY_VARIABLES[0]} on the server, or leave the secret out."
            )
        return self._secrets


def _id_under(key: str, by: Author) -> str:
    """The id of a webhook that is created under an idempotency key."""
    whose = Idempotency.of(key, what="create_webhook", asked={}).id(model="", by=by)
    return str(uuid.UUID(hex=whose))


def _id_of_before(key: str, new: NewWebhook, by: Author) -> str:
    """The id that release 0.2.0 gave it: half of it says the key, and half what was asked for."""
    asked = {
        "name": new.name,
        "url": new.url,
        "events": sorted(f"{each.entity}.{each.action}" for each in new.events),
        "description": new.description,
        "status": new.status,
        "has_secret": new.secret is not None,
    }
    recognised = Idempotency.of(key, what="create_webhook", asked=asked)
    whose = recognised.id(model="", by=by)
    half = len(whose) // 2
    return str(uuid.UUID(hex=whose[:half] + recognised.request[:half]))


def check_name(name: str) -> str:
    """Accept a webhook's name (contract 6.2)."""
    if not _NAME.match(name):
        raise InvalidArgumentError(
            f"Webhook name {name!r} is invalid. It must start and end with a letter or digit, "
            "be at most 63 characters long, and contain only letters, digits, dots (.), "
            "underscores (_), and hyphens (-)."
        )
    return name


def _description(text: str | None) -> str | None:
    return validation.description(text) or None


def _copied_as(digest: str | None) -> str | None:
    return validation.optional_text(digest, parameter="copied_as", max_length=DIGEST_DIGITS)


def _check_id(webhook_id: str) -> str:
    """The id, if a store can look for it; others are not found, on every store."""
    try:
        return validation.text(webhook_id, parameter="webhook_id", max_length=ID_MAX_LENGTH)
    except InvalidArgumentError:
        raise WebhookNotFoundError(webhook_id) from None


def _if_set(
    check: Callable[[ArgumentT], ResultT],
) -> Callable[[ArgumentT | Unset], ResultT | Unset]:
    """The check, letting `UNSET` pass."""
    return lambda value: UNSET if isinstance(value, Unset) else check(value)


def _sort_key(webhook: Webhook) -> tuple[int, str]:
    return -webhook.creation_timestamp, webhook.webhook_id


def _token(last: Webhook) -> str:
    return paging.encode([_TOKEN_KIND, *_sort_key(last)])


def _position(token: str) -> tuple[int, str]:
    """The sort key that the wanted page starts after."""
    parsed = paging.decode(token)
    match parsed:
        case [kind, int(created), str(webhook_id)] if kind == _TOKEN_KIND:
            return created, webhook_id
    raise InvalidArgumentError(f"Invalid page token, parsed value={parsed!r}")
