"""An oracle for one gate: from the events of models alone, the moves that its rules forbid.

It knows nothing of digests or of the registry's evaluation: an approval counts if what it was given
for is what the version is when something comes to point at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from registry_core.history import Action, Event

CONTENT = "mlflow.prompt.text"
"""The tag that is part of what a version is."""


@attrs.define
class Version:
    """What of a version the rules are about."""

    author: str
    source: str
    tags: dict[str, str]
    stage: str = "None"
    approvals: dict[str, tuple[str, str | None]] = attrs.field(factory=dict)
    """What each of the approvers has seen."""

    @property
    def content(self) -> tuple[str, str | None]:
        return self.source, self.tags.get(CONTENT)


@attrs.define
class Model:
    """What of a model the rules are about."""

    name: str
    versions: dict[int, Version] = attrs.field(factory=dict)
    deleted: dict[int, Version] = attrs.field(factory=dict)
    aliases: dict[str, int] = attrs.field(factory=dict)


@attrs.frozen
class Rules:
    """The rules, said once more."""

    prefix: str
    """Of the names of the models that the gate covers."""
    alias: str
    stage: str
    tag: tuple[str, str]
    approvals: int

    def pointings(self, model: Model) -> set[tuple[str, int, tuple[str, str | None]]]:
        """What the gate protects in a model, as it is: what points at which version, being what."""
        if not model.name.startswith(self.prefix):
            return set()
        found = {(each, n) for each, n in model.aliases.items() if each == self.alias}
        found |= {(self.stage, n) for n, v in model.versions.items() if v.stage == self.stage}
        return {(what, n, model.versions[n].content) for what, n in found}

    def allows(self, version: Version, mover: str) -> bool:
        """Whether something may come to point at a version."""
        given = {
            actor
            for actor, seen in version.approvals.items()
            if seen == version.content and actor not in (version.author, mover)
        }
        return version.tags.get(self.tag[0]) == self.tag[1] and len(given) >= self.approvals


def forbidden(events: Iterable[Event], rules: Rules) -> Iterator[str]:
    """Yield, in words, each move of one model that the rules forbid; events come oldest first."""
    model: Model | None = None
    gone: Model | None = None
    before: set[tuple[str, int, tuple[str, str | None]]] = set()
    listed = [*events]
    for event, following in zip(listed, [*listed[1:], None], strict=True):
        if event.action is Action.DELETE_MODEL:
            model, gone = None, model
        elif event.action is Action.RESTORE_MODEL:
            assert gone is not None
            model, before = gone, set()
            model.name = str(event.after)
        else:
            model = _after(model, event)
        if model is None or _is_half(event, following):
            continue
        now = rules.pointings(model)
        for what, number, _ in sorted(now - before, key=str):
            if not rules.allows(model.versions[number], event.actor):
                yield f"event {event.sequence}: {event.actor} has {what} point at {number}"
        before = now


def _is_half(event: Event, following: Event | None) -> bool:
    """Whether a version is restored and, in the same step, moved out of its stage."""
    return (
        event.action is Action.RESTORE_VERSION
        and following is not None
        and following.action is Action.TRANSITION_VERSION
        and (following.version, following.time, following.actor)
        == (event.version, event.time, event.actor)
    )


def _after(model: Model | None, event: Event) -> Model:  # noqa: C901 a case for each action
    after: Any = event.after
    if event.action is Action.CREATE_MODEL:
        return Model(name=after["name"])
    assert model is not None
    number = event.version or 0
    match event.action:
        case Action.RENAME_MODEL:
            model.name = after
        case Action.CREATE_VERSION:
            model.versions[number] = Version(
                event.actor, after["source"], {**after.get("tags", {})}
            )
        case Action.DELETE_VERSION:
            model.deleted[number] = model.versions.pop(number)
        case Action.RESTORE_VERSION:
            version = model.deleted.pop(number)
            version.approvals.clear()
            version.stage = after.get("current_stage", "None")
            model.versions[number] = version
        case Action.TRANSITION_VERSION:
            model.versions[number].stage = after
        case Action.SET_ALIAS:
            model.aliases[str(event.key)] = after
        case Action.DELETE_ALIAS:
            del model.aliases[str(event.key)]
        case Action.SET_VERSION_TAG:
            model.versions[number].tags[str(event.key)] = after
        case Action.DELETE_VERSION_TAG:
            del model.versions[number].tags[str(event.key)]
        case Action.APPROVE_VERSION:
            model.versions[number].approvals[str(event.key)] = model.versions[number].content
        case Action.WITHDRAW_APPROVAL:
            del model.versions[number].approvals[str(event.key)]
    return model
