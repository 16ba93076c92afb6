"""The kit accepts a correct store that it has never heard of, durable and shared."""

import pytest

from registry_core.testing import OutageTests, StatefulTests
from registry_core.testing.aliases import AliasTests
from registry_core.testing.concurrency import ConcurrencyTests
from registry_core.testing.durability import DurabilityTests
from services.examples import examples
from services.pickled_store import PickledStore, locked, opener


class TestPickledStore(AliasTests, ConcurrencyTests, DurabilityTests):
    """The parts that need more than one handle, and one that does not; the others would be slow."""

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "store"

    @pytest.fixture
    def backend(self, path, clock):
        return PickledStore(path, clock)

    @pytest.fixture
    def reopen(self, path, clock):
        return lambda: PickledStore(path, clock)

    @pytest.fixture
    def opener(self, path):
        return opener(path)


class TestPickledStoreAway(OutageTests):
    """A lock that somebody else holds on to is this store's outage."""

    @pytest.fixture
    def backend(self, tmp_path, clock):
        return PickledStore(tmp_path / "store", clock, patience_seconds=0.01)

    @pytest.fixture
    def outage(self, tmp_path):
        return lambda: locked(tmp_path / "store")


class TestPickledStoreMachine(StatefulTests):
    max_examples = examples(10, gate=2)

    @pytest.fixture
    def make_store(self, tmp_path_factory):
        return lambda clock: PickledStore(tmp_path_factory.mktemp("store") / "store", clock)
