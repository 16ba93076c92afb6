"""Functions that make an entity of what a row has of it, written out from the table of fields.

Strategy: a page of models is hundreds of entities. The attributes of what is read are put where
the class's own `__init__` puts them, in less than half its time: the row has all of them, and there
is nothing to check.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from registry_core.errors import StoreCorruptedError
from registry_core.fields import Field, define
from registry_core.models import ModelVersion, RegisteredModel

EntityT = TypeVar("EntityT", RegisteredModel, ModelVersion)


def unpacking(
    entity: type[EntityT], fields: Sequence[Field], *, numerals: Collection[str] = ()
) -> Callable[[Sequence[Any], Any, Any], EntityT]:
    """Return what makes the entity of its fields, in this order, its tags and its aliases.

    `numerals` are the numbers that are given as texts. What is written out is what one would write:
    one assignment for all fields, then the words.
    """
    words: dict[str, type[enum.Enum]] = {each.name: each.type for each in fields if each.is_word}
    targets = [each.name if each.is_word else f"values[{each.name!r}]" for each in fields]
    lines = (
        "def unpack(fields, tags, aliases):",
        "    entity = new(entity_class)",
        "    values = entity.__dict__",
        f"    ({', '.join(targets)},) = fields",
        *(_checked(f"values[{name!r}] = {name}_of[{name}]" for name in words)),
        *(f"    values[{name!r}] = int(values[{name!r}])" for name in numerals),
        "    values['tags'] = tags",
        "    values['aliases'] = aliases",
        "    return entity",
    )
    members = {f"{name}_of": {member.value: member for member in words[name]} for name in words}
    return define(
        "\n".join(lines),
        new=object.__new__,
        entity_class=entity,
        unreadable=unreadable,
        **members,
    )


def _checked(assignments: Iterable[str]) -> Iterator[str]:
    for each in assignments:
        yield "    try:"
        yield f"        {each}"
        yield "    except KeyError as error:"
        yield "        raise unreadable(fields, error) from error"


def unreadable(fields: Sequence[Any], error: object) -> StoreCorruptedError:
    """Return the error for a version with a stage or status that there is not.

    `fields` begins with the name of its model and its number.
    """
    return StoreCorruptedError(
        f"The row of version {fields[1]} of model {fields[0]!r} has no stage or "
        f"status that there is: {error}"
    )
