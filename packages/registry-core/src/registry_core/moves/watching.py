"""Following a source until it is stopped: a copy that goes on while others write.

Strategy. Where the source keeps a history, its feed names the models that have changed, and they
are copied as any run copies them; also what was deleted there goes from the copy. Where it keeps
none, every model is compared each time. Whatever is missed in between, the last run finds: it
begins after the stop, and compares everything. A deletion it cannot find, so that is kept until the
copy has it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import attrs

from registry_core import snapshot_reading
from registry_core.errors import StoreUnavailableError, UnsupportedBackendError
from registry_core.feed import Feed
from registry_core.history import Action, Event, EventQuery
from registry_core.moves.copying import Copied, Outcome
from registry_core.moves.sources import Item, SnapshotSource, StoreSource, snapshot_in
from registry_core.registry import Registry

INTERVAL_SECONDS = 5.0
"""Seconds between two looks at the source, unless the user says otherwise."""

_logger = logging.getLogger(__name__)


class Copies(Protocol):
    """Copies what a source has; see `copying.copy`."""

    def __call__(self, source: SnapshotSource) -> Iterator[Copied]:
        """Yield what became of each model."""
        ...


def watch(
    source: SnapshotSource,
    target: Registry,
    copies: Copies,
    *,
    stop: threading.Event,
    interval_seconds: float = INTERVAL_SECONDS,
    filter_text: str | None = None,
) -> Iterator[Copied]:
    """Copy a source, then what changes there, and yield what became of each model.

    Of the runs after the first one only what was written is said, and what could not be.

    Args:
        source: What is followed.
        target: What gets the models that `copies` copies.
        copies: Copies the models of a source.
        stop: Ends it, after one more run over everything.
        interval_seconds: Between two looks.
        filter_text: Which models are followed.
    """
    looks = _looks(source, target, copies, filter_text)
    yield from copies(source)
    while not stop.wait(interval_seconds):
        try:
            yield from filter(_is_news, looks())
        except StoreUnavailableError as error:
            _logger.warning("The next look follows in %g s: %s", interval_seconds, error)
    # What was deleted since, only the feed says.
    yield from filter(_is_news, looks())
    yield from filter(_is_news, copies(source))


def _is_news(copied: Copied) -> bool:
    return copied.outcome.is_written or not copied.is_complete


def _looks(
    source: SnapshotSource, target: Registry, copies: Copies, filter_text: str | None
) -> Callable[[], Iterator[Copied]]:
    """What copies the changes since it was called last; it begins before the first copy."""
    if isinstance(source, StoreSource):
        try:
            feed = Feed(source.store)
        except UnsupportedBackendError:
            return partial(copies, source)  # a server of MLflow's
        return _Following(source, target, copies, filter_text, feed).look
    return partial(copies, source)


@attrs.frozen
class _Named:
    """Some models of a store."""

    source: StoreSource
    names: frozenset[str]

    def items(self, filter_text: str | None = None) -> Iterator[Item]:
        """See `SnapshotSource`."""
        names = self.names
        if filter_text:
            names &= frozenset(self.source.names(filter_text))
        for name in sorted(names):
            yield name, partial(snapshot_reading.take, self.source.store, name)


@attrs.define
class _Following:
    """Copies the models that the feed of a store names."""

    source: StoreSource
    target: Registry
    copies: Copies
    filter_text: str | None
    feed: Feed
    waiting: set[str] = attrs.field(factory=set)
    """Models that have changed, and were not looked at since."""
    deletions: deque[Event] = attrs.field(factory=deque)
    """Deletions that the copy does not have yet, oldest first. The feed does not repeat them."""

    def look(self) -> Iterator[Copied]:
        """Yield what became of the models that have changed since the last look."""
        for event in self.feed.poll():
            self.waiting.add(event.name)
            if event.action is Action.RENAME_MODEL and isinstance(event.after, str):
                self.waiting.add(event.after)
            if event.action is Action.DELETE_MODEL:
                self.deletions.append(event)
        while self.deletions:
            is_removed = self._remove(self.deletions[0])
            deletion = self.deletions.popleft()
            if is_removed:
                yield Copied(name=deletion.name, outcome=Outcome.REMOVED)
        if self.waiting:
            yield from self.copies(_Named(self.source, frozenset(self.waiting)))
            self.waiting.clear()

    def _remove(self, deletion: Event) -> bool:
        """Whether the copy of a deleted model is gone now.

        One that others have changed stays, and one that the filter does not match.
        """
        there = snapshot_in(self.target, deletion.name)
        if there is None or there.document.model_id != deletion.model_id or not there.events:
            return False
        query = EventQuery(
            model_id=deletion.model_id,
            newest_first=False,
            after=(0, "", there.last - 1),
            max_results=1,
        )
        is_as_copied = self.source.store.events(query) == [there.events[-1]]
        if not is_as_copied or not self._is_followed(deletion.name):
            return False
        self.target.delete_registered_model(deletion.name, reason="deleted in the source")
        return True

    def _is_followed(self, name: str) -> bool:
        """Whether the filter matches a deleted model, of which only the copy can say that."""
        if not self.filter_text:
            return True
        return name in StoreSource(self.target.store).names(self.filter_text)
