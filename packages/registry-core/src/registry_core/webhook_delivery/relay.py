"""`Relay`: delivers what a store has queued for its webhooks.

Strategy: one thread takes deliveries by lease, no more than there are threads free to make them at
once, and hands them to the `Outbox` of this process. It looks when this process has made a change,
when a delivery has ended, and otherwise now and then, for what other processes have queued. Where
there is no webhook it only looks whether one was created.

Nothing is kept here that would be missed: a process that dies leaves leases that run out.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from registry_core.authors import Author
from registry_core.changes import Change
from registry_core.errors import RegistryError
from registry_core.models import Webhook
from registry_core.outbox import Outbox as StoredOutbox
from registry_core.outbox import QueuedDelivery
from registry_core.webhook_delivery import cloud_events
from registry_core.webhook_delivery.attempts import Delivery, body_of, moment
from registry_core.webhook_delivery.delivery import Deliveries
from registry_core.webhook_delivery.outbox import OutboxFullError
from registry_core.webhooks import notification_of, payload_of

_logger = logging.getLogger(__name__)

IDLE_SECONDS = 60.0
"""Seconds between two looks for a webhook where none is known. A change of webhooks by this process
is known at once, and one by another process when this one makes a change; so this is for webhooks
that `regctl` or the library has created while no change goes through a server."""

AFTER_FAILURE_SECONDS = 5.0
"""Seconds before the store is asked again after it could not be."""

LEASE_MARGIN_SECONDS = 15.0
"""Seconds that a lease is longer than an attempt may take: for looking up the host, for the store,
and for clocks that differ. After a crash, others wait that much longer."""


class Relay:
    """Delivers what the outbox of a store holds, through the threads of `deliveries`."""

    def __init__(
        self,
        outbox: StoredOutbox,
        deliveries: Deliveries,
        *,
        attempt_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._deliveries = deliveries
        self._lease_seconds = attempt_seconds + LEASE_MARGIN_SECONDS
        self._clock = clock
        self._woken = threading.Event()
        self._is_closing = False
        self._has_failed = False
        self._changing = threading.Lock()
        self._running: Counter[str] = Counter()
        self._retries: list[float] = []
        self._thread = threading.Thread(target=self._run, name="webhook-relay", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._outbox.watch(self.unchanged)
        self._thread.start()

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Take no further delivery. Those under way are left to `Deliveries.close`."""
        self._is_closing = True
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)

    def observe(self, change: Change[Any], _: Any, __: Author) -> None:
        """Look for what a change of this process has queued."""
        if self._deliveries.may_have_listeners(change.topics):
            self._woken.set()

    def unchanged(self, change: Change[Any]) -> None:
        """Send webhooks a change that changed nothing, from memory: nothing is queued."""
        notification = notification_of(change, None)
        if notification is not None:
            self._deliveries.publish(notification)

    def webhooks_changed(self) -> None:
        """Look again which webhooks there are."""
        self._deliveries.webhooks_changed()
        self._woken.set()

    def _run(self) -> None:
        while not self._is_closing:
            try:
                pause = self._look()
                self._has_failed = False
            except RegistryError as error:
                if not self._has_failed:  # Once for each outage.
                    _logger.warning("The queued events of webhooks cannot be read: %s", error)
                pause, self._has_failed = AFTER_FAILURE_SECONDS, True
            except Exception:
                _logger.exception("The queued events of webhooks cannot be read")
                pause = AFTER_FAILURE_SECONDS
            self._woken.wait(pause)
            self._woken.clear()

    def _look(self) -> float:
        """Takes what is due and can be made now; gives the seconds until the next look."""
        hooks = self._deliveries.listeners()
        if not hooks:
            return IDLE_SECONDS
        for hook in hooks:
            self._take(hook)
        return self._until_next_look()

    def _until_next_look(self) -> float:
        now = time.monotonic()
        with self._changing:
            while self._retries and self._retries[0] <= now:
                heapq.heappop(self._retries)
            soonest = self._retries[0] - now if self._retries else self._outbox.poll_seconds
        return min(soonest, self._outbox.poll_seconds)

    def _take(self, hook: Webhook) -> None:
        threads, of_hook = self._deliveries.threads, self._deliveries.threads_per_webhook
        with self._changing:
            room = min(of_hook - self._running[hook.webhook_id], threads - self._running.total())
        if room <= 0:
            return
        for queued in self._outbox.take(
            hook.webhook_id, limit=room, lease_seconds=self._lease_seconds
        ):
            with self._changing:
                self._running[hook.webhook_id] += 1
            try:
                self._deliveries.run(hook, partial(self._work, hook, queued))
            except OutboxFullError:  # The process ends, or a queue of its own is full.
                self._ended(hook)

    def _work(self, hook: Webhook, queued: QueuedDelivery) -> None:
        try:
            self._deliver(hook, queued)
        except Exception:
            # The lease runs out, and the delivery is made again.
            _logger.exception("What became of a webhook delivery cannot be written down")
        finally:
            self._ended(hook)

    def _ended(self, hook: Webhook) -> None:
        with self._changing:
            self._running[hook.webhook_id] -= 1
            if not self._running[hook.webhook_id]:
                del self._running[hook.webhook_id]
        self._woken.set()

    def _deliver(self, hook: Webhook, queued: QueuedDelivery) -> None:
        what = payload_of(
            queued.event, is_prompt=queued.is_prompt, details=queued.details, subscribed=hook.events
        )
        if what is None:
            self._outbox.done(queued)  # The webhook does not want it any more.
            return
        topic, data = what
        now = round(self._clock() * 1000)
        first = queued.first_attempt
        if first is None or now - first >= self._deliveries.retries.lifetime_seconds * 1000:
            # Receivers refuse what was signed long ago, such as before a server died.
            first = now
        at = moment(queued.event.time)
        delivery = Delivery(
            webhook=hook,
            body=body_of(topic, at, data),
            cloud_event=cloud_events.attributes(topic, at, data),
            retries=self._deliveries.retries,
            delivery_id=queued.delivery_id,
            timestamp=str(first // 1000),
            failures=queued.failures,
            age_seconds=(now - first) / 1000,
        )
        pause = self._attempt(delivery)
        problem = delivery.problem()
        if pause is not None:
            tried = attrs.evolve(queued, failures=delivery.failures, first_attempt=first)
            self._retry(tried, pause)
        elif problem is None:
            self._outbox.done(queued)
        else:
            self._deliveries.log_failure(hook, topic, problem)
            tried = attrs.evolve(queued, failures=delivery.failures)
            self._outbox.dead(tried, problem=problem)

    def _attempt(self, delivery: Delivery) -> float | None:
        try:
            return self._deliveries.attempt(delivery)
        except Exception as error:
            # Again would fail again, and hold up what comes after it.
            _logger.exception("A webhook delivery failed unexpectedly")
            delivery.outcome = error
            return None

    def _retry(self, queued: QueuedDelivery, pause: float) -> None:
        self._outbox.retry(queued, due=round((self._clock() + pause) * 1000))
        with self._changing:
            heapq.heappush(self._retries, time.monotonic() + pause)
