"""What can be seen of a store from outside, and comparing it strictly."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import attrs
import pytest

from registry_core.errors import RegistryError
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.search import AttributeRef, Comparison, Entity, Filter, Op, Page, Query
from registry_core.search.language import parse_filter
from registry_core.search.ordering import parse_order_by
from registry_core.store import Store

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)

Search: TypeAlias = Callable[[Query], Page[EntityT]]

MANY = 1_000
"""Rows of a page that should hold everything a test wrote."""

_SCALARS = frozenset({str, int, type(None)})

MOST_PAGES = 200
"""Pages after which a walk is taken to go in circles."""


def models_query(
    filter: str | Filter = "",  # noqa: A002 the word of the language
    order_by: Sequence[str] = (),
    **rest: Any,
) -> Query:
    """A search over registered models, from its texts and further fields of `Query`."""
    return _query(Entity.REGISTERED_MODEL, filter, order_by, **rest)


def versions_query(
    filter: str | Filter = "",  # noqa: A002 the word of the language
    order_by: Sequence[str] = (),
    **rest: Any,
) -> Query:
    """A search over model versions, from its texts and further fields of `Query`."""
    return _query(Entity.MODEL_VERSION, filter, order_by, **rest)


def _query(
    entity: Entity,
    filter: str | Filter,  # noqa: A002 the word of the language
    order_by: Sequence[str],
    *,
    max_results: int = MANY,
    **rest: Any,
) -> Query:
    return Query(
        entity=entity,
        filter=parse_filter(filter, entity) if isinstance(filter, str) else filter,
        order_by=parse_order_by(order_by, entity),
        max_results=max_results,
        **rest,
    )


def walk(search: Search[EntityT], query: Query) -> Iterator[EntityT]:
    """The items of every page from that of `query` on, fetching each page when it is needed."""
    for _ in range(MOST_PAGES):
        page = search(query)
        assert len(page.items) <= query.max_results, "a page holds more than max_results"
        yield from page.items
        if page.next_page_token is None:
            return
        assert page.items, "an empty page names a next one"
        query = attrs.evolve(query, page_token=page.next_page_token)
    pytest.fail(f"the walk did not end after {MOST_PAGES} pages")


def model_names(store: Store, query: Query) -> list[str]:
    """The names that a search over models finds, over all its pages."""
    return [model.name for model in walk(store.search_registered_models, query)]


def version_keys(store: Store, query: Query) -> list[tuple[str, int]]:
    """The names and numbers that a search over versions finds, over all its pages."""
    return [(found.name, found.version) for found in walk(store.search_model_versions, query)]


def numbers(store: Store, name: str) -> list[int]:
    """The numbers of the versions of a model, as a search finds them, ascending."""
    of_model = (Comparison(AttributeRef("name"), Op.EQ, name),)
    return [
        number for _, number in version_keys(store, versions_query(of_model, ["version_number"]))
    ]


def plain(value: Any) -> Any:
    """A value as tuples that are equal only if types, order and every field are the same.

    Mappings are equal in Python whatever their order, and `Stage.NONE == "None"`: here neither.
    """
    kind = type(value)
    if kind in _SCALARS:
        return (kind.__name__, value)
    if isinstance(value, enum.Enum):
        return (kind.__name__, value.value)
    if isinstance(value, Mapping):
        return ("mapping", *((plain(key), plain(item)) for key, item in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(plain(item) for item in value)
    if attrs.has(kind):
        return (kind.__name__, *((name, plain(getattr(value, name))) for name in _fields(kind)))
    return (kind.__name__, value)


@functools.cache
def _fields(kind: type[attrs.AttrsInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind))


def assert_same(actual: object, expected: object) -> None:
    """Fails unless two values agree in everything, types and the order of mappings included."""
    assert plain(actual) == plain(expected)


def dump(store: Store) -> Mapping[str, object]:
    """Everything that a store holds, as `plain` values."""
    return {
        "models": [plain(row) for row in walk(store.search_registered_models, models_query())],
        "versions": [plain(row) for row in walk(store.search_model_versions, versions_query())],
        "webhooks": [plain(hook) for hook in store.list_webhooks()],
    }


@contextmanager
def refused(store: Store, error: type[RegistryError], message: str) -> Iterator[None]:
    """Fails unless the block raises exactly this, and leaves everything as it was."""
    before = dump(store)
    with pytest.raises(error) as raised:
        yield
    assert type(raised.value) is error
    assert str(raised.value) == message
    assert dump(store) == before
