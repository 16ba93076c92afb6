"""What was done to registered models: events, what they are about, and how they are asked for.

Every change of a registered model that changes something is an event: who made it, when, why,
through what, and what the changed thing was before and is afterwards. The events of one model are
numbered 1, 2, 3 and so on, in the order in which the changes took effect; a number is never missing
and never used again, but for the first ones, whose events `pruning` replaces. They belong to the
model's id, so that they follow a rename, and a later namesake begins with none.

An event is about one thing, its `subject`: an alias, a tag, the stage of a version. The state of a
thing before an event is its state after the event before it, so stores need not keep it twice.
"""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeAlias

import attrs

from registry_core.authors import Author, Origin
from registry_core.display import moment
from registry_core.fields import define, scalars_of
from registry_core.models import (
    Approval,
    ModelFields,
    ModelVersion,
    Status,
)
from registry_core.name_scope import NameScope

Value: TypeAlias = str | int | Mapping[str, Any] | None
"""What a thing is: the text of a tag or description, the number that an alias points at, the name
of a stage, the fields of a model, version or approval; None where it does not exist. JSON can hold
it: the fields are texts, numbers, truth values, lists of texts, or mappings of these."""

EVENTS_MAX_RESULTS = 1_000
"""Events of one page."""


class Action(enum.StrEnum):
    """What was done: a word that stores keep, and the form of its subject; see `subject`.

    What a change is that leaves such an event, its class in `changes` says.
    """

    form: str

    def __new__(cls, value: str, form: str = "") -> Self:
        """Return the member of that value."""
        if not form:
            raise TypeError(f"the action {value} has no form of its subject")
        member = str.__new__(cls, value)
        member._value_ = value
        member.form = form
        return member

    CREATE_MODEL = "create_model", "model"
    UPDATE_MODEL = "update_model", "description"
    RENAME_MODEL = "rename_model", "name"
    DELETE_MODEL = "delete_model", "model"
    RESTORE_MODEL = "restore_model", "name"
    CREATE_VERSION = "create_version", "version:{version}"
    UPDATE_VERSION = "update_version", "version:{version}/description"
    FINALIZE_VERSION = "finalize_version", "version:{version}/status"
    RELOCATE_VERSION = "relocate_version", "version:{version}/source"
    TRANSITION_VERSION = "transition_version", "version:{version}/stage"
    DELETE_VERSION = "delete_version", "version:{version}"
    RESTORE_VERSION = "restore_version", "version:{version}"
    SET_ALIAS = "set_alias", "alias:{key}"
    DELETE_ALIAS = "delete_alias", "alias:{key}"
    SET_MODEL_TAG = "set_model_tag", "tag:{key}"
    DELETE_MODEL_TAG = "delete_model_tag", "tag:{key}"
    SET_VERSION_TAG = "set_version_tag", "version:{version}/tag:{key}"
    DELETE_VERSION_TAG = "delete_version_tag", "version:{version}/tag:{key}"
    APPROVE_VERSION = "approve_version", "version:{version}/approval:{key}"
    WITHDRAW_APPROVAL = "withdraw_approval", "version:{version}/approval:{key}"
    PASS_GATE = "pass_gate", "version:{version}/gate:{key}"


@attrs.frozen(kw_only=True)
class Effect:
    """What a change has done to one thing."""

    action: Action
    version: int | None = None
    """The model version that it is about: of an alias, the one that it points at, or pointed at."""
    key: str | None = None
    """The alias, the key of the tag, the actor of an approval, or the name of a gate."""
    before: Value = None
    after: Value = None

    @property
    def subject(self) -> str:
        """What the effect is about; see `subject`."""
        return subject(self.action, self.version, self.key)


@attrs.frozen(kw_only=True)
class Event:
    """An effect on a registered model, with its author, its time and its number.

    Example:
        >>> event = next(registry.history("churn", alias="champion"))
        >>> event.action, event.key, event.before, event.after
        (<Action.SET_ALIAS: 'set_alias'>, 'champion', 1, 2)
    """

    model_id: str
    """The model's id, which stays when the model is renamed."""
    name: str
    """The model's name before the event; of its creation, the name it got."""
    sequence: int
    time: int
    """Milliseconds since the epoch, by the store's clock. Clocks may be set back; numbers not."""
    actor: str
    is_authenticated: bool = False
    """Whether a server has proved `actor`; otherwise the name is a claim."""
    origin: Origin = Origin.LIBRARY
    reason: str | None = None
    action: Action
    version: int | None = None
    """The model version that the event is about: of an alias, the one that it points at, or, when
    it was removed, pointed at."""
    key: str | None = None
    """The alias, the key of the tag, the actor of an approval, or the name of a gate."""
    before: Value = None
    after: Value = None
    is_intact: bool | None = attrs.field(default=None, eq=False)
    """Whether the store still has what it wrote, by the checksum that it wrote with the event;
    None where it wrote none. It says something of the record, and nothing of what was done."""

    @property
    def subject(self) -> str:
        """What the event is about; see `subject`."""
        return subject(self.action, self.version, self.key)

    @property
    def at(self) -> datetime:
        """When it was, in UTC: `time`."""
        return moment(self.time)

    def names_after(self) -> Iterator[str]:
        """Yield the name that the model has after the event: the one before it if it says none."""
        is_named = self.action in NAMING_ACTIONS and isinstance(self.after, str)
        yield str(self.after) if is_named else self.name

    def is_in(self, scope: NameScope) -> bool:
        """Return whether a scope has each name that the event gives away."""
        return self.name in scope and all(name in scope for name in self.names_after())

    @classmethod
    def of(
        cls, effect: Effect, *, model_id: str, name: str, sequence: int, time: int, by: Author
    ) -> Event:
        """Return the event of an effect."""
        return cls(
            model_id=model_id,
            name=name,
            sequence=sequence,
            time=time,
            actor=by.actor,
            is_authenticated=by.is_authenticated,
            origin=by.origin,
            reason=by.reason,
            action=effect.action,
            version=effect.version,
            key=effect.key,
            before=effect.before,
            after=effect.after,
        )


DAMAGED = "damaged"
"""What is kept in place of the checksum of an event that was damaged before it came to a store. No
event has it, so that the event is known to be damaged wherever it is copied to."""


@attrs.frozen(kw_only=True)
class EventQuery:
    """Which events are wanted, newest first unless it says otherwise.

    With a model they are in the order of their numbers. Without one they are those of all models,
    deleted ones included, in the order of their times; of one moment, by model and number.
    """

    name: str | None = None
    """The registered model that has this name now."""
    model_id: str | None = None
    """The registered model by its id, in place of its name; also one that was deleted."""
    alias: str | None = None
    version: int | None = None
    actions: frozenset[Action] = frozenset()
    """Any of these; all if there are none."""
    since: int | None = None
    """Milliseconds since the epoch; events of that moment are among them."""
    until: int | None = None
    """Milliseconds since the epoch; events of that moment are not among them."""
    newest_first: bool = True
    max_results: int = 100
    scope: NameScope | None = None
    """Of the events of all models: only those of these names; see `Event.is_in`."""
    after: tuple[int, str, int] | None = None
    """The time, model id and number of the event that the page starts after."""

    @property
    def is_of_one_model(self) -> bool:
        """Whether the events of one model are wanted, and not those of all."""
        return self.name is not None or self.model_id is not None

    def matches(self, event: Event) -> bool:
        """Return whether an event of the model, or of any, is wanted."""
        return (
            (self.alias is None or (event.key == self.alias and event.action in ALIAS_ACTIONS))
            and (self.version is None or event.version == self.version)
            and (not self.actions or event.action in self.actions)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
            and (self.scope is None or event.is_in(self.scope))
        )

    def page(self, events: Sequence[Event]) -> list[Event]:
        """Return the page from events of the model, or of all models, in any order."""
        matching = sorted(
            filter(self.matches, events), key=self.position, reverse=self.newest_first
        )
        if self.after is not None:
            start = self._place(self.after)
            matching = [each for each in matching if self._is_beyond(self.position(each), start)]
        return matching[: self.max_results]

    def position(self, event: Event) -> tuple[Any, ...]:
        """Return where an event stands among those that the query is about."""
        return self._place(place_of(event))

    def _place(self, place: tuple[int, str, int]) -> tuple[Any, ...]:
        return place[2:] if self.is_of_one_model else place

    def _is_beyond(self, position: tuple[Any, ...], start: tuple[Any, ...]) -> bool:
        return position < start if self.newest_first else position > start


ALIAS_ACTIONS = frozenset(each for each in Action if each.form.startswith("alias:"))
"""What is about an alias, which is then the key of the event."""

NAMING_ACTIONS = frozenset({Action.RENAME_MODEL, Action.RESTORE_MODEL})
"""What gives a model the name that is its `after`."""


def subject(action: Action, version: int | None, key: str | None) -> str:
    """Return a text that two events have in common if they are about the same thing."""
    return action.form.format(version=version, key=key)


def place_of(event: Event) -> tuple[int, str, int]:
    """Return the time, the model's id and the number of an event: its place among all events."""
    return event.time, event.model_id, event.sequence


def is_new_beginning(first: Event) -> bool:
    """Return whether a history may begin with this event though its number is not 1.

    Then those before it were pruned, and it begins what stands for them.
    """
    return (
        first.action is Action.CREATE_MODEL
        and first.origin is Origin.BASELINE
        and first.sequence >= 1
    )


def new_model_id() -> str:
    """Return an id that no other registered model has or had.

    It begins with the time, so that new ones go to one end of each index: each would have a page of
    its own to be written, of three indexes, if it were all chance. The first 8 digits are seconds,
    and 4 a fraction of one, so that models made at the same moment share a page.
    """
    return f"{int(time.time() * 0x10000):012x}{os.urandom(6).hex()}"


# What is recorded of a thing that was created or deleted


_TIMES = ("creation_timestamp", "last_updated_timestamp")

MODEL_TEXTS = tuple(each.name for each in scalars_of(ModelFields) if each.name not in _TIMES)
"""What an event says of a registered model beside its tags; each is a text."""

_VERSION_SCALARS = tuple(
    each for each in scalars_of(ModelVersion) if each.name not in ("name", "version", *_TIMES)
)
VERSION_TEXTS = tuple(each.name for each in _VERSION_SCALARS if not each.is_word)
"""The texts that an event says of a model version."""
VERSION_WORDS = {each.name: each.default for each in _VERSION_SCALARS if each.is_word}
"""The words that an event says of a model version, where they are not these."""


def _saying(
    texts: Iterable[str], words: Mapping[str, Any], *, is_said: str
) -> Callable[[ModelFields | ModelVersion], dict[str, Any]]:
    """Make what reads what an event says of an entity, written out from the table of fields."""
    lines = (
        "def said_of(entity):",
        "    values, said = entity.__dict__, {}",
        *(f"    if (text := values[{name!r}]){is_said}: said[{name!r}] = text" for name in texts),
        *(
            f"    if (word := values[{name!r}]) is not {name}: said[{name!r}] = word.value"
            for name in words
        ),
        "    if tags := values['tags']: said['tags'] = dict(tags)",
        "    return said",
    )
    return define("\n".join(lines), **words)


model_fields = _saying(MODEL_TEXTS, {}, is_said="")
"""Return what the event of a creation says of a registered model: all but its times."""

version_fields = _saying(VERSION_TEXTS, VERSION_WORDS, is_said=" is not None")
"""Return what an event says of a model version: all fields that are given but number and times.

An empty text is one that was given.
"""


def version_as_it_is(version: ModelVersion) -> Mapping[str, Any]:
    """Return what an event says of a version that has been there before: its times, too."""
    return {**version_fields(version), **_times(version)}


def approval_fields(approval: Approval | None) -> Mapping[str, Any] | None:
    """Return what an event says of an approval: all but its actor, which is the event's key."""
    if approval is None:
        return None
    return _not_absent(
        {
            "digest": approval.digest,
            "time": approval.time,
            "is_authenticated": approval.is_authenticated or None,
            "groups": list(approval.groups) or None,
            "reason": approval.reason,
        }
    )


def baseline(
    model: ModelFields,
    versions: Iterable[ModelVersion],
    *,
    next_version: int,
    approvals: Mapping[int, Iterable[Approval]] | None = None,
    authors: Mapping[int, str] | None = None,
    changers: Mapping[int, Iterable[str]] | None = None,
) -> Iterator[Effect]:
    """Yield the effects that would have made a model what it is: how its history begins.

    `authors` are those who made the versions, as far as an earlier history knows them, and
    `changers` those who made something else of them. The upgrade of a database writes the same; see
    `migrations/versions/0004_keep_history.py`.
    """
    texts = {name: getattr(model, name) for name in MODEL_TEXTS}
    fields = texts | {"tags": dict(model.tags), "next_version": next_version}
    yield Effect(action=Action.CREATE_MODEL, after=_not_empty(fields | _times(model)))
    for version in versions:
        yield Effect(
            action=Action.CREATE_VERSION,
            version=version.version,
            after={
                **version_as_it_is(version),
                **_author((authors or {}).get(version.version)),
                **_changers((changers or {}).get(version.version, ())),
            },
        )
    for number, of_version in (approvals or {}).items():
        for approval in of_version:
            yield Effect(
                action=Action.APPROVE_VERSION,
                version=number,
                key=approval.actor,
                after=approval_fields(approval),
            )
    for alias, number in model.aliases.items():
        yield Effect(action=Action.SET_ALIAS, version=number, key=alias, after=number)


def _author(name: str | None) -> dict[str, Any]:
    return {} if name is None else {AUTHOR: name}


def _changers(names: Iterable[str]) -> dict[str, Any]:
    listed = sorted(names)
    return {CHANGERS: listed} if listed else {}


AUTHOR = "created_by"
"""What the event of a creation calls the author of the version where somebody else made the event:
where an older history was replaced by a new beginning."""

CHANGERS = "changed_by"
"""What the same event calls those who have changed, before that, what the version is."""


def author_of(creation: Event) -> str | None:
    """Return who made a version, from the event of its creation; None if it is not known."""
    if creation.origin is not Origin.BASELINE:
        return creation.actor
    name = creation.after.get(AUTHOR) if isinstance(creation.after, Mapping) else None
    return name if isinstance(name, str) else None


def _times(entity: ModelFields | ModelVersion) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in _TIMES}


def finalized(
    status: Status, message: str | None, source: str | None, location: str | None
) -> Mapping[str, Any]:
    """Return what the event of a version's finalization says."""
    return _not_absent(
        {
            "status": status.value,
            "status_message": message,
            "source": source,
            "storage_location": location,
        }
    )


def location(source: str, storage_location: str | None) -> Mapping[str, Any]:
    """Return what the event of a relocation says of where a version's files are."""
    return _not_absent({"source": source, "storage_location": storage_location})


def _not_absent(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, {})}


def _not_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", {})}
