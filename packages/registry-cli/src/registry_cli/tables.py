"""Aligned text: tables and records, as pure functions from cells to lines."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

Row = Sequence[str]

GAP = "  "
"""What stands between two columns."""

SAMPLE_ROWS = 1_000
"""Rows that settle the width of the columns; later ones are printed as they arrive."""

NARROWEST = 8
"""Columns that a terminal's width never shortens a cell below."""

BEARABLE = 24
"""Columns that a cell of any column but the first keeps, before a whole column is left out."""

FEWEST_COLUMNS = 2
"""With fewer, a table says nothing that a list of names does not."""

ELLIPSIS = "…"


_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""What Unicode calls a letter, mark or symbol, and shows as nothing."""


def printable(text: str) -> str:
    """Return the text with all escaped that a terminal would act on, or that shows as nothing.

    Names, tags, sources and what servers answer are other people's texts. Escaped are controls (C0,
    DEL, C1), line breaks, what turns the direction of writing, other format characters, surrogates,
    and blanks but the space: whatever is printed so stays on its line, and looks like what it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_safe(char) else _escape(char) for char in text)


def _is_safe(char: str) -> bool:
    return (char.isprintable() and char not in _BLANK_LETTERS) or char == "\u3000"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def display_width(text: str) -> int:
    """Return the columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def table_lines(
    header: Row,
    rows: Iterable[Row],
    *,
    width: int | None = None,
    left_out: Callable[[Row], None] = lambda _: None,
) -> Iterator[str]:
    """Yield a line for the header and one per row, aligned; made to fit if a width is given.

    Long cells are shortened a little, then whole columns are left out, the last one first, and
    `left_out` is called with them. Where two columns do not fit, each row becomes a record. The
    first `SAMPLE_ROWS` settle the columns, so any number of rows takes constant memory.
    """
    remaining = iter(rows)
    sample = [[printable(cell) for cell in row] for row in islice(remaining, SAMPLE_ROWS)]
    widths = [max(map(display_width, column)) for column in zip(header, *sample, strict=True)]
    escaped = ([printable(cell) for cell in row] for row in remaining)
    every = chain(sample, escaped)
    kept = len(widths) if width is None else _fitting(widths, width)
    if width is not None and kept < min(len(widths), FEWEST_COLUMNS):
        if len(widths) > FEWEST_COLUMNS:
            yield from _records(header, every)
            return
        kept = len(widths)
    if kept < len(widths):
        left_out(header[kept:])
    shown = widths[:kept] if width is None else _fit(widths[:kept], width)
    for row in chain([header], every):
        cells: Iterable[str] = row[:kept] if width is None else map(cut, row[:kept], shown)
        yield GAP.join(map(_pad, cells, shown)).rstrip()


def _fitting(widths: Sequence[int], width: int) -> int:
    """How many columns fit, from the first on, with long cells shortened as far as is bearable."""
    least = [min(each, BEARABLE) if place else each for place, each in enumerate(widths)]
    kept = len(least)
    while kept and sum(least[:kept]) + len(GAP) * (kept - 1) > width:
        kept -= 1
    return kept


def _records(header: Row, rows: Iterable[Row]) -> Iterator[str]:
    """A record for each row, with an empty line between two."""
    names = [name.lower() for name in header]
    for number, row in enumerate(rows):
        if number:
            yield ""
        yield from record_lines(zip(names, row, strict=True))


def record_lines(fields: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a line per field, its name in front; further lines of a value are indented below it."""
    pairs = [(name, value) for name, value in fields if value]
    indent = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        first, *others = value.split("\n")
        yield f"{name:<{indent}}{GAP}{printable(first)}".rstrip()
        for line in others:
            yield f"{'':<{indent}}{GAP}{printable(line)}".rstrip()


def _fit(widths: list[int], width: int) -> list[int]:
    # Shorten the widest column first: short ones are names and numbers, long ones are prose. The
    # first column, the name, comes last.
    widths = list(widths)
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while excess > 0:
        widest = max(range(len(widths)), key=lambda place: (place > 0) * widths[place])
        if widths[widest] <= BEARABLE:
            widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def cut(cell: str, width: int) -> str:
    """Return the text, or as much of it as fits into a width, with a sign that there is more."""
    if display_width(cell) <= width:
        return cell
    kept = ""
    room = width - display_width(ELLIPSIS)
    for char in cell:
        room -= _char_width(char)
        if room < 0:
            break
        kept += char
    return kept + ELLIPSIS


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - display_width(cell))
