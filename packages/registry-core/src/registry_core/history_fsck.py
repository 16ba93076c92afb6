"""The check of all histories of a store: each is played back, and compared with its model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import attrs

from registry_core import histories
from registry_core.errors import (
    ConflictError,
    InvalidArgumentError,
    RegisteredModelNotFoundError,
    StoreCorruptedError,
)
from registry_core.fsck import Finding, Report
from registry_core.history import EVENTS_MAX_RESULTS, Event, EventQuery
from registry_core.store import Store
from registry_core.thread_pool import ThreadPool
from registry_core.verification import Verification, Verifier

SIDE_BY_SIDE = 8
"""Histories that are played back at a time. Of each, the model and one page of events are held."""

AT_A_TIME = 1_000
"""Models that are given to the threads at once, whose outcomes are held until all are done."""

MOST_FINDINGS = 1_000
"""Problems that are reported of all histories together."""


@attrs.frozen
class DeletedHistory:
    """The history of a model that is there no more."""

    name: str
    """What the history is called in a finding."""
    read: Callable[[EventQuery], list[Event]]
    """Gives a page of its events."""


@attrs.frozen
class _Outcome:
    subject: str
    verification: Verification | None = None
    left_out: str | None = None
    """Why it was not played back, where it was not."""


def check_histories(
    store: Store, models: Iterable[str], deleted: Iterable[DeletedHistory] = ()
) -> Report:
    """Play back the histories of these models, and of those that were deleted.

    Memory is bounded, whatever there is: events are read page by page, and forgotten.
    """
    tally = _Tally()
    with ThreadPool(SIDE_BY_SIDE, name="history-fsck") as pool:
        for names in _portions(models):
            for outcome in pool.map(lambda name: _of_model(store, name), names):
                tally.add(outcome)
    for each in deleted:
        tally.add(_of_deleted(each))
    return tally.report()


class _Tally:
    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._found = 0
        self._checked = Counter(histories=0, events=0)
        self._left_out = Counter[str]()

    def add(self, outcome: _Outcome) -> None:
        if outcome.left_out is not None:
            self._left_out[outcome.left_out] += 1
        if outcome.verification is None:
            return
        self._checked["histories"] += 1
        self._checked["events"] += outcome.verification.events
        if outcome.verification.unchecked:
            self._left_out["checksums_of_older_events"] += outcome.verification.unchecked
        self._found += len(outcome.verification.problems)
        room = MOST_FINDINGS - len(self._findings)
        self._findings += [
            Finding(
                problem="untrue-history", subject=outcome.subject, detail=each, repairable=False
            )
            for each in outcome.verification.problems[:room]
        ]

    def report(self) -> Report:
        more = self._found - len(self._findings)
        return Report(
            findings=tuple(self._findings),
            checked=dict(self._checked),
            not_checked=dict(self._left_out),
            notes=(f"{more} further problems of histories are not listed",) if more else (),
        )


def _of_model(store: Store, name: str) -> _Outcome:
    try:
        return _Outcome(name, histories.verify(store, name))
    except RegisteredModelNotFoundError:  # It was deleted or renamed meanwhile.
        return _Outcome(name)
    except InvalidArgumentError:
        return _Outcome(name, left_out="models_without_history")
    except ConflictError:
        return _Outcome(name, left_out="histories_that_kept_changing")
    except StoreCorruptedError:  # The model is, which others find.
        return _Outcome(name, left_out="histories_of_damaged_models")


def _of_deleted(deleted: DeletedHistory) -> _Outcome:
    query = EventQuery(name="", newest_first=False, max_results=EVENTS_MAX_RESULTS)
    verifier = Verifier()
    try:
        for event in histories.pages(deleted.read, query):
            verifier.see(event)
    except StoreCorruptedError as error:
        verifier.unreadable(error)
    return _Outcome(deleted.name, verifier.compared_with(None))


def _portions(names: Iterable[str]) -> Iterator[list[str]]:
    portion: list[str] = []
    for name in names:
        portion.append(name)
        if len(portion) == AT_A_TIME:
            yield portion
            portion = []
    yield portion
