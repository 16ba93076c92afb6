"""The rows of a search as they come from a database, until they are as much as a page may be.

Strategy: what a search finds may be a thousand times what it usually is. So rows are taken a few
at a time, and no more of them when there are enough. To weigh each one exactly would cost a few
percent of every search, so their characters are counted by column, and only where these could be
too much is each row weighed as its answer will have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from registry_core.search.paging import ENTITY_BYTES, PAGE_MAX_BYTES, text_bytes
from registry_core.stores.sql.compiling import Statement

Row: TypeAlias = tuple[Any, ...]

ROWS_AT_A_TIME = 16
"""Rows that are fetched before their size is looked at. Each has five MiB at most."""

FEW_ROWS = 256
"""Rows whose URIs are not worth counting: they are some MiB at most."""

SEARCH_SECONDS = 30.0
"""How long a search may take in a thread. With an index none takes a second, and without one it
looks at a million versions in that time. It is refused then, because few clients wait longer."""

_MOST_BYTES_OF_A_CHARACTER = 12
"""In the ASCII of an answer, where one beyond 16 bits is written as two escapes of six."""


class CutRows(list[Row]):
    """Rows that are as much as a page may be, and after which there are more."""


class PageOfRows:
    """The rows of one page of a search."""

    def __init__(self, statement: Statement) -> None:
        self.rows: list[Row] = []
        self._long_columns = statement.long_columns
        self._uri_columns = statement.uri_columns
        self._characters = 0
        self._bytes = 0
        self._weighed = 0
        """How many rows `_bytes` is about."""

    def is_full_with(self, rows: list[Row]) -> bool:
        """Take some more rows; whether no others are needed."""
        self.rows += rows
        self._characters += characters(rows, self._long_columns)
        if len(self.rows) > FEW_ROWS:
            self._characters += characters(rows, self._uri_columns)
        most = self._characters * _MOST_BYTES_OF_A_CHARACTER + len(self.rows) * ENTITY_BYTES
        return most > PAGE_MAX_BYTES and self._is_cut()

    def _is_cut(self) -> bool:
        for index in range(self._weighed, len(self.rows)):
            self._bytes += self._weight(self.rows[index])
            if self._bytes > PAGE_MAX_BYTES and index:
                self.rows = CutRows(self.rows[:index])
                return True
        self._weighed = len(self.rows)
        return False

    def _weight(self, row: Row) -> int:
        columns = (*self._long_columns, *self._uri_columns)
        return ENTITY_BYTES + sum(text_bytes(row[index] or "") for index in columns)


def characters(rows: Sequence[Row], long_columns: Sequence[int]) -> int:
    """Return the characters of the long texts of some rows."""
    if len(rows) == 1:
        row = rows[0]
        return sum([len(row[index] or "") for index in long_columns])
    return sum(
        [sum(map(len, filter(None, map(itemgetter(index), rows)))) for index in long_columns]
    )
