"""Queueing what webhooks want, before the write that makes the change.

Strategy. The event is in the model's document, and one PUT cannot write two objects. So an object
that says "this operation may be about to make event 7 of this model" is written first, for each
webhook that wants the event. Who delivers finds it by a listing, and looks whether the event was
made by that operation: see `outbox`. An object whose operation failed, or lost a race, is harmless,
and goes when it is found.

Which webhooks there are is remembered for `KNOWN_SECONDS`, so that a change costs no listing. A
process that has not looked that long does so before its next change; so a webhook that another
process has created gets the changes of this one that much later, and one that was disabled there
gets nothing: the worker that delivers looks at the webhook itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from registry_core.changes import Change
from registry_core.documents import ModelDocument
from registry_core.errors import NotPermittedError, StoreCorruptedError
from registry_core.history import Event
from registry_core.models import Webhook, WebhookStatus
from registry_core.stores.document_outbox import deliveries_of
from registry_core.stores.s3.outbox_format import StoredDelivery, digest, encode
from registry_core.stores.s3.prefix import Prefix

KNOWN_SECONDS = 30.0
"""Seconds for which a process remembers which webhooks there are: one LIST in that time, at most.
Ours. In a process that was running, a webhook made elsewhere begins that much later."""

CONTENT_TYPE = "application/json"


class Queueing:
    """Queues the events of one registry."""

    def __init__(
        self, prefix: Prefix, webhooks: Callable[[], list[Webhook]], whole: Callable[[Any], Any]
    ) -> None:
        self._objects = prefix.objects
        self._layout = prefix.layout
        self._pool = prefix.pool
        self._list = webhooks
        self._whole = whole
        self._lock = threading.Lock()
        self._active: tuple[Webhook, ...] = ()
        self._until = float("-inf")

    def note(self, webhook_id: str, webhook: Webhook | None) -> None:
        """Know at once what this process has made of a webhook; None if it has deleted it."""
        with self._lock:
            others = (each for each in self._active if each.webhook_id != webhook_id)
            is_active = webhook is not None and webhook.status is WebhookStatus.ACTIVE
            self._active = (*others, webhook) if webhook and is_active else tuple(others)

    def remember(self, webhooks: Iterable[Webhook]) -> None:
        """Remember all webhooks, as somebody has just read them."""
        self._active = tuple(each for each in webhooks if each.status is WebhookStatus.ACTIVE)
        self._until = time.monotonic() + KNOWN_SECONDS

    def look(self, change: Change[Any]) -> None:
        """Make sure that the webhooks are known which may get a change."""
        if not change.topics.all or time.monotonic() < self._until:
            return
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self.remember(self._list())
                except NotPermittedError:  # Who may not list can still change a model.
                    self.remember(())

    def queue(
        self,
        change: Change[Any],
        document: ModelDocument,
        events: Sequence[Event],
        lines: Sequence[str],
        operation: str,
    ) -> None:
        """Write what may have to be delivered of a change; one PUT for each webhook.

        Args:
            change: The change.
            document: The model after it, or before its deletion; its large texts may be
                references.
            events: The events of the change, with their texts.
            lines: The line of each, as it will be in the document.
            operation: The operation that makes the change.
        """
        if not self._active or not events:
            return
        digests = {event.sequence: digest(line) for event, line in zip(events, lines, strict=True)}
        deliveries = deliveries_of(change, document, events, self._active)
        self._pool.map(
            self._write,
            [
                StoredDelivery(
                    delivery=attrs.evolve(
                        each,
                        event=self._whole_event(each.event),
                        details=self._complete(each.details),
                    ),
                    operation=operation,
                    line=digests[each.event.sequence],
                )
                for each in deliveries
            ],
        )

    def _write(self, stored: StoredDelivery) -> None:
        event = stored.delivery.event
        end = self._layout.delivery(event.model_id, event.sequence, stored.operation)
        key = f"{self._layout.outbox_of(stored.delivery.webhook_id)}{end}"
        self._objects.put_always(key, encode(stored), content_type=CONTENT_TYPE)

    def _whole_event(self, event: Event) -> Event:
        """The event with the text that was there before, as far as it can be read."""
        try:
            return attrs.evolve(
                event, before=self._text(event.before), after=self._text(event.after)
            )
        except StoreCorruptedError:  # It must not keep anybody from putting another text there.
            return attrs.evolve(event, before=None)

    def _complete(self, details: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if details is None:
            return None
        return {name: self._text(value) for name, value in details.items()}

    def _text(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._whole(each) for name, each in value.items()}
        return self._whole(value)
