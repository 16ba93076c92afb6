"""Text to tokens: the words of the search language.

Strategy: one regular expression, made from one table, reads how a token starts and only when the
parser asks for it, so that a hostile text is refused at its first fault. Entries have nothing to
backtrack into; what is between quotes and parentheses is walked over by hand, once.

Lists are read by the rules of Python literals (contract 4.3), so a whole list is one token.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import NamedTuple

LIST_MAX_DEPTH = 50
"""Parentheses inside parentheses; the inner ones never mean anything, and Python ends at 200."""


class Kind(enum.Enum):
    """What a token is."""

    NUMBER = "number"
    NAME = "name"
    """A word, or a word and a key: `name`, `LIKE`, `tags.team`, ``tags.`a b` ``."""
    BACKTICKED = "backticked"
    STRING = "string"
    OPERATOR = "operator"
    LIST = "list"
    """From a parenthesis to the one that closes it."""
    SEMICOLON = "semicolon"
    OTHER = "other"
    END = "end"


class Token(NamedTuple):
    """A piece of a text. `position` is where it starts."""

    kind: Kind
    text: str
    position: int

    @property
    def span(self) -> tuple[int, int]:
        """The half-open range of characters that the token covers."""
        return self.position, self.position + len(self.text)

    @property
    def word(self) -> str:
        """The token in upper case if it is a plain word, as keywords are compared."""
        return self.text.upper() if self.kind is Kind.NAME else ""


_TABLE = {
    "NUMBER": r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?!\w)",
    "PREFIX": r"\w+\.(?=[`'\"])",
    "NAME": r"\w+(?:\.[\w.]*)?",
    "BACKTICKED": r"(?=`)",
    "STRING": r"(?=['\"])",
    "OPERATOR": r"[=<>!~]+",
    "LIST": r"(?=\()",
    "SEMICOLON": r";",
    "OTHER": r".",
}
"""How each kind starts. A PREFIX and what is quoted after it are a NAME."""

_SPACE = re.compile(r"\s*")
_TOKEN = re.compile("|".join(f"(?P<{name}>{rule})" for name, rule in _TABLE.items()), re.DOTALL)
_QUOTES = {quote: re.compile(f"{quote}+") for quote in "`'\""}

# Nothing in a string can be read in two ways, so no repetition gives back what it took (`*+`).
_SINGLE = r"'(?!'')[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'"
_TRIPLE = r"'''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'''"
PYTHON_STRING = "|".join(rule.replace("'", quote) for quote in "'\"" for rule in (_SINGLE, _TRIPLE))
"""The quotes and contents of a string in a list. A quote outside of one is a fault."""

_LIST_PART = re.compile(rf"{PYTHON_STRING}|[()'\"]", re.DOTALL)


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text without the space between them, and an END."""
    position = _skip_space(text, 0)
    while position < len(text):
        kind, end = _token(text, position)
        yield Token(kind, text[position:end], position)
        position = _skip_space(text, end)
    yield Token(Kind.END, "", len(text))


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None, "no space is a match too"
    return match.end()


def _token(text: str, start: int) -> tuple[Kind, int]:
    """The kind and end of the token that starts here."""
    match = _TOKEN.match(text, start)
    assert match is not None, "OTHER matches any character"
    match match.lastgroup:
        case "PREFIX":
            return Kind.NAME, _end_of_quoted(text, match.end()) or match.end()
        case "BACKTICKED" | "STRING" as name:
            end = _end_of_quoted(text, start)
        case "LIST" as name:
            end = _end_of_list(text, start)
        case name:
            end = match.end()
    return (Kind.OTHER, start + 1) if end is None else (Kind[name or ""], end)


def _end_of_quoted(text: str, start: int) -> int | None:
    """Where the quoted text that starts here ends; None if it does not.

    As MLflow's tokenizer has it: a doubled quote, and a quote after a backslash, do not end the
    text if a later quote does. All of it is taken as written.
    """
    end = None
    for run in _QUOTES[text[start]].finditer(text, start + 1):
        before = text[run.start() - 1] if run.start() > start + 1 else ""
        escaped = before == "\\" and text[start] != "`"
        length = run.end() - run.start()
        if (length - escaped) % 2:
            return run.end()
        end = run.end() if length == 1 else None
    return end


def _end_of_list(text: str, start: int) -> int | None:
    """Where the list that starts here ends; None if it does not."""
    depth = 0
    for part in _LIST_PART.finditer(text, start):
        match part.group():
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case "'" | '"':
                return None
        if depth == 0:
            return part.end()
        if depth > LIST_MAX_DEPTH:
            return None
    return None
