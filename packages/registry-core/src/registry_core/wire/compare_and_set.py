"""The requests of our own routes that change something only if it is as the caller expects.

`if_current` is what it has to be now, and `if_absent` says that it must not exist; a request with
neither changes it whatever it is. As everywhere in our own routes, a version that is compared is a
number.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

from registry_core.errors import InvalidArgumentError
from registry_core.models import UNSET, Unset

ValueT = TypeVar("ValueT", str, int)


class _Expecting(Generic[ValueT]):
    """What a request to change something has that expects something of it."""

    if_current: ValueT | None
    if_absent: bool

    @property
    def expected(self) -> ValueT | Unset | None:
        """What the alias or the tag has to be now: None for absent, unset for anything.

        Raises:
            InvalidArgumentError: It cannot be something and absent.
        """
        if not self.if_absent:
            return UNSET if self.if_current is None else self.if_current
        if self.if_current is not None:
            raise InvalidArgumentError("if_current and if_absent exclude each other.")
        return None


@attrs.frozen(kw_only=True)
class PutAlias(_Expecting[int]):
    """An alias to point at a version."""

    name: str
    alias: str
    version: str
    if_current: int | None = None
    if_absent: bool = False


@attrs.frozen(kw_only=True)
class RemoveAlias(_Expecting[int]):
    """An alias to remove."""

    name: str
    alias: str
    if_current: int | None = None
    if_absent: bool = False


@attrs.frozen(kw_only=True)
class PutModelTag(_Expecting[str]):
    """A tag of a registered model to set."""

    name: str
    key: str
    value: str = ""
    if_current: str | None = None
    if_absent: bool = False


@attrs.frozen(kw_only=True)
class RemoveModelTag(_Expecting[str]):
    """A tag of a registered model to remove."""

    name: str
    key: str
    if_current: str | None = None
    if_absent: bool = False


@attrs.frozen(kw_only=True)
class PutVersionTag(_Expecting[str]):
    """A tag of a model version to set."""

    name: str
    version: str
    key: str
    value: str = ""
    if_current: str | None = None
    if_absent: bool = False


@attrs.frozen(kw_only=True)
class RemoveVersionTag(_Expecting[str]):
    """A tag of a model version to remove."""

    name: str
    version: str
    key: str
    if_current: str | None = None
    if_absent: bool = False


@attrs.frozen(kw_only=True)
class PutStage:
    """A stage to move a model version to, if it is in the stage `if_current`."""

    name: str
    version: str
    stage: str
    archive_existing_versions: bool = False
    if_current: str | None = None

    @property
    def expected(self) -> str | Unset:
        """The stage that the version has to be in now; unset for any."""
        return UNSET if self.if_current is None else self.if_current
