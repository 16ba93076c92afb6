"""Deliveries as objects: what one says, and its bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import attrs

from registry_core.errors import StoreCorruptedError
from registry_core.outbox import QueuedDelivery
from registry_core.stores.s3.event_format import event_of, line_of
from registry_core.stores.s3.format import dump

FORMAT_VERSION = 1
"""The `format_version` of a delivery. A release that finds another leaves the object alone."""

KIND = "delivery"


@attrs.frozen(kw_only=True)
class StoredDelivery:
    """A delivery, and how to find out whether its event was made."""

    delivery: QueuedDelivery
    operation: str
    """The operation that was to make the event."""
    line: str
    """The digest of the event's line, as the log of the model has it if it was made."""


def digest(line: str) -> str:
    """Return what tells the line of an event from any other."""
    return hashlib.sha256(line.encode()).hexdigest()


def encode(stored: StoredDelivery) -> bytes:
    """Return the bytes of a delivery."""
    delivery = stored.delivery
    fields: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "operation": stored.operation,
        "line": stored.line,
        "webhook_id": delivery.webhook_id,
        "model_id": delivery.event.model_id,
        "event": json.loads(line_of(delivery.event)[1]),
        "is_prompt": delivery.is_prompt,
        "details": delivery.details,
        "failures": delivery.failures,
        "first_attempt": delivery.first_attempt,
        "due": delivery.due,
        "problem": delivery.problem,
    }
    return f"{dump(fields)}\n".encode()


def decode(key: str, body: bytes) -> StoredDelivery:
    """Return the delivery in an object.

    Raises:
        StoreCorruptedError: It holds none.
    """
    try:
        fields = json.loads(body)
        if (fields["format_version"], fields["kind"]) != (FORMAT_VERSION, KIND):
            raise ValueError("it is not a delivery of this release")  # noqa: TRY301 as below
        delivery = QueuedDelivery(
            webhook_id=fields["webhook_id"],
            event=event_of(dump(fields["event"]), fields["model_id"]),
            is_prompt=fields["is_prompt"],
            details=fields["details"],
            failures=fields["failures"],
            first_attempt=fields["first_attempt"],
            due=fields["due"],
            problem=fields["problem"],
        )
        return StoredDelivery(delivery=delivery, operation=fields["operation"], line=fields["line"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"[:500]
        raise StoreCorruptedError(f"The object '{key}' cannot be read: {why}") from error
