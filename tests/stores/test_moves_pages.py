"""Copying from a server of MLflow's, which is read page by page while others write."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from registry_core import ModelVersion, Page, Registry, snapshot_pieces, snapshot_reading
from registry_core.errors import RegistryError, UnsupportedBackendError
from registry_core.moves import copying, mlflow_pages, snapshot_buffer, version_rows
from registry_core.moves.outcomes import Difference
from registry_core.moves.sources import StoreSource
from registry_core.search import Query, page_sizes
from registry_core.stores.memory import MemoryStore
from services.paged_mlflow import ALL, PagedMlflow

MODELS = 60
VERSIONS = 7
PROMPT = {"mlflow.prompt.is_prompt": "true"}


@pytest.fixture
def store() -> PagedMlflow:
    """A filled store, whose models have names in both cases, and some of which are prompts."""
    store = PagedMlflow()
    registry = Registry(store)
    for number in range(MODELS):
        name = f"{'Mm'[number % 2]}odel {number:02}"
        if number % 10 == 9:
            registry.create_registered_model(name, tags=PROMPT)
            registry.create_model_version(name, source="dummy-source", tags=PROMPT)
            continue
        registry.create_registered_model(name, tags={"team": "ü"})
        for version in range(1, number % VERSIONS + 1):
            source = f"models:/{name}/1" if version == 2 else f"s3://b/{version}"
            registry.create_model_version(name, source=source, tags={"n": str(version)})
            registry.set_registered_model_alias(name, "champion", version)
        if number % VERSIONS > 3:
            registry.delete_model_version(name, 2)
    store.asked.clear()
    return store


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a few rows, as if there were many more models."""
    monkeypatch.setattr(page_sizes, "MOST_ROWS", 11)
    monkeypatch.setattr(page_sizes, "FIRST_ROWS", 5)
    monkeypatch.setattr(mlflow_pages, "VERSIONS_AT_A_LOOK", 15)
    monkeypatch.setattr(mlflow_pages, "MODELS_AT_A_LOOK", 6)


def copied(store: PagedMlflow) -> Registry:
    """A copy of it, of which nothing is missing."""
    target = Registry(MemoryStore())
    done = [*copying.copy(StoreSource(store), target)]
    assert {each.outcome.value for each in done} == {"copied"}
    assert [each.name for each in done] == sorted(each.name for each in done)
    assert names(target.store) == [each.name for each in done]
    assert len(done) == MODELS
    return target


def names(store: MemoryStore) -> list[str]:
    """Those of the models and the prompts."""
    return [*StoreSource(store).names()]


def assert_same(store: PagedMlflow, target: Registry) -> None:
    """Each model is as the store has it, when it is read by itself."""
    assert not differences(store, target)


def differences(store: PagedMlflow, target: Registry) -> list[Difference]:
    """Where models of the store, read by themselves, are others."""
    return [*copying.compare(StoreSource(_OneByOne(store)), StoreSource(target.store))]


class _OneByOne(MemoryStore):
    """The same models, of a store without pages."""

    def __init__(self, store: PagedMlflow) -> None:
        super().__init__()
        self.events = store.events  # type: ignore[method-assign]
        self._read = store._read  # type: ignore[method-assign]
        self.located = store.located


def test_models_are_read_in_pages_and_not_one_by_one(store: PagedMlflow) -> None:
    target = copied(store)
    located = store.asked.pop("located")
    assert located == sum(number % 7 in (2, 3) and number % 10 != 9 for number in range(MODELS))
    # Two lists of names, a first look at versions of models and prompts and the pages ahead of
    # them, and a second look at either.
    assert store.asked.pop("version pages") <= 2 * (2 + version_rows.PAGES_AHEAD)
    assert store.asked.pop("events") == 1
    assert store.asked == {"models": 2, "model pages": 2}
    assert_same(store, target)


@pytest.mark.usefixtures("small_pages")
def test_small_pages_hang_together(store: PagedMlflow) -> None:
    target = copied(store)
    assert store.asked["get"] == 0
    assert_same(store, target)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("rows", [4, snapshot_pieces.PIECE_ROWS], ids=["in files", "small"])
def test_a_server_may_sort_names_as_its_language_does(
    store: PagedMlflow, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Models wait for their turn in a file, large ones in pieces."""
    monkeypatch.setattr(snapshot_pieces, "PIECE_ROWS", rows)
    store.order = str.casefold
    target = copied(store)
    assert store.asked["get"] == 0
    assert_same(store, target)


@pytest.mark.usefixtures("small_pages")
def test_many_models_of_many_bytes_may_wait_for_their_turn(
    store: PagedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them wait where the server gives the first name last."""
    monkeypatch.setattr(snapshot_reading, "IN_MEMORY_BYTES", 0)
    store.order = lambda name: [-ord(character) for character in name]
    target = copied(store)
    assert store.asked["get"] == 0
    assert_same(store, target)


@pytest.mark.usefixtures("small_pages")
def test_versions_in_another_order_than_names_are_read_model_by_model(store: PagedMlflow) -> None:
    store.order_of_versions = lambda name: name[::-1]
    target = copied(store)
    assert store.asked["get"] > MODELS // 2
    # What does not hang together is read no further.
    assert store.asked["version pages"] <= 2 * (2 + version_rows.PAGES_AHEAD)
    assert_same(store, target)


def test_a_server_without_such_pages_is_read_model_by_model(
    store: PagedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(query: Query, start: int) -> Page[ModelVersion]:
        raise UnsupportedBackendError("tokens of its own")

    monkeypatch.setattr(store, "versions_from", refuse)
    target = copied(store)
    assert store.asked["get"] == MODELS
    assert_same(store, target)


@pytest.mark.usefixtures("small_pages")
def test_what_waited_too_long_is_read_again(
    store: PagedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_buffer, "FRESH_SECONDS", -1.0)
    target = copied(store)
    assert store.asked["get"] == MODELS
    assert_same(store, target)


def test_a_model_is_read_again_by_who_asks_again(store: PagedMlflow) -> None:
    (item,) = StoreSource(store).items("name = 'Model 06'")
    assert item[1]().version_count == 5
    Registry(store).create_model_version("Model 06", source="s3://b/7")
    assert item[1]().version_count == 6
    Registry(store).delete_registered_model("Model 06")
    with pytest.raises(RegistryError, match="not found"):
        item[1]()


def test_a_filter_for_names_is_one_for_versions(store: PagedMlflow) -> None:
    items = [*StoreSource(store).items("name LIKE 'M%' AND name != 'Model 02'")]
    assert [name for name, _ in items] == [f"Model {n:02}" for n in range(0, MODELS, 2) if n != 2]
    assert {name: read().version_count for name, read in items}["Model 06"] == 5
    assert store.asked["get"] == 0


def test_a_filter_for_tags_has_models_read_one_by_one(store: PagedMlflow) -> None:
    Registry(store).set_registered_model_tag("Model 02", "stand", "1")
    ((name, read),) = StoreSource(store).items("tags.stand = '1'")
    assert (name, read().version_count) == ("Model 02", 2)
    assert (store.asked["version pages"], store.asked["get"]) == (0, 1)


@pytest.mark.usefixtures("small_pages")
def test_rows_that_move_cost_a_few_requests(store: PagedMlflow) -> None:
    """Others create a model and versions before all that is left to read."""
    copied(store)
    quiet = store.asked["version pages"]
    registry = Registry(store)
    store.asked.clear()

    def once() -> None:
        if store.asked["version pages"] == 3:
            registry.create_registered_model("A new one")
            for number in range(1, 4):
                registry.create_model_version("A new one", source=f"s3://b/{number}")
            store.asked["get"] = 0

    store.before_a_page = once
    target = Registry(MemoryStore())
    assert {each.outcome.value for each in copying.copy(StoreSource(store), target)} == {"copied"}
    assert store.asked["version pages"] <= quiet + version_rows.PAGES_AHEAD
    # Until a second look shows that the models have moved by one.
    assert store.asked["get"] <= mlflow_pages.LOOKS_AHEAD + 2
    target.create_registered_model("A new one")
    assert {each.name for each in differences(store, target)} == {"A new one"}


@pytest.mark.usefixtures("small_pages")
def test_rows_that_go_have_earlier_pages_read_again(
    store: PagedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others delete nearly all that was read so far, so that the next page begins much earlier."""
    # No model is looked at again, and copied, before that.
    monkeypatch.setattr(mlflow_pages, "VERSIONS_AT_A_LOOK", ALL)
    monkeypatch.setattr(mlflow_pages, "MODELS_AT_A_LOOK", MODELS)
    registry = Registry(store)
    deleted = [f"Model {number:02}" for number in range(1, MODELS // 4) if number % 2 == 0]

    def once() -> None:
        if store.asked["version pages"] == 4:
            for name in deleted:
                for version in registry.iter_model_versions(f"name = '{name}'"):
                    registry.delete_model_version(name, version.version)
            store.asked["get"] = 0

    store.before_a_page = once
    target = copied(store)
    # The models that have changed, each read until two looks agree.
    assert 0 < store.asked["get"] <= 2 * len(deleted)
    assert_same(store, target)


State = tuple[Mapping[int, str], Mapping[str, int], Mapping[str, str]]


class Writer:
    """Changes models of a store at random, and knows each state that each of them had."""

    def __init__(self, store: PagedMlflow, dice: random.Random) -> None:
        self._store, self._dice = store, dice
        self._registry = Registry(store)
        self.states: dict[str, list[State]] = {}
        self.changed = 0
        for name in names(store):
            self._note(name)

    def _note(self, name: str) -> None:
        self.states.setdefault(name, []).append(state_of(self._registry, name))

    def change(self) -> None:
        """Some change of some model."""
        name = self._dice.choice(names(self._store))
        change = self._dice.choice(
            [self._create, self._delete, self._delete, self._alias, self._tag, self._stage]
            + [self._rename, self._remove, self._new] * (self._dice.random() < 0.3)
        )
        change(name)
        self.changed += 1

    def _numbers(self, name: str) -> list[int]:
        return [*self.states[name][-1][0]]

    def _create(self, name: str) -> None:
        self._registry.create_model_version(name, source="s3://b/new")
        self._note(name)

    def _delete(self, name: str) -> None:
        for number in self._dice.sample(self._numbers(name), k=min(1, len(self._numbers(name)))):
            self._registry.delete_model_version(name, number)
            self._note(name)

    def _alias(self, name: str) -> None:
        for number in self._numbers(name)[-1:]:
            self._registry.set_registered_model_alias(name, "champion", number)
            self._note(name)

    def _tag(self, name: str) -> None:
        self._registry.set_registered_model_tag(name, "stand", str(self.changed))
        self._note(name)

    def _stage(self, name: str) -> None:
        for number in self._numbers(name)[:1]:
            self._registry.transition_model_version_stage(name, number, stage="Staging")
            self._note(name)

    def _rename(self, name: str) -> None:
        self._registry.rename_registered_model(name, new_name=f"{name[0]} {self.changed}")
        self._note(f"{name[0]} {self.changed}")

    def _remove(self, name: str) -> None:
        self._registry.delete_registered_model(name)

    def _new(self, name: str) -> None:
        self._registry.create_registered_model(f"{name[:5]}new {self.changed}")
        self._note(f"{name[:5]}new {self.changed}")


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("seed", range(12))
def test_what_changes_between_pages_is_copied_as_it_was_at_one_moment(
    store: PagedMlflow, seed: int
) -> None:
    """And the next run brings up to date what has changed since."""
    dice = random.Random(seed)
    writer = Writer(store, dice)
    listed = {*names(store)}

    def sometimes() -> None:
        for _ in range(dice.choice([0, 1, 2, 3])):
            writer.change()

    store.before_a_page = sometimes
    if seed % 2:
        store.order = str.casefold
    target = Registry(MemoryStore())
    done = {each.name: each.outcome.value for each in copying.copy(StoreSource(store), target)}
    assert done.keys() == listed
    assert set(done.values()) <= {"copied", "gone"}
    assert writer.changed > 10
    for name in names(target.store):
        assert state_of(target, name) in writer.states[name], name
    store.before_a_page = lambda: None
    left = {*names(store)}
    assert {name for name, outcome in done.items() if outcome == "gone"} <= listed - left
    again = [*copying.copy(StoreSource(store), target)]
    assert {each.outcome.value for each in again} <= {"copied", "unchanged", "updated"}
    for name in {*names(target.store)} - left:
        target.delete_registered_model(name)
    assert_same(store, target)


def state_of(registry: Registry, name: str) -> State:
    """What of a model others could see at one moment."""
    document = registry.snapshot(name).document
    stages = {number: str(each.current_stage) for number, each in document.versions.items()}
    return stages, dict(document.aliases), dict(document.tags)
