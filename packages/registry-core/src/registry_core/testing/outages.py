"""What a store promises while its backend does not answer: for stores that have one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import ClassVar, TypeAlias

import pytest

from registry_core.errors import StoreUnavailableError
from registry_core.models import Stage
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    StoreCase,
    create_model,
    create_version,
    new_webhook,
    transition,
)
from registry_core.testing.observing import dump, models_query, versions_query

Outage: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Stops the backend for as long as the block lasts; the data outlives it."""


class OutageTests(StoreCase):
    """Subclass it besides `StoreTests`, and override the fixture `outage`."""

    quickly_seconds: ClassVar[float] = 10.0
    """Seconds in which each call must give up."""

    @pytest.fixture
    def outage(self) -> Outage:
        """Stops the backend of `store` for as long as the block lasts."""
        pytest.fail(f"{type(self).__name__} must override the fixture `outage`")

    def test_calls_fail_quickly_during_an_outage_and_work_after_it(
        self, store: Calls, outage: Outage
    ) -> None:
        """Each says that the store is unavailable; nothing of it happens, then or later."""
        create_model(store)
        create_version(store)
        before = dump(store)
        with outage():
            for call in calls(store):
                began = time.monotonic()
                with pytest.raises(StoreUnavailableError):
                    call()
                assert time.monotonic() - began < self.quickly_seconds
        assert dump(store) == before
        store.ping()
        assert create_version(store).version == 2

    def test_a_store_outlives_several_outages(self, store: Calls, outage: Outage) -> None:
        """It comes back each time, also when nobody used it meanwhile."""
        create_model(store)
        for number in (1, 2, 3):
            with outage():
                pass
            assert create_version(store).version == number


def calls(store: Calls) -> Iterator[Callable[[], object]]:
    """One call of each kind, all of which would succeed."""
    yield store.ping
    yield lambda: store.get_registered_model("m")
    yield lambda: store.get_model_version("m", 1)
    yield lambda: store.search_registered_models(models_query())
    yield lambda: store.search_model_versions(versions_query())
    yield store.list_webhooks
    yield lambda: create_model(store, "new")
    yield lambda: create_version(store)
    yield lambda: store.rename_registered_model("m", new_name="new")
    yield lambda: transition(store, 1, Stage.STAGING, archive=True)
    yield lambda: store.set_model_version_tag("m", 1, "k", "v")
    yield lambda: store.set_registered_model_alias("m", "a", version=1)
    yield lambda: store.delete_model_version("m", 1)
    yield lambda: store.delete_registered_model("m")
    yield lambda: store.create_webhook(new_webhook())
