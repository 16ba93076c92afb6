"""Who makes a change, through what, and why."""

from __future__ import annotations

import enum
import getpass
import os

import attrs

from registry_core import validation

ACTOR_VARIABLE = "REGISTRY_ACTOR"
"""The environment variable that names the actor of a process."""

REASON_HEADER = "X-Registry-Reason"
"""The HTTP header in which any client may say why it makes a change, in UTF-8. Servers that do not
know it ignore it."""

UNKNOWN_ACTOR = "unknown"
"""The actor where neither `REGISTRY_ACTOR` nor the operating system names one."""


class Origin(enum.StrEnum):
    """What a change came through.

    Example:
        >>> next(registry.history("churn")).origin
        <Origin.LIBRARY: 'library'>
    """

    HTTP = "http"
    REGCTL = "regctl"
    LIBRARY = "library"
    BASELINE = "baseline"
    """No change at all: how things were when their history began."""


@attrs.frozen(kw_only=True)
class Author:
    """Who makes a change, through what, and why.

    It is passed along as an argument, and never kept in a context variable: requests run in
    greenlets and threads, in which those are lost.

    Example:
        >>> Author(actor="ann", reason="passed the review").origin
        <Origin.LIBRARY: 'library'>
    """

    actor: str = attrs.field(validator=lambda _, __, value: validation.actor(value))
    """A name that a server has authenticated, or one that the process claims for itself."""
    origin: Origin = Origin.LIBRARY
    reason: str | None = attrs.field(
        default=None, validator=lambda _, __, value: validation.reason(value)
    )
    is_authenticated: bool = False
    """Whether a server has proved `actor`; otherwise the name is a claim."""
    groups: tuple[str, ...] = attrs.field(
        default=(), validator=lambda _, __, value: validation.groups(value)
    )
    """The groups that the actor is in, as far as a server knows: an approval keeps them."""


BASELINE_AUTHOR = Author(actor=UNKNOWN_ACTOR, origin=Origin.BASELINE)
"""The author of what was there when a history began."""


def process_actor() -> str:
    """Return the name that this process claims: `REGISTRY_ACTOR`, else the system's user."""
    named = os.environ.get(ACTOR_VARIABLE, "").strip()
    if named:
        return named
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        # A user id without an entry, as in many containers.
        return UNKNOWN_ACTOR
