"""What a copy from a server of MLflow's has in memory at a time, where versions have long texts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from registry_core import ModelVersion, Page, RegisteredModel, Registry, open_registry
from registry_core.moves import copying
from registry_core.moves.sources import StoreSource
from registry_core.search import CutPage, Query
from registry_core.search.page_sizes import FEWEST_ROWS
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
