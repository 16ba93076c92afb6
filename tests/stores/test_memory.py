"""The memory store keeps every promise of a store."""

import pytest

from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock, StatefulTests, StoreTests


class TestMemoryStore(StoreTests):
    durable = False
    shared = False

    @pytest.fixture
    def backend(self, clock: ManualClock) -> MemoryStore:
        return MemoryStore(clock)


class TestMemoryStoreMachine(StatefulTests):
    """Two memory stores: what the machine compares does not depend on anything else."""

    max_examples = 5

    @pytest.fixture
    def make_store(self):
        return MemoryStore
