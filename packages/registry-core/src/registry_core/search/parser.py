"""Tokens to clauses: the grammar of a filter, one method per rule (contract 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from registry_core.errors import FilterSyntaxError, InvalidArgumentError
from registry_core.search.tokens import Kind, Token, tokens

FILTER_MAX_CLAUSES = 100
"""Clauses of one filter. Databases plan every one; SQLite refuses 1,000 nested expressions."""

_SHOWN_LENGTH = 200
"""Characters of the caller's text that an error repeats."""

_PATTERN_WORDS = ("LIKE", "ILIKE", "RLIKE")

_NO_OPERANDS = frozenset({"TRUE", "FALSE"})
"""Words that are nothing to compare or to compare with. To MLflow any word of SQL is one."""


@attrs.frozen
class Clause:
    """One comparison as it was written, not yet known to make sense."""

    source: str
    identifier: Token
    comparator: str
    """In upper case, its words separated by one space."""
    comparator_span: tuple[int, int]
    value: Token
    """An END after IS NULL and IS NOT NULL, which nothing supports."""

    def fault(self, message: str, at: Token | None = None) -> FilterSyntaxError:
        """Return the error that points at a token, or at the comparator."""
        span = self.comparator_span if at is None else at.span
        return FilterSyntaxError(message, source=self.source, span=span)


def clauses(text: str) -> Iterator[Clause]:
    """Return the clauses of a filter that is not empty.

    Raises:
        FilterSyntaxError: the text does not follow the grammar.
    """
    if not text.strip():
        raise FilterSyntaxError(
            f"Invalid filter '{shown(text)}'. Could not be parsed.", source=text, span=(0, 0)
        )
    return _Parser(text).filter()


def shown(text: str) -> str:
    """Return a text as errors repeat it: whole, unless it is very long."""
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."


class _Parser:
    def __init__(self, text: str) -> None:
        self._source = text
        self._tokens = tokens(text)
        self._current = next(self._tokens)
        self._clause: list[Token] = []

    def filter(self) -> Iterator[Clause]:
        """Filter = *( AND | clause ).

        MLflow ignores a leading, trailing, doubled or missing AND.
        """
        counts = {"clauses": 0, "AND": 0}
        while self._current.kind is not Kind.END:
            self._clause = []
            read = "AND" if self._current.word == "AND" else "clauses"
            counts[read] += 1
            if counts[read] > FILTER_MAX_CLAUSES:
                raise InvalidArgumentError(
                    f"A filter may have {FILTER_MAX_CLAUSES} clauses, but this one has more."
                )
            if read == "AND":
                self._take()
            else:
                yield self._comparison()

    def _comparison(self) -> Clause:
        """Clause = identifier ( null-test | [ NOT ] IN list | comparator value )."""
        identifier = self._take()
        if self._current.word == "IS":
            comparator, value = self._null_test(), Token(Kind.END, "", len(self._source))
        else:
            comparator = self._comparator()
            value = self._list() if comparator[-1].word == "IN" else self._value()
        for operand in (identifier, value):
            if operand.word in _NO_OPERANDS:
                raise self._invalid(self._clause, operand)
        if identifier.kind not in (Kind.NAME, Kind.BACKTICKED):
            raise self._fault(
                "Invalid comparison clause. Expected 'Identifier' found "
                f"'{shown(identifier.text)}'",
                identifier,
            )
        return Clause(
            source=self._source,
            identifier=identifier,
            comparator=" ".join(token.text.upper() for token in comparator),
            comparator_span=(comparator[0].position, comparator[-1].span[1]),
            value=value,
        )

    def _null_test(self) -> list[Token]:
        """Null-test = IS [ NOT ] NULL."""
        words = [self._take()]
        if self._current.word == "NOT":
            words.append(self._take())
        return [*words, self._expect("NULL")]

    def _comparator(self) -> list[Token]:
        """Comparator = operator | [ NOT ] ( LIKE | ILIKE | RLIKE | IN )."""
        if self._current.kind is Kind.OPERATOR:
            return [self._take()]
        words = [self._take()] if self._current.word == "NOT" else []
        return [*words, self._expect(*_PATTERN_WORDS, "IN")]

    def _list(self) -> Token:
        """List = "(" … ")"; `literals` reads what is between them."""
        if self._current.kind is not Kind.LIST:
            raise self._unexpected()
        return self._take()

    def _value(self) -> Token:
        """Value = string | number | list | name, of which binding accepts what fits."""
        no_value = (Kind.END, Kind.OPERATOR, Kind.SEMICOLON, Kind.OTHER)
        if self._current.kind in no_value or self._current.word == "AND":
            raise self._unexpected()
        return self._take()

    def _take(self) -> Token:
        token = self._current
        if token.kind in (Kind.SEMICOLON, Kind.OTHER, Kind.OPERATOR) and not self._clause:
            raise self._unexpected()
        self._clause.append(token)
        self._current = next(self._tokens)
        return token

    def _expect(self, *words: str) -> Token:
        if self._current.word not in words:
            raise self._unexpected()
        return self._take()

    def _unexpected(self) -> FilterSyntaxError:
        """The error for the current token, which cannot follow what was read of the clause."""
        fault = self._current
        if fault.kind is Kind.SEMICOLON and self._source[fault.span[1] :].strip():
            return self._fault(
                f"Search filter contained multiple expression {shown(self._source)!r}. "
                "Provide AND-ed expression list.",
                fault,
            )
        # An AND separates clauses, and an end has no text.
        more = [fault] if fault.text and fault.word != "AND" else []
        return self._invalid([*self._clause, *more], fault)

    def _invalid(self, tokens: Sequence[Token], at: Token) -> FilterSyntaxError:
        texts = ", ".join(token.text for token in tokens if token.text)
        return self._fault(f"Invalid clause(s) in filter string: {shown(texts)}", at)

    def _fault(self, message: str, at: Token) -> FilterSyntaxError:
        return FilterSyntaxError(message, source=self._source, span=at.span)
