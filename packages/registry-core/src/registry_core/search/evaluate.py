"""A search over entities in memory: the meaning of `nodes` as plain Python.

Stores that hold entities use it as it is; stores that compile a filter to a query language are
compared with it.
"""

from __future__ import annotations

import heapq
import operator
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search import like, paging
from registry_core.search.nodes import (
    AttributeRef,
    Comparison,
    Filter,
    Op,
    OrderBy,
    Page,
    Query,
    TagRef,
)

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)

_Row: TypeAlias = RegisteredModel | ModelVersion
Predicate: TypeAlias = Callable[[_Row], bool]
"""Whether a row matches."""

_TEXT_FIELD = "name"
"""The only sort field that is a text."""


def predicate(filter: Filter) -> Predicate:  # noqa: A002 the word of the language
    """Return whether a row matches the filter. Compile once, call per row."""
    tests = [_test(comparison) for comparison in filter]
    if len(tests) == 1:
        return tests[0]
    return lambda row: all(test(row) for test in tests)


def names(filter: Filter) -> frozenset[str] | None:  # noqa: A002 as above
    """Return the only model names that can match, or None if the filter does not list any.

    For stores that find a model by its name without a scan.
    """
    common: frozenset[str] | None = None
    for comparison in filter:
        listed = _listed_names(comparison)
        if listed is not None:
            common = listed if common is None else common & listed
    return common


def _listed_names(comparison: Comparison) -> frozenset[str] | None:
    match comparison:
        case Comparison(AttributeRef("name"), Op.EQ, str(name)):
            return frozenset({name})
        case Comparison(AttributeRef("name"), Op.IN, tuple(listed)):
            return frozenset(listed)
    return None


def _test(comparison: Comparison) -> Predicate:
    read = _reader(comparison.operand)
    holds = _COMPILERS[comparison.op](comparison.value)

    def test(row: _Row) -> bool:
        value = read(row)
        return value is not None and holds(value)

    return test


def _reader(operand: AttributeRef | TagRef) -> Callable[[Any], Any]:
    if isinstance(operand, AttributeRef):
        return operator.attrgetter(operand.field)
    key = operand.key
    return lambda row: row.tags.get(key)


def _in(listed: Any) -> Callable[[Any], bool]:
    return frozenset(listed).__contains__


def _not_in(listed: Any) -> Callable[[Any], bool]:
    values = frozenset(listed)
    return lambda value: value not in values


_COMPILERS: dict[Op, Callable[[Any], Callable[[Any], bool]]] = {
    Op.EQ: lambda operand: lambda value: value == operand,
    Op.NE: lambda operand: lambda value: value != operand,
    Op.LT: lambda operand: lambda value: value < operand,
    Op.LE: lambda operand: lambda value: value <= operand,
    Op.GT: lambda operand: lambda value: value > operand,
    Op.GE: lambda operand: lambda value: value >= operand,
    Op.LIKE: like.matcher,
    Op.ILIKE: lambda pattern: like.matcher(pattern, fold_case=True),
    Op.IN: _in,
    Op.NOT_IN: _not_in,
}


def search(
    query: Query, rows: Iterable[EntityT], *, is_prompt: Callable[[str], bool]
) -> Page[EntityT]:
    """Return the page of the rows that the query asks for.

    `is_prompt` says of a model's name whether that model's prompt tag is exactly `true`; it is
    asked only when the query excludes prompts.

    Raises:
        InvalidArgumentError: the page token is malformed or belongs to another search.
    """
    order = _Order(query.order_by)
    matches = predicate(query.filter)
    matching = (row for row in rows if matches(row))
    if query.scope is not None:
        is_in_scope = lru_cache(maxsize=1)(query.scope.__contains__)
        matching = (row for row in matching if is_in_scope(row.name))
    if query.exclude_prompts:
        matching = (row for row in matching if not is_prompt(row.name))
    keyed = ((order.key(row), row) for row in matching)
    position = paging.position(query)
    if position is not None:
        start = order.key_of_values(position)
        keyed = (pair for pair in keyed if order.is_after(pair[0], start))
    first = order.first(paging.most_entities(query) + 1, keyed, key=operator.itemgetter(0))
    items = [row for _, row in first]
    count = paging.fitting(items)
    return paging.page(query, items[:count], is_cut=count < len(items))


class _Order:
    """Sorts by plain tuples, in which C compares, whatever the directions.

    Strategy: a number is negated to turn its direction around. The name cannot be, so when it is
    descending every number is turned instead, and the whole order is taken from its other end.
    """

    def __init__(self, order_by: tuple[OrderBy, ...]) -> None:
        descending = any(o.field == _TEXT_FIELD and not o.ascending for o in order_by)
        self._readers = [
            (operator.attrgetter(o.field), o.field != _TEXT_FIELD and o.ascending is descending)
            for o in order_by
        ]
        self.is_after = operator.lt if descending else operator.gt
        self.first = heapq.nlargest if descending else heapq.nsmallest

    def key(self, row: _Row) -> tuple[Any, ...]:
        """Return the tuple that a row sorts by."""
        return tuple([-read(row) if turned else read(row) for read, turned in self._readers])

    def key_of_values(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Return the tuple of a row with these values of the sort fields."""
        return tuple(
            -value if turned else value
            for value, (_, turned) in zip(values, self._readers, strict=True)
        )
