"""`Delivery`: what one webhook gets of one event, over as many attempts as it takes."""

from __future__ import annotations

import email.utils
import http.client
import json
import random
import ssl
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import attrs

from registry_core.backoff import Backoff
from registry_core.errors import RegistryError
from registry_core.models import Webhook, WebhookEvent
from registry_core.webhook_delivery.sender import BlockedAddressError, ReceiverResponse, Sender
from registry_core.webhooks import (
    UnresolvedHostError,
    Webhooks,
    sign,
)

_RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
ACCEPTED = range(200, 300)
"""The statuses of a receiver that has got it."""

REDIRECTS = range(300, 400)
"""The statuses that nobody follows."""


@attrs.frozen(kw_only=True)
class Retries:
    """When a delivery that failed is tried again (contract 6.3)."""

    most: int = 3
    backoff_seconds: float = 1.0
    """The first pause; each is twice the one before."""
    backoff_max_seconds: float = 60.0
    jitter_seconds: float = 1.0
    """Added to a pause at random, so that many deliveries do not return at once."""
    lifetime_seconds: float = 900.0
    """After the first attempt; a receiver that asks for more patience loses the delivery."""

    def pause(self, failures: int, retry_after: str | None) -> float:
        """Return the seconds to wait after so many failures.

        A receiver may ask for its own pause.
        """
        requested = _seconds(retry_after) if retry_after else None
        if requested is not None:
            return requested
        # Receivers know MLflow's rule: the whole ceiling, and jitter on top of it.
        backoff = Backoff(
            first_seconds=self.backoff_seconds, longest_seconds=self.backoff_max_seconds
        )
        jitter = random.uniform(0, self.jitter_seconds)  # noqa: S311 spreads load, guards nothing
        return backoff.ceiling(failures) + jitter


def _seconds(retry_after: str) -> float | None:
    """The value of a Retry-After header, a number of seconds or a date; None for neither."""
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after)
    try:
        date = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


@attrs.define(eq=False, kw_only=True)
class Delivery:
    """One body on its way to one webhook. Retries repeat id, timestamp and signature."""

    webhook: Webhook
    body: bytes
    retries: Retries
    cloud_event: Mapping[str, str] = attrs.field(factory=dict)
    """The headers that say it to receivers of CloudEvents; see `cloud_events.attributes`."""
    delivery_id: str = attrs.field(factory=lambda: str(uuid.uuid4()))
    timestamp: str = attrs.field(factory=lambda: str(int(time.time())))
    failures: int = 0
    age_seconds: float = 0.0
    """Since the first attempt, which another process may have made."""
    outcome: ReceiverResponse | Exception | None = None
    _end: float | None = attrs.field(default=None, init=False)

    def attempt(self, sender: Sender, webhooks: Webhooks) -> float | None:
        """Try once; return the seconds to wait before the next try, or None at the end."""
        if self._end is None:
            self._end = time.monotonic() + self.retries.lifetime_seconds - self.age_seconds
        retry_after = None
        try:
            answer = sender.post(self.webhook.url, self.body, self._headers(webhooks))
        except (RegistryError, OSError, http.client.HTTPException) as error:
            self.outcome = error
            passing = _is_passing(error)
        else:
            self.outcome = answer
            passing = answer.status in _RETRIED_STATUSES
            retry_after = answer.retry_after
        return self._again(retry_after, self._end) if passing else None

    def _again(self, retry_after: str | None, end: float) -> float | None:
        self.failures += 1
        if self.failures > self.retries.most:
            return None
        pause = self.retries.pause(self.failures, retry_after)
        return pause if time.monotonic() + pause < end else None

    def _headers(self, webhooks: Webhooks) -> Mapping[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "registry-server",
            "X-MLflow-Delivery-Id": self.delivery_id,
            "X-MLflow-Timestamp": self.timestamp,
        }
        if self.cloud_event:
            headers |= {**self.cloud_event, "ce-id": self.delivery_id}
        secret = webhooks.signing_secret(self.webhook)
        if secret:
            headers["X-MLflow-Signature"] = sign(
                secret, delivery_id=self.delivery_id, timestamp=self.timestamp, body=self.body
            )
        return headers

    def problem(self) -> str | None:
        """Return what went wrong in the last attempt, if anything."""
        if isinstance(self.outcome, ReceiverResponse):
            if self.outcome.status in REDIRECTS:
                return f"status {self.outcome.status}: redirects are not followed"
            return None if self.outcome.status in ACCEPTED else f"status {self.outcome.status}"
        return repr(self.outcome)


def _is_passing(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, RegistryError):
        return isinstance(error, UnresolvedHostError)
    return not isinstance(error, BlockedAddressError | ssl.SSLCertVerificationError)


def body_of(event: WebhookEvent, timestamp: str, data: Mapping[str, object]) -> bytes:
    """Return what a receiver gets of an event (contract 6.3)."""
    payload = {"entity": event.entity, "action": event.action, "timestamp": timestamp, "data": data}
    return json.dumps(payload).encode()


def moment(milliseconds: int) -> str:
    """Return a time in milliseconds since the epoch, as bodies have it."""
    since_epoch = timedelta(milliseconds=milliseconds)
    return (datetime.fromtimestamp(0, UTC) + since_epoch).isoformat(timespec="microseconds")
