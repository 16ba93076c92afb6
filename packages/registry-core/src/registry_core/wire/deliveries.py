"""Deliveries to webhooks on the wire of our own routes, both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from registry_core.errors import StoreCorruptedError
from registry_core.outbox import QueuedDelivery
from registry_core.wire.history import Json, decode_event, encode_event


@attrs.frozen(kw_only=True)
class Deliveries:
    """The queued deliveries and the dead letters of a webhook."""

    queued: Sequence[QueuedDelivery]
    dead: Sequence[QueuedDelivery]


@attrs.frozen(kw_only=True)
class GetDeliveries:
    """The webhook whose deliveries are wanted."""

    webhook_id: str


@attrs.frozen(kw_only=True)
class Redeliver:
    """The deliveries of a webhook that are to be made again after they were given up."""

    webhook_id: str
    delivery_ids: tuple[str, ...]


def encode_delivery(delivery: QueuedDelivery) -> Json:
    """Return a delivery as JSON."""
    return {
        "delivery_id": delivery.delivery_id,
        "webhook_id": delivery.webhook_id,
        "failures": delivery.failures,
        "due": delivery.due,
        "problem": delivery.problem,
        "event": encode_event(delivery.event),
    }


def encode_deliveries(deliveries: Deliveries) -> Json:
    """Return the answer that holds the deliveries of a webhook."""
    return {
        "queued": list(map(encode_delivery, deliveries.queued)),
        "dead": list(map(encode_delivery, deliveries.dead)),
    }


def decode_deliveries(answer: Mapping[str, Any]) -> Deliveries:
    """Return the deliveries in an answer.

    Raises:
        StoreCorruptedError: It holds none.
    """
    try:
        return Deliveries(
            queued=[_decoded(each) for each in answer["queued"]],
            dead=[_decoded(each) for each in answer["dead"]],
        )
    except (LookupError, TypeError, ValueError) as error:
        raise StoreCorruptedError(f"A delivery cannot be read: {error}") from error


def _decoded(fields: Mapping[str, Any]) -> QueuedDelivery:
    return QueuedDelivery(
        webhook_id=str(fields["webhook_id"]),
        event=decode_event(fields["event"]),
        is_prompt=False,  # which only who delivers needs to know
        failures=int(fields["failures"]),
        due=int(fields["due"]),
        problem=fields["problem"],
    )
