"""What all changes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

import attrs

from registry_core import documents
from registry_core.authors import Author
from registry_core.documents import ModelDocument
from registry_core.gates import Becomes, Pointing
from registry_core.history import Action, Effect, Event, Value
from registry_core.idempotency import Idempotency, KeptKey
from registry_core.models import (
    ModelVersion,
    RegisteredModel,
)
from registry_core.permissions import Need, Permission
from registry_core.requirements import Requirement
from registry_core.topics import Topics

ResultT = TypeVar("ResultT")


def _as_it_is(value: Any) -> Any:
    return value


CHANGES: Final[dict[Action, type[Change[Any]]]] = {}
"""The classes of changes by what the history calls them: each is entered when it is defined."""


class Change(ABC, Generic[ResultT]):
    """One change of one registered model; `ResultT` is what its caller gets.

    A class says of its changes all that others have to know: what the history calls them and how
    it is played back, who may make them, what gates and webhooks make of them.
    """

    action: ClassVar[Action | None] = None
    """What the history calls it; None for a class that leaves no event of its own."""

    permission: ClassVar[Permission]
    """What its author has to be allowed at least; see `needs`."""

    topics: ClassVar[Topics] = Topics()
    """The webhook events that it is. A class with an action says it, be it that it is none."""

    tells_every_event: ClassVar[bool] = False
    """Whether webhooks hear of each of its events, and not of the last one only."""

    requires: tuple[Requirement, ...] = ()
    """What must hold for the change to happen."""

    idempotency: Idempotency | None = None
    """By what a store recognises that it has made the change already, and makes it only once."""

    is_gated: ClassVar[bool] = True
    """Whether gates look at the change: it may point an alias or a stage at a version, or make a
    version something else. False only in a class that can do neither; a subclass says it again.
    One that does the first has `pointing`, one that does the second `becomes`; see `gating`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Enter a class that has an action of its own, if it says what others have to know."""
        super().__init_subclass__(**kwargs)
        action = vars(cls).get("action")
        if action is None:
            return
        if "topics" not in vars(cls):
            raise TypeError(
                f"{cls.__qualname__} does not say which webhook events it is: "
                "`topics = Topics()` for none"
            )
        # A class with slots is made twice, under the same name.
        named = CHANGES.setdefault(action, cls)
        if (named.__module__, named.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"{cls.__qualname__} has the action {action} of {named.__qualname__}")
        CHANGES[action] = cls

    @property
    @abstractmethod
    def model(self) -> str:
        """The name of the registered model that the change is about."""

    def needs(self) -> tuple[Need, ...]:
        """Return what its author has to be allowed, where anything is; the first is of `model`."""
        return (Need(self.permission, self.model),)

    def make(
        self,
        document: ModelDocument | None,
        now: int,
        *,
        whole: Callable[[Any], Any] = _as_it_is,
    ) -> ModelDocument | None:
        """Return the document after the change, as `apply`, if all that it requires holds.

        Args:
            document: As for `apply`.
            now: As for `apply`.
            whole: Gives the value that one in the document stands for, for a store that keeps some
                of them elsewhere.

        Raises:
            StaleValueError: Something is not as it requires it to be.
            RegistryError: As `apply`, and as the requirements document.
        """
        after = self.apply(document, now)
        if document is not None:
            for requirement in self.requires:
                current = requirement.current(document)
                requirement.check(requirement.whole(current, whole))
        return after

    def decided(self, before: ModelDocument | None) -> list[Effect]:
        """Return what the history says of the requirements, all of which hold before the change."""
        if before is None:
            return []
        return [
            effect
            for requirement in self.requires
            for effect in requirement.decided(requirement.current(before))
        ]

    @abstractmethod
    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument | None:
        """Return the model's document after the change. Pure.

        Args:
            document: The model as it is; None where it does not exist.
            now: Milliseconds since the epoch, for what the change dates.

        Returns:
            None when the change removes the model, and the very same document when it changes
            nothing. A document with another name is a rename.

        Raises:
            RegistryError: The errors that `registry_core.store.Store` lists for this change.
        """

    @abstractmethod
    def result(self, document: ModelDocument | None) -> ResultT:
        """Return what the caller gets, from the document that `apply` returned."""

    def kept(self, document: ModelDocument, by: Author) -> KeptKey | None:
        """Return what to keep of the change, from the document after it; None without a key."""
        if self.idempotency is None:
            return None
        made: Any = self.result(document)
        return KeptKey(
            id=self.idempotency.id(model=self.model, by=by),
            request=self.idempotency.request,
            time=made.creation_timestamp,
            version=getattr(made, "version", None),
        )

    def repeated(self, kept: KeptKey, document: ModelDocument | None) -> ResultT:
        """Return what the caller gets of a change that was made before, under the same key.

        Args:
            kept: What was kept of it.
            document: The model as it is; None where it does not exist.

        Raises:
            IdempotencyKeyReusedError: The key was used for another change.
        """
        raise NotImplementedError(f"a {type(self).__name__} has no idempotency key")

    def pointing(self) -> Pointing | None:
        """Return the alias or stage that it makes point at a version, for gates.

        A class that has it says so of itself; see `gating`.
        """
        return None

    def becomes(self) -> Becomes | None:
        """Return what it makes of a version, for gates; None where that stays what it is.

        A class that has it says so of itself; see `gating`.
        """
        return None

    @abstractmethod
    def effects(
        self, before: ModelDocument | None, after: ModelDocument | None
    ) -> Iterable[Effect]:
        """Return what the change has done, in order, from the documents around it.

        A change that returned the very same document has no effects, and nobody asks for them.
        """

    # How its event is played back

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """Return the change that an event of its action comes from, as far as the event says it.

        What playing it back raises, this may raise, too: see `replay`.
        """
        raise NotImplementedError(f"{cls.__qualname__} does not say how it is played back")

    @classmethod
    def replay(cls, document: ModelDocument | None, event: Event) -> ModelDocument | None:
        """Return the model after an event of its action; `document` is the model before it."""
        return cls.of_event(event).apply(document, event.time)

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:
        """Return what a thing is before an event that is about it, by the model before the event.

        An event says the same of itself.
        """
        change = cls.of_event(event)
        after = change.apply(document, event.time)
        effects = change.effects(document, after)
        return next((each.before for each in effects if each.action is cls.action), None)

    @classmethod
    def contradictions(cls, document: ModelDocument | None, event: Event) -> Iterator[str]:
        """Yield where an event of its action contradicts itself, or the model before it."""
        if document is None:
            return
        before = cls.former(document, event)
        if (event.before or None) != (before or None):
            yield f"before it there was {before!r}, and {event.before!r} by itself"


class ModelChange(Change[RegisteredModel]):
    """A change whose caller gets the registered model."""

    def result(self, document: ModelDocument | None) -> RegisteredModel:
        """See `Change`."""
        assert document is not None, "the change keeps the model"
        return documents.registered_model(document)


@attrs.frozen(kw_only=True)
class NamedChange:
    """The name of the model that a change is about, as a field of its own."""

    name: str
    requires: tuple[Requirement, ...] = ()

    @property
    def model(self) -> str:
        """See `Change`."""
        return self.name


@attrs.frozen(kw_only=True)
class ModelPartChange(NamedChange, Change[None]):
    """A change of a model's tags or aliases, which returns nothing."""

    def result(self, document: ModelDocument | None) -> None:
        """See `Change`."""


@attrs.frozen(kw_only=True)
class VersionChange(NamedChange, Change[ModelVersion]):
    """A change whose caller gets the model version."""

    version: int

    def result(self, document: ModelDocument | None) -> ModelVersion:
        """See `Change`."""
        assert document is not None, "the change keeps the model"
        return documents.model_version(document, self.version)
