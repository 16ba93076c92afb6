"""Pruning: the oldest events of a model make room for a new beginning of its history.

Strategy. The events up to a cut are played back, and what they lead to is written as a baseline, in
the last of the numbers that they had. So the events that stay keep their numbers, each still
follows from those before it, and no number is used again. Events never change, and new ones get
numbers after the cut: the baseline is right whatever is done to the model meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Protocol, runtime_checkable

import attrs

from registry_core import histories, history
from registry_core.authors import Author, Origin
from registry_core.documents import ModelDocument
from registry_core.errors import ConflictError, InvalidArgumentError, UnsupportedBackendError
from registry_core.gates.identity import MAKING, makers_of
from registry_core.history import EVENTS_MAX_RESULTS, Action, Event, author_of
from registry_core.replay import Player
from registry_core.retention import retention
from registry_core.store import Clock, Store, system_clock


@attrs.frozen(kw_only=True)
class Pruned:
    """What a pruning has done, or would do."""

    removed: int
    """Events that were removed; 0 where nothing was changed."""
    added: int
    """Events of the new beginning."""
    first: int
    """The number of the first event that the history has now; 0 where it has none."""


@attrs.frozen(kw_only=True)
class NewBeginning:
    """What takes the place of the oldest events of a model."""

    name: str
    """The name that the model has now."""
    oldest: Event
    """The first event that goes."""
    newest: Event
    """The last event that goes."""
    events: tuple[Event, ...]
    """What comes in their place. The last of them has the number of `newest`."""

    def check(self, model_id: str, ends: Iterable[tuple[int, int]]) -> None:
        """Accept the model as a store has it, under the lock that the new beginning is written in.

        Args:
            model_id: The id of the model of that name.
            ends: Number and time of its first event, and of that with the number of `newest`.

        Raises:
            ConflictError: It is another model, or its history was replaced.
        """
        expected = [(each.sequence, each.time) for each in (self.oldest, self.newest)]
        if self.oldest.model_id != model_id or expected != [*ends]:
            raise self.overtaken()

    def overtaken(self) -> ConflictError:
        """Return the error for a history that somebody else has replaced meanwhile."""
        return ConflictError(
            f"The history of model '{self.name}' was replaced meanwhile; nothing was pruned"
        )

    def awaited(self) -> ConflictError:
        """Return the error for events that still wait for delivery to webhooks."""
        return ConflictError(
            f"Events of model '{self.name}' up to {self.newest.sequence} wait for delivery to "
            "webhooks, or are dead letters; nothing was pruned"
        )


@runtime_checkable
class ReplacesBeginnings(Protocol):
    """A store that can replace the oldest events of a model."""

    def replace_beginning(self, beginning: NewBeginning) -> None:
        """Replace the events, all of them or none.

        Raises:
            ConflictError: The history was replaced meanwhile, or one of the events still waits
                for delivery to a webhook; nothing was changed.
            RegisteredModelNotFoundError: The model was deleted meanwhile.
        """
        ...


@runtime_checkable
class PrunesHistories(Protocol):
    """A store that leaves all of it to a server."""

    def prune_history(self, name: str, *, before: int, dry_run: bool, by: Author) -> Pruned:
        """See `prune`."""
        ...


def prune(
    store: Store,
    name: str,
    *,
    before: int | datetime,
    by: Author,
    dry_run: bool = False,
    clock: Clock = system_clock,
) -> Pruned:
    """Replace the events of a model that are older than a moment by a new beginning.

    Nothing is changed where that would not make the history shorter. The model's versions are held
    in memory, and a page of its events.

    Raises:
        ConflictError: The history was replaced meanwhile, or webhooks wait for the events.
        InvalidArgumentError: The moment is one from which something can still be restored.
        RegisteredModelNotFoundError: The model does not exist.
        StoreCorruptedError: The events cannot be played back.
        UnsupportedBackendError: The store cannot prune.
    """
    moment = histories.milliseconds(before)
    if isinstance(store, PrunesHistories):
        return store.prune_history(name, before=moment, dry_run=dry_run, by=by)
    if not isinstance(store, ReplacesBeginnings):
        raise UnsupportedBackendError("This store cannot prune a history: it keeps every event")
    if moment > clock() - retention():
        raise InvalidArgumentError(
            "The history of the time in which what was deleted can be restored cannot be pruned: "
            f"the moment must be before {histories.iso(clock() - retention())}"
        )
    first, beginning = _beginning(store, name, moment, by)
    if beginning is None:
        return Pruned(removed=0, added=0, first=first)
    if not dry_run:
        store.replace_beginning(beginning)
    return Pruned(
        removed=beginning.newest.sequence - beginning.oldest.sequence + 1,
        added=len(beginning.events),
        first=beginning.events[0].sequence,
    )


def _beginning(store: Store, name: str, moment: int, by: Author) -> tuple[int, NewBeginning | None]:
    """The number of the first event, and what to put in the place of those before a moment."""
    everything = histories.query(name, newest_first=False, max_results=EVENTS_MAX_RESULTS)
    player = Player()
    oldest: Event | None = None
    cut: tuple[Event, ModelDocument] | None = None
    authors: dict[int, str] = {}
    changers: dict[int, set[str]] = {}
    for event in takewhile(lambda each: each.time < moment, histories.iterate(store, everything)):
        oldest = oldest or event
        player.play(event)
        if event.action is Action.CREATE_VERSION and (author := author_of(event)) is not None:
            authors[event.version or 0] = author
        if event.action in MAKING:
            changers.setdefault(event.version or 0, set()).update(makers_of(event))
        # Between a deletion and the restoring there is nothing to begin with.
        if player.document is not None:
            cut = event, player.document
    if oldest is None or cut is None:
        first = store.events(attrs.evolve(everything, max_results=1))
        return (first[0].sequence if first else 0), None
    newest, document = cut
    events = _baseline(document, newest, by, authors, changers)
    if events[0].sequence <= oldest.sequence:
        return oldest.sequence, None
    return oldest.sequence, NewBeginning(name=name, oldest=oldest, newest=newest, events=events)


def _baseline(
    document: ModelDocument,
    newest: Event,
    by: Author,
    authors: Mapping[int, str],
    changers: Mapping[int, set[str]],
) -> tuple[Event, ...]:
    """The events of a beginning that ends with the number of an event, and has its time."""
    listed = document.versions.values()
    effects = tuple(
        history.baseline(
            document,
            listed,
            next_version=document.next_version,
            approvals=document.approvals,
            authors=authors,
            changers={
                number: names - {authors.get(number, "")} for number, names in changers.items()
            },
        )
    )
    return tuple(
        Event.of(
            effect,
            model_id=newest.model_id,
            name=document.name,
            sequence=number,
            time=newest.time,
            by=attrs.evolve(by, origin=Origin.BASELINE),
        )
        for number, effect in enumerate(effects, newest.sequence - len(effects) + 1)
    )


def replaced(kept: Sequence[Event], beginning: NewBeginning) -> list[Event]:
    """Return the events of a model with a new beginning, for a store that has them all at hand.

    Raises:
        ConflictError: They are not those that the beginning was made from.
    """
    first = kept[0].sequence if kept else 0
    at = beginning.newest.sequence - first
    if not 0 <= at < len(kept):
        raise beginning.overtaken()
    ends = ((each.sequence, each.time) for each in (kept[0], kept[at]))
    beginning.check(kept[0].model_id, ends)
    return [*beginning.events, *kept[at + 1 :]]
