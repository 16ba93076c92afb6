"""What a copy from a server of MLflow's has in memory at a time, where versions have long texts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from registry_core import (
    ModelVersion,
    Page,
    RegisteredModel,
    Registry,
    open_registry,
    snapshot_pieces,
    snapshot_reading,
)
from registry_core.moves import copying, version_rows
from registry_core.moves.mlflow_target import KeptSource
from registry_core.moves.sources import Item, StoreSource, held_by
from registry_core.search import CutPage, Query
from registry_core.search.page_sizes import FEWEST_ROWS, PAGE_BYTES
from registry_core.stores.rest.store import SHORT_PAGE_BYTES, SMALLER_PAGE
from services.paged_mlflow import PagedMlflow, RowT

LENGTH = 20_000
"""Characters of a version's description."""

MIB = 1024 * 1024


class WordyMlflow(PagedMlflow):
    """One whose versions have long texts, from a name on, which it makes when it gives them."""

    def __init__(self, wordy_from: str) -> None:
        super().__init__()
        self._wordy_from = wordy_from

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        page = super().search_registered_models(query)
        return attrs.evolve(page, items=[self._wordy(model) for model in page.items])

    def _page(self, rows: list[RowT], query: Query, start: int) -> Page[RowT]:
        """Of fewer rows where they are many bytes, as the client of a real server gives it."""
        page = super()._page(rows, query, start)
        texts = sum(row.name >= self._wordy_from for row in page.items)
        if texts * LENGTH > SHORT_PAGE_BYTES and query.max_results > FEWEST_ROWS:
            rows_left = max(FEWEST_ROWS, query.max_results // SMALLER_PAGE)
            fewer = attrs.evolve(query, max_results=rows_left)
            return CutPage.of(self._page(rows, fewer, start))
        return attrs.evolve(page, items=[self._wordy(row) for row in page.items])

    def _wordy(self, row: RowT) -> RowT:
        if row.name < self._wordy_from:
            return row
        if isinstance(row, ModelVersion):
            return attrs.evolve(row, description="x" * LENGTH)
        latest = tuple(self._wordy(version) for version in row.latest_versions)
        return attrs.evolve(row, latest_versions=latest)


def filled(models: int, versions: int, *, wordy_from: str = "") -> WordyMlflow:
    store = WordyMlflow(wordy_from)
    registry = Registry(store)
    for number in range(models):
        name = f"model {number:04}"
        registry.create_registered_model(name)
        for version in range(versions):
            registry.create_model_version(name, source=f"s3://b/{version}")
    return store


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Registry]:
    """One that keeps what it is given elsewhere."""
    with closing(open_registry(f"sqlite:///{tmp_path}/registry.db")) as registry:
        yield registry


@pytest.mark.parametrize(
    ("models", "versions", "wordy_from"),
    [
        pytest.param(1_000, 2, "", id="in the list of models"),
        pytest.param(1, 1_000, "", id="in one model"),
        pytest.param(2_000, 2, "model 1200", id="after pages of short ones"),
    ],
)
def test_a_copy_holds_few_of_the_texts_at_a_time(
    models: int, versions: int, wordy_from: str, target: Registry
) -> None:
    store = filled(models, versions, wordy_from=wordy_from)
    tracemalloc.start()
    done = [*copying.copy(StoreSource(store), target)]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {each.outcome.value for each in done} == {"copied"}
    assert sum(each.versions for each in done) == models * versions
    assert store.asked["get"] == 0
    assert target.get_model_version(done[-1].name, versions).description == "x" * LENGTH
    assert most < 12 * MIB


def test_few_models_are_on_their_way_where_they_are_large() -> None:
    assert _most_held([MIB] * 20) == copying.HELD_BYTES // MIB + 1
    # One alone may be larger than all may be together.
    assert _most_held([5 * copying.HELD_BYTES] * 4) == 2
    assert _most_held([10] * 100) == 2 * copying.PARALLEL + 1


def _most_held(sizes: list[int]) -> int:
    """How many of such models were taken at a time, whose outcomes were not given; one waits."""
    held = most = 0

    def items() -> Iterator[int]:
        nonlocal held, most
        for size in sizes:
            held += 1
            most = max(most, held)
            yield size

    for size in copying.in_parallel(int, items(), size_of=int):
        assert size in sizes
        held -= 1
    return most


def test_models_that_were_read_before_their_turn_say_how_large_they_are() -> None:
    """Also those of which another one is made; one in a file has a piece of it in memory."""
    source = StoreSource(filled(3, 2, wordy_from="model 0001"))
    assert [_held(item) for item in source.items()] == [0, 2, 2]
    assert [_held(item) for item in KeptSource(source).items()] == [0, 2, 2]
    (large,) = StoreSource(filled(1, snapshot_reading.IN_MEMORY_BYTES // LENGTH + 1)).items()
    assert held_by(large) == snapshot_pieces.PIECE_CHARACTERS


def _held(item: Item) -> int:
    """How many of the long texts a model has, as it says."""
    return held_by(item) // LENGTH


def test_few_pages_are_asked_for_ahead_where_they_are_large() -> None:
    """As many as a server has workers of small ones, and fewer of those that fill a page."""
    assert _asked_ahead(10) == version_rows.PAGES_AHEAD
    assert _asked_ahead(LENGTH) == version_rows.BYTES_AHEAD // PAGE_BYTES == 1


def _asked_ahead(length: int) -> int:
    """How many pages are asked for when the first version of the second one has come."""
    asked: list[int] = []
    text = "x" * length

    def ask(start: int, rows: int) -> Future[Page[ModelVersion]]:
        asked.append(start)
        numbers = range(start + 1, start + rows + 1)
        page = Future[Page[ModelVersion]]()
        page.set_result(Page([_version(number, text) for number in numbers], "further"))
        return page

    rows = iter(version_rows.VersionRows(ask, {"m": 0}))
    while len(asked) < 2:
        next(rows)
    return len(asked) - 1


def _version(number: int, description: str) -> ModelVersion:
    return ModelVersion(
        name="m",
        version=number,
        source="s3://b/m",
        creation_timestamp=1,
        last_updated_timestamp=1,
        description=description,
    )
