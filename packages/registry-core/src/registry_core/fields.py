"""The table of fields: what there is to know of each field of an entity, said once.

A class of `registry_core.models` says it where the field is, in `about(...)`; `fields_of` reads the
class as a table. Everything that lists an entity's fields derives the list from that table: the
columns of SQL and their order, rows, values to write, documents in a bucket, the wire and its
OpenAPI schema, the columns of `regctl`, and what a search may name. So no two lists can disagree,
and a new field is written down once.

`define` makes the functions on hot paths. Python has no loop over fields that is as fast as having
them written out, so they are written out once, from the table, when a module is imported.
"""

from __future__ import annotations

import enum
import functools
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, ParamSpec

import attrs

P = ParamSpec("P")

_ABOUT: Final = "registry_core.fields"
"""The key of a field's metadata."""


@attrs.frozen(kw_only=True)
class About:
    """What a field's name and type do not say."""

    column: str | None = None
    """Its column in SQL, where that is not its name."""
    is_folded: bool = False
    """A second column has it in lower case, for ILIKE; see `stores.sql.tables`."""
    max_length: int | None = None
    """Characters that a client may give it. None: no client does, or another rule says it."""
    is_long: bool = False
    """It may be as long as a text gets, which counts on every page."""
    may_be_apart: bool = False
    """A bucket may keep it beside its document; see `stores.s3.large_text`."""
    is_uri: bool = False
    """It may have some KiB, which count on a page of many rows."""
    is_on_wire: bool = True
    """Answers have it."""
    filter_key: str | None = None
    """What a filter calls it. None: a filter cannot name it."""
    takes_lists: bool = False
    """A filter may compare it with a list."""
    sort_keys: tuple[str, ...] = ()
    """What an order calls it. None: nothing can be sorted by it."""
    label: str | None = None
    """What people read, where that is not its name."""


@attrs.frozen(kw_only=True)
class Field:
    """One field of an entity."""

    name: str
    """In Python, in JSON, and in a document."""
    type: Any
    """Of a value that is not None."""
    is_optional: bool
    """Whether it may be None."""
    default: Any
    """As attrs has it: a value, a factory, or `attrs.NOTHING`."""
    about: About
    is_word: bool = attrs.field(init=False)
    """Whether it is one of few words, an enumeration."""

    @is_word.default
    def _is_word(self) -> bool:
        return isinstance(self.type, type) and issubclass(self.type, enum.Enum)

    @property
    def column(self) -> str:
        """Its column in SQL."""
        return self.about.column or self.name

    @property
    def folded_column(self) -> str:
        """The column that has it in lower case, if there is one."""
        return f"{self.column}_folded"

    @property
    def label(self) -> str:
        """What people read."""
        return self.about.label or self.name.replace("_", " ")

    @property
    def is_scalar(self) -> bool:
        """Whether it is one value: a text, a number or a word, and not tags, aliases, versions."""
        return self.type in (str, int) or self.is_word


def _as_metadata(make: Callable[P, About]) -> Callable[P, Mapping[str, About]]:
    def metadata(*args: P.args, **facts: P.kwargs) -> Mapping[str, About]:
        return {_ABOUT: make(*args, **facts)}

    return metadata


about = _as_metadata(About)
"""Return the `metadata` of an attrs field; the arguments are those of `About`."""


def fields_of(entity: type[attrs.AttrsInstance]) -> tuple[Field, ...]:
    """Return the fields of an entity, in the order that SQL and documents have them in."""
    return _table(entity)


@functools.cache
def _table(entity: type[Any]) -> tuple[Field, ...]:
    attrs.resolve_types(entity)
    return tuple(map(_field, attrs.fields(entity)))


def _field(attribute: attrs.Attribute[Any]) -> Field:
    parts = (attribute.type,)
    if typing.get_origin(attribute.type) in (typing.Union, types.UnionType):
        parts = typing.get_args(attribute.type)
    (present,) = (part for part in parts if part is not types.NoneType)
    return Field(
        name=attribute.name,
        type=present,
        is_optional=len(parts) > 1,
        default=attribute.default,
        about=attribute.metadata.get(_ABOUT) or About(),
    )


def scalars_of(entity: type[attrs.AttrsInstance]) -> tuple[Field, ...]:
    """Return the fields of an entity that are one value each: what a row has a column for."""
    return tuple(field for field in fields_of(entity) if field.is_scalar)


def differing(
    one: object, other: object, entity: type[attrs.AttrsInstance]
) -> Iterator[tuple[Field, Any, Any]]:
    """Yield each field in which two entities differ, with both values.

    A text that is absent is the same as an empty one: MLflow's API does not tell them apart.
    """
    for field in fields_of(entity):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if (left or None) != (right or None):
            yield field, left, right


def arranged(
    fields: Iterable[Field], *, first: tuple[str, ...] = (), last: tuple[str, ...] = ()
) -> tuple[Field, ...]:
    """Return the fields with some of them at either end, in the order of these names.

    It says where the fields go whose place is fixed. All others, and so a new one, lie between, in
    the order of the table.
    """

    def place(field: Field) -> tuple[int, int]:
        if field.name in first:
            return 0, first.index(field.name)
        return (2, last.index(field.name)) if field.name in last else (1, 0)

    return tuple(sorted(fields, key=place))


def define(source: str, **names: object) -> Callable[..., Any]:
    """Return the one function that some source text defines; `names` are its globals.

    For code that a table of ours writes out; never for what anybody else has written.
    """
    scope: dict[str, Any] = {}
    exec(compile(source, "<written out from registry_core.fields>", "exec"), names, scope)  # noqa: S102 no input is in it
    (function,) = scope.values()
    defined: Callable[..., Any] = function
    return defined
