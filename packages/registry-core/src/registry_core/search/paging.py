"""Page tokens: where a page ended, as the sort key of its last row.

Strategy: the next page starts after a key, not after a number of rows. It costs what the first
page costs, and rows written or deleted meanwhile neither repeat nor hide the others. The token
carries a digest of the search, because a key of one order means nothing in another. Clients must
treat it as opaque; malformed ones keep MLflow's messages (contract 4.7).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from registry_core import validation
from registry_core.errors import InvalidArgumentError
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search.nodes import Page, Query

SortKey: TypeAlias = tuple[str | int, ...]
"""The values of `Query.order_by`'s fields in one row."""

TOKEN_MAX_LENGTH = 8_192
"""Characters of a page token. Ours have up to 5,000, with a name of 256 characters in it that takes
twelve each; a longer one is refused before it is decoded."""

_FORMAT = 1
_TEXT_FIELDS = frozenset({"name"})
_INT64 = 2**63

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)


def position(query: Query) -> SortKey | None:
    """The sort key that the wanted page starts after; None for the first page.

    Raises:
        InvalidArgumentError: the token is malformed or belongs to another search.
    """
    if not query.page_token:
        return None
    parsed = decode(query.page_token)
    match parsed:
        case [int(version), str(digest), list(key)] if version == _FORMAT and _fits(key, query):
            if digest == query.digest:
                return tuple(key)
            raise InvalidArgumentError(
                "Invalid page token, it was issued for another filter or order_by"
            )
    raise InvalidArgumentError(f"Invalid page token, parsed value={parsed!r}")


def page(query: Query, rows: Sequence[EntityT]) -> Page[EntityT]:
    """A page from the rows after `position(query)`, of which the caller gives one too many.

    `rows` holds up to `max_results + 1` entities in the order of the query; the extra one only
    tells that there is a next page.
    """
    if len(rows) <= query.max_results:
        return Page(rows)
    items = rows[: query.max_results]
    return Page(items, _token(query, items[-1]))


def sort_key(query: Query, row: RegisteredModel | ModelVersion) -> SortKey:
    """The values of the query's sort fields in a row."""
    return tuple(getattr(row, order.field) for order in query.order_by)


def encode(payload: object) -> str:
    """A page token that carries a JSON value."""
    return base64.urlsafe_b64encode(json.dumps(payload, separators=(",", ":")).encode()).decode()


def decode(token: str) -> object:
    """The JSON value in a page token.

    Raises:
        InvalidArgumentError: the token was not made by `encode`.
    """
    if len(token) > TOKEN_MAX_LENGTH:
        raise InvalidArgumentError("Invalid page token, it is too long")
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgumentError("Invalid page token, could not base64-decode") from None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidArgumentError(f"Invalid page token, decoded value={raw!r}") from None


def _token(query: Query, last: RegisteredModel | ModelVersion) -> str:
    return encode([_FORMAT, query.digest, list(sort_key(query, last))])


def _fits(key: list[object], query: Query) -> bool:
    if len(key) != len(query.order_by):
        return False
    return all(
        _is_text(value) if order.field in _TEXT_FIELDS else _is_int64(value)
        for value, order in zip(key, query.order_by, strict=True)
    )


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    validation.text(value, parameter="page_token", max_length=validation.NAME_MAX_LENGTH)
    return True


def _is_int64(value: object) -> bool:
    return type(value) is int and -_INT64 <= value < _INT64
