"""Gates as tables of TOML: `[[gate]]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from registry_core.gates.rules import Gate
from registry_core.models import Stage
from registry_core.toml_tables import (
    Table,
    Toml,
    TomlTableError,
    content_of,
    lines_of,
    listed,
    parsed,
)
from registry_core.validation import ALIAS_MAX_LENGTH, NAME_MAX_LENGTH, text

GATES_MAX_COUNT: Final = 1_000
"""Gates of one file. Every move looks at all of them."""

APPROVALS_MAX_COUNT: Final = 100
"""Approvals that a gate may ask for."""

AGE_MAX_SECONDS: Final = 10 * 366 * 24 * 3600
"""The age that a gate may ask for, ten years: a larger one is a mistake of the unit."""

VALUE_MAX_LENGTH: Final = 1_000
"""Characters of the value of a tag that a gate may ask for."""

_KEYS: Final = (
    "name",
    "models",
    "aliases",
    "stages",
    "tags",
    "ready",
    "verified",
    "min_age_seconds",
    "approvals",
    "approvers",
)


def parse_gates(
    table: Toml, *, file: str = "access.toml", lines: Sequence[int] = ()
) -> tuple[Gate, ...]:
    """Return the gates of a TOML file that was read: what its `[[gate]]` tables say.

    Args:
        table: The file as TOML. Other tables of it are left alone.
        file: What errors call it.
        lines: Where the gates begin in the file. Without them errors count the gates.

    Raises:
        InvalidArgumentError: A gate cannot be meant; the message names the gate and the key.
    """
    parsed = [each for _, each in listed(file, table, "gate", lines)]
    if len(parsed) > GATES_MAX_COUNT:
        raise TomlTableError(f"{file}: has more than {GATES_MAX_COUNT} gates")
    gates: dict[str, Gate] = {}
    for number, each in enumerate(parsed, 1):
        gate = _gate(number, each)
        if gate.name in gates:
            raise each.error("name", f"'{gate.name}' is that of another gate")
        gates[gate.name] = gate
    return tuple(gates.values())


def load_gates(path: str | Path) -> tuple[Gate, ...]:
    """Return the gates in an access file; its other tables are left alone.

    Raises:
        InvalidArgumentError: It cannot be read, or as `parse_gates`.
    """
    text_of_file, table = parsed(content_of(Path(path)), str(path))
    return parse_gates(table, file=str(path), lines=lines_of(text_of_file, "gate"))


def _gate(number: int, table: Table) -> Gate:
    table.only(*_KEYS)
    name = table.text("name", f"gate {number}")
    gate = Gate(
        name=table.accepted("name", name, _text("name", ALIAS_MAX_LENGTH)),
        models=_texts(table, "models", NAME_MAX_LENGTH, default=("*",)),
        aliases=_texts(table, "aliases", ALIAS_MAX_LENGTH),
        stages=_stages(table),
        tags=_tags(table),
        ready=table.truth("ready", default=True),
        verified=table.truth("verified", default=False),
        min_age_seconds=table.number("min_age_seconds", 0, low=0, high=AGE_MAX_SECONDS),
        approvals=table.number("approvals", 0, low=0, high=APPROVALS_MAX_COUNT),
        approvers=_texts(table, "approvers", NAME_MAX_LENGTH),
    )
    _check(gate, table)
    return gate


def _check(gate: Gate, table: Table) -> None:
    if not gate.aliases and not gate.stages:
        raise table.error("aliases", "or 'stages' must say what it protects")
    if gate.approvers and not gate.approvals:
        raise table.error("approvers", "mean nothing without 'approvals'")
    if not gate.ready and (gate.verified or gate.approvals):
        raise table.error("ready", "cannot be false: what is not READY may still change")
    asks = (gate.ready, gate.tags, gate.verified, gate.min_age_seconds, gate.approvals)
    if not any(asks):
        raise table.error("ready", "cannot be false where the gate asks for nothing else")


def _texts(
    table: Table, key: str, max_length: int, default: tuple[str, ...] = ()
) -> tuple[str, ...]:
    accept = _text(key, max_length)
    return tuple(table.accepted(key, each, accept) for each in table.texts(key, default))


def _stages(table: Table) -> tuple[Stage, ...]:
    active = [stage.value for stage in Stage if stage.is_active]
    stages = table.texts("stages", ())
    for each in stages:
        if each not in active:
            raise table.error("stages", f"has {each!r}; known are {', '.join(active)}")
    return tuple(map(Stage, stages))


def _tags(table: Table) -> Mapping[str, str | None]:
    tags: dict[str, str | None] = {}
    for key, value in table.values("tags", '{ validation = "passed" }').items():
        if value is True:
            tags[key] = None
        elif isinstance(value, str):
            tags[key] = table.accepted("tags", value, _text("tags", VALUE_MAX_LENGTH))
        else:
            raise table.error(
                "tags", f"has a value for '{key}' that is neither a text nor true, for any"
            )
    return dict(sorted(tags.items()))


def _text(key: str, max_length: int) -> Callable[[str], str]:
    return partial(text, parameter=key, max_length=max_length)
