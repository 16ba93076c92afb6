"""How often a copy asks a server of MLflow's, which keeps no history: each request is a query there."""

from __future__ import annotations

from collections import Counter

from registry_core import ModelVersion, Page, RegisteredModel, Registry
from registry_core.errors import UnsupportedBackendError
from registry_core.history import Event, EventQuery
from registry_core.moves import copying
from registry_core.moves.sources import StoreSource
from registry_core.search import Query
from registry_core.stores.memory import MemoryStore

MODELS = 5


class Counted(MemoryStore):
    """A store that stands for such a server, and counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def events(self, query: EventQuery) -> list[Event]:
        self.asked["events"] += 1
        raise UnsupportedBackendError("it keeps none")

    def get_registered_model(self, name: str) -> RegisteredModel:
        self.asked["get"] += 1
        return super().get_registered_model(name)

    def located(self, version: ModelVersion) -> ModelVersion:
        self.asked["located"] += 1
        return version

    def search_versions_alone(self, query: Query) -> Page[ModelVersion]:
        self.asked["versions"] += 1
        return super().search_model_versions(query)


def filled() -> tuple[Counted, Registry]:
    store = Counted()
    registry = Registry(store)
    for number in range(MODELS):
        registry.create_registered_model(f"m{number}", tags={"b": "1", "a": "2"})
        registry.create_model_version(f"m{number}", source="s3://b/1")
        registry.create_model_version(f"m{number}", source=f"models:/m{number}/1")
        registry.set_registered_model_alias(f"m{number}", "champion", 1)
    store.asked.clear()
    return store, registry


def test_a_model_takes_two_requests() -> None:
    store, _ = filled()
    done = [*copying.copy(StoreSource(store), Registry(MemoryStore()))]
    assert {each.outcome.value for each in done} == {"copied"}
    # Those on their way at once may all ask for a history before the first is refused.
    assert store.asked.pop("events") <= copying.PARALLEL
    assert store.asked == {"versions": MODELS, "get": MODELS, "located": MODELS}


def test_a_model_that_changed_since_it_was_listed_is_read_again() -> None:
    store, registry = filled()
    items = dict(StoreSource(store).items())
    registry.create_model_version("m1", source="s3://b/3")
    registry.delete_model_version("m2", 2)
    registry.delete_model_version("m2", 1)
    store.asked.clear()
    assert [*items["m1"]().document.versions] == [1, 2, 3]
    assert dict(items["m2"]().document.aliases) == {}
    assert store.asked["get"] == 4
