"""Whether two snapshots are the same model, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TypeAlias

import attrs

from registry_core.authors import Origin
from registry_core.fields import differing
from registry_core.history import Action
from registry_core.models import Approval, ModelFields, ModelVersion
from registry_core.snapshots import Snapshot, is_ahead


def differences(one: Snapshot, other: Snapshot) -> Iterator[str]:
    """Yield where two snapshots differ, as phrases to show.

    Histories and ids are compared where both come from where a history is kept; fields as
    `fields.differing` does.
    """
    yield from _fields("", one.document, other.document, ModelFields)
    if one.document.next_version != other.document.next_version:
        yield f"next version: {one.document.next_version} and {other.document.next_version}"
    for left, right in _paired(one, other):
        if left is None or right is None:
            present, side = (right, "second") if left is None else (left, "first")
            assert present is not None, "a number is on one side at least"
            yield f"version {present[0].version}: only in the {side}"
            continue
        if left[0] != right[0]:
            yield from _fields(f"version {left[0].version}: ", left[0], right[0], ModelVersion)
        if left[1] != right[1]:
            yield f"version {left[0].version}: approvals: {left[1]!r} and {right[1]!r}"
    if one.newest is not None and other.newest is not None:
        yield from _histories(one, other)


_Version: TypeAlias = tuple[ModelVersion, tuple[Approval, ...]]


def _paired(one: Snapshot, other: Snapshot) -> Iterator[tuple[_Version | None, _Version | None]]:
    """Yield the versions of both sides by number, as a merge of two lists in order."""
    lefts, rights = one.each_version(), other.each_version()
    left, right = next(lefts, None), next(rights, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0].version < right[0].version):
            yield left, None
            left = next(lefts, None)
        elif left is None or right[0].version < left[0].version:
            yield None, right
            right = next(rights, None)
        else:
            yield left, right
            left, right = next(lefts, None), next(rights, None)


def beside(
    one: Snapshot, other: Snapshot | None
) -> Iterator[tuple[ModelVersion, ModelVersion | None]]:
    """Yield the versions of one side, each with the one of its number on the other."""
    if other is None:
        yield from ((version, None) for version, _ in one.each_version())
        return
    for left, right in _paired(one, other):
        if left is not None:
            yield left[0], None if right is None else right[0]


def _fields(
    prefix: str, one: object, other: object, entity: type[attrs.AttrsInstance]
) -> Iterator[str]:
    for field, left, right in differing(one, other, entity):
        yield f"{prefix}{field.label}: {left!r} and {right!r}"


def _histories(one: Snapshot, other: Snapshot) -> Iterator[str]:
    if one.document.model_id != other.document.model_id:
        yield f"id: {one.document.model_id} and {other.document.model_id}"
        return
    pairs = zip_longest(one.each_event(), other.each_event())
    for number, (left, right) in enumerate(pairs, 1):
        if left != right:
            counts = f"{one.event_count} and {other.event_count}"
            yield f"history: {counts} events, which differ from {number} on"
            return


def is_behind(there: Snapshot, source: Snapshot) -> bool:
    """Return whether a model is an earlier copy of a source that nobody has changed since.

    A source without a history has nothing that says so; then it is whether the copy's own history
    has nothing but its beginning.
    """
    if source.newest is None:
        return is_as_copied(there)
    last = there.newest
    if last is not None and (last.action, last.after) == (Action.RENAME_MODEL, source.name):
        # A copy of it was renamed first; see `copying`.
        return is_ahead(source, there) or is_ahead(source, there, but=1)
    return is_ahead(source, there)


def is_as_copied(there: Snapshot) -> bool:
    """Return whether nobody has changed a copy of a model whose source keeps no history.

    The history of such a copy has nothing but its beginning.
    """
    return there.newest is not None and all(
        event.origin is Origin.BASELINE for event in there.each_event()
    )
