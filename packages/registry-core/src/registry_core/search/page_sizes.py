"""How many rows to ask for, so that a page is neither slow to make nor too large for memory.

Strategy. The first page is small, and shows how large its rows are. Those that follow have as many
rows as make about `PAGE_BYTES`. What the rows of the next page are like nobody knows before, so a
server's answer has a limit of its own. After a page that met it come small ones, each with up to
twice the rows of the one before: what was too large need not go on, and small pages are slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import attrs

from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search import paging
from registry_core.search.nodes import CutPage, Page, Query
from registry_core.search.pages import all_pages

FIRST_ROWS = 50
"""Rows of the first page."""

MOST_ROWS = 1_000
"""Rows of a page. More make each no cheaper for MLflow."""

FEWEST_ROWS = 2
"""Rows of a page: of one that begins with the last row of the page before, one is new."""

PAGE_BYTES = 1024 * 1024
"""Bytes that a page is to have as JSON; while it is decoded it takes some times as many. Smaller
pages would be slower: a database passes over all rows before a page, and MLflow looks for prompts
among all tags each time."""

AFTER_SHORT = 5
"""How many times the rows of a page that was cut short the next one may have. Such a page has
between all and a tenth of what would have fitted."""

TAG_BYTES = 64
"""What a tag or an alias has in MLflow's JSON besides its texts."""

RowT = TypeVar("RowT", RegisteredModel, ModelVersion)


@attrs.define
class PageRows(Generic[RowT]):
    """How many rows the pages of one search should have."""

    rows: int = attrs.field(factory=lambda: FIRST_ROWS)
    """Rows to ask for in the next page."""
    _of_one: int = 1
    _most: int = attrs.field(factory=lambda: MOST_ROWS)

    @property
    def text_bytes(self) -> int:
        """About how many bytes the next page will have in texts and tags."""
        return max(1, self._of_one - paging.ENTITY_BYTES) * self.rows

    def see(self, page: Page[RowT]) -> None:
        """Note the page that came last."""
        count = len(page.items)
        if not count:
            return
        if isinstance(page, CutPage):
            self._most = max(FEWEST_ROWS, min(self._most, AFTER_SHORT * count))
        else:
            self._most = min(2 * self._most, MOST_ROWS)
        self._of_one = max(1, sum(map(row_bytes, page.items)) // count)
        self.rows = max(FEWEST_ROWS, min(PAGE_BYTES // self._of_one, self._most))


def fitting_rows(
    search: Callable[[Query], Page[RowT]], query: Query, *, is_limited: bool = False
) -> Iterator[RowT]:
    """Yield every row of a search, read in pages that have as many rows as fit.

    The first page is small, unless the search gives fewer rows itself where these are many bytes:
    a registry of up to `MOST_ROWS` rows comes in one page then.
    """
    rows = PageRows[RowT](MOST_ROWS if is_limited else FIRST_ROWS)

    def page_after(token: str | None) -> Page[RowT]:
        page = search(attrs.evolve(query, page_token=token, max_results=rows.rows))
        rows.see(page)
        return page

    return all_pages(page_after)


def row_bytes(row: RegisteredModel | ModelVersion) -> int:
    """Return about how many bytes a row has in MLflow's JSON; a model has its newest versions."""
    latest = row.latest_versions if isinstance(row, RegisteredModel) else ()
    named = sum(len(each.tags) + len(each.aliases) for each in (row, *latest))
    return paging.entity_bytes(row) + TAG_BYTES * named
