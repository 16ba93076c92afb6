"""Copying registered models into a registry, so that it can be done again and again.

Strategy. A model is one snapshot, and written in one atomic step. So whatever dies in between, a
model is there as it was or as it is to be, and the next run goes on: it compares every model, and
writes those that differ. A copy that is merely behind its source, because nobody has changed it
since, is brought up to date; one that was changed by others is a conflict, and the caller has said
what becomes of it.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
from typing import TypeVar

from registry_core.calls.snapshots import OnConflict
from registry_core.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidArgumentError,
    RegisteredModelNotFoundError,
    StoreCorruptedError,
)
from registry_core.moves.artifacts import FileMover, Moved
from registry_core.moves.comparing import differences, is_behind
from registry_core.moves.outcomes import Copied, Difference, Outcome
from registry_core.moves.sources import (
    Item,
    SnapshotSource,
    StoreSource,
    held_by,
    snapshot_in,
)
from registry_core.registry import Registry
from registry_core.snapshot_pieces import AnySnapshot
from registry_core.snapshots import is_ahead

PARALLEL = 8
"""Models on their way at a time: what a round trip to a bucket or a server takes is waited for."""

HELD_BYTES = 1024 * 1024
"""About how many bytes the models on their way may have together that were read before their turn,
as JSON; a single one may have more."""

LISTED_FROM = 50
"""Models after which a copy lists the names in its target, instead of asking for each."""

LISTED_MOST = 100_000
"""Names that a copy keeps of its target: some 10 MB."""

T = TypeVar("T")


def copy(
    source: SnapshotSource,
    target: Registry,
    *,
    filter_text: str | None = None,
    on_conflict: OnConflict = "fail",
    dry_run: bool = False,
    mover: FileMover | None = None,
) -> Iterator[Copied]:
    """Copy models, and yield what became of each, in the order of their names.

    What cannot be copied is said, and the rest is copied. With a mover, files come along.
    """
    names = _NamesOf(target)

    def one(item: Item) -> Copied:
        name, read = item
        copy_onto = partial(
            _copy, target=target, on_conflict=on_conflict, dry_run=dry_run, mover=mover
        )
        try:
            if names.lack(name):
                with suppress(AlreadyExistsError):  # somebody else has made it since
                    return copy_onto(read(), None)
            return copy_onto(read(), snapshot_in(target, name))
        except RegisteredModelNotFoundError:
            return Copied(name=name, outcome=Outcome.GONE)
        except (
            InvalidArgumentError,
            ConflictError,
            AlreadyExistsError,
            StoreCorruptedError,
        ) as error:
            return Copied(name=name, outcome=Outcome.FAILED, detail=str(error))

    yield from in_parallel(one, source.items(filter_text), size_of=held_by)


class _NamesOf:
    """The names in a target, so that not each model is looked for that it does not have.

    They are listed when a copy turns out to be of many models, and not if the target has very many.
    """

    def __init__(self, target: Registry) -> None:
        self._target = target
        self._asked = itertools.count()
        self._lock = threading.Lock()
        self._names: frozenset[str] | None = None

    def lack(self, name: str) -> bool:
        """Return whether the target surely had no such model when the copy began."""
        with self._lock:
            if next(self._asked) == LISTED_FROM:
                listed = StoreSource(self._target.store).names()
                names = frozenset(itertools.islice(listed, LISTED_MOST + 1))
                self._names = names if len(names) <= LISTED_MOST else None
        return self._names is not None and name not in self._names


def _copy(
    snapshot: AnySnapshot,
    there: AnySnapshot | None,
    target: Registry,
    on_conflict: OnConflict,
    *,
    dry_run: bool,
    mover: FileMover | None,
) -> Copied:
    if there is None and not dry_run:
        there = _renamed(target, snapshot)
    moved = Moved(snapshot=snapshot)
    if mover is not None:
        moved = mover.moved(snapshot, there, dry_run=True)
    outcome, detail = _decide(moved.snapshot, there, on_conflict)
    if mover is not None and moved.brought and outcome.is_complete:
        if not dry_run:
            moved = mover.moved(snapshot, there)
        if outcome is Outcome.UNCHANGED and moved.brought:
            outcome = Outcome.UPDATED
    if outcome.is_written and not dry_run:
        with nullcontext() if mover is None else mover.keeping(moved):
            _write(moved.snapshot, there, target, on_conflict)
    return Copied(
        name=snapshot.name,
        outcome=outcome,
        versions=snapshot.version_count,
        detail=detail,
        brought=moved.brought if outcome.is_written else 0,
        size=moved.size,
        problems=moved.problems,
    )


def _write(
    snapshot: AnySnapshot,
    there: AnySnapshot | None,
    target: Registry,
    on_conflict: OnConflict,
) -> None:
    if there is None:
        target.restore(snapshot, on_conflict="replace" if on_conflict == "replace" else "fail")
        return
    if snapshot.newest is None:
        snapshot = snapshot.with_id(there.document.model_id)
    # What others have changed since it was compared is not lost.
    target.restore(
        snapshot, on_conflict="replace", replaced=None if there.newest is None else there
    )


def _renamed(target: Registry, snapshot: AnySnapshot) -> AnySnapshot | None:
    """The copy that the target has under an earlier name, after it got the new one too."""
    earlier = {event.name for event in snapshot.each_event()} - {snapshot.name}
    for name in sorted(earlier):
        there = snapshot_in(target, name)
        if there is not None and is_ahead(snapshot, there):
            target.rename_registered_model(
                name, new_name=snapshot.name, reason="renamed in the source"
            )
            return snapshot_in(target, snapshot.name)
    return None


def _decide(
    snapshot: AnySnapshot, there: AnySnapshot | None, on_conflict: OnConflict
) -> tuple[Outcome, str]:
    if there is None:
        return Outcome.COPIED, ""
    difference = next(differences(snapshot, there), None)
    if difference is None:
        return Outcome.UNCHANGED, ""
    if is_behind(there, snapshot):
        return Outcome.UPDATED, ""
    if on_conflict == "replace":
        return Outcome.REPLACED, ""
    outcome = Outcome.SKIPPED if on_conflict == "skip" else Outcome.FAILED
    return outcome, f"the target has another model of that name: {difference}"


def compare(
    one: SnapshotSource, other: SnapshotSource, *, filter_text: str | None = None
) -> Iterator[Difference]:
    """Yield where two registries differ, in the order of the models' names."""
    pairs = _paired(one.items(filter_text), other.items(filter_text))
    for differences_ in in_parallel(_compared, pairs, size_of=_held_by_both):
        yield from differences_


def _compared(pair: tuple[Item | None, Item | None]) -> list[Difference]:
    left, right = pair
    if left is None or right is None:
        present, side = (right, "second") if left is None else (left, "first")
        assert present is not None, "a name is on one side at least"
        return [
            Difference(
                name=present[0],
                difference=f"only in the {side}",
                is_only_in_second=left is None,
            )
        ]
    try:
        unequal = [*differences(left[1](), right[1]())]
    except RegisteredModelNotFoundError:
        return []  # It has gone meanwhile, from one side at least.
    return [Difference(name=left[0], difference=each) for each in unequal]


def _paired(
    one: Iterator[Item], other: Iterator[Item]
) -> Iterator[tuple[Item | None, Item | None]]:
    """Yield the models of both sides by name, as a merge of two lists in order."""
    left, right = next(one, None), next(other, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            yield left, None
            left = next(one, None)
        elif left is None or right[0] < left[0]:
            yield None, right
            right = next(other, None)
        else:
            yield left, right
            left, right = next(one, None), next(other, None)


def snapshots(source: SnapshotSource, filter_text: str | None = None) -> Iterator[AnySnapshot]:
    """Yield the snapshots of a source, in the order of names; a model that goes is left out."""

    def read(item: Item) -> AnySnapshot | None:
        try:
            return item[1]()
        except RegisteredModelNotFoundError:
            return None

    read_ = in_parallel(read, source.items(filter_text), size_of=held_by)
    return (snapshot for snapshot in read_ if snapshot is not None)


S = TypeVar("S")


def in_parallel(
    work: Callable[[S], T], items: Iterator[S], *, size_of: Callable[[S], int]
) -> Iterator[T]:
    """Yield what `work` makes of the items, in their order, with `PARALLEL` of them at a time.

    Fewer of them are on their way where these have many bytes.
    """
    waiting: deque[tuple[Future[T], int]] = deque()
    held = 0
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="registry-copy") as pool:
        try:
            for item in items:
                size = size_of(item)
                while waiting and (len(waiting) >= 2 * PARALLEL or held + size > HELD_BYTES):
                    future, done = waiting.popleft()
                    held -= done
                    yield future.result()
                waiting.append((pool.submit(work, item), size))
                held += size
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()


def _held_by_both(pair: tuple[Item | None, Item | None]) -> int:
    return sum(held_by(item) for item in pair if item is not None)
