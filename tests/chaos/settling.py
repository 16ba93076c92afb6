"""What later reads say about calls whose outcome is unknown.

Every call of a run writes a text that no other call writes. A read that shows it has the call behind
it: the call took effect before that read ended. A tag that no read ever shows may as well not have
been written. Both follow from the history alone, and spare the checker most of its choices: a fault
leaves dozens of such calls, each of which could otherwise take effect at any moment after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from chaos.linearizability import Operation
from chaos.registry_model import VALUES, WITHOUT_OTHER_EFFECT


def settled(calls: Sequence[Operation]) -> Iterator[Operation]:
    """The calls that have to be explained, each with the moment by which it took effect, if reads tell."""
    written = Counter(value for call in calls if (value := _written(call)) is not None)
    shown = _shown(calls)
    for call in calls:
        value = _written(call)
        if call.known or value is None or written[value] > 1:
            yield call
        elif value in shown:
            yield attrs.evolve(call, seen=shown[value])
        elif call.name not in WITHOUT_OTHER_EFFECT:
            yield call


def _written(call: Operation) -> Any:
    return call.arguments[VALUES[call.name]] if call.name in VALUES else None


def _shown(calls: Sequence[Operation]) -> dict[str, int]:
    """When the first call ended that shows a text, of every text that was shown."""
    shown: dict[str, int] = {}
    for call in calls:
        if call.known and call.end is not None:
            for text in _texts(call.outcome):
                shown[text] = min(call.end, shown.get(text, call.end))
    return shown


def _texts(outcome: Any) -> Iterator[str]:
    if isinstance(outcome, str):
        yield outcome
    elif isinstance(outcome, tuple):
        for each in outcome:
            yield from _texts(each)
    elif attrs.has(type(outcome)):
        yield from _texts(attrs.astuple(outcome, recurse=False))
