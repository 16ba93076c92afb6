"""What makes an entity of the draft that it is created from, written out from the table of fields.

Strategy: every creation makes an entity of its draft, and its event another one. A draft is legal,
so there is nothing to check: what it has is put where the entity's own `__init__` puts it, in a
third of its time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from registry_core.fields import Field, define, fields_of

_TIMES = ("creation_timestamp", "last_updated_timestamp")


def creating(
    draft: type[attrs.AttrsInstance], entity: type[attrs.AttrsInstance], *numbers: str
) -> Callable[..., Any]:
    """Return what makes an entity of a draft, of the moment, and of its numbers, in this order.

    The moment is in milliseconds since the epoch. Tags are in the order of their keys. What the
    draft does not have is as in an entity of which it is not said.
    """
    given = {field.name for field in attrs.fields(draft)}
    defaults: dict[str, Any] = {}

    def value(field: Field) -> str:
        name = field.name
        if name in _TIMES:
            return "now"
        if name == "tags":
            return "dict(sorted(draft.tags.items()))"
        if name in given:
            return f"draft.{name}"
        if name in numbers:
            return name
        if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type] # it is a class
            defaults[name] = field.default.factory
            return f"default_{name}()"
        defaults[name] = field.default
        return f"default_{name}"

    lines = (
        f"def create({', '.join(('draft', 'now', *numbers))}):",
        "    entity = new(entity_class)",
        "    values = entity.__dict__",
        *(f"    values[{field.name!r}] = {value(field)}" for field in fields_of(entity)),
        "    return entity",
    )
    source = "\n".join(lines)
    named = {f"default_{name}": default for name, default in defaults.items()}
    return define(source, new=object.__new__, entity_class=entity, **named)
