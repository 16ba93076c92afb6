"""Gates as tables of TOML: `[[gate]]`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from registry_core.errors import InvalidArgumentError
from registry_core.gates.rules import Gate
from registry_core.models import Stage
from registry_core.validation import ALIAS_MAX_LENGTH, NAME_MAX_LENGTH, text

GATES_MAX_COUNT: Final = 1_000
"""Gates of one file. Every move looks at all of them."""

APPROVALS_MAX_COUNT: Final = 100
"""Approvals that a gate may ask for."""

AGE_MAX_SECONDS: Final = 10 * 366 * 24 * 3600
"""The age that a gate may ask for, ten years: a larger one is a mistake of the unit."""

VALUE_MAX_LENGTH: Final = 1_000
"""Characters of the value of a tag that a gate may ask for."""

Toml: TypeAlias = Mapping[str, Any]

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


def parse_gates(table: Toml, *, file: str = "access.toml") -> tuple[Gate, ...]:
    """Return the gates of a TOML file that was read: what its `[[gate]]` tables say.

    Args:
        table: The file as TOML. Other tables of it are left alone.
        file: What errors call it.

    Raises:
        InvalidArgumentError: A gate cannot be meant; the message names the gate and the key.
    """
    listed = table.get("gate", [])
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise InvalidArgumentError(f"{file}: 'gate' must be tables, as in [[gate]]")
    if len(listed) > GATES_MAX_COUNT:
        raise InvalidArgumentError(f"{file}: has more than {GATES_MAX_COUNT} gates")
    gates = tuple(_Reader(file, number, each).gate() for number, each in enumerate(listed, 1))
    seen: set[str] = set()
    for number, gate in enumerate(gates, 1):
        if gate.name in seen:
            raise _Reader(file, number, {}).error("name", f"'{gate.name}' is that of another gate")
        seen.add(gate.name)
    return gates


def load_gates(path: str | Path) -> tuple[Gate, ...]:
    """Return the gates in an access file; its other tables are left alone.

    Raises:
        InvalidArgumentError: It cannot be read, or as `parse_gates`.
    """
    try:
        with Path(path).open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        reason = error.strerror or error
        raise InvalidArgumentError(f"{path} cannot be read: {reason}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidArgumentError(f"{path}: is not TOML: {error}") from None
    return parse_gates(table, file=str(path))


class _Reader:
    def __init__(self, file: str, number: int, table: Toml) -> None:
        self._place = f"{file}: [[gate]] (number {number})"
        self._number = number
        self._table = table

    def error(self, key: str, problem: str) -> InvalidArgumentError:
        return InvalidArgumentError(f"{self._place}: '{key}' {problem}")

    def gate(self) -> Gate:
        for key in self._table:
            if key not in _KEYS:
                raise self.error(key, f"is not known here; known are {', '.join(_KEYS)}")
        gate = Gate(
            name=self._name(),
            models=self._texts("models", NAME_MAX_LENGTH, default=("*",)),
            aliases=self._texts("aliases", ALIAS_MAX_LENGTH),
            stages=self._stages(),
            tags=self._tags(),
            ready=self._truth("ready", default=True),
            verified=self._truth("verified", default=False),
            min_age_seconds=self._number_of("min_age_seconds", AGE_MAX_SECONDS),
            approvals=self._number_of("approvals", APPROVALS_MAX_COUNT),
            approvers=self._texts("approvers", NAME_MAX_LENGTH),
        )
        self._check(gate)
        return gate

    def _check(self, gate: Gate) -> None:
        if not gate.aliases and not gate.stages:
            raise self.error("aliases", "or 'stages' must say what it protects")
        if gate.approvers and not gate.approvals:
            raise self.error("approvers", "mean nothing without 'approvals'")
        if not gate.ready and (gate.verified or gate.approvals):
            raise self.error("ready", "cannot be false: what is not READY may still change")
        asks = (gate.ready, gate.tags, gate.verified, gate.min_age_seconds, gate.approvals)
        if not any(asks):
            raise self.error("ready", "cannot be false where the gate asks for nothing else")

    def _name(self) -> str:
        name = self._table.get("name", f"gate {self._number}")
        if not isinstance(name, str) or not name:
            raise self.error("name", "must be a text")
        return self._accepted("name", name, ALIAS_MAX_LENGTH)

    def _texts(self, key: str, max_length: int, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        if key not in self._table:
            return default
        value = self._table[key]
        if isinstance(value, str):
            raise self.error(key, f'must be a list, as in ["{value}"]')
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self.error(key, "must be a list of texts")
        if not value:
            raise self.error(key, "is empty")
        return tuple(self._accepted(key, each, max_length) for each in value)

    def _stages(self) -> tuple[Stage, ...]:
        active = [stage.value for stage in Stage if stage.is_active]
        stages = self._texts("stages", ALIAS_MAX_LENGTH)
        for each in stages:
            if each not in active:
                raise self.error("stages", f"has {each!r}; known are {', '.join(active)}")
        return tuple(map(Stage, stages))

    def _tags(self) -> Mapping[str, str | None]:
        value = self._table.get("tags", {})
        if not isinstance(value, Mapping):
            raise self.error("tags", 'must be a table, as in { validation = "passed" }')
        tags: dict[str, str | None] = {}
        for key, wanted in value.items():
            if wanted is True:
                tags[key] = None
            elif isinstance(wanted, str):
                tags[key] = self._accepted("tags", wanted, VALUE_MAX_LENGTH)
            else:
                raise self.error(
                    "tags", f"has a value for '{key}' that is neither a text nor true, for any"
                )
        return dict(sorted(tags.items()))

    def _truth(self, key: str, *, default: bool) -> bool:
        value = self._table.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def _number_of(self, key: str, most: int) -> int:
        value = self._table.get(key, 0)
        if type(value) is not int or not 0 <= value <= most:
            raise self.error(key, f"must be a whole number from 0 to {most}")
        return value

    def _accepted(self, key: str, value: str, max_length: int) -> str:
        try:
            return text(value, parameter=key, max_length=max_length)
        except InvalidArgumentError as error:
            raise self.error(key, f"cannot be used: {error}") from None
