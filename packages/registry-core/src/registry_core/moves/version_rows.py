"""The versions of all models in the order of their names, read page by page while others write.

Strategy. MLflow's page begins after a number of rows, and what others create or delete before it
moves the rows in between. So each page begins with the last row of the page before. If it begins
with a row that comes later, rows have moved to the front: the page is read from an earlier row. If
it begins with rows that came before, these are passed over. So every version is seen that is there
while the page with its place is read. Where a row is in the order, the list of the names says that
the server has given: nothing else knows how its database sorts.

Some pages are on their way while one is used, so that the server always has something to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import TypeAlias

import attrs

from registry_core.errors import UnexpectedAnswerError
from registry_core.models import ModelVersion
from registry_core.search import Page
from registry_core.search.page_sizes import FEWEST_ROWS, PageRows

PAGES_AHEAD = 4
"""Pages that are on their way at a time: as many as a server of MLflow's has workers unless told
otherwise."""

BYTES_AHEAD = 3 * 512 * 1024
"""Bytes in texts and tags that the pages on their way are to have together. Each is decoded by a
thread of its own, for which the C library keeps what long texts took before."""

BACK_FACTOR = 8
"""How many times further back a page begins that was read again, and still begins too late."""

Place: TypeAlias = tuple[int, int]
"""Where a version is in the order: the place of its model's name, and its number."""

_BEFORE_ALL: Place = (-1, 0)


@attrs.frozen
class _Asked:
    """A page that was asked for."""

    start: int
    rows: int
    page: Future[Page[ModelVersion]]


@attrs.define
class VersionRows:
    """Reads the versions of models whose names are known, in the order of the names."""

    ask: Callable[[int, int], Future[Page[ModelVersion]]]
    """Asks for the page that begins after so many rows, and has at most so many."""
    places: Mapping[str, int]
    """Where the name of each model is in the server's order. Versions of others are left out."""
    _asked: deque[_Asked] = attrs.field(factory=deque)
    _rows: PageRows[ModelVersion] = attrs.field(factory=PageRows)
    _ahead: int = 1
    """Pages that are to be on their way."""
    _last: Place = _BEFORE_ALL

    def __iter__(self) -> Iterator[tuple[int, ModelVersion]]:
        """Yield the versions by name and number, each with the place of its model's name.

        Raises:
            UnexpectedAnswerError: The server gives them in another order than the names.
            UnsupportedBackendError: Its pages do not begin at any row.
        """
        start, back, seen = 0, 1, None
        while True:
            page = self._page(start)
            has_moved = seen is not None and (not page.items or _key(page.items[0]) != seen)
            if start and has_moved and not self._goes_on(page):
                start, back = max(0, start - back), back * BACK_FACTOR
                continue
            yield from self._new(page, has_moved=has_moved)
            if page.next_page_token is None:
                self._forget()
                return
            if len(page) < FEWEST_ROWS:
                raise UnexpectedAnswerError("A page has a row or none, and is not the last one")
            start, back, seen = start + len(page) - 1, 1, _key(page.items[-1])
            self._rows.see(page)
            self._ahead = max(1, min(BYTES_AHEAD // self._rows.text_bytes, PAGES_AHEAD))
            self._ask_ahead(start)

    def _goes_on(self, page: Page[ModelVersion]) -> bool:
        """Whether a page begins with a version that was seen, so that none is missing before it."""
        first = next((place for place in map(self._place, page.items) if place), None)
        return first is not None and first <= self._last

    def _new(
        self, page: Page[ModelVersion], *, has_moved: bool
    ) -> Iterator[tuple[int, ModelVersion]]:
        """Yield the versions of a page that were not seen; where rows have moved, it has others."""
        before = _BEFORE_ALL if has_moved else (self._last[0], self._last[1] - 1)
        for version in page.items:
            place = self._place(version)
            if place is None:
                continue
            if place <= before:
                raise UnexpectedAnswerError(
                    "The server has another order of versions than of names"
                )
            before = place
            if place > self._last:
                self._last = place
                yield place[0], version

    def _place(self, version: ModelVersion) -> Place | None:
        place = self.places.get(version.name)
        return None if place is None else (place, version.version)

    # Pages

    def _page(self, start: int) -> Page[ModelVersion]:
        """The page that begins there.

        It was asked for before, unless rows have moved, or the page before was cut short.
        """
        if self._asked and self._asked[0].start != start:
            self._forget()
        if not self._asked:
            self._ask(start)
        return self._asked.popleft().page.result()

    def _ask_ahead(self, start: int) -> None:
        """Ask for the pages that follow, the first of which begins there."""
        if self._asked and self._asked[0].start != start:
            self._forget()
        while len(self._asked) < self._ahead:
            last = self._asked[-1] if self._asked else None
            self._ask(start if last is None else last.start + last.rows - 1)

    def _ask(self, start: int) -> None:
        rows = self._rows.rows
        self._asked.append(_Asked(start, rows, self.ask(start, rows)))

    def _forget(self) -> None:
        for each in self._asked:
            each.page.cancel()
        self._asked.clear()


def _key(version: ModelVersion) -> tuple[str, int]:
    return version.name, version.version
