"""The checksums of events in a database: what the writer of an event knows of it.

A checksum shows that a row is what was written: a disk, a restored dump or a statement of somebody
who meant another row may change one. It proves nothing against who can compute it anew.

Strategy: the process that makes the change computes it, and sends it along with the event, so that
it costs a write no step more. What PostgreSQL fills in within its one statement is not known by
then, and is left out: the model's id and the number of the event, the number of a new version, and
what was there before something was deleted. All of that is known from the events before, and is
compared when the history is played back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from registry_core.history import Action

_DIGITS = 16
"""Hexadecimal digits of a checksum, 64 bits: chance hits one of 10^19 damaged rows."""

CHECKED_COLUMNS = (
    "time",
    "actor",
    "is_authenticated",
    "origin",
    "reason",
    "action",
    "subject",
    "version",
    "key",
    "before",
    "after",
)
"""What a checksum is of: all columns that say what was done, by whom and why."""

_FILLED_IN: Final[Mapping[Action, frozenset[str]]] = {
    Action.CREATE_VERSION: frozenset({"version", "subject"}),
    Action.DELETE_ALIAS: frozenset({"version", "before"}),
    Action.DELETE_MODEL_TAG: frozenset({"before"}),
    Action.DELETE_VERSION_TAG: frozenset({"before"}),
}
"""What a statement may fill in, by action."""

_CHECKED: Final[Mapping[Action, tuple[str, ...]]] = {
    action: tuple(column for column in CHECKED_COLUMNS if column not in _FILLED_IN.get(action, ()))
    for action in Action
}
"""The columns of an event that its checksum is of, by action."""

_BY_NAME: Final[Mapping[Action, Callable[[Mapping[str, Any]], tuple[Any, ...]]]] = {
    action: itemgetter(*(f"event_{column}" for column in columns))
    for action, columns in _CHECKED.items()
}
_BY_PLACE: Final[Mapping[Action, Callable[[Sequence[Any]], tuple[Any, ...]]]] = {
    action: itemgetter(*map(CHECKED_COLUMNS.index, columns)) for action, columns in _CHECKED.items()
}


def checksum(action: Action, values: Mapping[str, Any]) -> str:
    """Return the checksum of an event from its values as they are stored."""
    return _digest(_BY_NAME[action](values))


def checksum_of_row(action: Action, values: Sequence[Any]) -> str:
    """Return the same from the values of `CHECKED_COLUMNS`."""
    return _digest(_BY_PLACE[action](values))


def _digest(values: Iterable[Any]) -> str:
    # No value has NUL in it, and an absent one is not an empty one.
    said = "\x00".join(["" if value is None else f"={value}" for value in values])
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
