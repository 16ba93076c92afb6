"""`GatesPass`: the requirement that gates put on a change that moves what they protect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from registry_core.authors import Author
from registry_core.documents import ModelDocument, model_version
from registry_core.errors import ConflictError, GateRefusedError
from registry_core.gates.identity import identity, is_content
from registry_core.gates.rules import Facts, Gate, Pointing, Verdict, evaluate, protected
from registry_core.history import Action, Effect
from registry_core.models import Approval, ModelVersion
from registry_core.requirements import Requirement


class GateInputsChangedError(ConflictError):
    """What was known of a version beforehand is not true any more; it has to be looked up again."""


@attrs.frozen(kw_only=True)
class Becomes:
    """What a change makes of a version: something else, if its source or content tags differ."""

    version: int
    source: str | None = None
    """None where it stays."""
    storage_location: str | None = None
    """Looked at where the source does not stay."""
    tags: Mapping[str, str | None] = attrs.field(factory=dict)
    """Those that are set, or with None removed."""

    def of(self, version: ModelVersion) -> ModelVersion:
        """Return the version as it is after the change."""
        tags = {**version.tags, **self.tags}
        fields: dict[str, Any] = {"tags": {k: v for k, v in tags.items() if v is not None}}
        if self.source is not None:
            fields |= {"source": self.source, "storage_location": self.storage_location}
        return attrs.evolve(version, **fields)


@attrs.frozen(kw_only=True)
class Seen:
    """What a store has of a model, in the atomic step of a change, that gates look at."""

    model_id: str | None
    pointings: tuple[Pointing, ...]
    """Those of the model that gates protect, or may come to."""
    versions: Mapping[int, ModelVersion]
    """Those that the change points at."""
    approvals: Mapping[int, tuple[Approval, ...]]
    """Of these versions."""


@attrs.frozen(kw_only=True)
class GatesPass(Requirement):
    """Every gate lets an alias or a stage of a model point at a version."""

    name: str
    """The name that the model has before the change."""
    new_name: str
    """The name that it has afterwards, which gates go by."""
    gates: tuple[Gate, ...]
    """Those that cover the model by its new name."""
    pointings: tuple[Pointing, ...]
    """What the change makes point at a version, as far as gates protect it."""
    is_whole: bool = False
    """Whether these are all of the model that gates protect: whether its name is what changes."""
    becomes: Becomes | None = None
    """What the change makes of a version; the pointings are then all at that version that gates
    protect, and they have to pass with what it becomes."""
    facts: Mapping[int, Facts]
    """What is known of these versions; of one that becomes something else, as which it is then."""
    by: Author
    now: int
    """When the gates are looked at: milliseconds since the epoch."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The versions that are pointed at, or become something else."""
        numbers = {each.version for each in self.pointings}
        if self.becomes is not None:
            numbers.add(self.becomes.version)
        return tuple(sorted(numbers))

    def current(self, document: ModelDocument) -> Seen:
        """See `Requirement`."""
        return self.seen(
            model_id=document.model_id,
            aliases=document.aliases,
            staged=self._staged(document),
            versions=[model_version(document, number) for number in self.numbers],
            approvals=document.approvals,
        )

    def _staged(self, document: ModelDocument) -> Iterator[tuple[Any, int]]:
        if any(gate.stages for gate in self.gates):
            for each in document.versions.values():
                yield each.current_stage, each.version

    def seen(
        self,
        *,
        model_id: str | None,
        aliases: Mapping[str, int],
        staged: Iterable[tuple[Any, int]],
        versions: Iterable[ModelVersion],
        approvals: Mapping[int, tuple[Approval, ...]],
    ) -> Seen:
        """Return what a store has, from its parts; stages that gates protect are enough."""
        return Seen(
            model_id=model_id,
            pointings=protected(self.gates, self.new_name, pointings_of(aliases, staged)),
            versions={each.version: each for each in versions},
            approvals=approvals,
        )

    def whole(self, current: Seen, whole: Callable[[Any], Any]) -> Seen:
        """See `Requirement`: the tags that say what a version is."""
        versions = {number: _whole(each, whole) for number, each in current.versions.items()}
        return attrs.evolve(current, versions=versions)

    def check(self, current: Seen) -> None:
        """See `Requirement`.

        Raises:
            GateInputsChangedError: The facts are not those of the versions any more.
            GateRefusedError: A gate does not let a version be pointed at.
        """
        if self._concerned(current) != self.pointings:
            raise self._changed()
        for pointing in self._made(current):
            self._check_facts(current, pointing.version)
        refused = [
            (pointing, verdict)
            for pointing, verdict in self.verdicts(current)
            if not verdict.passes
        ]
        if refused:
            raise refusal(self.new_name, refused)

    def decided(self, current: Seen) -> tuple[Effect, ...]:
        """See `Requirement`: what each gate has looked at."""
        return tuple(effect_of(*each) for each in self.verdicts(current))

    def verdicts(self, current: Seen) -> Iterator[tuple[Pointing, Verdict]]:
        """Yield what each gate says of each version that is newly pointed at."""
        for pointing in self._made(current):
            number = pointing.version
            for gate in self.gates:
                if gate.protects(pointing):
                    yield (
                        pointing,
                        evaluate(
                            gate,
                            self._after(current.versions[number]),
                            current.approvals.get(number, ()),
                            self.facts[number],
                            by=self.by,
                            now=self.now,
                        ),
                    )

    def _made(self, current: Seen) -> Iterator[Pointing]:
        # What points there already is not moved, unless the gates are another name's by now, or
        # the version is something else.
        for pointing in self.pointings:
            if self.is_whole or self.becomes or pointing not in current.pointings:
                yield pointing

    def _concerned(self, current: Seen) -> tuple[Pointing, ...]:
        """What the pointings have to be by now, where they are not the change's own choice."""
        if self.is_whole:
            return current.pointings
        if self.becomes is None:
            return self.pointings
        number = self.becomes.version
        return tuple(each for each in current.pointings if each.version == number)

    def _after(self, version: ModelVersion) -> ModelVersion:
        return version if self.becomes is None else self.becomes.of(version)

    def _check_facts(self, current: Seen, number: int) -> None:
        facts, version = self.facts[number], current.versions[number]
        if (facts.identity, facts.created) != (identity(version), version.creation_timestamp):
            raise self._changed()
        if facts.model_id not in (None, current.model_id):
            raise self._changed()

    def _changed(self) -> GateInputsChangedError:
        return GateInputsChangedError(f"Model '{self.name}' was changed meanwhile")


def pointings_of(
    aliases: Mapping[str, int], staged: Iterable[tuple[Any, int]]
) -> Iterator[Pointing]:
    """Yield the aliases of a model, and the stages of its versions, as what they point at."""
    for alias, number in aliases.items():
        yield Pointing(alias=alias, version=number)
    for stage, number in staged:
        yield Pointing(stage=stage, version=number)


def refusal(model: str, refused: Iterable[tuple[Pointing, Verdict]]) -> GateRefusedError:
    """Return the error that says what versions lack to be pointed at."""
    by_pointing: dict[Pointing, list[str]] = {}
    for pointing, verdict in refused:
        listed = by_pointing.setdefault(pointing, [])
        listed += [each for each in verdict.missing if each not in listed]
    sentences = [
        f"The {pointing} of model '{model}' cannot point at version {pointing.version}, which "
        f"{'; '.join(missing)}"
        for pointing, missing in by_pointing.items()
    ]
    phrases = tuple(each for missing in by_pointing.values() for each in missing)
    return GateRefusedError(". ".join(sentences), missing=phrases)


def effect_of(pointing: Pointing, verdict: Verdict) -> Effect:
    """Return what the history says of a gate that lets a version be pointed at."""
    what = {"alias": pointing.alias, "stage": pointing.stage and pointing.stage.value}
    after = {name: value for name, value in what.items() if value is not None}
    return Effect(
        action=Action.PASS_GATE,
        version=pointing.version,
        key=verdict.gate.name,
        after={**after, **verdict.inputs},
    )


def _whole(version: ModelVersion, whole: Callable[[Any], Any]) -> ModelVersion:
    content = {key: whole(value) for key, value in version.tags.items() if is_content(key)}
    if all(version.tags[key] is value for key, value in content.items()):
        return version
    return attrs.evolve(version, tags={**version.tags, **content})
