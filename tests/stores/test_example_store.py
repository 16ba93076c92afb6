"""The store of docs/writing-a-store.md passes the kit."""

import functools
from pathlib import Path

import pytest
from json_file_store import JsonFileStore

from registry_core.testing import StatefulTests, StoreTests

ROOT = Path(__file__).parents[2]


class TestJsonFileStore(StoreTests):
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "registry.json"

    @pytest.fixture
    def backend(self, path, clock):
        return JsonFileStore(path, clock)

    @pytest.fixture
    def reopen(self, path, clock):
        return lambda: JsonFileStore(path, clock)

    @pytest.fixture
    def opener(self, path):
        return functools.partial(JsonFileStore, path)


class TestJsonFileStoreMachine(StatefulTests):
    max_examples = 2

    @pytest.fixture
    def make_store(self, tmp_path_factory):
        return lambda clock: JsonFileStore(
            tmp_path_factory.mktemp("store") / "registry.json", clock
        )


def test_the_example_is_short():
    """A store takes an afternoon, not a month."""
    assert len((ROOT / "examples" / "json_file_store.py").read_text().splitlines()) < 300
