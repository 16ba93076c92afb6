"""Gates in force: how a change that moves an alias or a stage comes to require that they pass.

Strategy: a gate looks at a version and its approvals in the atomic step of the change. What costs
more than that to know, its manifest and who made it, does not change while the version stays as it
is. So it is looked up before, and the step compares what it was looked up for; where that has
changed meanwhile, it is looked up again.

| change | what gates look at |
| --- | --- |
| an alias is set, or a version moves to a stage | that alias or stage, and the version: `pointing` |
| a model is renamed | all aliases and stages that gates of the new name protect |
| a deleted model is restored | the same, as they come back |
| a deleted version is restored | nothing: it comes back in no stage that a gate protects |
| a model is written from a snapshot | refused: a snapshot says itself who has approved what |
| a version becomes something else: its files, or a tag that says what it is | what points at it: `becomes` |
| any other | nothing: it moves neither, which its class says with `is_gated = False` |
"""  # noqa: E501 a table

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeAlias, TypeVar, runtime_checkable

import attrs

from registry_core.authors import Author
from registry_core.changes import (
    CHANGES,
    Change,
    RenameModel,
    RestoreDeletedModel,
    RestoreLargeModel,
    RestoreModel,
    RestoreVersion,
)
from registry_core.errors import (
    ContentionError,
    GateRefusedError,
    RegisteredModelNotFoundError,
    UnsupportedBackendError,
)
from registry_core.gates import (
    Facts,
    Gate,
    GateInputsChangedError,
    GatesPass,
    Pointing,
    Verdict,
    evaluate,
    identity,
    protected,
)
from registry_core.gates.identity import MAKING, makers_of
from registry_core.gates.requirement import pointings_of
from registry_core.history import EVENTS_MAX_RESULTS, Action, Event, EventQuery, place_of
from registry_core.inloop import in_thread
from registry_core.models import Approval, ModelVersion, Stage
from registry_core.requirements import Requirement
from registry_core.search import AttributeRef, Comparison, Entity, Op, Query, all_pages
from registry_core.search.ordering import parse_order_by
from registry_core.store import Clock, Store, system_clock

ATTEMPTS = 5
"""How often what gates have to know is looked up, because others change the version meanwhile."""

_VERSIONS_AT_A_TIME = 1_000

ResultT = TypeVar("ResultT")
ChangeT = TypeVar("ChangeT", bound=Change[Any])

SealedDigest: TypeAlias = Callable[[ModelVersion], str | None]
"""Gives the digest of a version's sealed manifest; None where it has none."""


class Gates:
    """The gates of a registry, which may be replaced while it is in use. Thread-safe."""

    def __init__(self, rules: Iterable[Gate] = ()) -> None:
        self._rules = tuple(rules)

    @property
    def rules(self) -> tuple[Gate, ...]:
        """Those in force."""
        return self._rules

    def replace(self, rules: Iterable[Gate]) -> None:
        """Put others in force, for every change that begins from now on."""
        self._rules = tuple(rules)

    def covering(self, model: str) -> tuple[Gate, ...]:
        """Return those that are about a model of this name."""
        return tuple(gate for gate in self._rules if gate.covers(model))


@attrs.frozen(kw_only=True)
class Review:
    """What gates know of a version, and say of it if somebody moved an alias or a stage to it."""

    digest: str
    """What an approval of it is bound to."""
    is_sealed: bool
    """Whether that is the digest of a sealed manifest."""
    approvals: tuple[Approval, ...]
    """All of them; those of another digest are void."""
    verdicts: tuple[Verdict, ...]
    """One of each gate that covers the model."""


@runtime_checkable
class ServesReviews(Protocol):
    """A store that leaves approvals and gates to a server, which knows who approves."""

    def approve_version(
        self, name: str, version: int, *, digest: str | None, by: Author
    ) -> Approval:
        """See `Registry.approve_model_version`."""
        ...

    def review_version(self, name: str, version: int) -> Review:
        """See `Registry.review_model_version`."""
        ...


def _is_looked_at(change: Change[Any]) -> bool:
    """Whether gates look at a change."""
    # Of itself: what comes after it in a hierarchy may move what it does not.
    return bool(vars(type(change)).get("is_gated", True))


@attrs.frozen(kw_only=True)
class Gatekeeper:
    """Has the changes of a store require that gates pass."""

    gates: Gates
    sealed_digest: SealedDigest
    clock: Clock = system_clock

    def apply(self, store: Store, change: Change[ResultT], by: Author) -> ResultT:
        """Return the result of a change, as `Store.apply`, if all gates let it pass.

        Raises:
            ContentionError: What gates look at was changed by others each time.
            GateRefusedError: A gate does not let the change pass; nothing was written.
        """
        if not _is_looked_at(change):
            return store.apply(change, by=by)
        # The files of a version may have to be read.
        return in_thread(lambda: self._passed(store, change, by))

    def _passed(self, store: Store, change: Change[ResultT], by: Author) -> ResultT:
        for _ in range(ATTEMPTS):
            try:
                return store.apply(self.guarded(store, change, by), by=by)
            except GateInputsChangedError:
                continue
        raise ContentionError(
            f"Model '{change.model}' was changed each time that gates looked at it"
        )

    def guarded(self, store: Store, change: Change[ResultT], by: Author) -> Change[ResultT]:
        """Return the change with what gates make of it."""
        if not _is_looked_at(change):
            return change
        guard = guard_of(type(change))
        if guard is None:
            raise UnsupportedBackendError(f"Gates do not know what {type(change)} moves")
        guarded: Change[ResultT] = guard(self, store, change, by)
        return guarded

    def review(
        self, store: Store, version: ModelVersion, approvals: tuple[Approval, ...], by: Author
    ) -> Review:
        """Return what is known of a version, and what gates say of it."""
        facts = self.facts(store, version)
        verdicts = (
            evaluate(gate, version, approvals, facts, by=by, now=self.clock())
            for gate in self.gates.covering(version.name)
        )
        return Review(
            digest=facts.digest,
            is_sealed=facts.is_sealed,
            approvals=approvals,
            verdicts=tuple(verdicts),
        )

    def facts(self, store: Store, version: ModelVersion) -> Facts:
        """Return what a gate has to know of a version beside the version and its approvals."""
        try:
            return self.facts_of(version, _making(store, version))
        except (UnsupportedBackendError, RegisteredModelNotFoundError):
            return self.facts_of(version, ())

    def facts_of(self, version: ModelVersion, events: Iterable[Event]) -> Facts:
        """As `facts`, with the events that made it what it is, as far as there are any."""
        known = identity(version)
        sealed = self.sealed_digest(version)
        made = [*events]
        makers = {name for event in made for name in makers_of(event)}
        return Facts(
            model_id=made[0].model_id if made else None,
            created=version.creation_timestamp,
            identity=known,
            digest=known if sealed is None else sealed,
            is_sealed=sealed is not None,
            authors=frozenset(name for name in (*makers, version.user_id) if name),
        )

    def digest(self, version: ModelVersion) -> str:
        """Return what an approval of a version is bound to."""
        return self.facts_of(version, ()).digest


# What gates make of each class of change


def _moving(keeper: Gatekeeper, store: Store, change: Change[Any], by: Author) -> Change[Any]:
    pointing = change.pointing()
    if pointing is None:
        return change
    pointings = protected(keeper.gates.rules, change.model, (pointing,))
    return _requiring(keeper, store, change, by, pointings, new_name=change.model)


def _renaming(keeper: Gatekeeper, store: Store, change: RenameModel, by: Author) -> Change[Any]:
    covering = keeper.gates.covering(change.new_name)
    if change.new_name == change.name or not covering:
        return change
    stages = {stage for gate in covering for stage in gate.stages}
    aliases = store.get_registered_model(change.name).aliases
    staged = [*_staged(store, change.name, stages)] if stages else []
    pointings = protected(covering, change.new_name, pointings_of(aliases, staged))
    return _requiring(keeper, store, change, by, pointings, new_name=change.new_name, is_whole=True)


def _becoming(keeper: Gatekeeper, store: Store, change: Change[Any], by: Author) -> Change[Any]:
    name, becomes = change.model, change.becomes()
    if becomes is None or not keeper.gates.covering(name):
        return change
    before = store.get_model_version(name, becomes.version)
    after = becomes.of(before)
    if identity(after) == identity(before):
        return change
    staged = [(before.current_stage, before.version)]
    pointing = pointings_of(dict.fromkeys(before.aliases, before.version), staged)
    facts = keeper.facts(store, before)
    sealed = keeper.sealed_digest(after)
    requirement = GatesPass(
        name=name,
        new_name=name,
        gates=keeper.gates.covering(name),
        pointings=protected(keeper.gates.rules, name, pointing),
        becomes=becomes,
        facts={
            before.version: attrs.evolve(
                facts,
                digest=identity(after) if sealed is None else sealed,
                is_sealed=sealed is not None,
            )
        },
        by=by,
        now=keeper.clock(),
    )
    return _with(change, requirement)


def _requiring(
    keeper: Gatekeeper,
    store: Store,
    change: Change[Any],
    by: Author,
    pointings: tuple[Pointing, ...],
    *,
    new_name: str,
    is_whole: bool = False,
) -> Change[Any]:
    if not pointings and not is_whole:
        return change
    numbers = sorted({each.version for each in pointings})
    requirement = GatesPass(
        name=change.model,
        new_name=new_name,
        gates=keeper.gates.covering(new_name),
        pointings=pointings,
        is_whole=is_whole,
        facts={
            number: keeper.facts(store, store.get_model_version(change.model, number))
            for number in numbers
        },
        by=by,
        now=keeper.clock(),
    )
    return _with(change, requirement)


def _with(change: Any, requirement: Requirement) -> Change[Any]:
    required: Change[Any] = attrs.evolve(change, requires=(*change.requires, requirement))
    return required


def _restoring_model(
    keeper: Gatekeeper, _: Store, change: RestoreDeletedModel, by: Author
) -> RestoreDeletedModel:
    document = change.document
    staged = ((each.current_stage, each.version) for each in document.versions.values())
    pointings = protected(keeper.gates.rules, change.model, pointings_of(document.aliases, staged))
    made: dict[int | None, list[Event]] = {}
    for event in change.snapshot.events:
        if event.action in MAKING:
            made.setdefault(event.version, []).append(event)
    numbers = {each.version for each in pointings}
    requirement = GatesPass(
        name=change.model,
        new_name=change.model,
        gates=keeper.gates.covering(change.model),
        pointings=pointings,
        is_whole=True,
        facts={
            number: keeper.facts_of(document.versions[number], made.get(number, ()))
            for number in numbers
        },
        by=by,
        now=keeper.clock(),
    )
    seen = requirement.current(document)
    requirement.check(seen)
    return attrs.evolve(change, passed=requirement.decided(seen))


def _restoring_version(
    keeper: Gatekeeper, _: Store, change: RestoreVersion, __: Author
) -> RestoreVersion:
    restored = change.restored
    back = Pointing(stage=restored.current_stage, version=restored.version)
    if not protected(keeper.gates.rules, change.name, (back,)):
        return change
    return attrs.evolve(change, stage=Stage.NONE)


def _writing(keeper: Gatekeeper, _: Store, change: ChangeT, __: Author) -> ChangeT:
    if not keeper.gates.rules:
        return change
    raise GateRefusedError(
        f"A registry with gates takes no snapshot, as of model '{change.model}', because it "
        "says itself who has approved what: write it with the URL of the registry's own store"
    )


Guard: TypeAlias = Callable[[Gatekeeper, Store, Any, Author], Any]

GUARDS: Final[Mapping[type[Change[Any]], Guard]] = {
    RenameModel: _renaming,
    RestoreDeletedModel: _restoring_model,
    RestoreVersion: _restoring_version,
    RestoreModel: _writing,
    RestoreLargeModel: _writing,
}
"""What gates make of the classes of change that move more than one alias or stage at once."""


def guard_of(change: type[Change[Any]]) -> Guard | None:
    """Return what gates make of a class of change; None where it does not say, which is refused.

    A class says it of itself, and not for those that are derived from it.
    """
    if change in GUARDS:
        return GUARDS[change]
    if "pointing" in vars(change):
        return _moving
    return _becoming if "becomes" in vars(change) else None


if _unsaid := [
    each.__name__
    for each in CHANGES.values()
    if vars(each).get("is_gated", True) and guard_of(each) is None
]:
    raise TypeError(
        f"{', '.join(_unsaid)}: a change that moves no alias and no stage, and makes no version "
        "something else, says `is_gated = False`; others have `pointing`, `becomes` or a row here"
    )


def _making(store: Store, version: ModelVersion) -> Iterator[Event]:
    """The events that have made a version what it is, oldest first.

    Its creation is looked for from the newest on, and the others after it, so that nothing is read
    of what the model was before.
    """
    about = EventQuery(
        name=version.name,
        version=version.version,
        actions=frozenset({Action.CREATE_VERSION}),
        max_results=1,
    )
    created = store.events(about)
    yield from created
    after = attrs.evolve(
        about,
        actions=MAKING - {Action.CREATE_VERSION},
        newest_first=False,
        after=place_of(created[0]) if created else None,
        max_results=EVENTS_MAX_RESULTS,
    )
    while events := store.events(after):
        yield from events
        if len(events) < EVENTS_MAX_RESULTS:
            return
        after = attrs.evolve(after, after=place_of(events[-1]))


def _staged(store: Store, name: str, stages: set[Stage]) -> Iterable[tuple[Stage, int]]:
    query = Query(
        entity=Entity.MODEL_VERSION,
        filter=(Comparison(AttributeRef("name"), Op.EQ, name),),
        order_by=parse_order_by(("version_number ASC",), Entity.MODEL_VERSION),
        max_results=_VERSIONS_AT_A_TIME,
    )
    versions = all_pages(
        lambda token: store.search_model_versions(attrs.evolve(query, page_token=token))
    )
    for version in versions:
        if version.current_stage in stages:
            yield version.current_stage, version.version
