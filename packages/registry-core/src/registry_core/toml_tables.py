"""Reading tables of TOML: whatever is not known is refused, by the file, the table and the key.

A misspelt key would otherwise mean something else than its author thinks, or nothing.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from registry_core.errors import InvalidArgumentError

Toml: TypeAlias = Mapping[str, Any]
ValueT = TypeVar("ValueT")
AcceptedT = TypeVar("AcceptedT")

WHOLE_FILE: Final = "the file"
"""What errors call the table that has all others."""

_HEADER = re.compile(r"\s*\[\[\s*(?P<name>[A-Za-z0-9_-]+)\s*\]\]\s*(?:#.*)?$")
_LONG_TEXT = re.compile(r'"""|\'\'\'')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class TomlTableError(InvalidArgumentError):
    """A file that cannot be used; the message says where and why."""


@attrs.frozen
class Table:
    """One table of the file; what is taken from it is known, and anything else is refused."""

    file: str
    name: str
    """How the file writes it, with its line or number: `[[grant]] (line 12)`."""
    _values: Toml

    def error(self, key: str, problem: str) -> TomlTableError:
        """Return the error for a key of this table."""
        return TomlTableError(f"{self.file}: {self.name}: '{key}' {problem}")

    def only(self, *known: str) -> None:
        """Accept the keys of the table.

        Raises:
            TomlTableError: One of them is none of `known`.
        """
        for key in self._values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                meant = f"; did you mean '{near[0]}'?" if near else ""
                raise self.error(key, f"is not known here; known are {', '.join(known)}{meant}")

    def accepted(self, key: str, value: ValueT, accept: Callable[[ValueT], AcceptedT]) -> AcceptedT:
        """Return what a check of another module makes of a value of the key.

        Raises:
            TomlTableError: The check refuses it; the message has its reason.
        """
        try:
            return accept(value)
        except InvalidArgumentError as error:
            raise self.error(key, f"cannot be used: {error}") from None

    def has(self, key: str) -> bool:
        """Return whether the key is there."""
        return key in self._values

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty; `default` where it is absent, if that is allowed."""
        value = self._values.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, str) or (not value and key in self._values and default != ""):
            raise self.error(key, "must be a text")
        if _CONTROL.search(value):
            raise self.error(key, "has a control character")
        return value

    def any_text(self, key: str) -> str | None:
        """Return a text of any kind, with several lines or empty; None where it is absent."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(key, "must be a text")
        return value

    def texts(self, key: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return a list of texts that has at least one, unless it is absent and has a default."""
        if key not in self._values and default is not None:
            return tuple(default)
        value = self._values.get(key)
        if value is None:
            raise self.error(key, "is missing")
        if isinstance(value, str):
            raise self.error(key, f'must be a list, as in ["{value}"]')
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self.error(key, "must be a list of texts")
        if not value:
            raise self.error(key, "is empty")
        if any(map(_CONTROL.search, value)):
            raise self.error(key, "has a control character")
        return tuple(value)

    def number(self, key: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        value = self._values.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.error(key, f"must be a whole number from {low} to {high}")
        return value

    def truth(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def values(self, key: str, example: str) -> Toml:
        """Return the values of a table within this one; none where it is absent."""
        value = self._values.get(key, {})
        if not isinstance(value, Mapping):
            raise self.error(key, f"must be a table, as in {example}")
        return value

    def moment(self, key: str) -> float | None:
        """Return a moment in seconds since the epoch; of a day its beginning, in UTC."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise self.error(key, "needs a time zone, as in 2027-01-31T12:00:00Z")
            return value.timestamp()
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
        raise self.error(key, "must be a date, as in 2027-01-31 or 2027-01-31T12:00:00Z")

    def items(self, key: str) -> Iterator[str | Table]:
        """Yield the texts and tables of a list."""
        value = self._values.get(key, [])
        if not isinstance(value, list):
            raise self.error(key, "must be a list")
        for number, each in enumerate(value, 1):
            if isinstance(each, Mapping):
                yield Table(self.file, f"{self.name}: {key} {number}", each)
            elif isinstance(each, str):
                yield each
            else:
                raise self.error(
                    key, f"has something else than texts and tables, as number {number}"
                )


def content_of(path: Path, *, most: int = -1) -> bytes:
    """Return the bytes of a file, `most` at most.

    Raises:
        TomlTableError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise TomlTableError(f"{path} cannot be read: {error.strerror or error}") from None


def parsed(content: bytes, file: str) -> tuple[str, dict[str, Any]]:
    """Return the text of a file, and what it says as TOML.

    Raises:
        TomlTableError: It is not TOML.
    """
    try:
        # Editors on Windows begin files with a byte-order mark.
        text = content.decode("utf-8-sig")
        return text, tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise TomlTableError(f"{file}: is not TOML: {error}") from None


def tables(file: str, values: Toml, key: str) -> Iterator[tuple[str, Table]]:
    """Yield the named tables `[key.NAME]`, each with its name."""
    value = values.get(key, {})
    if not isinstance(value, Mapping):
        raise TomlTableError(f"{file}: '{key}' must be tables, as in [{key}.NAME]")
    for name, each in value.items():
        if not isinstance(each, Mapping):
            raise TomlTableError(f"{file}: [{key}]: '{name}' must be a table, as in [{key}.{name}]")
        yield name, Table(file, f"[{key}.{name}]", each)


def listed(file: str, values: Toml, key: str, lines: Sequence[int]) -> Iterator[tuple[str, Table]]:
    """Yield the tables `[[key]]`, each with its place: its line, or its number."""
    value = values.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise TomlTableError(f"{file}: '{key}' must be tables, as in [[{key}]]")
    for number, each in enumerate(value):
        is_known = len(lines) == len(value)
        place = f"line {lines[number]}" if is_known else f"number {number + 1}"
        yield place, Table(file, f"[[{key}]] ({place})", each)


def lines_of(text: str, key: str) -> list[int]:
    """Return the lines on which the tables `[[key]]` begin; TOML's own reader forgets them."""
    lines, inside = [], ""
    for number, line in enumerate(text.splitlines(), 1):
        match = None if inside else _HEADER.match(line)
        if match is not None and match["name"] == key:
            lines.append(number)
        for quotes in _LONG_TEXT.findall(line):
            # A text of several lines may have in it whatever looks like a header.
            if not inside:
                inside = quotes
            elif quotes == inside:
                inside = ""
    return lines
