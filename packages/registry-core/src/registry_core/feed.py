"""`Feed`: the events of all registered models as they come, also those that are committed late.

Strategy. Events of all models are in the order of their times, and a time is taken before a change
is committed: so an event may appear behind others that have been read. The events of one model are
numbered in the order in which they are committed. So the feed remembers for each model the number
that it has come to, and reads anew what is up to `LATE_SECONDS` old, now and then, and what is up
to `RECENT_SECONDS` old each time: whatever has a higher number is new. A number that is missing
before it has a time that is older still, and is read from the model's own history.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import takewhile

import attrs

from registry_core import histories
from registry_core.errors import InvalidArgumentError
from registry_core.history import EVENTS_MAX_RESULTS, Event, EventQuery, place_of
from registry_core.store import Clock, Store, system_clock

LATE_SECONDS = 900
"""How long after its time an event may be committed and is still found: longer than any change is
tried for, and than the clocks of machines differ. One by a process that was stopped for longer is
found with the next event of its model, if the one before it is not older than twice this."""

RECENT_SECONDS = 30
"""How far each look goes back. Most events are committed within milliseconds."""

THOROUGH_SECONDS = 60
"""Seconds between two looks that go back by `LATE_SECONDS`."""

_KIND = "feed"


@attrs.frozen
class _Mark:
    """How far the events of a model have been read: its last one's number and time."""

    sequence: int
    time: int


class Feed:
    """The events of all registered models that exist, from some moment on.

    Events of one model come in the order of their numbers, those of different models about in that
    of their times. Of a model that was deleted nothing comes any more.
    """

    def __init__(
        self,
        store: Store,
        *,
        since: int | None = None,
        cursor: str | None = None,
        clock: Clock = system_clock,
    ) -> None:
        """Begin where a cursor says, or at a moment, or now.

        Args:
            store: Where the events are.
            since: Milliseconds since the epoch.
            cursor: That of an earlier feed.
            clock: Tells the time.

        Raises:
            InvalidArgumentError: The cursor is none.
        """
        self._store = store
        self._clock = clock
        self._marks: dict[str, _Mark] = {}
        self._start = since or 0
        self._newest = clock() if since is None else since
        self._thorough = float("-inf")
        if cursor is not None:
            self._start, self._newest, self._marks = _parsed(cursor)
        elif since is None:
            self.poll()  # What there is by now is not new.

    @property
    def cursor(self) -> str:
        """What a later feed begins with to go on after the last `poll`."""
        marks = [[model, mark.sequence, mark.time] for model, mark in self._marks.items()]
        return json.dumps([_KIND, self._start, self._newest, marks])

    def poll(self) -> list[Event]:
        """Return the events that have come since the last look."""
        now = time.monotonic()
        is_thorough = now - self._thorough >= THOROUGH_SECONDS
        back = LATE_SECONDS if is_thorough else RECENT_SECONDS
        since = max(self._start, self._newest - back * 1000)
        query = EventQuery(since=since, newest_first=False, max_results=EVENTS_MAX_RESULTS)
        unseen = [each for each in histories.iterate(self._store, query) if self._is_new(each)]
        events = list(self._in_order(unseen))
        for event in events:
            self._newest = max(self._newest, min(event.time, self._clock()))
            self._marks[event.model_id] = _Mark(event.sequence, event.time)
        if is_thorough:
            self._thorough = now
            oldest = self._newest - 2 * LATE_SECONDS * 1000
            self._marks = {m: mark for m, mark in self._marks.items() if mark.time >= oldest}
        return events

    def _is_new(self, event: Event) -> bool:
        mark = self._marks.get(event.model_id)
        return mark is None or event.sequence > mark.sequence

    def _in_order(self, unseen: list[Event]) -> Iterator[Event]:
        """The events by time, those of each model by number, with what is missing among them."""
        of_models: defaultdict[str, dict[int, Event]] = defaultdict(dict)
        for event in unseen:
            of_models[event.model_id][event.sequence] = event
        for model_id, events in of_models.items():
            mark = self._marks.get(model_id)
            first = min(events) if mark is None else mark.sequence + 1
            if len(events) <= max(events) - first:
                events.update(self._missing(events, first))
        waiting = {model: sorted(events.items()) for model, events in of_models.items()}
        every = [each for events in of_models.values() for each in events.values()]
        for event in sorted(every, key=place_of):
            yield waiting[event.model_id].pop(0)[1]

    def _missing(self, events: dict[int, Event], first: int) -> dict[int, Event]:
        newest = events[max(events)]
        query = EventQuery(
            model_id=newest.model_id,
            newest_first=False,
            after=(0, "", first - 1),
            max_results=EVENTS_MAX_RESULTS,
        )
        listed = histories.iterate(self._store, query)
        earlier = takewhile(lambda each: each.sequence < newest.sequence, listed)
        return {each.sequence: each for each in earlier}


def _parsed(cursor: str) -> tuple[int, int, dict[str, _Mark]]:
    try:
        plain = json.loads(cursor)
    except (ValueError, RecursionError):
        raise InvalidArgumentError("Invalid cursor: it is not JSON") from None
    match plain:
        case [kind, int(start), int(newest), list(listed)] if kind == _KIND:
            marks: dict[str, _Mark] = {}
            for each in listed:
                match each:
                    case [str(model_id), int(sequence), int(moment)]:
                        marks[model_id] = _Mark(sequence, moment)
                    case _:
                        raise InvalidArgumentError(f"Invalid cursor of a feed: {each!r}")
            return start, newest, marks
    raise InvalidArgumentError("Invalid cursor: it is none of a feed")
