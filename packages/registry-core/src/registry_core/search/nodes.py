"""A search, once parsed and bound: what each part means, on every backend.

Meaning, written once:

- A filter is a tuple of comparisons; a row matches when all of them hold.
- `=`, `!=`, IN, NOT IN compare texts exactly, code point by code point.
- LIKE is case-sensitive; ILIKE compares `str.lower()` of both sides, Unicode included. In both `%`
  is any run of characters (newlines too), `_` any one character, and a backslash makes the
  following `%`, `_` or backslash literal; before anything else, and at the end, it is itself.
- A tag or attribute that is absent (`None`) matches no operator, `!=` and NOT IN included. An empty
  text is a value like any other.
- Several comparisons on one tag key must all hold for that tag's value.
- `source_path` is the column `source`; `version_number` is the integer `version`.
- Names sort by code point. A search's order is total: tie-breakers are part of `Query.order_by`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Generic, TypeAlias, TypeVar

import attrs

from registry_core.name_scope import NameScope

T_co = TypeVar("T_co", covariant=True)


class Entity(enum.Enum):
    """What a search is over."""

    REGISTERED_MODEL = "registered_model"
    MODEL_VERSION = "model_version"


class Op(enum.Enum):
    """A comparison operator, by its spelling."""

    EQ = "="
    NE = "!="
    LIKE = "LIKE"
    ILIKE = "ILIKE"
    IN = "IN"
    NOT_IN = "NOT IN"
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@attrs.frozen
class AttributeRef:
    """An attribute of the entity, by the model's field: `version`, not `version_number`."""

    field: str


@attrs.frozen
class TagRef:
    """A tag of the entity, by its key."""

    key: str


Value: TypeAlias = str | int | tuple[str, ...]
"""A text; an integer, for `version` only; a non-empty tuple of texts, for IN and NOT IN only."""


@attrs.frozen
class Comparison:
    """One clause of a bound filter."""

    operand: AttributeRef | TagRef
    op: Op
    value: Value


Filter: TypeAlias = tuple[Comparison, ...]
"""All comparisons must hold; the empty tuple matches everything."""


@attrs.frozen
class OrderBy:
    """One sort key, by the name of the model's field."""

    field: str
    ascending: bool = True


@attrs.frozen(kw_only=True, slots=False)
class Query:
    """A search, parsed, bound and complete with defaults and tie-breakers.

    `page_token` is the client's text, or None for the first page; a store reads it with
    `registry_core.search.paging.position`.
    """

    entity: Entity
    filter: Filter = ()
    order_by: tuple[OrderBy, ...]
    max_results: int
    page_token: str | None = None
    exclude_prompts: bool = False
    """Leave out registered models whose prompt tag is exactly `true`, and all their versions."""
    scope: NameScope | None = None
    """Leave out registered models of other names, and all their versions."""

    @cached_property
    def digest(self) -> str:
        """Tells this search from others, whatever its page and page size."""
        parts: tuple[object, ...] = (
            self.entity,
            self.filter,
            self.order_by,
            self.exclude_prompts,
        )
        if self.scope is not None:
            parts = (*parts, self.scope.digest)
        return hashlib.blake2b(repr(parts).encode(), digest_size=9).hexdigest()


@attrs.frozen
class Page(Generic[T_co]):
    """Some results of a search, and the token of the next page if there is a further row.

    Iterating over a page gives its items, and its length is how many they are.

    Example:
        >>> page = registry.search_model_versions("name = 'churn'", max_results=2)
        >>> len(page), page.next_page_token is None
        (2, False)
    """

    items: Sequence[T_co]
    next_page_token: str | None = None
    unreadable: int = 0
    """How many registered models or versions are missing, here or on any page, because what is
    stored of them cannot be read. A caller that must not overlook one, like a sweep, stops then.
    """

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@attrs.frozen
class CutPage(Page[T_co]):
    """A page that has fewer rows than were asked for, because those would be too many bytes."""

    @classmethod
    def of(cls, page: Page[T_co]) -> CutPage[T_co]:
        """Return a page as one that was cut."""
        return cls(page.items, page.next_page_token, page.unreadable)
