"""What the processes wrote down, as calls per family."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from chaos.calls import NOTHING
from chaos.linearizability import UNKNOWN, Operation
from chaos.registry_model import BIRTH_TAG, DONE, NOT_FOUND


def read(directory: Path) -> dict[str, list[Operation]]:
    """The calls of every family, from all logs in a directory, in the specification's words."""
    families: dict[str, list[Operation]] = defaultdict(list)
    for family, call in recorded(directory):
        if call.outcome != NOTHING:
            families[family].append(call)
    return {family: list(per_model(calls)) for family, calls in families.items()}


def recorded(directory: Path) -> Iterator[tuple[str, Operation]]:
    """Family and call of everything in all logs, as it was made."""
    for log in sorted(directory.glob("*.jsonl")):
        yield from _calls(log)


def per_model(calls: list[Operation]) -> Iterator[Operation]:
    """The calls, with each listing as one look at every model that may exist by then.

    A store promises an order of events per model. A listing shows each model as it was at some
    moment, and at the same moment only if it is the same model: once, and not under two names.
    """
    born = {call.arguments[1]: call for call in calls if call.name == "create_model"}
    possible = {tag: call for tag, call in born.items() if call.outcome in (DONE, UNKNOWN)}
    for call in calls:
        if call.name != "list":
            yield call
        elif call.known:
            shown = {dict(entry[1][0])[BIRTH_TAG] for entry in call.outcome}
            begun = {tag for tag, birth in possible.items() if birth.start < (call.end or 0)}
            for tag in sorted(begun | shown):
                yield attrs.evolve(call, name="find", arguments=(tag,), outcome=_shown(call, tag))


def _shown(listing: Operation, tag: str) -> Any:
    found = [entry for entry in listing.outcome if dict(entry[1][0])[BIRTH_TAG] == tag]
    if len(found) > 1:
        return ("shown more than once", *found)
    return found[0] if found else NOT_FOUND


def _calls(log: Path) -> list[tuple[str, Operation]]:
    found = []
    begun: tuple[Any, ...] | None = None
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            values = _tuples(json.loads(line))
        except ValueError:
            break  # the process was killed while it wrote
        if len(values) == 2 and begun is not None:
            start, family, name, arguments = begun
            found.append(
                (family, Operation(start, values[0], name, arguments, values[1], log.stem))
            )
            begun = None
        else:
            begun = values
    if begun is not None:
        start, family, name, arguments = begun
        found.append((family, Operation(start, None, name, arguments, UNKNOWN, log.stem)))
    return found


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
