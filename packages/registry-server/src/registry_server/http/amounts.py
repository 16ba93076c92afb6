"""How much the registry holds, for `/metrics`: counted now and then, never by the scrape itself.

Strategy: to count may take seconds. So a scrape gets what was counted last, and has a thread count
anew if that is old; the thread's own pace sees to it that counting takes next to none of the
store's time. Each worker counts for itself, when it is scraped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from registry_core import Registry, RegistryError
from registry_core.metering import Amounts, amounts_of
from registry_server.http.exposition import Family, Sample

COUNT_SECONDS = 30.0
"""The age of a count at which a scrape has it made anew."""

REST_FACTOR = 100
"""How many times as long as a count took there is none: so counting takes a hundredth of the time
of one call to the store."""

FIRST_SECONDS = 1.0
"""How long the first scrape of a worker waits for its first count, so that there is no gap."""

_logger = logging.getLogger("registry_server")


class AmountsGauge:
    """What was counted last."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count: Callable[[], Amounts] | None = None
        self._known: Amounts | None = None
        self._again_at = float("-inf")
        self._counting = threading.Lock()
        self._first = threading.Event()

    def start(self, registry: Registry) -> None:
        """Count this registry from now on, if it can be counted."""
        self._count = amounts_of(registry.store)

    def families(self) -> list[Family]:
        """Return the gauges, possibly old ones; none before the first count."""
        if self._count is None:
            return []
        if self._clock() >= self._again_at and self._counting.acquire(blocking=False):
            threading.Thread(target=self._work, name="amounts", daemon=True).start()
        self._first.wait(FIRST_SECONDS)
        return [] if self._known is None else _families(self._known)

    def _work(self) -> None:
        assert self._count is not None, "it is only called when there is something to count"
        began = self._clock()
        try:
            self._known = self._count()
        except RegistryError as error:
            _logger.info("what the store holds could not be counted: %s", error)
        finally:
            took = self._clock() - began
            self._again_at = began + took + max(COUNT_SECONDS, REST_FACTOR * took)
            self._counting.release()
            self._first.set()


def _families(amounts: Amounts) -> list[Family]:
    gauges = (
        ("registry_models", "Registered models, prompts included.", amounts.models),
        ("registry_model_versions", "Model versions, those of prompts included.", amounts.versions),
        (
            "registry_webhook_queue",
            "Deliveries that webhooks are still to get.",
            amounts.queued,
        ),
        ("registry_webhook_dead_letters", "Deliveries that were given up.", amounts.dead_letters),
    )
    return [
        Family(name, "gauge", help_, [Sample({}, value)])
        for name, help_, value in gauges
        if value is not None
    ]
