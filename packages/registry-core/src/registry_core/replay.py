"""A registered model as its events say it is, or was: the history played back.

Nothing but events is looked at. So this says what a model was at a moment, tests whether the
history of a model is true of it, and brings back what was deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from registry_core import approvals, documents
from registry_core.authors import Origin
from registry_core.changes.versions import put_back
from registry_core.documents import FIRST_VERSION, ModelDocument
from registry_core.errors import RegistryError, StoreCorruptedError
from registry_core.fields import differing
from registry_core.history import (
    MODEL_TEXTS,
    VERSION_TEXTS,
    VERSION_WORDS,
    Action,
    Event,
    Value,
    approval_fields,
    version_fields,
)
from registry_core.models import Approval, ModelFields, ModelVersion, Stage, Status


def replay(events: Iterable[Event]) -> ModelDocument | None:
    """Return what a model is after these events; None where they end with its deletion.

    Args:
        events: All events of one model up to some number, oldest first.

    Raises:
        StoreCorruptedError: No model can have this history: the first event does not make a model,
            or one is about something that does not exist.
    """
    player = Player()
    for event in events:
        player.play(event)
    return player.document


class Player:
    """Plays the events of one model back, one after the other, oldest first."""

    def __init__(self) -> None:
        self.document: ModelDocument | None = None
        """What the model is after the events so far; None before the first, and when deleted."""
        self._deleted: ModelDocument | None = None

    def before(self, event: Event) -> ModelDocument | None:
        """Return what the next event changes: of a restoring, the model that was deleted."""
        return self._deleted if event.action is Action.RESTORE_MODEL else self.document

    def play(self, event: Event) -> None:
        """Make the model what it is after one more event.

        Raises:
            StoreCorruptedError: As `replay`.
        """
        before = self.before(event)
        if event.action is Action.DELETE_MODEL:
            self._deleted = before
        try:
            self.document = _PLAY[event.action](before, event)
        except _IMPOSSIBLE as error:
            raise StoreCorruptedError(
                f"Event {event.sequence} of model '{event.name}' ({event.action.value}) does not "
                f"follow from those before it: {error!r}"
            ) from error


_IMPOSSIBLE = (KeyError, TypeError, ValueError, AssertionError, AttributeError, RegistryError)
"""What playing an event back raises that is not one of this model."""


def contradictions(document: ModelDocument | None, event: Event) -> Iterator[str]:
    """Yield where an event contradicts those before it, which have led to `document`.

    An event repeats some of what they say: the model's name, what the thing was before, which
    version an alias is about.
    """
    try:
        yield from _contradictions(document, event)
    except _IMPOSSIBLE as error:
        yield f"it cannot be compared with those before it: {error!r}"


def _contradictions(document: ModelDocument | None, event: Event) -> Iterator[str]:
    name = document.name if document is not None else _after(event, "name")
    if event.action is Action.RESTORE_MODEL:
        name = event.after  # It may be restored under another name.
    if event.name != name:
        yield f"it is about {event.name!r}, and the model is {name!r} by those before it"
    if event.action in (Action.SET_ALIAS, Action.DELETE_ALIAS):
        number = event.after if event.action is Action.SET_ALIAS else event.before
        if event.version != number:
            yield f"it is about version {event.version!r}, and about {number!r}"
    if document is None:
        return
    is_new = event.action is Action.CREATE_VERSION and event.origin is not Origin.BASELINE
    if is_new and event.version != document.next_version:
        yield f"it makes version {event.version!r} after {document.next_version - 1}"
    if event.action in _BEFORE:
        try:
            before = _BEFORE[event.action](document, event)
        except KeyError:
            return  # The version is absent, which playing the event back shows.
        if (event.before or None) != (before or None):
            yield f"before it there was {before!r}, and {event.before!r} by itself"


def _after(event: Event, name: str) -> object:
    return event.after.get(name) if isinstance(event.after, Mapping) else None


def _of_version(document: ModelDocument, event: Event) -> ModelVersion:
    assert event.version is not None, "the event is about a version"
    return document.versions[event.version]


def _approved_before(document: ModelDocument, event: Event) -> Value:
    return approval_fields(approvals.given_by(document, _number(event), _key(event)))


_BEFORE: Mapping[Action, Callable[[ModelDocument, Event], Value]] = {
    Action.UPDATE_MODEL: lambda doc, _: doc.description,
    Action.RENAME_MODEL: lambda doc, _: doc.name,
    Action.RESTORE_MODEL: lambda doc, _: doc.name,
    Action.UPDATE_VERSION: lambda doc, event: _of_version(doc, event).description,
    Action.FINALIZE_VERSION: lambda doc, event: {"status": _of_version(doc, event).status.value},
    Action.TRANSITION_VERSION: lambda doc, event: _of_version(doc, event).current_stage.value,
    Action.DELETE_VERSION: lambda doc, event: version_fields(_of_version(doc, event)),
    Action.SET_ALIAS: lambda doc, event: doc.aliases.get(_key(event)),
    Action.DELETE_ALIAS: lambda doc, event: doc.aliases.get(_key(event)),
    Action.SET_MODEL_TAG: lambda doc, event: doc.tags.get(_key(event)),
    Action.DELETE_MODEL_TAG: lambda doc, event: doc.tags.get(_key(event)),
    Action.SET_VERSION_TAG: lambda doc, event: _of_version(doc, event).tags.get(_key(event)),
    Action.DELETE_VERSION_TAG: lambda doc, event: _of_version(doc, event).tags.get(_key(event)),
    Action.APPROVE_VERSION: _approved_before,
    Action.WITHDRAW_APPROVAL: _approved_before,
}
"""What a thing is that an event of each action is about; of the others, nothing was before."""


def differences(replayed: ModelDocument | None, document: ModelDocument) -> Iterator[str]:
    """Yield where a model is not what its history says.

    See `fields.differing` for what counts as the same.
    """
    if replayed is None:
        yield "the history ends with a deletion, and the model exists"
        return
    yield from _fields_that_differ("the model", replayed, document, ModelFields)
    for number in sorted({*replayed.versions, *document.versions}):
        of, by_history = document.versions.get(number), replayed.versions.get(number)
        if of is None:
            yield f"version {number}: exists by the history, and is absent"
        elif by_history is None:
            yield f"version {number}: exists, and the history does not know it"
        else:
            yield from _fields_that_differ(f"version {number}", by_history, of, ModelVersion)
    for number in sorted({*replayed.approvals, *document.approvals}):
        of_store, of_history = document.approvals.get(number), replayed.approvals.get(number)
        if of_store != of_history:
            yield f"version {number}: approvals is {of_store!r}, and {of_history!r} by the history"


def _fields_that_differ(
    thing: str, replayed: object, actual: object, cls: type[attrs.AttrsInstance]
) -> Iterator[str]:
    for field, by_history, is_ in differing(replayed, actual, cls):
        yield f"{thing}: {field.name} is {is_!r}, and {by_history!r} by the history"


def _created(_: ModelDocument | None, event: Event) -> ModelDocument:
    fields = _mapping(event)
    texts: dict[str, Any] = {name: fields.get(name) for name in MODEL_TEXTS if name != "name"}
    document = ModelDocument(
        name=fields["name"],
        model_id=event.model_id,
        **texts,
        tags=fields.get("tags", {}),
        next_version=fields.get("next_version", FIRST_VERSION),
        **_times(fields, event),
    )
    return documents.build(document, ())


def _version_created(before: ModelDocument | None, event: Event) -> ModelDocument:
    document, fields = _present(before), _mapping(event)
    version = _version(document, event)
    number = version.version
    is_there = "creation_timestamp" in fields
    # In place: nobody else has seen the mapping, and a copy for each of many versions takes long.
    versions = document.versions if isinstance(document.versions, dict) else {**document.versions}
    versions[number] = version
    return attrs.evolve(
        document,
        versions=versions,
        next_version=max(document.next_version, number + 1),
        last_updated_timestamp=document.last_updated_timestamp if is_there else event.time,
    )


def _version(document: ModelDocument, event: Event) -> ModelVersion:
    """The version that an event creates or restores."""
    fields, number = _mapping(event), _number(event)
    said: dict[str, Any] = {name: fields.get(name) for name in VERSION_TEXTS}
    said["source"] = fields.get("source", "")
    for name, default in VERSION_WORDS.items():
        said[name] = type(default)(fields.get(name, default))
    return ModelVersion(
        name=document.name,
        version=number,
        tags=dict(sorted(fields.get("tags", {}).items())),
        **said,
        **_times(fields, event),
    )


def _restored(deleted: ModelDocument | None, event: Event) -> ModelDocument:
    document = attrs.evolve(_present(deleted), name=_text(event))
    return documents.build(document, document.versions.values())


def _finalized(before: ModelDocument | None, event: Event) -> ModelDocument:
    fields = _mapping(event)
    return documents.finalize_version(
        _present(before),
        _number(event),
        status=Status(fields["status"]),
        status_message=fields.get("status_message"),
        source=fields.get("source"),
        storage_location=fields.get("storage_location"),
        now=event.time,
    )


def _relocated(before: ModelDocument | None, event: Event) -> ModelDocument:
    fields = _mapping(event)
    return documents.relocate_version(
        _present(before),
        _number(event),
        source=fields.get("source", ""),
        storage_location=fields.get("storage_location"),
        now=event.time,
    )


def _transitioned(before: ModelDocument | None, event: Event) -> ModelDocument:
    # Those that it archived have events of their own.
    return documents.transition(
        _present(before),
        _number(event),
        stage=Stage(_text(event)),
        archive_existing_versions=False,
        now=event.time,
    )


def _approved(before: ModelDocument | None, event: Event) -> ModelDocument:
    fields = _mapping(event)
    approval = Approval(
        actor=_key(event),
        is_authenticated=fields.get("is_authenticated", False),
        groups=tuple(fields.get("groups", ())),
        digest=fields["digest"],
        reason=fields.get("reason"),
        time=fields["time"],
    )
    return approvals.approve(_present(before), _number(event), approval)


def _key(event: Event) -> str:
    assert event.key is not None, "the event is about a key"
    return event.key


def _text(event: Event) -> str:
    assert isinstance(event.after, str), "the event leaves a text"
    return event.after


def _number(event: Event) -> int:
    assert event.version is not None, "the event is about a version"
    return event.version


def _mapping(event: Event) -> Mapping[str, Any]:
    assert isinstance(event.after, Mapping), "the event leaves fields"
    return event.after


def _optional(event: Event) -> str | None:
    assert event.after is None or isinstance(event.after, str), "the event leaves a text or none"
    return event.after


def _present(document: ModelDocument | None) -> ModelDocument:
    assert document is not None, "there is a model"
    return document


def _times(fields: Mapping[str, Any], event: Event) -> dict[str, Any]:
    """What a beginning says of times; otherwise it is the time of the event."""
    names = ("creation_timestamp", "last_updated_timestamp")
    return {name: fields.get(name, event.time) for name in names}


_PLAY: Mapping[Action, Callable[[ModelDocument | None, Event], ModelDocument | None]] = {
    Action.CREATE_MODEL: _created,
    Action.UPDATE_MODEL: lambda doc, event: documents.update(
        _present(doc), description=_optional(event), now=event.time
    ),
    Action.RENAME_MODEL: lambda doc, event: documents.rename(
        _present(doc), new_name=_text(event), now=event.time
    ),
    Action.DELETE_MODEL: lambda _, __: None,
    Action.RESTORE_MODEL: _restored,
    Action.CREATE_VERSION: _version_created,
    Action.UPDATE_VERSION: lambda doc, event: documents.update_version(
        _present(doc), _number(event), description=_optional(event), now=event.time
    ),
    Action.FINALIZE_VERSION: _finalized,
    Action.RELOCATE_VERSION: _relocated,
    Action.TRANSITION_VERSION: _transitioned,
    Action.DELETE_VERSION: lambda doc, event: documents.delete_version(
        _present(doc), _number(event), now=event.time
    ),
    Action.RESTORE_VERSION: lambda doc, event: put_back(
        _present(doc), _version(_present(doc), event), now=event.time
    ),
    Action.SET_ALIAS: lambda doc, event: documents.set_alias(
        _present(doc), _key(event), version=_number(event)
    ),
    Action.DELETE_ALIAS: lambda doc, event: documents.delete_alias(_present(doc), _key(event)),
    Action.SET_MODEL_TAG: lambda doc, event: documents.set_tag(
        _present(doc), _key(event), _text(event)
    ),
    Action.DELETE_MODEL_TAG: lambda doc, event: documents.delete_tag(_present(doc), _key(event)),
    Action.SET_VERSION_TAG: lambda doc, event: documents.set_version_tag(
        _present(doc), _number(event), _key(event), _text(event)
    ),
    Action.DELETE_VERSION_TAG: lambda doc, event: documents.delete_version_tag(
        _present(doc), _number(event), _key(event)
    ),
    Action.APPROVE_VERSION: _approved,
    Action.WITHDRAW_APPROVAL: lambda doc, event: approvals.withdraw(
        _present(doc), _number(event), _key(event)
    ),
    Action.PASS_GATE: lambda doc, _: doc,
}
"""What each action makes of a model."""

assert set(_PLAY) == set(Action)
