"""The memory store keeps every promise of a store."""

import pytest

from registry_core.changes import CreateModel
from registry_core.idempotency import Idempotency, KeptKey
from registry_core.models import NewRegisteredModel
from registry_core.stores.document_store import keep
from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock, StatefulTests, StoreTests
from registry_core.testing.calls import TESTER
from services.examples import examples


class TestMemoryStore(StoreTests):
    durable = False
    shared = False

    @pytest.fixture
    def backend(self, clock: ManualClock) -> MemoryStore:
        return MemoryStore(clock)


class TestMemoryStoreMachine(StatefulTests):
    """Two memory stores: what the machine compares does not depend on anything else."""

    max_examples = examples(25, gate=5)

    @pytest.fixture
    def make_store(self):
        return MemoryStore


class CountedKeys(dict[str, KeptKey]):
    """Kept keys that count how many of them are looked at."""

    seen = 0

    def values(self):
        for each in super().values():
            self.seen += 1
            yield each


def test_a_creation_looks_at_no_keys_that_stay():
    """A day's keys are many, and a creation under a key must not take longer with each of them."""
    keys, hour = CountedKeys(), 3_600_000
    for number in range(100):
        new = NewRegisteredModel(name=f"m{number}")
        key = Idempotency.of(f"k{number}", what="create", asked={})
        change = CreateModel(new, idempotency=key)
        after = change.apply(None, number * hour)
        keep(keys, change, after, by=TESTER, now=number * hour)
    assert [each.time for each in dict.values(keys)] == [number * hour for number in range(75, 100)]
    assert keys.seen <= 200
