r"""The lists of IN and NOT IN: Python literals, so that escapes work (contract 4.3).

    list   = "(" [ item *( "," item ) [ "," ] ] ")"
    item   = 1*string | list | constant      ; strings side by side are one text
    string = [ "r" | "u" ] ( '…' | "…" | '''…''' )
                                             ; escapes: \\ \' \" \a \b \f \n \r \t \v \ooo \xhh
                                             ;   \uhhhh \Uhhhhhhhh \N{name}, backslash newline

Read here and not by `ast`, whose parser warns about unknown escapes and has no bound on the time
and memory that a hostile text costs.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TypeAlias

from registry_core.errors import InvalidArgumentError
from registry_core.search.parser import shown
from registry_core.search.tokens import PYTHON_STRING

LIST_MAX_VALUES = 10_000
"""Texts in one list. Every store must be able to bind them all; PostgreSQL ends at 65,535."""

_WHILE_PARSING = "While parsing a list in the query, expected "
# The groups are the prefix and text of a string, a mark, another constant or word, a fault.
_PART = re.compile(
    rf"(?:\s|\\\n)*(?:([rRuU]?)({PYTHON_STRING})|([(),])|([-+]?[\w.]+(?:'[^']*'|\"[^\"]*\")?)|(\S))",
    re.DOTALL,
)
# The bound keeps a text full of unclosed character names from being read over and over.
_ESCAPE = re.compile(
    r"\\(?:(?P<simple>[\\'\"abfnrtv\n])|(?P<octal>[0-7]{1,3})"
    r"|x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})"
    r"|N\{(?P<N>[^}]{1,100})\}|(?P<broken>[xuUN]))"
)
_SIMPLE = dict(zip("\\'\"abfnrtv\n", "\\'\"\a\b\f\n\r\t\v", strict=False)) | {"\n": ""}

_END = ("", "", "", "", "")
"""The groups of no part."""

_Item: TypeAlias = "str | tuple[_Item, ...] | None"
"""A text, a list with a comma in it, or None for anything else."""


def text_list(source: str) -> tuple[str, ...]:
    """Return the texts of a list literal; the parentheses are balanced.

    Raises:
        InvalidArgumentError: it is empty, has other elements than texts, or is not a literal.
    """
    value = _List(source).item()
    items = value if isinstance(value, tuple) else (value,)
    if not items:
        raise InvalidArgumentError(
            f"{_WHILE_PARSING}a non-empty list of string values, but got empty list"
        )
    texts = tuple(item for item in items if isinstance(item, str))
    if len(texts) != len(items):
        raise InvalidArgumentError(
            f"{_WHILE_PARSING}string value, punctuation, or whitespace, but got different type in "
            f"list: {shown(source)}"
        )
    return texts


class _List:
    """Reads one list. The tokenizer has bounded how deep they nest."""

    def __init__(self, source: str) -> None:
        self._parts = (part.groups("") for part in _PART.finditer(source))
        self._next()

    def _next(self) -> None:
        self._prefix, self._string, self._mark, self._constant, _ = next(self._parts, _END)

    def item(self) -> _Item:
        """Item = 1*string | list | constant."""
        if self._mark == "(":
            return self._list()
        if self._constant:
            self._next()
            return None
        return self._strings()

    def _strings(self) -> str:
        """The text of one string or several side by side."""
        if not self._string:
            raise _ill_formed()
        texts: list[str] = []
        while self._string:
            texts.append(_decoded(self._string, self._prefix))
            self._next()
        return "".join(texts)

    def _list(self) -> _Item:
        """List = "(" [ item *( "," item ) [ "," ] ] ")"."""
        self._next()
        items: list[_Item] = []
        separated = True
        while self._mark != ")":
            if not separated:
                raise _ill_formed()
            items.append(self.item())
            if len(items) > LIST_MAX_VALUES:
                raise InvalidArgumentError(
                    f"A list in a filter may hold {LIST_MAX_VALUES} values, but got more."
                )
            separated = self._mark == ","
            if separated:
                self._next()
        self._next()
        # Parentheses around one item are only parentheses; a comma makes a list.
        return items[0] if len(items) == 1 and not separated else tuple(items)


def _decoded(string: str, prefix: str) -> str:
    quotes = 3 if string.startswith(("'''", '"""')) else 1
    body = string[quotes:-quotes]
    return body if prefix in ("r", "R") else _ESCAPE.sub(_unescaped, body)


def _unescaped(match: re.Match[str]) -> str:
    group = match.lastgroup
    assert group is not None, "every alternative is a group"
    digits = match[group]
    try:
        match group:
            case "simple":
                return _SIMPLE[digits]
            case "octal":
                return chr(int(digits, 8))
            case "N":
                return unicodedata.lookup(digits)
            case "broken":
                raise _ill_formed()
            case _:
                return chr(int(digits, 16))
    except (KeyError, ValueError, OverflowError):
        raise _ill_formed() from None


def _ill_formed() -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{_WHILE_PARSING}a non-empty list of string values, but got ill-formed list."
    )
