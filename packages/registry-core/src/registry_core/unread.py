"""Fields of frozen entities that are read when somebody first asks for them.

What a store has found may be much, and who asked may only hand it on. So a store may put a reader
where the value of a field belongs: the entity has the value from when it is first asked for, and
behaves as if it had had it all along.
"""

from __future__ import annotations

from typing import Any, Protocol


class Unread(Protocol):
    """The value of a field before it is read."""

    @property
    def written(self) -> list[Any]:
        """The value as answers have it: what an encoder of JSON writes."""
        ...

    def read(self) -> Any:
        """Return the value."""
        ...


class ReadLater:
    """A field of a class without slots; `put` gives an instance something to read it from.

    An instance that has the value never comes here: its own attributes go first.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._key = f"unread_{name}"

    def put(self, entity: object, unread: Unread) -> None:
        """Let the field of an entity that has no value yet be read from this."""
        entity.__dict__[self._key] = unread

    def of(self, entity: object) -> Unread | None:
        """Return what the field of an entity will be read from; None if it has been."""
        unread: Unread | None = entity.__dict__.get(self._key)
        return unread

    def __get__(self, entity: object | None, owner: type | None = None) -> Any:
        """Read the field."""
        if entity is None:
            raise AttributeError(self._name)
        values = entity.__dict__
        unread: Unread | None = values.get(self._key)
        if unread is not None:
            values[self._name] = unread.read()
            values.pop(self._key, None)
        try:  # Another thread may have read it meanwhile.
            return values[self._name]
        except KeyError:
            raise AttributeError(self._name) from None
