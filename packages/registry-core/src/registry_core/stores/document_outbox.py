"""The outbox of a store whose whole content can be read at once; see `registry_core.outbox`."""

from __future__ import annotations

import secrets
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import AbstractContextManager
from operator import attrgetter
from typing import Any, Protocol, TypeAlias

import attrs

from registry_core import validation
from registry_core.changes import Change, FinalizeVersion, RestoreVersion
from registry_core.documents import ModelDocument
from registry_core.history import Action, Event
from registry_core.models import Webhook, WebhookStatus
from registry_core.outbox import (
    MOST_LISTED,
    QueuedDelivery,
    Unchanged,
    Watchers,
    audience,
    oldest_kept,
)
from registry_core.store import Clock

POLL_SECONDS = 1.0
"""Seconds between two looks for what other processes have queued."""

Key: TypeAlias = str
"""The id of a delivery."""


class Queues(Protocol):
    """What a store keeps of deliveries."""

    @property
    def queued(self) -> MutableMapping[Key, QueuedDelivery]:
        """Those that are still to be made."""
        ...

    @property
    def dead_letters(self) -> MutableMapping[Key, QueuedDelivery]:
        """Those that were given up."""
        ...


def deliveries_of(
    change: Change[Any],
    document: ModelDocument | None,
    events: Sequence[Event],
    hooks: Iterable[Webhook],
) -> Iterator[QueuedDelivery]:
    """Yield the deliveries that a change queues for webhooks.

    Args:
        change: The change.
        document: The model after it; before it where it was deleted.
        events: The events of the change, with their numbers.
        hooks: All webhooks.
    """
    version = change.result(document) if isinstance(change, FinalizeVersion) else None
    hearing = audience(change, version)
    if hearing is None or document is None:
        return
    is_prompt = (
        validation.is_prompt(document.tags) if hearing.is_prompt is None else hearing.is_prompt
    )
    topics = frozenset(hearing.topics.topics(is_prompt=is_prompt))
    listeners = [
        hook
        for hook in hooks
        if hook.status is WebhookStatus.ACTIVE and not topics.isdisjoint(hook.events)
    ]
    done = [event for event in events if event.action is not Action.PASS_GATE]
    if isinstance(change, RestoreVersion):
        # A stage that it is moved to is said by the history alone.
        done = [event for event in done if event.action is Action.RESTORE_VERSION]
    for event in done if change.tells_every_event else done[-1:]:
        for hook in listeners:
            yield QueuedDelivery(
                webhook_id=hook.webhook_id,
                event=event,
                is_prompt=is_prompt,
                details=hearing.details,
                due=event.time,
            )


class DocumentOutbox:
    """See `registry_core.outbox.Outbox`; as durable as what `writing` does with the content."""

    poll_seconds = POLL_SECONDS

    def __init__(
        self,
        read: Callable[[], Queues],
        writing: Callable[[], AbstractContextManager[Queues]],
        clock: Clock,
    ) -> None:
        self._read = read
        self._writing = writing
        self._clock = clock
        self._watchers = Watchers()

    def take(self, webhook_id: str, *, limit: int, lease_seconds: float) -> list[QueuedDelivery]:
        """See `Outbox`."""
        now = self._clock()
        if not _ready(self._read().queued, webhook_id, now):
            return []
        until, lease = now + round(lease_seconds * 1000), secrets.token_hex(8)
        with self._writing() as content:
            ready = _ready(content.queued, webhook_id, now)[:limit]
            taken = [attrs.evolve(each, due=until, lease=lease) for each in ready]
            content.queued.update({key_of(each): each for each in taken})
        return taken

    def done(self, delivery: QueuedDelivery) -> None:
        """See `Outbox`."""
        with self._writing() as content:
            if _is_leased(content, delivery):
                del content.queued[key_of(delivery)]

    def retry(self, delivery: QueuedDelivery, *, due: int) -> None:
        """See `Outbox`."""
        with self._writing() as content:
            if _is_leased(content, delivery):
                content.queued[key_of(delivery)] = attrs.evolve(delivery, due=due, lease="")

    def dead(self, delivery: QueuedDelivery, *, problem: str) -> None:
        """See `Outbox`."""
        now, key = self._clock(), key_of(delivery)
        oldest = oldest_kept(now)
        with self._writing() as content:
            if not _is_leased(content, delivery):
                return
            del content.queued[key]
            dead = content.dead_letters
            for old in [each for each in dead if dead[each].due < oldest]:
                del dead[old]
            dead[key] = attrs.evolve(delivery, due=now, problem=problem, lease="")

    def queued(self, webhook_id: str) -> list[QueuedDelivery]:
        """See `Outbox`."""
        return sorted(_of(self._read().queued, webhook_id), key=attrgetter("age"))[:MOST_LISTED]

    def dead_letters(self, webhook_id: str) -> list[QueuedDelivery]:
        """See `Outbox`."""
        dead = sorted(
            _of(self._read().dead_letters, webhook_id), key=attrgetter("age"), reverse=True
        )
        return dead[:MOST_LISTED]

    def redeliver(self, webhook_id: str, delivery_ids: Collection[str]) -> int:
        """See `Outbox`."""
        now = self._clock()
        with self._writing() as content:
            dead = content.dead_letters
            chosen = [each for each in _of(dead, webhook_id) if each.delivery_id in delivery_ids]
            for each in chosen:
                del dead[key_of(each)]
                content.queued[key_of(each)] = each.again(now)
        return len(chosen)

    def watch(self, unchanged: Unchanged) -> None:
        """See `Outbox`."""
        self._watchers.add(unchanged)

    def unchanged(self, change: Change[Any]) -> None:
        """See a change that has left the content as it was."""
        self._watchers.show(change)


def forget_queued(content: Queues, webhook_id: str) -> None:
    """Remove the queued deliveries of a webhook."""
    for each in _of(content.queued, webhook_id):
        del content.queued[key_of(each)]


def forget(content: Queues, webhook_id: str) -> None:
    """Remove everything about a webhook."""
    forget_queued(content, webhook_id)
    for each in _of(content.dead_letters, webhook_id):
        del content.dead_letters[key_of(each)]


def forget_undone(content: Queues, model_id: str, events: Sequence[Event]) -> None:
    """Forget the deliveries of a model whose events are not there any more.

    One of them would hold up what comes after it, and the number of its event comes again. `events`
    are those that the model has now, whose deliveries stay.
    """
    there = {event.sequence: event for event in events}
    for deliveries in (content.queued, content.dead_letters):
        for key, each in list(deliveries.items()):
            if each.event.model_id != model_id:
                continue
            event = there.get(each.event.sequence)
            if event is None:
                del deliveries[key]
            else:
                deliveries[key] = attrs.evolve(each, event=event)


def awaits(content: Queues, model_id: str, newest: int) -> bool:
    """Return whether an event of a model up to a number is queued for a webhook, or given up."""
    listed = (*content.queued.values(), *content.dead_letters.values())
    return any(each.event.model_id == model_id and each.event.sequence <= newest for each in listed)


def key_of(delivery: QueuedDelivery) -> Key:
    """Return what tells a delivery from all others."""
    return delivery.delivery_id


def _of(deliveries: Mapping[Key, QueuedDelivery], webhook_id: str) -> list[QueuedDelivery]:
    return [each for each in tuple(deliveries.values()) if each.webhook_id == webhook_id]


def _ready(queued: Mapping[Key, QueuedDelivery], webhook_id: str, now: int) -> list[QueuedDelivery]:
    first: dict[str, QueuedDelivery] = {}
    for each in _of(queued, webhook_id):
        known = first.get(each.event.model_id)
        if known is None or each.event.sequence < known.event.sequence:
            first[each.event.model_id] = each
    return sorted((each for each in first.values() if each.due <= now), key=attrgetter("age"))


def _is_leased(content: Queues, delivery: QueuedDelivery) -> bool:
    queued = content.queued.get(key_of(delivery))
    return queued is not None and queued.lease == delivery.lease
