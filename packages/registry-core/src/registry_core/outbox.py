"""`Outbox`: the queued events of webhooks, kept by the store with the changes themselves.

A store that has an outbox queues an event for every active webhook that wants it, in the same
atomic step as the change. So whichever process made the change, and whatever dies afterwards, a
server that serves the store finds what is left to deliver.

Servers and their workers share the deliveries by lease: a worker takes one for a while, and it
comes back if it was not finished by then. Of one model and one webhook the next event is not given
out before the one before it is delivered or dead. An event may therefore be delivered more than
once, always under the same id, and not out of order.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol, TypeAlias

import attrs

from registry_core import history, validation
from registry_core.changes import (
    CHANGES,
    Change,
    CreateModel,
    CreateVersion,
    DeleteModelTag,
    FinalizeVersion,
    RestoreDeletedModel,
    SetModelTag,
)
from registry_core.errors import UnsupportedBackendError
from registry_core.history import Event
from registry_core.models import ModelVersion, Status
from registry_core.topics import Topics

_logger = logging.getLogger(__name__)

DEAD_LETTER_DAYS = 30
"""Days that a store keeps a delivery that was given up. Ours; a longer time costs rows."""

MOST_LISTED = 1_000
"""Deliveries of one webhook that are listed at once."""

_DELIVERY_IDS = uuid.UUID("6f1c2a8e-8d0b-5f0e-9a51-3b0f6f6f2d11")
"""The name space of the ids of deliveries. Another one gives every delivery another id."""

_DAY_MILLISECONDS = 24 * 60 * 60 * 1000

Unchanged: TypeAlias = Callable[[Change[Any]], None]
"""Sees, in the thread of the caller, a change that left the store as it was."""

OWN_EVENTS: Final = frozenset(
    event
    for change in CHANGES.values()
    for event in (change.topics.own_of_model, change.topics.own_of_prompt)
    if event is not None
)
"""The events that MLflow does not know."""


@attrs.frozen
class Audience:
    """Which webhooks get a change, and what its event does not say by itself."""

    topics: Topics
    is_prompt: bool | None = None
    """Whether the model is a prompt; None where its tags have to be asked."""
    details: Mapping[str, Any] | None = None
    """The fields of a version that has become READY, as the event of a creation has them."""


def audience(change: Change[Any], version: ModelVersion | None = None) -> Audience | None:
    """Return which webhooks get a change; None where it is not an event for webhooks.

    Args:
        change: The change.
        version: The result of a `FinalizeVersion`.
    """
    topics = change.topics
    match change:
        case CreateVersion() if not is_published(change.new.status):
            return None
        case FinalizeVersion() if version is not None:
            if not is_published(version.status):
                topics = attrs.evolve(topics, of_model=None, of_prompt=None)
            is_prompt = validation.is_prompt(version.tags)
            return Audience(topics, is_prompt, history.version_fields(version))
    return Audience(topics, _is_prompt(change)) if topics.all else None


def is_published(status: Status) -> bool:
    """Return whether webhooks hear of such a version: not while its files are on their way."""
    return status is Status.READY


def _is_prompt(change: Change[Any]) -> bool | None:
    """Whether the change itself says that its model is a prompt."""
    match change:
        case CreateModel() | CreateVersion():
            return validation.is_prompt(change.new.tags)
        case RestoreDeletedModel():
            return validation.is_prompt(change.document.tags)
        case SetModelTag(key=validation.PROMPT_TAG):
            return validation.is_prompt({change.key: change.value})
        case DeleteModelTag(key=validation.PROMPT_TAG):
            return False
    return None


def oldest_kept(now: int) -> int:
    """Return when the oldest dead letters were given up that are still kept; milliseconds."""
    return now - DEAD_LETTER_DAYS * _DAY_MILLISECONDS


def delivery_id(webhook_id: str, model_id: str, sequence: int) -> str:
    """Return the id under which a webhook gets an event, however often and from any server."""
    return str(uuid.uuid5(_DELIVERY_IDS, f"{webhook_id}/{model_id}/{sequence}"))


@attrs.frozen(kw_only=True)
class QueuedDelivery:
    """An event queued for a webhook, or, where there is a `problem`, a dead letter."""

    webhook_id: str
    event: Event
    is_prompt: bool
    """Whether the model was a prompt when the event happened."""
    details: Mapping[str, Any] | None = None
    """See `Audience`."""
    failures: int = 0
    """Attempts that the receiver has not accepted."""
    first_attempt: int | None = None
    """Milliseconds since the epoch; None before the first failure."""
    due: int = 0
    """Milliseconds since the epoch: when it may be taken, or, of a dead one, when it was given
    up."""
    problem: str | None = None
    """Why it was given up."""
    lease: str = ""
    """Shows the store that the worker which finishes the delivery is the one that took it."""

    @property
    def delivery_id(self) -> str:
        """See `delivery_id`."""
        return delivery_id(self.webhook_id, self.event.model_id, self.event.sequence)

    @property
    def age(self) -> tuple[int, str, int]:
        """What deliveries are sorted by, oldest first: when they are due, then their events."""
        return self.due, self.event.model_id, self.event.sequence

    def again(self, now: int) -> QueuedDelivery:
        """Return the delivery, which was given up, as it is queued anew."""
        return attrs.evolve(self, due=now, problem=None, failures=0, first_attempt=None)


class Watchers:
    """Those who want to see changes that changed nothing; see `Outbox.watch`."""

    def __init__(self) -> None:
        self._watchers: list[Unchanged] = []

    def add(self, watcher: Unchanged) -> None:
        """Show further changes to one more."""
        self._watchers.append(watcher)

    def show(self, change: Change[Any]) -> None:
        """Show a change to all; what they raise is logged, and nothing to its caller."""
        for watcher in self._watchers:
            try:
                watcher(change)
            except Exception:
                _logger.exception("A watcher of changes that changed nothing failed")


class DeliveryLog(Protocol):
    """The queued deliveries and the dead letters of webhooks."""

    def queued(self, webhook_id: str) -> list[QueuedDelivery]:
        """Return the deliveries that are still to be made, oldest first, at most `MOST_LISTED`."""
        ...

    def dead_letters(self, webhook_id: str) -> list[QueuedDelivery]:
        """Return the deliveries that were given up, newest first, at most `MOST_LISTED`."""
        ...

    def redeliver(self, webhook_id: str, delivery_ids: Collection[str]) -> int:
        """Queue dead letters anew; return how many of them there were."""
        ...


def listed(log: DeliveryLog, webhook_id: str) -> tuple[list[QueuedDelivery], list[QueuedDelivery]]:
    """Return the queued deliveries of a webhook and its dead letters.

    A delivery that is given up in between is among the dead letters alone.
    """
    queued = log.queued(webhook_id)
    dead = log.dead_letters(webhook_id)
    given_up = {each.delivery_id for each in dead}
    return [each for each in queued if each.delivery_id not in given_up], dead


class Outbox(DeliveryLog, Protocol):
    """What a store has queued for its webhooks.

    `retry` and `dead` of a delivery whose lease has run out change nothing: somebody else has it by
    now. So does `done` in a database; in a bucket it forgets the delivery, which was made. All
    methods raise `StoreUnavailableError` as those of the store do.
    """

    @property
    def poll_seconds(self) -> float:
        """How often a server should look for what other processes have queued."""
        ...

    def take(self, webhook_id: str, *, limit: int, lease_seconds: float) -> list[QueuedDelivery]:
        """Return the deliveries that are due, oldest first, each of another model.

        Nobody else is given them, nor any later one of their models, until the lease runs out.
        """
        ...

    def done(self, delivery: QueuedDelivery) -> None:
        """Forget a delivery that has been made, or that nobody wants any more."""
        ...

    def retry(self, delivery: QueuedDelivery, *, due: int) -> None:
        """Keep a delivery that has failed for another attempt.

        Args:
            delivery: With its `failures` and `first_attempt` as they are now.
            due: Milliseconds since the epoch, when it may be taken again.
        """
        ...

    def dead(self, delivery: QueuedDelivery, *, problem: str) -> None:
        """Give up a delivery; it is kept for `DEAD_LETTER_DAYS`, and the next ones go on."""
        ...

    def watch(self, unchanged: Unchanged) -> None:
        """Have `unchanged` called for every further change, in this process, that changes nothing.

        It makes no event and is not queued, but MLflow sends it to webhooks.
        """
        ...


def outbox_of(store: object) -> Outbox | None:
    """Return the outbox of a store; None where it keeps none."""
    method = getattr(store, "outbox", None)
    return None if method is None else method()


def delivery_log_of(store: object) -> DeliveryLog:
    """Return what a store knows of the deliveries to its webhooks.

    Raises:
        UnsupportedBackendError: It keeps no outbox.
    """
    method = getattr(store, "delivery_log", None)
    log: DeliveryLog | None = outbox_of(store) if method is None else method()
    if log is None:
        raise UnsupportedBackendError("This store keeps nothing of the deliveries to webhooks")
    return log
