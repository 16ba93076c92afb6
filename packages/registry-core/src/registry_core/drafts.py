"""What an entity has of the draft that it was created from.

Strategy: every creation makes an entity of its draft, and its event another one. The fields of a
class of drafts are looked up once, and are read by one call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

import attrs


def stored(draft: attrs.AttrsInstance, now: int) -> dict[str, Any]:
    """Return the fields of a draft, its tags in the order of their keys, and the times.

    `now` is in milliseconds since the epoch.
    """
    names, values_of = _fields(type(draft))
    values: dict[str, Any] = dict(zip(names, values_of(draft), strict=True))
    values["tags"] = dict(sorted(values["tags"].items()))
    values["creation_timestamp"] = values["last_updated_timestamp"] = now
    return values


@cache
def _fields(
    draft: type[attrs.AttrsInstance],
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """The names of the fields of a class of drafts, and what reads them."""
    names = tuple(attribute.name for attribute in attrs.fields(draft))
    return names, attrgetter(*names)
