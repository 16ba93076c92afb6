"""LIKE and ILIKE: what a pattern means, for every backend (see `nodes`).

Strategy: `%` splits a pattern into segments of fixed length. The first must be at the start of the
value, the last at its end, and each of the others is taken where it is first found after the one
before. That never has to go back, so `%a%a%a%…` costs one walk over the value, where a regular
expression with `.*` would try every combination.
"""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

import attrs

PATTERN_MAX_LENGTH = 5_000
"""Characters of a pattern: more than a source has. SQLite refuses 50,000 bytes."""

ESCAPE = "\\"
"""Makes a following `%`, `_` or backslash literal; anywhere else it is itself."""


_SHORT_RUN = 16
"""Characters that are matched one by one as fast as by a count."""


class Wildcard(enum.Enum):
    """The parts of a pattern that are not literal."""

    ANY_RUN = "%"
    ANY_ONE = "_"


Part: TypeAlias = str | Wildcard
"""A literal text, or a wildcard."""

_PART = re.compile(r"\\(?P<escaped>[%_\\])|(?P<wildcard>[%_])|(?P<literal>[^%_\\]+|\\)")


def parts(pattern: str) -> Iterator[Part]:
    """Yield the parts of a pattern; no two literals stand side by side."""
    literal: list[str] = []
    for match in _PART.finditer(pattern):
        wildcard = match["wildcard"]
        if wildcard is None:
            literal.append(match["escaped"] or match["literal"])
            continue
        if literal:
            yield "".join(literal)
            literal = []
        yield Wildcard(wildcard)
    if literal:
        yield "".join(literal)


def like_prefix(pattern: str) -> str:
    """Return the literal text that every match of LIKE starts with."""
    first = next(parts(pattern), "")
    return first if isinstance(first, str) else ""


def sql_like_pattern(pattern: str) -> str:
    r"""Return the pattern for SQL's `LIKE … ESCAPE '\'`, which has no lone backslash."""
    return "".join(
        part.value if isinstance(part, Wildcard) else escaped(part) for part in parts(pattern)
    )


def escaped(literal: str) -> str:
    """Return the pattern that only this text matches."""
    return re.sub(r"[%_\\]", r"\\\g<0>", literal)


def matcher(pattern: str, *, fold_case: bool = False) -> Callable[[str], bool]:
    """Return whether a value matches the pattern: LIKE, or ILIKE with `fold_case`."""
    if fold_case:
        matches = matcher(pattern.lower())
        return lambda value: matches(value.lower())
    segments = [_segment(run) for run in _runs(parts(pattern))]
    if len(segments) == 1:
        return segments[0].is_whole
    return _Segments(segments[0], tuple(segments[1:-1]), segments[-1]).match


def _runs(pattern: Iterable[Part]) -> Iterator[list[Part]]:
    """The parts between one `%` and the next; empty runs between them mean nothing."""
    run: list[Part] = []
    first = True
    for part in pattern:
        if part is not Wildcard.ANY_RUN:
            run.append(part)
            continue
        if run or first:
            yield run
        run, first = [], False
    yield run


class _Segment(Protocol):
    """A part of a pattern that matches texts of one length."""

    length: int

    def is_at(self, value: str, position: int) -> bool:
        """Return whether it matches at that position."""
        ...

    def end_after(self, value: str, position: int) -> int:
        """Return where its first match from that position on ends; -1 if it finds no match."""
        ...

    def is_whole(self, value: str) -> bool:
        """Return whether it matches all of the value."""
        ...


def _segment(run: list[Part]) -> _Segment:
    match run:
        case []:
            return _Literal("")
        case [str(text)]:
            return _Literal(text)
    return _Mixed(run)


class _Literal:
    def __init__(self, text: str) -> None:
        self._text = text
        self.length = len(text)

    def is_at(self, value: str, position: int) -> bool:
        return value.startswith(self._text, position)

    def end_after(self, value: str, position: int) -> int:
        start = value.find(self._text, position)
        return start if start < 0 else start + self.length

    def is_whole(self, value: str) -> bool:
        return value == self._text


class _Mixed:
    """Literals and `_`. The expression has no choice to make, so it cannot backtrack."""

    def __init__(self, run: list[Part]) -> None:
        self.length = sum(len(part) if isinstance(part, str) else 1 for part in run)
        self._expression = re.compile("".join(_expressions(run)), re.DOTALL)

    def is_at(self, value: str, position: int) -> bool:
        return self._expression.match(value, position) is not None

    def end_after(self, value: str, position: int) -> int:
        match = self._expression.search(value, position)
        return -1 if match is None else match.end()

    def is_whole(self, value: str) -> bool:
        return self._expression.fullmatch(value) is not None


def _expressions(run: list[Part]) -> Iterator[str]:
    for part, same in itertools.groupby(run):
        if isinstance(part, str):
            yield re.escape(part)
            continue
        # The engine skips what a count spans without a look at it, but short counts are slower.
        count = len(list(same))
        yield f".{{{count}}}" if count > _SHORT_RUN else "." * count


@attrs.frozen
class _Segments:
    first: _Segment
    middle: tuple[_Segment, ...]
    last: _Segment

    def match(self, value: str) -> bool:
        if not self.first.is_at(value, 0):
            return False
        position = self.first.length
        for segment in self.middle:
            position = segment.end_after(value, position)
            if position < 0:
                return False
        last_position = len(value) - self.last.length
        return position <= last_position and self.last.is_at(value, last_position)
