"""Whether the history of a model is true: its events as they come, then the model as it is.

Three things are looked at: whether the events are numbered without a gap, whether each is what the
store wrote, by its checksum, and whether they lead from one to the next and in the end to the
model. Nothing is kept of an event that has been seen but what it has made of the model.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from registry_core.documents import ModelDocument
from registry_core.errors import StoreCorruptedError
from registry_core.history import Event, is_new_beginning
from registry_core.replay import Player, contradictions, differences

MOST_PROBLEMS = 100
"""Problems of one model that are reported. A missing event may make all later ones wrong."""


@attrs.frozen(kw_only=True)
class Verification:
    """What came out of playing a history back."""

    events: int
    """How many there are."""
    unchecked: int
    """Those that have no checksum: what they say is known to lead to the model, and no more."""
    problems: tuple[str, ...]
    """What is wrong, as sentences; `MOST_PROBLEMS` at most. Events are named by their numbers."""

    @property
    def is_true(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Verifier:
    """Sees the events of one model, oldest first."""

    def __init__(self) -> None:
        self._player = Player()
        self._has_lost_thread = False
        self._events = 0
        self._unchecked = 0
        self._last = 0
        self._problems: list[str] = []

    @property
    def last(self) -> int:
        """The number of the newest event that was seen; 0 before there is any."""
        return self._last

    def see(self, event: Event) -> None:
        """Look at the next event."""
        self._events += 1
        self._problems.extend(self._of_number(event))
        self._last = max(self._last, event.sequence)
        if event.is_intact is None:
            self._unchecked += 1
        elif not event.is_intact:
            self._problems.append(f"event {event.sequence} is damaged: its checksum does not fit")
        if not self._has_lost_thread:
            self._play(event)

    def unreadable(self, error: StoreCorruptedError) -> None:
        """Record that the events after those that were seen cannot be read."""
        self._problems.append(str(error))
        self._has_lost_thread = True

    def compared_with(self, document: ModelDocument | None) -> Verification:
        """Return the outcome; `document` is the model as it is, None where it does not exist."""
        if not self._has_lost_thread:
            self._problems += [*self._differences(document)]
        return Verification(
            events=self._events,
            unchecked=self._unchecked,
            problems=tuple(self._problems[:MOST_PROBLEMS]),
        )

    def _of_number(self, event: Event) -> Iterator[str]:
        due = self._last + 1
        if self._events == 1 and is_new_beginning(event):
            return
        sequence = event.sequence
        if sequence == due + 1:
            yield f"event {due} is missing"
        elif sequence > due:
            yield f"events {due} to {sequence - 1} are missing"
        elif sequence < due:
            yield f"an event has the number {sequence} and comes after event {self._last}"

    def _play(self, event: Event) -> None:
        problems = contradictions(self._player.before(event), event)
        self._problems.extend(f"event {event.sequence}: {each}" for each in problems)
        try:
            self._player.play(event)
        except StoreCorruptedError as error:
            self._problems.append(str(error))
            self._has_lost_thread = True

    def _differences(self, document: ModelDocument | None) -> Iterator[str]:
        if document is None:
            if self._player.document is not None:
                yield "the history does not end with a deletion, and there is no model"
            return
        problems = [*differences(self._player.document, document)]
        yield from problems
        if problems and not self._problems:
            yield f"event {self._last + 1} may be missing, or the model was changed without one"
