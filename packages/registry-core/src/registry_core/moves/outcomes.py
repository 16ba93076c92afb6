"""What became of a model, and where two registries differ."""

from __future__ import annotations

import enum

import attrs


class Outcome(enum.StrEnum):
    """What became of a model."""

    COPIED = "copied"
    UPDATED = "updated"
    REPLACED = "replaced"
    REMOVED = "removed"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"
    GONE = "gone"

    @property
    def is_complete(self) -> bool:
        """Whether the target has the model as the source has it."""
        return self not in (Outcome.SKIPPED, Outcome.FAILED)

    @property
    def is_written(self) -> bool:
        """Whether something was written."""
        return self in (Outcome.COPIED, Outcome.UPDATED, Outcome.REPLACED, Outcome.REMOVED)


@attrs.frozen(kw_only=True)
class Copied:
    """A model, and what became of it."""

    name: str
    outcome: Outcome
    versions: int = 0
    detail: str = ""
    """Why it was not copied."""
    brought: int = 0
    """Versions whose files were brought."""
    size: int = 0
    """Bytes of these."""
    problems: tuple[str, ...] = ()
    """Versions whose files could not be, and why."""

    @property
    def is_complete(self) -> bool:
        """Whether the target has the model, and its files, as the source has them."""
        return self.outcome.is_complete and not self.problems


@attrs.frozen(kw_only=True)
class Difference:
    """A model that is not the same on both sides."""

    name: str
    difference: str
    is_only_in_second: bool = False
    """Whether the first side does not have the model."""
