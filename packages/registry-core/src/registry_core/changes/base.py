"""What all changes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, TypeVar

import attrs

from registry_core import documents
from registry_core.authors import Author
from registry_core.documents import ModelDocument
from registry_core.history import Effect
from registry_core.idempotency import Idempotency, KeptKey
from registry_core.models import (
    ModelVersion,
    RegisteredModel,
)
from registry_core.permissions import Need
from registry_core.requirements import Requirement

ResultT = TypeVar("ResultT")


def _as_it_is(value: Any) -> Any:
    return value


class Change(ABC, Generic[ResultT]):
    """One change of one registered model; `ResultT` is what its caller gets."""

    requires: tuple[Requirement, ...] = ()
    """What must hold for the change to happen."""

    idempotency: Idempotency | None = None
    """By what a store recognises that it has made the change already, and makes it only once."""

    is_gated: ClassVar[bool] = True
    """Whether gates look at the change: it may point an alias or a stage at a version, or make a
    version something else. False only in a class that can do neither; a subclass says it again.
    See `gating`."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The name of the registered model that the change is about."""

    @abstractmethod
    def needs(self) -> tuple[Need, ...]:
        """Return what its author has to be allowed, where anything is; the first is of `model`."""

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

    @abstractmethod
    def effects(
        self, before: ModelDocument | None, after: ModelDocument | None
    ) -> Iterable[Effect]:
        """Return what the change has done, in order, from the documents around it.

        A change that returned the very same document has no effects, and nobody asks for them.
        """


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
