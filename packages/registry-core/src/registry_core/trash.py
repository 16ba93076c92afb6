"""What was deleted and can be restored.

Strategy. Nothing is put aside when something is deleted: the events of a model stay under its id
when it goes, and playing them back up to the deletion gives the model as it was, field for field.
So a deletion costs what it did, however many versions there are; what is restored pays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from registry_core import documents, histories
from registry_core.changes import RestoreDeletedModel, RestoreVersion
from registry_core.errors import ConflictError, NotFoundError
from registry_core.history import EVENTS_MAX_RESULTS, Action, Event, EventQuery
from registry_core.replay import replay
from registry_core.retention import DAY_MILLISECONDS, retention
from registry_core.snapshots import ModelSnapshot
from registry_core.store import Clock, Store, system_clock


@attrs.frozen(kw_only=True)
class DeletedModel:
    """A registered model that was deleted, and has not been restored since."""

    name: str
    """The name that it had."""
    model_id: str
    deleted_at: int
    """Milliseconds since the epoch."""
    deleted_by: str
    reason: str | None
    sequence: int
    """The number of the event that is its deletion."""
    kept_until: int
    """Milliseconds since the epoch: it can be restored before then."""


@attrs.frozen(kw_only=True)
class DeletedVersion:
    """A version of a registered model that was deleted, and has not been restored since."""

    name: str
    """The name of its model."""
    version: int
    deleted_at: int
    """Milliseconds since the epoch."""
    deleted_by: str
    reason: str | None
    sequence: int
    """The number of the event that is its deletion."""
    fields: Mapping[str, Any]
    """What the event says of it: its source, its tags, and so on."""
    kept_until: int
    """Milliseconds since the epoch: it can be restored before then."""


@attrs.frozen(kw_only=True)
class Trash:
    """What was deleted lately, and has not been restored since."""

    models: tuple[DeletedModel, ...]
    """The one deleted last first."""
    versions: tuple[DeletedVersion, ...]
    """Those of models that exist, by the names that they have now; the one deleted last first."""
    is_cut: bool
    """Whether `MOST_READ` ended the list before the retention did."""


MOST_READ = EVENTS_MAX_RESULTS
"""Events that are looked through for what was deleted lately: a page of them. More would make what
people look at as slow as a registry is busy."""


def lately(store: Store, *, clock: Clock = system_clock) -> Trash:
    """Return what was deleted last in the whole registry, by one read of the store.

    Raises:
        InvalidArgumentError: The setting of the retention is illegal.
        UnsupportedBackendError: The store keeps no history.
    """
    actions = (*_COMING_AND_GOING, *_VERSIONS_COMING_AND_GOING, Action.RENAME_MODEL)
    about, kept = _kept(None, actions, clock, max_results=MOST_READ)
    page = histories.page(store, about, None)
    newest: dict[str, Event] = {}
    for event in page.items:
        _keep_newest(newest, event)
    versions = [event for event in page.items if event.action in _VERSIONS_COMING_AND_GOING]
    return Trash(
        models=_gone(newest.values(), kept),
        versions=tuple(
            attrs.evolve(deleted, name=name)
            for model_id, deleted in _deleted(versions, kept)
            if (name := _name_after(newest[model_id])) is not None
        ),
        is_cut=page.next_page_token is not None,
    )


def _kept(
    name: str | None,
    actions: Sequence[Action],
    clock: Clock,
    *,
    newest_first: bool = True,
    max_results: int = EVENTS_MAX_RESULTS,
) -> tuple[EventQuery, int]:
    """Return the query for the events whose deletions can be restored, and how long they can be.

    Raises:
        InvalidArgumentError: The setting of the retention is illegal.
    """
    kept = retention()
    query = histories.query(
        name,
        actions=actions,
        since=clock() - kept + 1,
        max_results=max_results,
        newest_first=newest_first,
    )
    return query, kept


def _keep_newest(newest: dict[str, Event], event: Event) -> None:
    # By their numbers: the times of a model go back when a clock does.
    if event.model_id not in newest or newest[event.model_id].sequence < event.sequence:
        newest[event.model_id] = event


def _name_after(event: Event) -> str | None:
    """Return what a model is called after an event; None where that deleted it."""
    if event.action is Action.DELETE_MODEL:
        return None
    renamed = event.action in (Action.RENAME_MODEL, Action.RESTORE_MODEL)
    return str(event.after) if renamed else event.name


def _gone(newest: Iterable[Event], kept: int) -> tuple[DeletedModel, ...]:
    """Return the models whose newest event deleted them, newest deletion first."""
    deleted = [
        DeletedModel(
            name=event.name,
            model_id=event.model_id,
            deleted_at=event.time,
            deleted_by=event.actor,
            reason=event.reason,
            sequence=event.sequence,
            kept_until=event.time + kept,
        )
        for event in newest
        if event.action is Action.DELETE_MODEL
    ]
    return tuple(sorted(deleted, key=lambda each: (-each.deleted_at, each.model_id)))


def deleted_models(
    store: Store, name: str | None = None, *, clock: Clock = system_clock
) -> list[DeletedModel]:
    """Return the deleted models, or those that had this name last, newest deletion first.

    What cannot be restored any more is not among them, so that no older event is read.

    Raises:
        InvalidArgumentError: The setting of the retention is illegal.
        UnsupportedBackendError: The store keeps no history.
    """
    about, kept = _kept(None, _COMING_AND_GOING, clock, newest_first=False)
    newest: dict[str, Event] = {}
    for event in histories.iterate(store, about):
        _keep_newest(newest, event)
    models = _gone(newest.values(), kept)
    return [each for each in models if name in (None, each.name)]


_COMING_AND_GOING = (Action.DELETE_MODEL, Action.RESTORE_MODEL)


def deleted_model(
    store: Store, name: str, model_id: str | None = None, *, clock: Clock = system_clock
) -> DeletedModel:
    """Return the deleted model of a name: that of the id, or else the one deleted last.

    Raises:
        NotFoundError: There is none, or it is kept no longer.
    """
    for model in deleted_models(store, name, clock=clock):
        if model_id in (None, model.model_id):
            return model
    of_id = "" if model_id is None else f" with the id '{model_id}'"
    raise _not_kept(f"registered model '{name}'{of_id}")


def restoring_model(
    store: Store,
    name: str,
    *,
    new_name: str | None = None,
    model_id: str | None = None,
    clock: Clock = system_clock,
) -> RestoreDeletedModel:
    """Return the change that brings a deleted model back.

    Raises:
        ConflictError: Somebody else has restored it meanwhile.
        NotFoundError: There is no such deleted model, or it is kept no longer.
        StoreCorruptedError: Its history cannot be played back.
    """
    gone = deleted_model(store, name, model_id, clock=clock)
    of_id = histories.query(
        None, model_id=gone.model_id, newest_first=False, max_results=EVENTS_MAX_RESULTS
    )
    events = tuple(histories.iterate(store, of_id))
    if not events or events[-1].sequence != gone.sequence:
        raise ConflictError(f"Registered model '{name}' was restored by somebody else")
    before = replay(events[:-1])
    assert before is not None, "only an existing model is deleted"
    name = new_name or before.name
    document = documents.build(attrs.evolve(before, name=name), before.versions.values())
    return RestoreDeletedModel(
        snapshot=ModelSnapshot(document=document, events=events), was_named=before.name
    )


def deleted_versions(
    store: Store, name: str, *, clock: Clock = system_clock
) -> list[DeletedVersion]:
    """Return the deleted versions of a model that can be restored, newest deletion first.

    Raises:
        RegisteredModelNotFoundError: The model does not exist.
    """
    about, kept = _kept(name, _VERSIONS_COMING_AND_GOING, clock)
    return [deleted for _, deleted in _deleted(histories.iterate(store, about), kept)]


_VERSIONS_COMING_AND_GOING = (Action.DELETE_VERSION, Action.RESTORE_VERSION)


def _deleted(newest_first: Iterable[Event], kept: int) -> Iterator[tuple[str, DeletedVersion]]:
    """Yield the versions whose newest event deleted them, each with the id of its model."""
    seen: set[tuple[str, int]] = set()
    for event in newest_first:
        assert event.version is not None, "the event is about a version"
        place = event.model_id, event.version
        if place not in seen and event.action is Action.DELETE_VERSION:
            deleted = DeletedVersion(
                name=event.name,
                version=event.version,
                deleted_at=event.time,
                deleted_by=event.actor,
                reason=event.reason,
                sequence=event.sequence,
                fields=event.before if isinstance(event.before, Mapping) else {},
                kept_until=event.time + kept,
            )
            yield event.model_id, deleted
        seen.add(place)


def restoring_version(
    store: Store, name: str, version: int, *, clock: Clock = system_clock
) -> RestoreVersion:
    """Return the change that brings a deleted version back.

    Raises:
        NotFoundError: There is no such deleted version, or it is kept no longer.
        RegisteredModelNotFoundError: The model does not exist.
        StoreCorruptedError: The history of the model cannot be played back.
    """
    listed = deleted_versions(store, name, clock=clock)
    deleted = next((each for each in listed if each.version == version), None)
    if deleted is None:
        raise _not_kept(f"version {version} of registered model '{name}'")
    everything = histories.query(name, newest_first=False, max_results=EVENTS_MAX_RESULTS)
    events = histories.iterate(store, everything)
    before = replay(each for each in events if each.sequence < deleted.sequence)
    assert before is not None, "the model exists"
    restored = attrs.evolve(documents.model_version(before, version), aliases=())
    return RestoreVersion(name=name, version=version, restored=restored)


def _not_kept(what: str) -> NotFoundError:
    days = retention() // DAY_MILLISECONDS
    return NotFoundError(
        f"There is no deleted {what} that can be restored: what is deleted is kept for {days} days"
    )
