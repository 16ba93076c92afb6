"""The order of a search: `order_by` texts, completed to a total order (contract 4.6)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

from registry_core.errors import FilterSyntaxError, InvalidArgumentError
from registry_core.search import fields
from registry_core.search.nodes import Entity, OrderBy
from registry_core.search.parser import shown
from registry_core.search.tokens import Kind, Token, tokens

_DIRECTIONS = {"ASC": True, "DESC": False}


def parse_order_by(clauses: Sequence[str], entity: Entity) -> tuple[OrderBy, ...]:
    """Return the order that the texts ask for, or else the entity's own; always a total one.

    Raises:
        InvalidArgumentError: a text is not a sort key and direction, or two name the same field.
    """
    if not clauses:
        return _default_order(entity)
    known = fields.FIELDS[entity]
    order = tuple(_order_by(clause, known) for clause in clauses)
    if len({item.field for item in order}) < len(order):
        raise InvalidArgumentError(
            f"`order_by` contains duplicate fields: {shown(str(list(clauses)))}"
        )
    return _total(order, known)


@functools.cache
def _default_order(entity: Entity) -> tuple[OrderBy, ...]:
    known = fields.FIELDS[entity]
    return _total(known.default_order, known)


def _total(order: tuple[OrderBy, ...], known: fields.Fields) -> tuple[OrderBy, ...]:
    named = {item.field for item in order}
    return (*order, *(item for item in known.tie_breakers if item.field not in named))


def _order_by(clause: str, known: fields.Fields) -> OrderBy:
    """Order = key [ ASC | DESC ], with no space around it."""
    match list(itertools.islice(tokens(clause), 4)) if clause == clause.strip() else []:
        case [key, Token(Kind.END)] if _is_key(key):
            return OrderBy(_sort_field(clause, key, known))
        case [key, Token(Kind.NAME) as direction, Token(Kind.END)] if _is_key(key):
            if direction.word not in _DIRECTIONS:
                message = f"Invalid ordering key in order_by clause '{shown(clause)}'."
                raise FilterSyntaxError(message, source=clause, span=direction.span)
            return OrderBy(_sort_field(clause, key, known), _DIRECTIONS[direction.word])
    message = f"Invalid order_by clause '{shown(clause)}'. Could not be parsed."
    raise FilterSyntaxError(message, source=clause, span=(0, len(clause)))


def _is_key(token: Token) -> bool:
    """Key = name | backticked | "…"."""
    return token.kind in (Kind.NAME, Kind.BACKTICKED) or (
        token.kind is Kind.STRING and token.text.startswith('"')
    )


def _sort_field(clause: str, token: Token, known: fields.Fields) -> str:
    if known.sort_keys_take_prefix:
        prefix, key = fields.reference(token.text)
        message = fields.unknown_prefix(prefix)
    else:
        prefix, key = "attribute", token.text
        message = fields.invalid_sort_key(key, known.sort_keys)
    key = fields.unquoted(key)
    if prefix == "attribute" and key in known.sort_keys:
        return known.sort_keys[key]
    if known.sort_keys_take_prefix and prefix in fields.PREFIXES:
        describe = fields.unknown_attribute if prefix == "attribute" else fields.invalid_sort_key
        message = describe(key, known.sort_keys)
    raise FilterSyntaxError(message, source=clause, span=token.span)
