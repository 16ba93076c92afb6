"""How often a copy asks a server of MLflow's, which keeps no history: each request is a query there."""

from __future__ import annotations

from registry_core import Registry
from registry_core.moves import copying
from registry_core.moves.sources import StoreSource
from registry_core.stores.memory import MemoryStore
from services.counted_mlflow import CountedMlflow

MODELS = 5


def filled() -> tuple[CountedMlflow, Registry]:
    store = CountedMlflow()
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
