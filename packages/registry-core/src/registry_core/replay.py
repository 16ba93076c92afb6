"""A registered model as its events say it is, or was: the history played back.

Each class of change says how its event is played back. Nothing but events is looked at. So this
says what a model was at a moment, tests whether the history of a model is true of it, and brings
back what was deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from registry_core.changes.base import CHANGES
from registry_core.documents import ModelDocument
from registry_core.errors import RegistryError, StoreCorruptedError
from registry_core.fields import differing
from registry_core.history import Action, Event
from registry_core.models import ModelFields, ModelVersion


def replay(events: Iterable[Event]) -> ModelDocument | None:
    """Return what a model is after these events; None where they end with its deletion.

    Args:
        events: All events of one model up to some number, oldest first.

    Raises:
        StoreCorruptedError: No model can have this history: the first event does not make a model,
            or one is about something that does not exist.
    """
    player = Player()
    for event in events:
        player.play(event)
    return player.document


class Player:
    """Plays the events of one model back, one after the other, oldest first."""

    def __init__(self) -> None:
        self.document: ModelDocument | None = None
        """What the model is after the events so far; None before the first, and when deleted."""
        self._deleted: ModelDocument | None = None

    def before(self, event: Event) -> ModelDocument | None:
        """Return what the next event changes: of a restoring, the model that was deleted."""
        return self._deleted if event.action is Action.RESTORE_MODEL else self.document

    def play(self, event: Event) -> None:
        """Make the model what it is after one more event.

        Raises:
            StoreCorruptedError: As `replay`.
        """
        before = self.before(event)
        if event.action is Action.DELETE_MODEL:
            self._deleted = before
        try:
            if event.action not in UNPLAYED:
                self.document = CHANGES[event.action].replay(before, event)
        except _IMPOSSIBLE as error:
            raise StoreCorruptedError(
                f"Event {event.sequence} of model '{event.name}' ({event.action.value}) does not "
                f"follow from those before it: {error!r}"
            ) from error


UNPLAYED = frozenset({Action.PASS_GATE})
"""Events that no class of change has of its own: a gate that was passed changes nothing."""

if _forgotten := set(Action) - UNPLAYED - CHANGES.keys():
    raise TypeError(f"no class of change has the action {', '.join(sorted(_forgotten))}")

_IMPOSSIBLE = (KeyError, TypeError, ValueError, AssertionError, AttributeError, RegistryError)
"""What playing an event back raises that is not one of this model."""


def contradictions(document: ModelDocument | None, event: Event) -> Iterator[str]:
    """Yield where an event contradicts those before it, which have led to `document`.

    An event repeats some of what they say: the model's name, what the thing was before, which
    version an alias is about.
    """
    try:
        yield from _contradictions(document, event)
    except _IMPOSSIBLE as error:
        yield f"it cannot be compared with those before it: {error!r}"


def _contradictions(document: ModelDocument | None, event: Event) -> Iterator[str]:
    name = document.name if document is not None else _after(event, "name")
    if event.action is Action.RESTORE_MODEL:
        name = event.after  # It may be restored under another name.
    if event.name != name:
        yield f"it is about {event.name!r}, and the model is {name!r} by those before it"
    if event.action in UNPLAYED:
        return
    try:
        yield from CHANGES[event.action].contradictions(document, event)
    except KeyError:
        return  # The version is absent, which playing the event back shows.


def _after(event: Event, name: str) -> object:
    return event.after.get(name) if isinstance(event.after, Mapping) else None


def differences(replayed: ModelDocument | None, document: ModelDocument) -> Iterator[str]:
    """Yield where a model is not what its history says.

    See `fields.differing` for what counts as the same.
    """
    if replayed is None:
        yield "the history ends with a deletion, and the model exists"
        return
    yield from _fields_that_differ("the model", replayed, document, ModelFields)
    for number in sorted({*replayed.versions, *document.versions}):
        of, by_history = document.versions.get(number), replayed.versions.get(number)
        if of is None:
            yield f"version {number}: exists by the history, and is absent"
        elif by_history is None:
            yield f"version {number}: exists, and the history does not know it"
        else:
            yield from _fields_that_differ(f"version {number}", by_history, of, ModelVersion)
    for number in sorted({*replayed.approvals, *document.approvals}):
        of_store, of_history = document.approvals.get(number), replayed.approvals.get(number)
        if of_store != of_history:
            yield f"version {number}: approvals is {of_store!r}, and {of_history!r} by the history"


def _fields_that_differ(
    thing: str, replayed: object, actual: object, cls: type[attrs.AttrsInstance]
) -> Iterator[str]:
    for field, by_history, is_ in differing(replayed, actual, cls):
        yield f"{thing}: {field.name} is {is_!r}, and {by_history!r} by the history"
