"""Aligned text: tables and records, as pure functions from cells to lines."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

Row = Sequence[str]

GAP = "  "
"""What stands between two columns."""

SAMPLE_ROWS = 1_000
"""Rows that settle the width of the columns; later ones are printed as they arrive."""

NARROWEST = 8
"""Columns that a terminal's width never shortens a cell below."""

ELLIPSIS = "…"


_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""What Unicode calls a letter, mark or symbol, and shows as nothing."""


def printable(text: str) -> str:
    """The text with everything escaped that a terminal would act on, or that shows as nothing.

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
    """The columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def table_lines(header: Row, rows: Iterable[Row], *, width: int | None = None) -> Iterator[str]:
    """A line for the header and one per row, aligned; cut to fit if a width is given.

    The first `SAMPLE_ROWS` settle the columns, so any number of rows takes constant memory.
    """
    remaining = iter(rows)
    sample = [[printable(cell) for cell in row] for row in islice(remaining, SAMPLE_ROWS)]
    widths = [max(map(display_width, column)) for column in zip(header, *sample, strict=True)]
    if width is not None:
        widths = _fit(widths, width)
    escaped = ([printable(cell) for cell in row] for row in remaining)
    for row in chain([header], sample, escaped):
        cells = row if width is None else map(_cut, row, widths)
        yield GAP.join(map(_pad, cells, widths)).rstrip()


def record_lines(fields: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A line per field, its name in front; further lines of a value are indented below it."""
    pairs = [(name, value) for name, value in fields if value]
    indent = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        first, *others = value.split("\n")
        yield f"{name:<{indent}}{GAP}{printable(first)}".rstrip()
        for line in others:
            yield f"{'':<{indent}}{GAP}{printable(line)}".rstrip()


def _fit(widths: list[int], width: int) -> list[int]:
    # Shorten the widest column first: short ones are names and numbers, long ones are prose.
    widths = list(widths)
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while excess > 0:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _cut(cell: str, width: int) -> str:
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
