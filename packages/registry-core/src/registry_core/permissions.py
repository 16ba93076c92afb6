"""What one may be allowed to do, and what a change needs of it: words, without a policy."""

from __future__ import annotations

import enum
from typing import Final

import attrs


class Permission(enum.StrEnum):
    """Something that one may be allowed to do. Each of them includes to read the model."""

    READ = "read"
    """See a model, its versions, their files and its history; copy a version of it."""
    REGISTER = "register"
    """Create a model, or a version of it, and upload its files."""
    EDIT = "edit"
    """Change descriptions and tags, rename."""
    DELETE = "delete"
    """Delete a model or a version."""
    MOVE_ALIAS = "move-alias"
    """Set and remove aliases, and move versions to stages. A protected alias takes more."""
    APPROVE = "approve"
    """Approve model versions, and withdraw approvals."""
    WEBHOOKS = "webhooks"
    """See and change webhooks, which get events of every model."""
    RESTORE = "restore"
    """Bring back what was deleted, and write whole models from snapshots."""
    PRUNE = "prune"
    """Replace the oldest events of a history by what they have led to."""


STAGE_PREFIX: Final = "stage:"
"""Begins what stands for a stage among aliases: `stage:Production`. No alias has a colon."""


@attrs.frozen
class Need:
    """A permission that a change needs, for one model."""

    permission: Permission
    model: str
    alias: str | None = None
    """The alias, or the stage after `STAGE_PREFIX`, that is moved."""
    moves_all_aliases: bool = False
    """Whether the model's aliases come along, whichever they are, so that no protected one may be
    out of reach."""
    is_new: bool = False
    """Whether the name is one that the change gives to something: a refusal then says so, because
    it is the same whether the name is taken or not."""
