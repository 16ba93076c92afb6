"""Whether two snapshots are the same model, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from registry_core.authors import Origin
from registry_core.fields import differing
from registry_core.history import Action
from registry_core.models import ModelFields, ModelVersion
from registry_core.snapshots import ModelSnapshot


def differences(one: ModelSnapshot, other: ModelSnapshot) -> Iterator[str]:
    """Yield where two snapshots differ, as phrases to show.

    Histories and ids are compared where both come from where a history is kept; fields as
    `fields.differing` does.
    """
    yield from _fields("", one.document, other.document, ModelFields)
    if one.document.next_version != other.document.next_version:
        yield f"next version: {one.document.next_version} and {other.document.next_version}"
    for number in sorted({*one.versions, *other.versions}):
        left, right = one.versions.get(number), other.versions.get(number)
        if left is None or right is None:
            yield f"version {number}: only in the {'second' if left is None else 'first'}"
        elif left != right:
            yield from _fields(f"version {number}: ", left, right, ModelVersion)
    for number in sorted({*one.document.approvals, *other.document.approvals}):
        approved = [each.document.approvals.get(number, ()) for each in (one, other)]
        if approved[0] != approved[1]:
            yield f"version {number}: approvals: {approved[0]!r} and {approved[1]!r}"
    if one.events and other.events:
        yield from _histories(one, other)


def _fields(
    prefix: str, one: object, other: object, entity: type[attrs.AttrsInstance]
) -> Iterator[str]:
    for field, left, right in differing(one, other, entity):
        yield f"{prefix}{field.label}: {left!r} and {right!r}"


def _histories(one: ModelSnapshot, other: ModelSnapshot) -> Iterator[str]:
    if one.document.model_id != other.document.model_id:
        yield f"id: {one.document.model_id} and {other.document.model_id}"
    elif one.events != other.events:
        pairs = enumerate(zip(one.events, other.events, strict=False), 1)
        shorter = min(len(one.events), len(other.events))
        number = next((number for number, (a, b) in pairs if a != b), shorter + 1)
        counts = f"{len(one.events)} and {len(other.events)}"
        yield f"history: {counts} events, which differ from {number} on"


def is_behind(there: ModelSnapshot, source: ModelSnapshot) -> bool:
    """Whether a model is an earlier copy of a source, in which nobody has changed anything since.

    A source without a history has nothing that says so; then it is whether the copy's own history
    has nothing but its beginning.
    """
    if source.events:
        last = there.events[-1] if there.events else None
        if last is not None and (last.action, last.after) == (Action.RENAME_MODEL, source.name):
            # A copy of it was renamed first; see `copying`.
            before = attrs.evolve(there, events=there.events[:-1])
            return source.is_ahead_of(there) or source.is_ahead_of(before)
        return source.is_ahead_of(there)
    return is_as_copied(there)


def is_as_copied(there: ModelSnapshot) -> bool:
    """Whether nobody has changed a copy of a model whose source keeps no history.

    The history of such a copy has nothing but its beginning.
    """
    return bool(there.events) and all(event.origin is Origin.BASELINE for event in there.events)
