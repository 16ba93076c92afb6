"""One sequence on the reference and on a target, step by step: what agrees, what is explained."""

from __future__ import annotations

import collections
from collections.abc import Iterator

import attrs

from differential import deviations, generate, replay
from differential.replay import Outcome
from differential.steps import Sequence, Step
from services.wire_client import WireClient


@attrs.frozen(kw_only=True)
class Difference:
    """The first step of a sequence at which two servers differ in a way that is not listed."""

    sequence: Sequence
    """Up to and with that step."""
    theirs: Outcome
    ours: Outcome

    @property
    def step(self) -> Step:
        """The step that shows it."""
        return self.sequence[-1]

    @property
    def kind(self) -> tuple[str, ...]:
        """What makes two differences the same finding: the route and how the answers differ."""
        if self.theirs.code == self.ours.code:
            return (self.step.route, self.theirs.code, *_where(self.theirs, self.ours))
        return (self.step.route, self.theirs.code, self.ours.code, _shape(self.theirs.message))


@attrs.define
class Tally:
    """What was compared."""

    allowed: tuple[deviations.Deviation, ...] = deviations.DEVIATIONS
    """The differences that may be seen."""
    sequences: int = 0
    calls: int = 0
    cut_short: int = 0
    """Sequences that a listed deviation ended, because the two servers held different models."""
    cases: collections.Counter[tuple[str, str, str]] = attrs.field(factory=collections.Counter)
    """How often each route had each outcome on the reference: its code and kind of message."""
    explained: collections.Counter[str] = attrs.field(factory=collections.Counter)
    """How often each listed deviation was seen."""


def observe(sequence: Sequence, client: WireClient, mark: str) -> list[Outcome]:
    """The outcomes of the sequence on a server, on which nothing is left behind."""
    try:
        return replay.replay(sequence, client, mark)
    finally:
        replay.replay(generate.cleanup(replay.names_in(sequence)), client, mark)


def compare(
    sequence: Sequence, theirs: list[Outcome], ours: list[Outcome], tally: Tally
) -> Difference | None:
    """The first difference that is not listed.

    Once a listed deviation made one server accept a write that the other refused, the two hold
    different models, and the rest of the sequence says nothing.
    """
    tally.sequences += 1
    for number, (step, reference, outcome) in enumerate(
        zip(sequence, theirs, ours, strict=True), 1
    ):
        tally.calls += 1
        tally.cases[step.route, reference.code, _shape(reference.message)] += 1
        agreed, used = deviations.explain(sequence[:number], reference, outcome, tally.allowed)
        if not agreed:
            return Difference(sequence=sequence[:number], theirs=reference, ours=outcome)
        tally.explained.update(used)
        if reference.ok != outcome.ok and not step.reads:
            tally.cut_short += 1
            return None
    return None


def _where(theirs: Outcome, ours: Outcome) -> Iterator[str]:
    yield from sorted({path for path, _, _ in differing(theirs.body, ours.body)})[:3]


def differing(theirs: object, ours: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """The places where two JSON values differ; list indexes are not told apart."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in {*theirs, *ours}:
            yield from differing(theirs.get(key), ours.get(key), f"{path}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for one, other in zip(theirs, ours, strict=True):
            yield from differing(one, other, f"{path}[]")
    elif theirs != ours:
        yield path, theirs, ours


def _shape(message: str) -> str:
    return " ".join(word for word in message.split()[:5] if word.isalpha())
