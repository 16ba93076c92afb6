"""What must hold of a registered model for a change to happen: compare-and-set, as values.

A change carries its requirements. The store looks at them in the same atomic step as it makes the
change, so that no other change comes in between.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import attrs

from registry_core.documents import ModelDocument, model_version
from registry_core.errors import StaleValueError
from registry_core.history import Effect

SHOWN_CHARACTERS = 200
"""Characters of a tag that an error repeats. A tag may hold the whole text of a prompt; a program
finds all of it in `StaleValueError.current`."""


class Requirement(ABC):
    """One thing that must be as somebody expects it."""

    @abstractmethod
    def current(self, document: ModelDocument) -> Any:
        """Return what the thing is; None where it does not exist.

        Raises:
            NotFoundError: What it belongs to does not exist.
        """

    @abstractmethod
    def check(self, current: Any) -> None:
        """Accept what the thing is.

        Raises:
            RegistryError: It is not as it must be: a `StaleValueError` that names what it is, or
                what else the requirement documents.
        """

    def whole(self, current: Any, whole: Callable[[Any], Any]) -> Any:
        """Return what the thing is with the values that some in it stand for.

        Args:
            current: What the thing is, as `current` gives it.
            whole: Gives the value that one stands for, for a store that keeps some elsewhere.
        """
        return whole(current)

    def decided(self, current: Any) -> tuple[Effect, ...]:  # noqa: ARG002 most say nothing
        """Return what the history says of it, before the effects of the change, once it holds."""
        return ()


@attrs.frozen(kw_only=True)
class AliasIs(Requirement):
    """An alias points at a version, or at none."""

    name: str
    alias: str
    version: int | None

    def current(self, document: ModelDocument) -> int | None:
        """See `Requirement`."""
        return document.aliases.get(self.alias)

    def check(self, current: int | None) -> None:
        """See `Requirement`."""
        _check(f"alias '{self.alias}'", self.name, self.version, current)


@attrs.frozen(kw_only=True)
class StageIs(Requirement):
    """A version is in a stage."""

    name: str
    version: int
    stage: str

    def current(self, document: ModelDocument) -> str:
        """See `Requirement`."""
        return model_version(document, self.version).current_stage.value

    def check(self, current: str) -> None:
        """See `Requirement`."""
        _check(f"stage of version {self.version}", self.name, self.stage, current)


@attrs.frozen(kw_only=True)
class FilesAreAt(Requirement):
    """The files of a version are somewhere: its storage location, or its source without one."""

    name: str
    version: int
    uri: str

    def current(self, document: ModelDocument) -> str:
        """See `Requirement`."""
        return model_version(document, self.version).download_uri

    def check(self, current: str) -> None:
        """See `Requirement`."""
        _check(f"place of the files of version {self.version}", self.name, self.uri, current)


@attrs.frozen(kw_only=True)
class TagIs(Requirement):
    """A tag of the model, or of one of its versions, has a value, or does not exist."""

    name: str
    version: int | None = None
    key: str
    value: str | None

    def current(self, document: ModelDocument) -> str | None:
        """See `Requirement`."""
        owner = document if self.version is None else model_version(document, self.version)
        return owner.tags.get(self.key)

    def check(self, current: str | None) -> None:
        """See `Requirement`."""
        of = "" if self.version is None else f" of version {self.version}"
        _check(f"tag '{self.key}'{of}", self.name, self.value, current)


def _check(what: str, name: str, expected: str | int | None, current: str | int | None) -> None:
    if current != expected:
        raise StaleValueError(
            f"The {what} of model '{name}' is {_shown(current)} and not {_shown(expected)}",
            current=current,
        )


def _shown(value: str | int | None) -> str:
    if value is None:
        return "absent"
    if isinstance(value, int):
        return str(value)
    if len(value) > SHOWN_CHARACTERS:
        value = f"{value[:SHOWN_CHARACTERS]}..."
    return f"'{value}'"
