"""A page by name of what a scope has, read piece by piece of the scope.

Strategy: names and prefixes are ranges of the index that has a page by name in its order. So the
page is read from the first range, and from the next only as long as it is not full: nobody reads
what lies between the ranges. Ranges that follow one another are one statement. So are names that
do. After `READS_MOST` statements that did not fill the page, the rest is read as everything from
there on, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

import attrs

from registry_core.name_scope import NameScope
from registry_core.search import AttributeRef, Comparison, Entity, Op, Query, paging
from registry_core.search.like import escaped
from registry_core.stores.sql import filters
from registry_core.stores.sql.results import CutRows, Row
from registry_core.stores.sql.scopes import Range

READS_MOST = 32
"""Statements of one page at most; each is a round trip."""

NAMES_MOST = 500
"""Names of one piece. Of most there is a row."""

_FEW_ROWS = (2, 8, 32)
"""Rows that a read asks for where a page lacks no more: each number is a statement of its own."""

_NAME = AttributeRef("name")


@attrs.frozen
class _Piece:
    """Names that follow one another: those that begin with a text, or a list."""

    first: str
    names: tuple[str, ...] = ()
    """Empty for all that begin with `first`."""
    is_whole: bool = True
    """Whether all of them are in the scope."""
    range: Range | None = None
    """The same as a range of the index; None where it is not exactly that."""

    def ends_before(self, name: str) -> bool:
        """Return whether all of its names come before one."""
        if self.names:
            return self.names[-1] < name
        return self.first < name and not name.startswith(self.first)


class Run(Protocol):
    """Reads the rows of a query, of the names in some ranges if there are any."""

    def __call__(self, part: Query, ranges: Sequence[Range] = ()) -> list[Row]:
        """Return the rows of the page and one more, if there is one."""
        ...


def is_by_pieces(query: Query) -> bool:
    """Return whether the page of a query is read so."""
    scope = query.scope
    return (
        scope is not None
        and query.order_by[0].field == "name"
        and all(_head(pattern) for pattern in scope.globs)
    )


def read(query: Query, run: Run) -> list[Row]:
    """Return the rows of a page and one more, if there is one, as `run` reads those of a query."""
    scope = query.scope
    assert scope is not None, "otherwise there are no pieces"
    most = paging.most_entities(query) + 1
    position = paging.position(query)
    pieces = _pieces_of(scope)
    if not query.order_by[0].ascending:
        pieces = pieces[::-1]
    if position is not None:
        pieces = _from_on(pieces, str(position[0]), is_ascending=query.order_by[0].ascending)
    records: list[Row] = []
    for number, (piece, ranges) in enumerate(_reads(query, pieces)):
        rest = number == READS_MOST
        part = _rest_of(query, piece) if rest else _part_of(query, piece, ranges)
        part = attrs.evolve(part, max_results=_rows_for(most - len(records), most) - 1)
        if position is not None:
            part = attrs.evolve(part, page_token=paging.token_at(part, position))
        rows = run(part, () if rest else ranges)
        records += rows[: most - len(records)]
        if isinstance(rows, CutRows):
            return CutRows(records)
        if rest or len(records) >= most:
            break
    return records


def _rows_for(lacking: int, most: int) -> int:
    """How many rows to ask for: those that the page lacks, and perhaps some more."""
    return next((rows for rows in _FEW_ROWS if lacking <= rows < most), most)


def _from_on(pieces: Sequence[_Piece], name: str, *, is_ascending: bool) -> Sequence[_Piece]:
    """The pieces in which anything comes after a name, in the order of the page."""
    if is_ascending:
        return [piece for piece in pieces if not piece.ends_before(name)]
    return [piece for piece in pieces if piece.first <= name]


def _reads(query: Query, pieces: Sequence[_Piece]) -> Iterator[tuple[_Piece, Sequence[Range]]]:
    """Yield what is read at a time: a piece, or with ranges those that begin with it."""
    is_plain = query.entity is Entity.REGISTERED_MODEL and not query.filter
    place = 0
    while place < len(pieces):
        ranges: list[Range] = []
        for piece in pieces[place:] if is_plain else ():
            if piece.range is None:
                break
            ranges.append(piece.range)
        yield pieces[place], ranges
        place += len(ranges) or 1


def _part_of(query: Query, piece: _Piece, ranges: Sequence[Range]) -> Query:
    if ranges:
        return attrs.evolve(query, scope=None)
    if piece.names:
        clause = Comparison(_NAME, Op.IN, piece.names)
    else:
        clause = Comparison(_NAME, Op.LIKE, f"{escaped(piece.first)}%")
    scope = None if piece.is_whole else query.scope
    return attrs.evolve(query, filter=(*query.filter, clause), scope=scope)


def _rest_of(query: Query, piece: _Piece) -> Query:
    """Everything from a piece on, of which the scope is looked at row by row."""
    if query.order_by[0].ascending:
        beyond = Comparison(_NAME, Op.GE, piece.first)
    elif piece.names:
        beyond = Comparison(_NAME, Op.LE, piece.names[-1])
    else:
        _, end = _range_of(piece.first) or ("", "")
        beyond = Comparison(_NAME, Op.LT, end)
    return attrs.evolve(query, filter=(*query.filter, beyond))


_kept: WeakKeyDictionary[NameScope, Sequence[_Piece]] = WeakKeyDictionary()
"""The pieces of scopes, which live as long as the rights that they are of."""


def _pieces_of(scope: NameScope) -> Sequence[_Piece]:
    pieces = _kept.get(scope)
    if pieces is None:
        pieces = _kept[scope] = tuple(_pieces(scope))
    return pieces


def _pieces(scope: NameScope) -> Iterator[_Piece]:
    """The pieces of a scope, by name, none of which has a name of another."""
    whole = [_Piece(prefix, range=_exact_range_of(prefix)) for prefix in scope.prefixes]
    heads = [_Piece(_head(pattern), is_whole=False) for pattern in scope.globs]
    ranges: list[_Piece] = []
    # Two ranges are apart, or one is within the other: that comes behind it.
    for piece in sorted({*whole, *heads}, key=lambda each: (each.first, not each.is_whole)):
        if not ranges or not piece.first.startswith(ranges[-1].first):
            ranges.append(piece)
    names = list(scope.names)
    place = 0
    for piece in ranges:
        begin = place
        while place < len(names) and names[place] < piece.first:
            place += 1
        yield from _lists(names[begin:place])
        yield piece
        while place < len(names) and names[place].startswith(piece.first):
            place += 1
    yield from _lists(names[place:])


def _lists(names: list[str]) -> Iterator[_Piece]:
    for start in range(0, len(names), NAMES_MOST):
        listed = tuple(names[start : start + NAMES_MOST])
        yield _Piece(listed[0], listed)


def _head(pattern: str) -> str:
    """What all names begin with that a pattern matches."""
    return pattern[: min(place for place in map(pattern.find, "*?") if place >= 0)]


def _range_of(prefix: str) -> Range | None:
    return filters.like_range("name", f"{escaped(prefix)}%")


def _exact_range_of(prefix: str) -> Range | None:
    """The range of the names that begin with a text; None where it has others, too."""
    found = _range_of(prefix)
    return found if found is not None and found[0] == prefix else None
