"""Following a source until it is stopped: a copy that goes on while others write.

Strategy. Where the source keeps a history, its feed names the models that have changed, and they
are copied as any run copies them; also what was deleted there goes from the copy. Where it keeps
none, every model is compared each time, and one that was seen there and is gone goes from the copy,
too. Whatever is missed in between, the last run finds: it begins after the stop, and compares all.
A deletion it cannot find, so that is kept until the copy has it.
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
from registry_core.errors import (
    RegisteredModelNotFoundError,
    StoreUnavailableError,
    UnsupportedBackendError,
)
from registry_core.feed import Feed
from registry_core.history import Action, Event, EventQuery
from registry_core.moves.comparing import is_as_copied
from registry_core.moves.outcomes import Copied, Outcome
from registry_core.moves.sources import (
    Item,
    SnapshotSource,
    StoreSource,
    snapshot_in,
)
from registry_core.registry import Registry
from registry_core.snapshot_pieces import AnySnapshot

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
    yield from looks.begin()
    while not stop.wait(interval_seconds):
        try:
            yield from filter(_is_news, looks.look())
        except StoreUnavailableError as error:
            _logger.warning("The next look follows in %g s: %s", interval_seconds, error)
    # What was deleted since, only this says.
    yield from filter(_is_news, looks.look())
    yield from filter(_is_news, copies(source))


def _is_news(copied: Copied) -> bool:
    return copied.outcome.is_written or not copied.is_complete


class _Looks(Protocol):
    """Copies the changes of a source."""

    def begin(self) -> Iterator[Copied]:
        """Yield what became of each model when all were copied."""
        ...

    def look(self) -> Iterator[Copied]:
        """Yield what became of what has changed since the last look."""
        ...


def _looks(
    source: SnapshotSource, target: Registry, copies: Copies, filter_text: str | None
) -> _Looks:
    """What copies the changes; what it misses none of begins before the first copy."""
    if isinstance(source, StoreSource):
        try:
            return _Following(source, target, copies, filter_text, Feed(source.store))
        except UnsupportedBackendError:
            pass  # a server of MLflow's
    return _Comparing(source, target, copies)


@attrs.define
class _Comparing:
    """Compares all models of a source that keeps no history each time."""

    source: SnapshotSource
    target: Registry
    copies: Copies
    seen: dict[str, Callable[[], AnySnapshot]] = attrs.field(factory=dict)
    """What reads the models that the source had. One that it never had may be anybody's."""

    def begin(self) -> Iterator[Copied]:
        """See `_Looks`."""
        yield from self.look()

    def look(self) -> Iterator[Copied]:
        """See `_Looks`."""
        there: dict[str, Callable[[], AnySnapshot]] = {}
        yield from self.copies(_Recorded(self.source, there))
        for name in sorted(self.seen.keys() - there.keys()):
            if not _is_gone(self.seen[name]):
                continue
            if self._remove(name):
                yield Copied(name=name, outcome=Outcome.REMOVED)
            del self.seen[name]
        self.seen |= there

    def _remove(self, name: str) -> bool:
        """Whether the copy of a model is gone now; one that others have changed stays."""
        there = snapshot_in(self.target, name)
        if there is None or not is_as_copied(there):
            return False
        self.target.delete_registered_model(name, reason="deleted in the source")
        return True


@attrs.frozen
class _Recorded:
    """A source that notes which models it gave."""

    source: SnapshotSource
    found: dict[str, Callable[[], AnySnapshot]]

    def items(self, filter_text: str | None = None) -> Iterator[Item]:
        """See `SnapshotSource`."""
        for name, read in self.source.items(filter_text):
            self.found[name] = read
            yield name, read


def _is_gone(read: Callable[[], AnySnapshot]) -> bool:
    """Whether a model is gone: MLflow's pages leave some out while others write."""
    try:
        read()
    except RegisteredModelNotFoundError:
        return True
    return False


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
            yield name, partial(snapshot_reading.open_snapshot, self.source.store, name)


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

    def begin(self) -> Iterator[Copied]:
        """See `_Looks`."""
        yield from self.copies(self.source)

    def look(self) -> Iterator[Copied]:
        """See `_Looks`."""
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
        if there is None or there.document.model_id != deletion.model_id or there.newest is None:
            return False
        query = EventQuery(
            model_id=deletion.model_id,
            newest_first=False,
            after=(0, "", there.last - 1),
            max_results=1,
        )
        is_as_copied = self.source.store.events(query) == [there.newest]
        if not is_as_copied or not self._is_followed(deletion.name):
            return False
        self.target.delete_registered_model(deletion.name, reason="deleted in the source")
        return True

    def _is_followed(self, name: str) -> bool:
        """Whether the filter matches a deleted model, of which only the copy can say that."""
        if not self.filter_text:
            return True
        return name in StoreSource(self.target.store).names(self.filter_text)
