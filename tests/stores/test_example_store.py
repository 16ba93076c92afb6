"""The store of docs/reference/writing-a-store.md passes the kit."""

import functools
from pathlib import Path

import pytest
from json_file_store import JsonFileStore

from registry_core.authors import Author
from registry_core.changes import (
    CreateModel,
    CreateVersion,
    DeleteVersion,
    SetAlias,
    SetModelTag,
)
from registry_core.history import EventQuery
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock, StatefulTests, StoreTests
from services.examples import examples

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
    max_examples = examples(10, gate=2)

    @pytest.fixture
    def make_store(self, tmp_path_factory):
        return lambda clock: JsonFileStore(
            tmp_path_factory.mktemp("store") / "registry.json", clock
        )


def test_the_example_is_short():
    """A store takes an afternoon, not a month."""
    assert len((ROOT / "examples" / "json_file_store.py").read_text().splitlines()) < 300


def test_a_history_survives_its_handle(tmp_path):
    """Every write reads the file anew, with all events before it."""
    clock, path = ManualClock(), tmp_path / "registry.json"
    reference = MemoryStore(clock)
    for change in (
        CreateModel(NewRegisteredModel(name="m", tags={"k": "v"})),
        CreateVersion(NewModelVersion(name="m", source="s3://b/1", tags={"k": "v"})),
        SetAlias(name="m", alias="champion", version=1),
        SetModelTag(name="m", key="k", value="w"),
        DeleteVersion(name="m", version=1),
    ):
        clock.advance(1)
        for store in (reference, JsonFileStore(path, clock)):
            store.apply(change, by=Author(actor="ann", reason="because"))
    expected = reference.events(EventQuery(name="m"))
    assert [event.sequence for event in expected] == [6, 5, 4, 3, 2, 1]
    assert JsonFileStore(path, clock).events(EventQuery(name="m")) == expected
