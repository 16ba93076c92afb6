"""Makes the sequence that shows a difference as short as it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from differential.compare import Difference
from differential.steps import Sequence, Step

MAX_ATTEMPTS = 150
"""Replays spent on one difference; a sequence has about thirty steps."""

Shows = Callable[[Sequence], Difference | None]
"""Replays a sequence on both servers."""


def shrink(difference: Difference, shows: Shows) -> Difference:
    """The same kind of difference by fewer and simpler steps."""
    attempts = 0
    progress = True
    while progress:
        progress = False
        for candidate in _simpler(difference.sequence):
            attempts += 1
            if attempts > MAX_ATTEMPTS:
                return difference
            found = shows(candidate)
            if found is not None and found.kind == difference.kind:
                difference, progress = found, True
                break
    return difference


def _simpler(sequence: Sequence) -> Iterator[Sequence]:
    *before, last = sequence
    if before:
        yield (last,)
        for size in (len(before) // 2, len(before) // 4):
            for start in range(0, len(before), size) if size > 1 else ():
                yield (*before[:start], *before[start + size :], last)
    for number in range(len(before)):
        yield (*before[:number], *before[number + 1 :], last)
    for number, step in enumerate(sequence):
        for simpler in _simpler_steps(step):
            yield (*sequence[:number], simpler, *sequence[number + 1 :])


def _simpler_steps(step: Step) -> Iterator[Step]:
    for field, value in step.fields.items():
        others = {key: other for key, other in step.fields.items() if key != field}
        yield attrs.evolve(step, fields=others)
        for simpler in _simpler_values(value):
            yield attrs.evolve(step, fields={**step.fields, field: simpler})


def _simpler_values(value: Any) -> Iterator[Any]:
    if isinstance(value, str) and " AND " in value:
        clauses = value.split(" AND ")
        for number in range(len(clauses)):
            yield " AND ".join(clauses[:number] + clauses[number + 1 :])
    if isinstance(value, list) and len(value) > 1:
        for number in range(len(value)):
            yield value[:number] + value[number + 1 :]
