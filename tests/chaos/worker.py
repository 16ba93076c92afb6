"""A process that makes calls and writes down each before and after; it may be killed at any time.

What it writes is one JSON value per line: `[start, family, name, arguments]` before a call, and
`[end, outcome]` after it. A call without the second line has an unknown outcome.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, MutableSequence
from pathlib import Path
from typing import Any

import attrs

from chaos.calls import choose, make
from registry_core.store import Store

Opener = Callable[[str], Store]
"""Opens the store of a group of families; picklable."""


@attrs.frozen(kw_only=True)
class Course:
    """What all processes work through together."""

    seed: int
    families: int
    calls_per_family: int
    families_at_once: int
    """Families that are written at the same time, in one store with those before them."""
    families_per_group: int
    """Families that share a store: enough to disturb each other's listings."""

    @property
    def calls(self) -> int:
        """The calls of all processes together."""
        return self.families * self.calls_per_family

    def family(self, call: int, chance: random.Random) -> int:
        """The family of this call of all."""
        first = call // (self.calls_per_family * self.families_at_once) * self.families_at_once
        return min(first + chance.randrange(self.families_at_once), self.families - 1)

    def group(self, family: int) -> str:
        """The name of the store that a family is in."""
        return f"group{family // self.families_per_group:03}"


def family_name(family: int) -> str:
    """What the names of a family's models begin with."""
    return f"f{family:03}"


def run(opener: Opener, course: Course, made: MutableSequence[int], slot: int, log: Path) -> None:
    """Makes calls until all processes together have made enough; `made[slot]` counts ours."""
    seed = f"{course.seed}/{log.stem}"
    chance = random.Random(seed)
    stores: dict[str, Store] = {}
    with log.open("a", encoding="utf-8", buffering=1) as lines:
        while (total := sum(made)) < course.calls:
            number = course.family(total, chance)
            family, group = family_name(number), course.group(number)
            if group not in stores:
                _close(stores)
                stores[group] = opener(group)
            name, arguments = choose(chance, family, f"{seed}/{made[slot]}")
            lines.write(_line(time.monotonic_ns(), family, name, arguments))
            outcome = make(stores[group], family, name, arguments)
            lines.write(_line(time.monotonic_ns(), outcome))
            made[slot] += 1
    _close(stores)


def _line(*values: Any) -> str:
    return json.dumps(values) + "\n"


def _close(stores: dict[str, Store]) -> None:
    for store in stores.values():
        store.close()
    stores.clear()
