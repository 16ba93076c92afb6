"""What a store reports about itself: how much it holds, and its connections.

A store offers either by a method of its own; one that does not is not asked, since to count through
`Store` would read all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import attrs


@attrs.frozen(kw_only=True)
class Amounts:
    """How much a store holds, as of some moment."""

    models: int
    versions: int
    queued: int | None = None
    """Deliveries that webhooks are still to get; None where that is not known."""
    dead_letters: int | None = None
    """Deliveries that were given up, and are kept."""


@attrs.frozen(kw_only=True)
class PoolState:
    """The connections of this process to a database."""

    limit: int
    """How many there may be."""
    open: int
    idle: int
    waiting: int
    """Calls that wait for one."""


class _Counting(Protocol):
    def amounts(self) -> Amounts: ...


class _Pooling(Protocol):
    def pool_state(self) -> PoolState: ...


def amounts_of(store: object) -> Callable[[], Amounts] | None:
    """Return what counts a store's content; None if it cannot.

    To count may take seconds on a large store: do so seldom.
    """
    return cast("_Counting", store).amounts if hasattr(store, "amounts") else None


def pool_of(store: object) -> Callable[[], PoolState] | None:
    """Return what gives the state of a store's connections, in a moment; None if it has no pool."""
    return cast("_Pooling", store).pool_state if hasattr(store, "pool_state") else None
