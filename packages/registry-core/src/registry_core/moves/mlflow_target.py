"""Copying into a stock server of MLflow's, which cannot keep all of a model.

Strategy. Its API has no way to say a number: the next version gets the next number. So versions are
made in order, and where the source has a gap, a version is made and deleted: what `models:/churn/3`
loads stays what it was. There is no atomic step either. What a copy that died has left is a
beginning of the model as it is to be, and the next run goes on from there; anything else that is in
the target is a conflict, and the caller has said what becomes of it.

What MLflow has no place for is in `LOSSES`, to be shown before anything is written. `as_kept` is a
model as MLflow keeps it, which is what is compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping

import attrs

from registry_core import uris
from registry_core.calls.snapshots import OnConflict
from registry_core.errors import (
    InvalidArgumentError,
    NotPermittedError,
    RegisteredModelNotFoundError,
    RegistryError,
    StoreUnavailableError,
    UnsupportedBackendError,
)
from registry_core.history import EventQuery
from registry_core.models import ModelVersion, Stage, Status
from registry_core.moves.comparing import differences
from registry_core.moves.copying import in_parallel
from registry_core.moves.outcomes import Copied, Outcome
from registry_core.moves.sources import Changed, Item, SnapshotSource, held_by, snapshot_in
from registry_core.registry import Registry
from registry_core.snapshot_pieces import AnySnapshot, in_memory
from registry_core.snapshots import ModelSnapshot
from registry_core.store import Store

LOSSES = (
    "histories, approvals and the ids of models",
    "all times: it sets its own",
    "user ids, status messages, deployment jobs and ids of logged models",
    "where files are, if that is not the source",
    "versions that are not READY: they are left out, and named",
    "versions whose source it refuses: they are left out, and named",
)
"""What a server of MLflow's does not keep of a copy."""

GAPS_MAX = 1_000
"""Numbers of one model that are made up for by versions that are made and deleted. Each takes two
requests and leaves a row; a model with more is most likely a mistake, and is named."""

GAP_SOURCE = "registry-gap:/never-a-version"
"""The source of a version that stands for a gap until it is deleted. MLflow redacts it then."""


def is_mlflow(store: Store) -> bool:
    """Return whether a store is a server of MLflow's, and not one of ours."""
    try:
        store.events(EventQuery(max_results=1))
    except UnsupportedBackendError:
        return True
    except NotPermittedError:
        return False
    return False


def as_kept(snapshot: ModelSnapshot) -> ModelSnapshot:
    """Return a model as a server of MLflow's keeps it, with times of 0."""
    versions = {
        number: attrs.evolve(
            version,
            creation_timestamp=0,
            last_updated_timestamp=0,
            user_id=None,
            model_id=None,
            status_message=None,
            storage_location=None,
        )
        for number, version in snapshot.versions.items()
        if version.status is Status.READY and version.source != GAP_SOURCE
    }
    aliases = snapshot.document.aliases
    document = attrs.evolve(
        snapshot.document,
        model_id="",
        creation_timestamp=0,
        last_updated_timestamp=0,
        deployment_job_id=None,
        deployment_job_state=None,
        approvals={},
        versions=versions,
        aliases={alias: number for alias, number in aliases.items() if number in versions},
        next_version=max(versions, default=0) + 1,
    )
    return ModelSnapshot(document=document)


@attrs.frozen
class KeptSource:
    """The models of a source as a server of MLflow's keeps them."""

    source: SnapshotSource

    def items(self, filter_text: str | None = None) -> Iterator[Item]:
        """See `SnapshotSource`."""
        for name, read in self.source.items(filter_text):
            yield name, Changed(read, _kept)


def _kept(snapshot: AnySnapshot) -> ModelSnapshot:
    return as_kept(in_memory(snapshot))


def copy(
    source: SnapshotSource,
    target: Registry,
    *,
    filter_text: str | None = None,
    on_conflict: OnConflict = "fail",
    dry_run: bool = False,
) -> Iterator[Copied]:
    """Copy models into a server of MLflow's, and yield what became of each.

    Models with versions of others come after these, since MLflow looks the others up.
    """
    copier = _Copier(target, on_conflict, dry_run)
    waiting: dict[str, _Waiting] = {}
    for found in in_parallel(copier.first, source.items(filter_text), size_of=held_by):
        if isinstance(found, Copied):
            yield found
        else:
            waiting[found.item[0]] = found
    while waiting:
        ready = [name for name, each in waiting.items() if not (each.others & waiting.keys())]
        for name in ready or [*waiting]:  # In a circle of models, nobody comes first.
            yield copier.copied(waiting.pop(name).item)


@attrs.frozen
class _Waiting:
    """A model with versions of other models."""

    item: Item
    others: frozenset[str]


@attrs.frozen
class _Copier:
    target: Registry
    on_conflict: OnConflict
    dry_run: bool

    def first(self, item: Item) -> Copied | _Waiting:
        """Return what became of a model; or which others come before it."""
        try:
            snapshot = in_memory(item[1]())
        except RegistryError:
            return self.copied(item)
        others = frozenset(_referred(snapshot)) - {snapshot.name}
        return _Waiting(item, others) if others else self._attempt(snapshot)

    def copied(self, item: Item) -> Copied:
        """Return what became of a model."""
        name, read = item
        try:
            return self._attempt(in_memory(read()))
        except RegisteredModelNotFoundError:
            return Copied(name=name, outcome=Outcome.GONE)
        except StoreUnavailableError:
            raise
        except RegistryError as error:
            return Copied(name=name, outcome=Outcome.FAILED, detail=str(error))

    def _attempt(self, snapshot: ModelSnapshot) -> Copied:
        held = snapshot_in(self.target, snapshot.name)
        there = None if held is None else in_memory(held)
        impossible = _impossible(as_kept(snapshot), there)
        plan = _Plan(
            _without(as_kept(snapshot), impossible),
            None if there is None else _without(there, impossible),
            begin=1 if there is None else max(there.versions, default=0) + 1,
            next_version=snapshot.document.next_version,
            aliases={} if there is None else there.document.aliases,
        )
        outcome, detail = plan.decide(self.on_conflict)
        problems = [*_unready(snapshot), *impossible.values()]
        if outcome.is_written and not self.dry_run:
            replaces = outcome is Outcome.REPLACED
            problems += _Writer(self.target, plan, replaces=replaces).write()
        return Copied(
            name=snapshot.name,
            outcome=outcome,
            versions=len(plan.wanted.versions),
            detail=detail,
            problems=tuple(problems),
        )


def _referred(snapshot: ModelSnapshot) -> Iterator[str]:
    for version in snapshot.versions.values():
        if uris.is_model_uri(version.source):
            # That of a logged model names no registered one.
            with contextlib.suppress(InvalidArgumentError):
                yield uris.parse_model_uri(version.source).name


def _unready(snapshot: ModelSnapshot) -> Iterator[str]:
    for number, version in snapshot.versions.items():
        if version.status is not Status.READY:
            yield f"models:/{snapshot.name}/{number}: it is {version.status.value}"


def _impossible(wanted: ModelSnapshot, there: ModelSnapshot | None) -> dict[int, str]:
    """Why versions cannot be had in a model that the target has, by their numbers."""
    if there is None:
        return {}
    reasons: dict[int, str] = {}
    highest = max(there.versions, default=0)
    for number, version in wanted.versions.items():
        if number in there.versions:
            if not _is_made_of(there.versions[number], version):
                reasons[number] = "the target has another version of that number"
        elif number < highest:
            reasons[number] = "the target has later versions already"
    begin = f"models:/{wanted.name}/"
    return {
        number: f"{begin}{number}: {reason}: delete the model there, and copy it again"
        for number, reason in reasons.items()
    }


def _without(snapshot: ModelSnapshot, numbers: Collection[int]) -> ModelSnapshot:
    document = snapshot.document
    kept = {each: version for each, version in document.versions.items() if each not in numbers}
    aliases = {alias: each for alias, each in document.aliases.items() if each not in numbers}
    return ModelSnapshot(document=attrs.evolve(document, versions=kept, aliases=aliases))


@attrs.frozen
class _Plan:
    """What becomes of a model. Versions that the target cannot have are on neither side."""

    wanted: ModelSnapshot
    there: ModelSnapshot | None
    begin: int
    """The first number that the target has not used, as far as it shows that."""
    next_version: int
    """The number of the next version in the source."""
    aliases: Mapping[str, int]
    """All that the target has, also those of versions that are on neither side."""

    def decide(self, on_conflict: OnConflict) -> tuple[Outcome, str]:
        """Return what is to become of the model, and why it is not to be copied."""
        if self.there is None:
            return self._created()
        kept = as_kept(self.there)
        document = attrs.evolve(kept.document, next_version=self.wanted.document.next_version)
        difference = next(differences(self.wanted, ModelSnapshot(document=document)), None)
        if difference is None and len(kept.versions) == len(self.there.versions):
            return Outcome.UNCHANGED, ""
        taken = [alias for alias in self._moved() if alias in self.aliases]
        if _is_beginning(self.there, self.wanted) and not taken:
            return Outcome.UPDATED, ""
        if on_conflict == "replace":
            return Outcome.REPLACED, ""
        outcome = Outcome.SKIPPED if on_conflict == "skip" else Outcome.FAILED
        return outcome, f"the target has another model of that name: {difference}"

    def _moved(self) -> Iterator[str]:
        """The aliases that have to be set, or to be moved."""
        wanted = self.wanted.document.aliases
        return (alias for alias, number in wanted.items() if self.aliases.get(alias) != number)

    def _created(self) -> tuple[Outcome, str]:
        gaps = self.next_version - 1 - len(self.wanted.versions)
        if gaps > GAPS_MAX:
            return Outcome.FAILED, f"{gaps} numbers are not in use, and at most {GAPS_MAX} may be"
        return Outcome.COPIED, ""


def _is_beginning(there: ModelSnapshot, wanted: ModelSnapshot) -> bool:
    """Whether all that the target has of a model is in the source, too."""
    one, other = there.document, wanted.document
    return (
        one.description in (None, "", other.description)
        and one.tags.items() <= other.tags.items()
        and one.aliases.items() <= other.aliases.items()
        and all(
            number in wanted.versions and _is_begun(version, wanted.versions[number])
            for number, version in there.versions.items()
            if version.source != GAP_SOURCE
        )
    )


def _is_begun(version: ModelVersion, wanted: ModelVersion) -> bool:
    return (
        _is_made_of(version, wanted)
        and version.description in (None, "", wanted.description)
        and version.tags.items() <= wanted.tags.items()
        and version.current_stage in (Stage.NONE, wanted.current_stage)
    )


def _is_made_of(version: ModelVersion, wanted: ModelVersion) -> bool:
    """Whether a version is the wanted one in all that cannot be changed."""
    return all(
        (getattr(version, field) or None) == (getattr(wanted, field) or None)
        for field in ("source", "run_id", "run_link")
    )


@attrs.frozen
class _Writer:
    """Writes one model."""

    target: Registry
    plan: _Plan
    replaces: bool = attrs.field(kw_only=True)
    """Whether what others have made may go."""

    @property
    def wanted(self) -> ModelSnapshot:
        return self.plan.wanted

    @property
    def name(self) -> str:
        return self.plan.wanted.name

    def write(self) -> list[str]:
        """Make the model what it is to be. Return the versions that could not be, and why."""
        document, there = self.wanted.document, self.plan.there
        if there is None:
            self.target.create_registered_model(
                self.name, tags=document.tags, description=document.description or None
            )
        else:
            self._model(there)
            for version in there.versions.values():
                self._changed(version)
        problems = [
            problem
            for number in range(self.plan.begin, self.plan.next_version)
            for problem in self._numbered(number)
        ]
        self._aliases()
        return problems

    def _numbered(self, number: int) -> Iterator[str]:
        version = self.wanted.versions.get(number)
        if version is not None:
            return self._version(version)
        self._gap()
        return iter(())

    def _model(self, there: ModelSnapshot) -> None:
        had, wanted = there.document, self.wanted.document
        if (had.description or None) != (wanted.description or None):
            self.target.update_registered_model(self.name, description=wanted.description)
        for key in had.tags.keys() - wanted.tags.keys():
            self.target.delete_registered_model_tag(self.name, key)
        for key, value in wanted.tags.items() - had.tags.items():
            self.target.set_registered_model_tag(self.name, key, value)

    def _changed(self, version: ModelVersion) -> None:
        """Bring a version that is there to what it is to be; it may have to go."""
        number = version.version
        wanted = self.wanted.versions.get(number)
        if wanted is None:
            self.target.delete_model_version(self.name, number)
            return
        if (version.description or None) != (wanted.description or None):
            self.target.update_model_version(self.name, number, description=wanted.description)
        for key in version.tags.keys() - wanted.tags.keys():
            self.target.delete_model_version_tag(self.name, number, key)
        for key, value in wanted.tags.items() - version.tags.items():
            self.target.set_model_version_tag(self.name, number, key, value)
        if version.current_stage is not wanted.current_stage:
            self._stage(wanted)

    def _version(self, version: ModelVersion) -> Iterator[str]:
        subject = f"models:/{self.name}/{version.version}"
        try:
            made = self.target.create_model_version(
                self.name,
                source=version.source,
                run_id=version.run_id,
                run_link=version.run_link,
                description=version.description,
                tags=version.tags,
            )
        except StoreUnavailableError:
            raise
        except RegistryError as error:
            self._gap()
            yield f"{subject}: {error}"
            return
        if made.version != version.version:
            self.target.delete_model_version(self.name, made.version)
            yield f"{subject}: the target gives it the number {made.version}"
        elif version.current_stage is not Stage.NONE:
            self._stage(version)

    def _gap(self) -> None:
        made = self.target.create_model_version(self.name, source=GAP_SOURCE)
        self.target.delete_model_version(self.name, made.version)

    def _stage(self, version: ModelVersion) -> None:
        self.target.transition_model_version_stage(
            self.name, version.version, stage=version.current_stage
        )

    def _aliases(self) -> None:
        """They come last: who loads a model by an alias gets one that is complete."""
        there, wanted = self.target.snapshot(self.name), self.wanted.document.aliases
        had = there.document.aliases
        if self.replaces:
            for alias in had.keys() - wanted.keys():
                self.target.delete_registered_model_alias(self.name, alias)
        for alias, number in wanted.items():
            is_free = self.replaces or alias not in had
            if is_free and had.get(alias) != number and number in there.versions:
                self.target.set_registered_model_alias(self.name, alias, number)
