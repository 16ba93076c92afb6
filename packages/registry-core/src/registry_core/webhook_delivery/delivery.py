"""`Deliveries`: sends events to webhooks, after the fact and without delaying the change.

What a store has queued comes from the `Relay`. This sends, from memory, what no store queues:
the changes of a store that has no outbox, and changes that changed nothing.

Strategy: a change of the registry calls `observe`, which compares the event with a remembered list
of webhooks and is done in microseconds when no webhook listens. Otherwise one thread looks up what
is left to know (the list, when it is old; whether a model is a prompt) and puts one job per webhook
into the `Outbox`. Nothing is kept anywhere else: such a delivery is made at most once per life of
the process that the request went to, like on MLflow (contract 6.3).
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import attrs

from registry_core.authors import Author
from registry_core.changes import Change
from registry_core.errors import NotFoundError, RegistryError
from registry_core.models import Webhook, WebhookEvent
from registry_core.topics import Topics
from registry_core.webhook_delivery import cloud_events
from registry_core.webhook_delivery.attempts import ACCEPTED, REDIRECTS, Delivery, Retries, body_of
from registry_core.webhook_delivery.outbox import Outbox, OutboxFullError
from registry_core.webhook_delivery.sender import ReceiverResponse, Sender
from registry_core.webhooks import SAMPLES, Notification, Webhooks, notification_of
from registry_core.wire.webhooks import TestResult

_logger = logging.getLogger(__name__)

NOTIFICATIONS_PENDING = 10_000
"""Notifications that may wait to be looked into; further ones are dropped and logged."""

CACHE_SECONDS = 5.0
"""Seconds that a change of webhooks by another process may stay unknown, unless settings say
otherwise. So often at most does a process that makes changes read the list of webhooks."""

TEST_LIFETIME_SECONDS = 60.0
"""As `Retries.lifetime_seconds`, for a test delivery: a client waits for it, and MLflow's client
asks again, for another delivery, when it has no answer after 120 seconds."""

TESTS_AT_A_TIME = 2
"""Test deliveries of a process under way, and one of them for each webhook. A test waits for its
receiver in one of the few threads in which webhooks are created and changed, for up to
`TEST_LIFETIME_SECONDS`: with as many tests as there are threads, silent receivers would hold up
a client that creates another webhook for a minute."""


class TestsUnderWayError(Exception):
    """So many test deliveries wait for their receivers that one more has to come back later."""

    __test__ = False  # nothing that pytest should collect


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _by_event(webhooks: Sequence[Webhook]) -> Mapping[WebhookEvent, Sequence[Webhook]]:
    of_event: defaultdict[WebhookEvent, list[Webhook]] = defaultdict(list)
    for webhook in webhooks:
        for event in webhook.events:
            of_event[event].append(webhook)
    return dict(of_event)


@attrs.frozen
class _Listeners:
    """The webhooks to deliver to, as of some moment; `until` is on the monotonic clock."""

    webhooks: Sequence[Webhook]
    until: float
    of_event: Mapping[WebhookEvent, Sequence[Webhook]] = attrs.field(init=False)

    @of_event.default
    def _of_event(self) -> Mapping[WebhookEvent, Sequence[Webhook]]:
        return _by_event(self.webhooks)


_UNKNOWN = _Listeners((), until=float("-inf"))

_Waiting: TypeAlias = tuple[Notification, str] | None
"""A notification and its time; None ends the thread that reads them."""


class Deliveries:
    """Delivers a registry's events to its webhooks.

    `is_prompt` says whether the registered model of that name is a prompt; it is asked in a
    thread of its own, and only when a webhook listens. A change of webhooks by this process acts at
    once if it calls `webhooks_changed`, one by another process after `cache_seconds` at most.
    """

    def __init__(
        self,
        webhooks: Webhooks,
        *,
        is_prompt: Callable[[str], bool],
        sender: Sender | None = None,
        outbox: Outbox | None = None,
        retries: Retries | None = None,
        cache_seconds: float = CACHE_SECONDS,
    ) -> None:
        self._webhooks = webhooks
        self._is_prompt = is_prompt
        self._sender = sender or Sender(webhooks.urls)
        self._outbox = outbox or Outbox()
        self.retries = retries or Retries()
        self._cache_seconds = cache_seconds
        self._known = _UNKNOWN
        self._generation = 0
        self._notifications: queue.Queue[_Waiting] = queue.Queue(NOTIFICATIONS_PENDING)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._testing = threading.Lock()
        self._tested: set[str] = set()

    def observe(self, change: Change[Any], result: Any, _: Author) -> None:
        """Send a change that has been made to the webhooks, if it is an event."""
        notification = notification_of(change, result)
        if notification is not None:
            self.publish(notification)

    def publish(self, notification: Notification) -> None:
        """Send it to the webhooks that listen to it; return at once and never raise."""
        known = self._known
        if time.monotonic() < known.until and not _anybody(known, notification):
            return
        try:
            self._start()
            self._notifications.put_nowait((notification, _now()))
        except queue.Full:
            _logger.warning("Too many events: webhooks do not get one of %r", notification.name)
        except RuntimeError as error:  # No thread can be started.
            _logger.warning("Webhooks do not get an event of %r: %s", notification.name, error)

    # For the relay

    @property
    def threads(self) -> int:
        """How many deliveries can be made at a time."""
        return self._outbox.threads

    @property
    def threads_per_webhook(self) -> int:
        """How many of them may be for one webhook."""
        return self._outbox.threads_per_key

    def may_have_listeners(self, topics: Topics) -> bool:
        """Return whether a webhook wants one of these events, or nobody has looked lately.

        Asks nobody.
        """
        known = self._known
        if time.monotonic() >= known.until:
            return True
        # Most registries have no webhook at all, and events are slow to hash.
        asked_for = known.of_event
        return bool(asked_for) and any(each in asked_for for each in topics.all)

    def listeners(self) -> Sequence[Webhook]:
        """Return the webhooks to deliver to, as of `cache_seconds` ago or later."""
        return self._listeners().webhooks

    def run(self, webhook: Webhook, job: Callable[[], None]) -> None:
        """Have a job for a webhook run soon.

        Raises:
            OutboxFullError: too many are waiting, or the end has come.
        """
        self._outbox.submit(webhook.webhook_id, job)

    def attempt(self, delivery: Delivery) -> float | None:
        """See `Delivery.attempt`."""
        return delivery.attempt(self._sender, self._webhooks)

    def log_failure(self, webhook: Webhook, event: WebhookEvent, problem: str) -> None:
        """Say that a delivery was given up."""
        _logger.warning("Webhook %s did not get %s: %s", _shown(webhook), event, problem)

    def webhooks_changed(self) -> None:
        """Forget which webhooks there are."""
        self._generation += 1
        self._known = _UNKNOWN

    def test(self, webhook: Webhook, event: WebhookEvent) -> TestResult:
        """Return how a delivery of the event's sample goes, retries included.

        The status is ignored.

        Raises:
            TestsUnderWayError: `TESTS_AT_A_TIME` tests are under way, or one of this webhook.
        """
        with self._a_test_of(webhook.webhook_id):
            return self._test(webhook, event)

    @contextlib.contextmanager
    def _a_test_of(self, webhook_id: str) -> Iterator[None]:
        with self._testing:
            if webhook_id in self._tested or len(self._tested) >= TESTS_AT_A_TIME:
                raise TestsUnderWayError
            self._tested.add(webhook_id)
        try:
            yield
        finally:
            with self._testing:
                self._tested.remove(webhook_id)

    def _test(self, webhook: Webhook, event: WebhookEvent) -> TestResult:
        at, sample = _now(), SAMPLES[event]
        delivery = Delivery(
            webhook=webhook,
            body=body_of(event, at, sample),
            cloud_event=cloud_events.attributes(event, at, sample),
            retries=attrs.evolve(self.retries, lifetime_seconds=TEST_LIFETIME_SECONDS),
        )
        try:
            while (pause := delivery.attempt(self._sender, self._webhooks)) is not None:
                if self._closing.wait(pause):
                    break
        except Exception as error:
            _logger.exception("A test delivery failed unexpectedly")
            delivery.outcome = error
        return _test_result(delivery)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Wait for deliveries under way, so long at most, and abandon the others."""
        end = time.monotonic() + timeout_seconds
        with self._starting:
            thread, self._thread = self._thread, None
            self._closing.set()
        if thread is not None:
            with contextlib.suppress(queue.Full):
                self._notifications.put(None, timeout=timeout_seconds)
            thread.join(max(0.0, end - time.monotonic()))
        undelivered = self._outbox.close(max(0.0, end - time.monotonic()))
        abandoned = undelivered + self._notifications.qsize()
        if abandoned:
            _logger.warning("%d webhook deliveries were abandoned at shutdown", abandoned)

    def _start(self) -> None:
        if self._thread is None:
            with self._starting:
                if self._closing.is_set():
                    raise RuntimeError("the server is ending")
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._dispatch, name="webhook-dispatch", daemon=True
                    )
                    self._thread.start()

    def _dispatch(self) -> None:
        while (waiting := self._notifications.get()) is not None:
            notification, timestamp = waiting
            try:
                self._tell(notification, timestamp)
            except Exception:
                _logger.exception("Webhooks do not get an event of %r", notification.name)

    def _tell(self, notification: Notification, timestamp: str) -> None:
        known = self._listeners()
        if not _anybody(known, notification):
            return
        event = notification.event(is_prompt=self._concerns_prompt(notification))
        if event is None or event not in known.of_event:
            return
        body = body_of(event, timestamp, notification.data)
        cloud_event = cloud_events.attributes(event, timestamp, notification.data)
        for webhook in known.of_event[event]:
            delivery = Delivery(
                webhook=webhook, body=body, cloud_event=cloud_event, retries=self.retries
            )
            self._submit(delivery, event)

    def _concerns_prompt(self, notification: Notification) -> bool:
        if notification.is_prompt is not None:
            return notification.is_prompt
        try:
            return self._is_prompt(notification.name)
        except NotFoundError:
            return False  # Deleted or renamed a moment later; most are models.

    def _submit(self, delivery: Delivery, event: WebhookEvent) -> None:
        def job() -> float | None:
            pause = delivery.attempt(self._sender, self._webhooks)
            problem = delivery.problem() if pause is None else None
            if problem:
                self.log_failure(delivery.webhook, event, problem)
            return pause

        name = _shown(delivery.webhook)
        try:
            self._outbox.submit(delivery.webhook.webhook_id, job)
        except OutboxFullError:
            _logger.warning("Webhook %s is too slow and did not get %s", name, event)

    def _listeners(self) -> _Listeners:
        """The webhooks to deliver to, read again when what is known is too old."""
        known = self._known
        if time.monotonic() < known.until:
            return known
        generation = self._generation
        try:
            webhooks = self._webhooks.active_webhooks()
        except RegistryError:
            if known is _UNKNOWN:
                raise
            _logger.warning("The list of webhooks cannot be read; the last one known is used")
            webhooks = known.webhooks
        known = _Listeners(webhooks, time.monotonic() + self._cache_seconds)
        if generation == self._generation:
            self._known = known
        return known


def _shown(webhook: Webhook) -> str:
    # The URL stays out of the log: those of chat services are secrets in themselves.
    return f"{webhook.name!r} ({webhook.webhook_id})"


def _anybody(known: _Listeners, notification: Notification) -> bool:
    # Most registries have no webhook at all, and events are slow to hash.
    if not known.of_event:
        return False
    return any(event in known.of_event for event in notification.possible_events)


def _test_result(delivery: Delivery) -> TestResult:
    answer = delivery.outcome
    if not isinstance(answer, ReceiverResponse):
        return TestResult(success=False, error_message=f"Failed to test webhook: {answer!r}")
    return TestResult(
        success=answer.status in ACCEPTED,
        response_status=answer.status,
        response_body=answer.body,
        error_message=delivery.problem() if answer.status in REDIRECTS else None,
    )
