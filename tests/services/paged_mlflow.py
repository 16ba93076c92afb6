"""A store that stands for a server of MLflow's whose pages begin after any number of rows."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TypeVar

import attrs

from registry_core import ModelVersion, Page, RegisteredModel
from registry_core.search import Query
from services.counted_mlflow import CountedMlflow

ALL = 10**9

RowT = TypeVar("RowT")


class PagedMlflow(CountedMlflow):
    """Its models come in any order, and something may happen before each page of versions."""

    def __init__(self) -> None:
        # Two changes of one moment would look alike.
        clock = itertools.count(1_700_000_000_000)
        super().__init__(clock=lambda: next(clock))
        self.order: Callable[[str], object] = lambda name: name
        self.order_of_versions: Callable[[str], object] | None = None
        self.before_a_page: Callable[[], None] = lambda: None
        self._one_at_a_time = threading.RLock()

    def located(self, version: ModelVersion) -> ModelVersion:
        return attrs.evolve(super().located(version), storage_location="s3://there")

    def models_page(self, query: Query) -> Page[RegisteredModel]:
        self.asked["models"] += 1
        start = int(query.page_token or 0)
        page = self._models(attrs.evolve(query, page_token=None), start)
        further = None if page.next_page_token is None else str(start + len(page))
        return attrs.evolve(page, next_page_token=further)

    def models_from(self, query: Query, start: int) -> Page[RegisteredModel]:
        self.asked["model pages"] += 1
        return self._models(query, start)

    def _models(self, query: Query, start: int) -> Page[RegisteredModel]:
        whole = super().search_registered_models(attrs.evolve(query, max_results=ALL))
        rows = sorted(whole.items, key=lambda model: self.order(model.name))
        return self._page(rows, query, start)

    def versions_from(self, query: Query, start: int) -> Page[ModelVersion]:
        with self._one_at_a_time:
            self.asked["version pages"] += 1
            self.before_a_page()
            whole = super().search_model_versions(attrs.evolve(query, max_results=ALL))
        order = self.order_of_versions or self.order
        rows = sorted(whole.items, key=lambda row: (order(row.name), row.version))
        return self._page(rows, query, start)

    def _page(self, rows: list[RowT], query: Query, start: int) -> Page[RowT]:
        end = start + query.max_results
        return Page(rows[start:end], "further" if end < len(rows) else None)
