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
from json.encoder import encode_basestring_ascii
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

PAGE_MAX_BYTES = 8 * 1024 * 1024
"""Bytes of a page, as JSON: a page ends early, with a token, before an entity that would lead
beyond it, though never before its first one. 10,000 versions, the page that MLflow's client asks
for, fit."""

ENTITY_BYTES = 512
"""Bytes that an entity counts for all its short fields, whatever they are. As objects of Python
they take more than as JSON."""

_FORMAT = 1
_TEXT_FIELDS = frozenset({"name"})
_INT64 = 2**63

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)


def position(query: Query) -> SortKey | None:
    """Return the sort key that the wanted page starts after; None for the first page.

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


def page(query: Query, rows: Sequence[EntityT], *, is_cut: bool = False) -> Page[EntityT]:
    """Return a page from the rows after `position(query)`, of which the caller gives one too many.

    `rows` holds up to `most_entities(query) + 1` entities in the order of the query; the extra one
    only tells that there is a next page. `is_cut` says that there are more than the caller gives.
    """
    items = rows[: most_entities(query)]
    return Page(items, _token(query, items[-1]) if is_cut or len(items) < len(rows) else None)


def most_entities(query: Query) -> int:
    """Return how many entities the page may have: no more than are asked for, and than fit."""
    return min(query.max_results, PAGE_MAX_BYTES // ENTITY_BYTES)


def fitting(rows: Sequence[EntityT]) -> int:
    """Return how many of the rows fit into a page: all of them, or fewer, but at least one."""
    size = 0
    for count, row in enumerate(rows):
        size += entity_bytes(row)
        if size > PAGE_MAX_BYTES and count:
            return count
    return len(rows)


def entity_bytes(row: RegisteredModel | ModelVersion) -> int:
    """Return what an entity counts of `PAGE_MAX_BYTES`."""
    texts = [row.description or "", *row.tags, *row.tags.values(), *row.aliases]
    size = ENTITY_BYTES + sum(map(text_bytes, texts))
    if isinstance(row, RegisteredModel):
        return size + sum(map(entity_bytes, row.latest_versions))
    return size + text_bytes(row.source)


def text_bytes(text: str) -> int:
    """Return the bytes of a text in the ASCII of an answer, but for what even ASCII has escaped.

    A text that stands for another one has its `size`.
    """
    if type(text) is not str:
        return int(getattr(text, "size", len(text)))
    return len(text) if text.isascii() else len(encode_basestring_ascii(text))


def sort_key(query: Query, row: RegisteredModel | ModelVersion) -> SortKey:
    """Return the values of the query's sort fields in a row."""
    return tuple(getattr(row, order.field) for order in query.order_by)


def encode(payload: object) -> str:
    """Return a page token that carries a JSON value."""
    return base64.urlsafe_b64encode(json.dumps(payload, separators=(",", ":")).encode()).decode()


def decode(token: str) -> object:
    """Return the JSON value in a page token.

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
    return token_at(query, sort_key(query, last))


def token_at(query: Query, key: SortKey) -> str:
    """Return the token of the page of a query that starts after a sort key."""
    return encode([_FORMAT, query.digest, list(key)])


def _fits(key: list[object], query: Query) -> bool:
    if len(key) != len(query.order_by):
        return False
    return all(
        is_text(value) if order.field in _TEXT_FIELDS else is_int64(value)
        for value, order in zip(key, query.order_by, strict=True)
    )


def is_text(value: object) -> bool:
    """Return whether a value of a token is a text that a store can look for.

    Raises:
        InvalidArgumentError: it is a text that no store can hold.
    """
    if not isinstance(value, str):
        return False
    validation.text(value, parameter="page_token", max_length=validation.NAME_MAX_LENGTH)
    return True


def is_int64(value: object) -> bool:
    """Return whether a value of a token is a whole number that a store can look for."""
    return type(value) is int and -_INT64 <= value < _INT64
