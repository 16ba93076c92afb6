"""`ModelSnapshot`: a registered model with all its versions and its history, as one value.

It is what moves a model: out of one registry and into another, into a file and back. It has all:
numbers with their gaps, times, stages, statuses, aliases, tags, the counter of versions, and every
event. `check` says what a legal snapshot is, once, and nothing writes one that has not passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

import attrs

from registry_core import documents, validation
from registry_core.documents import FIRST_VERSION, ModelDocument
from registry_core.errors import InvalidArgumentError
from registry_core.fields import fields_of
from registry_core.history import Action, Event, is_new_beginning
from registry_core.models import (
    Approval,
    ModelFields,
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
)

TIME_MAX = 2**63 - 1
"""The latest time that a store can keep: milliseconds since the epoch."""


class Snapshot(Protocol):
    """A registered model as it is at one moment, whether it is in memory or not."""

    @property
    def document(self) -> ModelDocument:
        """The model. Only in memory it has its versions and approvals."""
        ...

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def version_count(self) -> int:
        """How many versions the model has."""
        ...

    @property
    def event_count(self) -> int:
        """How many events its history has."""
        ...

    @property
    def newest(self) -> Event | None:
        """The newest event; None where the history is empty."""
        ...

    @property
    def last(self) -> int:
        """The number of the newest event; 0 where the history is empty."""
        ...

    @property
    def stages(self) -> frozenset[Stage]:
        """The stages in which the model has a version."""
        ...

    def each_version(self) -> Iterator[tuple[ModelVersion, tuple[Approval, ...]]]:
        """Yield the versions in ascending order of their numbers, each with its approvals."""
        ...

    def each_event(self) -> Iterator[Event]:
        """Yield the history, oldest event first."""
        ...


@attrs.frozen(kw_only=True)
class ModelSnapshot:
    """A registered model as it is at one moment, with its versions and its history.

    Example:
        >>> backup = registry.snapshot("churn")
        >>> backup.name, len(backup.document.versions), backup.events[0].action.value
        ('churn', 3, 'create_model')
    """

    document: ModelDocument
    """The model. Its `model_id` is empty if it comes from where models have none."""
    events: tuple[Event, ...] = ()
    """Its whole history, oldest first; none if it comes from where none is kept."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.document.name

    @property
    def model(self) -> RegisteredModel:
        """The model, as `Registry.get_registered_model` returns it."""
        return documents.registered_model(self.document)

    @property
    def versions(self) -> Mapping[int, ModelVersion]:
        """The model's versions by number, in ascending order."""
        return self.document.versions

    @property
    def last(self) -> int:
        """The number of the newest event; 0 where the history is empty."""
        return self.events[-1].sequence if self.events else 0

    @property
    def newest(self) -> Event | None:
        """The newest event; None where the history is empty."""
        return self.events[-1] if self.events else None

    @property
    def version_count(self) -> int:
        """How many versions the model has."""
        return len(self.versions)

    @property
    def event_count(self) -> int:
        """How many events the history has."""
        return len(self.events)

    @property
    def stages(self) -> frozenset[Stage]:
        """The stages in which the model has a version."""
        return frozenset(version.current_stage for version in self.versions.values())

    def each_version(self) -> Iterator[tuple[ModelVersion, tuple[Approval, ...]]]:
        """Yield the versions in ascending order of their numbers, each with its approvals."""
        approvals = self.document.approvals
        for number, version in self.versions.items():
            yield version, approvals.get(number, ())

    def each_event(self) -> Iterator[Event]:
        """Yield the history, oldest event first."""
        return iter(self.events)

    def without_history(self) -> ModelSnapshot:
        """Return the snapshot of the same model with neither events nor an id."""
        document = attrs.evolve(self.document, model_id="")
        return ModelSnapshot(document=document)

    def with_id(self, model_id: str) -> ModelSnapshot:
        """Return the snapshot of the same model under this id."""
        if model_id == self.document.model_id:
            return self
        return ModelSnapshot(
            document=attrs.evolve(self.document, model_id=model_id),
            events=tuple(attrs.evolve(event, model_id=model_id) for event in self.events),
        )


def is_ahead(one: Snapshot, other: Snapshot, *, but: int = 0) -> bool:
    """Return whether `other` is an earlier state of the model in `one`, by its history alone.

    Args:
        one: The later state.
        other: The earlier one.
        but: How many of the newest events of `other` do not count.
    """
    known = other.event_count - but
    if not 0 < known <= one.event_count or one.document.model_id != other.document.model_id:
        return False
    if isinstance(one, ModelSnapshot) and isinstance(other, ModelSnapshot):
        # The newest of them tells nearly always.
        newest = one.events[known - 1] == other.events[known - 1]
        return newest and one.events[:known] == other.events[:known]
    pairs = zip(one.each_event(), islice(other.each_event(), known), strict=False)
    return all(left == right for left, right in pairs)


def model_of(
    model: ModelFields,
    versions: Iterable[ModelVersion],
    *,
    next_version: int,
    model_id: str = "",
    events: Iterable[Event] = (),
    approvals: Mapping[int, tuple[Approval, ...]] | None = None,
) -> ModelSnapshot:
    """Return the snapshot of a model that was read in parts; these may come in any order."""
    fields = {field.name: getattr(model, field.name) for field in fields_of(ModelFields)}
    document = ModelDocument(
        **fields, model_id=model_id, next_version=next_version, approvals=approvals or {}
    )
    return ModelSnapshot(document=documents.build(document, versions), events=tuple(events))


def next_version_of(events: Iterable[Event]) -> int:
    """Return the number of the next version of a model with this history."""
    number = FIRST_VERSION
    for event in events:
        if event.action is Action.CREATE_MODEL and isinstance(event.after, Mapping):
            number = max(number, event.after.get("next_version", FIRST_VERSION))
        elif event.action is Action.CREATE_VERSION and event.version is not None:
            number = max(number, event.version + 1)
    return number


# What is legal


SnapshotT = TypeVar("SnapshotT", bound=Snapshot)


def check(snapshot: SnapshotT) -> SnapshotT:
    """Accept a snapshot that every store can keep.

    Raises:
        InvalidArgumentError: Something in it is illegal; the message says what, and of which model.
    """
    try:
        _check_model(snapshot.document)
        _check_versions(snapshot)
        _check_events(snapshot)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"The snapshot of model '{snapshot.name}' is illegal: {error}"
        ) from error
    return snapshot


def _check_model(document: ModelDocument) -> None:
    _check_as_new(document, NewRegisteredModel)
    _short(document.deployment_job_state, "deployment_job_state")
    if document.model_id:
        validation.registered_model_id(document.model_id)
    _check_times(document)
    validation.aliases_together(document.aliases)
    for alias in document.aliases:
        validation.new_alias(alias)
    for number, version in document.versions.items():
        if version.version != number:
            raise InvalidArgumentError(f"{number} is not the number of a version of the model")
    for number in document.approvals.keys() - document.versions.keys():
        raise InvalidArgumentError(f"version {number} is approved, and is none")


def _check_versions(snapshot: Snapshot) -> None:
    document, highest = snapshot.document, FIRST_VERSION - 1
    missing = set(document.aliases.values())
    for version, approvals in snapshot.each_version():
        number = version.version
        if version.name != document.name or number <= highest:
            raise InvalidArgumentError(f"{number} is not the number of a version of the model")
        missing.discard(number)
        _check_version(number, version)
        _check_approvals(number, approvals)
        highest = number
    for alias, number in document.aliases.items():
        if number in missing:
            raise InvalidArgumentError(f"alias '{alias}' points at version {number}, which is none")
    if not highest < document.next_version <= validation.VERSION_MAX + 1:
        raise InvalidArgumentError(
            f"the next version cannot be {document.next_version} after version {highest}"
        )


def _check_as_new(entity: ModelFields | ModelVersion, draft: type[Any]) -> None:
    """Refuse an entity whose draft would be refused."""
    for name, attribute, check in _CHECKS[draft]:
        check(entity, attribute, getattr(entity, name))


_CHECKS: Mapping[type[Any], tuple[tuple[str, Any, Any], ...]] = {
    draft: tuple(
        (attribute.name, attribute, attribute.validator)
        for attribute in attrs.fields(draft)
        if attribute.validator is not None
    )
    for draft in (NewRegisteredModel, NewModelVersion)
}
"""The fields of a draft that are checked, and what checks them."""


def _check_version(number: int, version: ModelVersion) -> None:
    try:
        _check_as_new(version, NewModelVersion)
        _short(version.status_message, "status_message")
        _check_times(version)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"version {number}: {error}") from error


def _check_approvals(number: int, approvals: Sequence[Approval]) -> None:
    actors = {each.actor for each in approvals}
    if len(actors) != len(approvals):
        raise InvalidArgumentError(f"version {number} is approved twice by one actor")
    for approval in approvals:
        if not 0 <= approval.time <= TIME_MAX:
            raise InvalidArgumentError(
                f"{approval.time} is not a time in milliseconds since the epoch"
            )


def _short(text: str | None, parameter: str) -> None:
    validation.optional_text(
        text, parameter=parameter, max_length=validation.DESCRIPTION_MAX_LENGTH
    )


def _check_times(entity: ModelFields | ModelVersion) -> None:
    for time in (entity.creation_timestamp, entity.last_updated_timestamp):
        if not 0 <= time <= TIME_MAX:
            raise InvalidArgumentError(f"{time} is not a time in milliseconds since the epoch")


def _check_events(snapshot: Snapshot) -> None:
    said: set[tuple[str, str, str | None]] = set()
    number = 0
    for event in snapshot.each_event():
        # A history may begin later with a baseline.
        number = number + 1 if number or not is_new_beginning(event) else event.sequence
        if event.sequence != number or event.model_id != snapshot.document.model_id:
            raise InvalidArgumentError(
                f"event {event.sequence} of '{event.model_id}' is not event {number} of the model"
            )
        if not 0 <= event.time <= TIME_MAX:
            raise InvalidArgumentError(f"event {number}: {event.time} is not a time")
        # Most events repeat the names of those before.
        if (saying := (event.name, event.actor, event.reason)) not in said:
            validation.model_name(event.name)
            validation.actor(event.actor)
            validation.reason(event.reason)
            if len(said) < _NAMES_REMEMBERED:
                said.add(saying)
        _check_subject(event)
        _check_value(event.before, number)
        _check_value(event.after, number)
    if number and not snapshot.document.model_id:
        raise InvalidArgumentError("a model with a history has an id")


def _check_subject(event: Event) -> None:
    """Refuse what those who read histories do not expect of an event of its action."""
    what, number = f"event {event.sequence}", event.version
    if event.key is not None:
        validation.text(event.key, parameter=what, max_length=_KEY_MAX_LENGTH)
    if number is None and event.action in _OF_VERSIONS:
        raise InvalidArgumentError(f"{what} is about no version")
    if number is not None and not FIRST_VERSION <= number <= validation.VERSION_MAX:
        raise InvalidArgumentError(f"{what} is about version {number}, which no model has")
    if event.action in _OF_ALIASES:
        for target in (event.before, event.after):
            if target is not None and type(target) is not int:
                raise InvalidArgumentError(f"{what}: an alias points at a number")
    if event.action is Action.CREATE_MODEL and isinstance(event.after, Mapping):
        following = event.after.get("next_version", FIRST_VERSION)
        if type(following) is not int:
            raise InvalidArgumentError(f"{what}: the next version is a number")


_OF_VERSIONS = frozenset(
    (*(action for action in Action if "_version" in action), Action.WITHDRAW_APPROVAL)
)
_OF_ALIASES = frozenset((Action.SET_ALIAS, Action.DELETE_ALIAS))

_KEY_MAX_LENGTH = max(
    validation.ALIAS_MAX_LENGTH, validation.TAG_KEY_MAX_LENGTH, validation.ACTOR_MAX_LENGTH
)


_NAMES_REMEMBERED = 10_000
"""Of a history in which each event has another reason, no more are kept in memory."""


def _check_value(value: Any, number: int, depth: int = 0) -> None:
    if type(value) is str and len(value) <= _SHORT and value.isascii() and "\x00" not in value:
        return  # what nearly all of them are
    match value:
        case None | bool():
            return
        case int():
            if not -TIME_MAX <= value <= TIME_MAX:
                raise InvalidArgumentError(f"event {number} has a number that no store keeps")
        case str():
            validation.text(value, parameter=f"event {number}", max_length=_VALUE_MAX_LENGTH)
        case Mapping() if depth < _DEPTH_MAX:
            for key, each in value.items():
                _check_value(key, number)
                _check_value(each, number, depth + 1)
        case list() | tuple() if depth < _DEPTH_MAX:
            for each in value:
                _check_value(each, number, depth + 1)
        case _:
            raise InvalidArgumentError(f"event {number} has a value that no event has")


_SHORT = 1_000
"""Characters of a text that is far below every limit."""

_DEPTH_MAX = 16
"""Objects and arrays in each other in a value of an event, which has four at most. What is nested
deeper ends in an error of the interpreter, here or where it is written or read."""

_VALUE_MAX_LENGTH = max(validation.DESCRIPTION_MAX_LENGTH, validation.TAG_VALUE_MAX_LENGTH)
