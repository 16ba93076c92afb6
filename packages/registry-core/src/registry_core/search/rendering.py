r"""Filters and orders back to texts, for a store that sends them to a server.

What is printed parses to the same filter here and on MLflow. Values are taken as written inside
their quotes, so the quotes are chosen to fit the value. Few values fit neither: those with both
quotes in them, and those that end in a backslash when the same quote follows later in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from registry_core.errors import InvalidArgumentError
from registry_core.search.fields import FIELDS, unquoted
from registry_core.search.nodes import AttributeRef, Comparison, Filter, OrderBy, Value
from registry_core.search.parser import shown
from registry_core.search.tokens import tokens

_ATTRIBUTES = {
    attribute.field: name
    for fields in FIELDS.values()
    for name, attribute in fields.attributes.items()
}
_SORT_KEYS = {field: key for fields in FIELDS.values() for key, field in fields.sort_keys.items()}
_AND = " AND "
_SPECIAL = re.compile(r"[\x00-\x1f'\"\\]")


def render_filter(filter: Filter) -> str:  # noqa: A002 the word of the language
    """Return the text of a filter; empty for the one that matches everything.

    Raises:
        InvalidArgumentError: the language has no way to write a value or key of it.
    """
    text = ""
    # Backwards, because how a text ends depends on what follows it.
    for comparison in reversed(filter):
        rest = f"{_AND}{text}" if text else ""
        rest = f" {comparison.op.value} {_value(comparison.value, rest)}{rest}"
        text = f"{_operand(comparison, rest)}{rest}"
    return text


def render_order_by(order_by: Sequence[OrderBy]) -> list[str]:
    """Return the texts of an order."""
    return [f"{_SORT_KEYS[item.field]} {'ASC' if item.ascending else 'DESC'}" for item in order_by]


def _operand(comparison: Comparison, rest: str) -> str:
    operand = comparison.operand
    if isinstance(operand, AttributeRef):
        return _ATTRIBUTES[operand.field]
    for quote in "`\"'":
        text = f"tags.{quote}{operand.key}{quote}"
        if _first(text + rest) == text and unquoted(text.partition(".")[2]) == operand.key:
            return text
    raise InvalidArgumentError(f"No filter can name the tag {shown(operand.key)!r}.")


def _value(value: Value, rest: str) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return f"({', '.join(_literal(item) for item in value)})"
    for quote in "'\"":
        text = f"{quote}{value}{quote}"
        if _first(text + rest) == text:
            return text
    raise InvalidArgumentError(f"No filter can hold the text {shown(value)!r}.")


def _first(text: str) -> str:
    return next(tokens(text)).text


def _literal(value: str) -> str:
    """A Python string without a quote or backslash that another reader could take for its end."""
    return f"'{_SPECIAL.sub(_escape, value)}'"


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match.group()):02x}"
