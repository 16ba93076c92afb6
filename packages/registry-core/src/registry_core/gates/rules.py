"""`Gate` and what it says of a version: values and pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

import attrs

from registry_core.authors import Author
from registry_core.models import Approval, ModelVersion, Stage, Status
from registry_core.name_scope import regex_of


@attrs.frozen(kw_only=True, slots=False)
class Gate:
    """What must hold of a version before an alias or a stage of some models may point at it.

    For patterns see `registry_core.name_scope`.
    """

    name: str
    """What the history and refusals call it."""
    models: tuple[str, ...] = ("*",)
    """Patterns of the names of registered models."""
    aliases: tuple[str, ...] = ()
    """Patterns of aliases."""
    stages: tuple[Stage, ...] = ()
    """Staging and Production at most: every version begins in None, and Archived is where it
    ends."""
    tags: Mapping[str, str | None] = attrs.field(factory=dict)
    """Tags that the version has to have: with that value, or with any for None."""
    ready: bool = True
    """Whether its status has to be READY."""
    verified: bool = False
    """Whether the registry has to keep its files under a sealed manifest."""
    min_age_seconds: int = 0
    """Seconds since the version was made."""
    approvals: int = 0
    """How many people have to have approved the version as it is, beside its author and the
    caller who moves it."""
    approvers: tuple[str, ...] = ()
    """Patterns of the names or groups of those whose approvals count; everybody's by default."""

    def covers(self, model: str) -> bool:
        """Return whether the gate is about a model of this name."""
        return self._models.match(model) is not None

    def protects(self, pointing: Pointing) -> bool:
        """Return whether the gate is about an alias or a stage, whatever the model."""
        if pointing.stage is not None:
            return pointing.stage in self.stages
        return self._aliases.match(pointing.alias or "") is not None

    def may_approve(self, approval: Approval) -> bool:
        """Return whether an approval is by one of those whose approvals count."""
        names = (approval.actor, *approval.groups)
        return not self.approvers or any(self._approvers.match(name) for name in names)

    @cached_property
    def _models(self) -> re.Pattern[str]:
        return _any_of(self.models)

    @cached_property
    def _aliases(self) -> re.Pattern[str]:
        return _any_of(self.aliases)

    @cached_property
    def _approvers(self) -> re.Pattern[str]:
        return _any_of(self.approvers)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    # Without a pattern nothing matches.
    return re.compile("|".join(map(regex_of, patterns)) or r"(?!)")


@attrs.frozen(kw_only=True, order=True)
class Pointing:
    """An alias, or a stage, that points at a version."""

    alias: str | None = None
    stage: Stage | None = None
    version: int

    def __str__(self) -> str:
        """The alias or stage, as refusals name it."""
        return f"alias '{self.alias}'" if self.stage is None else f"stage {self.stage.value}"


@attrs.frozen(kw_only=True)
class Facts:
    """What a gate has to know of a version that stays as it is while the version does."""

    model_id: str | None
    """The id of its model; None where it has no history."""
    created: int
    """When it was made: milliseconds since the epoch."""
    identity: str
    """What it was when the rest was looked up; see `identity`."""
    digest: str
    """What an approval has to be bound to: of its manifest, or else its identity."""
    is_sealed: bool
    """Whether that is the digest of a sealed manifest."""
    authors: frozenset[str]
    """Who made it, or has changed what it is, as far as is known."""


@attrs.frozen(kw_only=True)
class Verdict:
    """What a gate says of a version."""

    gate: Gate
    missing: tuple[str, ...]
    """A phrase for each thing that the version lacks: `needs …`."""
    inputs: Mapping[str, Any]
    """What was looked at, for the history."""

    @property
    def passes(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def evaluate(
    gate: Gate,
    version: ModelVersion,
    approvals: Sequence[Approval],
    facts: Facts,
    *,
    by: Author,
    now: int,
) -> Verdict:
    """Return what a gate says of a version that somebody moves an alias or a stage to. Pure.

    Args:
        gate: The gate.
        version: The version.
        approvals: All approvals of the version.
        facts: What is known of the version.
        by: Who moves. Where a server has proved the name, only proven approvals count.
        now: Milliseconds since the epoch.
    """
    counted = _counted(gate, approvals, facts, by)
    return Verdict(
        gate=gate,
        missing=(
            *_missing_of_version(gate, version, facts, now),
            *_missing_approvals(gate, approvals, counted, facts, by),
        ),
        inputs=_inputs(gate, version, counted, facts),
    )


def _counted(gate: Gate, approvals: Iterable[Approval], facts: Facts, by: Author) -> list[Approval]:
    return [
        each
        for each in approvals
        if each.digest == facts.digest
        and each.actor != by.actor
        and each.actor not in facts.authors
        and (each.is_authenticated or not by.is_authenticated)
        and gate.may_approve(each)
    ]


def _missing_of_version(gate: Gate, version: ModelVersion, facts: Facts, now: int) -> Iterator[str]:
    if gate.ready and version.status is not Status.READY:
        yield f"needs status READY and is {version.status.value}"
    for key, value in gate.tags.items():
        if key not in version.tags or value not in (None, version.tags[key]):
            yield f"needs tag {key}" if value is None else f"needs tag {key}={value}"
    if gate.verified and not facts.is_sealed:
        yield "needs files under a sealed manifest of this registry"
    age = max(0, now - version.creation_timestamp) // 1000
    if age < gate.min_age_seconds:
        yield f"needs an age of {_span(gate.min_age_seconds)} and has {_span(age)}"


def _missing_approvals(
    gate: Gate,
    approvals: Iterable[Approval],
    counted: Sequence[Approval],
    facts: Facts,
    by: Author,
) -> Iterator[str]:
    if len(counted) >= gate.approvals:
        return
    others = " and ".join(sorted({*facts.authors, by.actor}))
    among = f" among {', '.join(gate.approvers)}" if gate.approvers else ""
    word = "approval" if gate.approvals == 1 else "approvals"
    have = f"has {len(counted)}"
    if counted:
        have += f" ({', '.join(each.actor for each in counted)})"
    yield f"needs {gate.approvals} {word}{among} by others than {others} and {have}"
    if void := [each.actor for each in approvals if each.digest != facts.digest]:
        yield f"needs approvals of what it is now: those by {', '.join(void)} are void"


def _span(seconds: int) -> str:
    return str(timedelta(seconds=seconds))


def _inputs(
    gate: Gate, version: ModelVersion, counted: Iterable[Approval], facts: Facts
) -> Mapping[str, Any]:
    inputs = {
        "digest": facts.digest,
        "is_sealed": facts.is_sealed,
        "status": version.status.value,
        "created": version.creation_timestamp,
        # A value that does not matter is not repeated: it may be a whole text.
        "tags": {key: value or True for key, value in gate.tags.items() if key in version.tags},
        "approvals": {each.actor: each.time for each in counted},
        "authors": sorted(facts.authors),
    }
    return {name: value for name, value in inputs.items() if value not in ({}, [])}


def protected(
    gates: Iterable[Gate], model: str, pointings: Iterable[Pointing]
) -> tuple[Pointing, ...]:
    """Return those of the pointings, in order, that a gate is about in a model of this name."""
    covering = [gate for gate in gates if gate.covers(model)]
    chosen = {each for each in pointings if any(gate.protects(each) for gate in covering)}
    return tuple(sorted(chosen, key=_place))


def _place(pointing: Pointing) -> tuple[str, str, int]:
    return pointing.alias or "", pointing.stage or "", pointing.version
