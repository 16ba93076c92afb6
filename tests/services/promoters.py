"""Promoters that race for one alias, each in a thread; for processes that the kit starts."""

from __future__ import annotations

import functools

import attrs

from registry_core.changes import SetAlias
from registry_core.errors import StaleValueError
from registry_core.requirements import AliasIs
from registry_core.testing.calls import Calls
from registry_core.testing.racing import race

MODEL, ALIAS = "churn", "champion"

HOLDER = 1
"""The version that the alias points at before the race."""


@attrs.frozen
class Promoted:
    """What one promoter heard: nothing, or which version has the alias instead."""

    version: int
    refusal: str | None = None
    holder: str | int | None = None


@attrs.frozen
class Promoters:
    """Each promotes a version of its own, from the holder alone. Picklable."""

    first: int
    count: int

    def __call__(self, store: Calls) -> list[Promoted]:
        """What each of them heard; any error but a refusal is raised."""
        numbers = range(self.first, self.first + self.count)
        outcomes = race(*(functools.partial(_promote, store, number) for number in numbers))
        heard = []
        for number, outcome in zip(numbers, outcomes, strict=True):
            if isinstance(outcome.error, StaleValueError):
                refusal = str(outcome.error)
                heard.append(Promoted(number, refusal, outcome.error.current))
            elif outcome.error is not None:
                raise outcome.error
            else:
                heard.append(Promoted(number))
        return heard


def _promote(store: Calls, version: int) -> None:
    held = AliasIs(name=MODEL, alias=ALIAS, version=HOLDER)
    store.apply(SetAlias(name=MODEL, alias=ALIAS, version=version, requires=(held,)))
