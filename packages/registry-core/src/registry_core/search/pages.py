"""Reading a search page by page, from a store that may be a third party's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from registry_core.errors import UnexpectedAnswerError
from registry_core.search.nodes import Page

EMPTY_PAGES_MAX = 100
"""Pages without a row that may follow one another. Some servers filter a page after they cut it;
one that never stops would hold the reader forever."""

T = TypeVar("T")


def all_pages(page_after: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """Yield every row of a search; see `every_page`."""
    for page in every_page(page_after):
        yield from page.items


def every_page(page_after: Callable[[str | None], Page[T]]) -> Iterator[Page[T]]:
    """Yield every page of a search; `page_after` gives the page of a token, the first for None.

    Raises:
        UnexpectedAnswerError: the pages do not move on: a token comes a second time, or there are
            too many pages without a row.
    """
    token: str | None = None
    seen: set[str] = set()
    empty = 0
    while True:
        page = page_after(token)
        yield page
        token = page.next_page_token
        if token is None:
            return
        empty = 0 if page.items else empty + 1
        if token in seen or empty > EMPTY_PAGES_MAX:
            raise UnexpectedAnswerError(
                "The pages of a search do not move on: "
                + ("one leads back to an earlier one." if token in seen else "they stay empty.")
            )
        seen.add(token)
