"""`Writer`: the one way by which a registry changes its store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import attrs

from registry_core.authors import Author
from registry_core.changes import Change
from registry_core.gating import Gatekeeper
from registry_core.inloop import in_thread
from registry_core.store import Store

_logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

Observer: TypeAlias = Callable[[Change[Any], Any, Author], None]
"""Sees each change after it was committed, with its result and its author, while its caller waits.
What it raises is logged: the change has been made, and its caller gets the result."""


def in_turn(observer: Observer) -> Observer:
    """Return an observer that a thread calls where an event loop makes the change."""

    def observe(change: Change[Any], result: Any, author: Author) -> None:
        in_thread(lambda: observer(change, result, author))

    return observe


@attrs.frozen
class Writer:
    """Applies changes to a store in the name of an author, and shows them to observers."""

    store: Store
    author: Author
    observers: tuple[Observer, ...] = ()
    gatekeeper: Gatekeeper | None = None
    """Has changes require that gates pass; None where there are none."""

    def apply(self, change: Change[ResultT]) -> ResultT:
        """Return the result of a change that has been committed.

        Raises:
            RegistryError: As `Store.apply`, and as `Gatekeeper.apply`; nothing was changed, and no
                observer saw anything.
        """
        if self.gatekeeper is None:
            result = self.store.apply(change, by=self.author)
        else:
            result = self.gatekeeper.apply(self.store, change, self.author)
        for observer in self.observers:
            try:
                observer(change, result, self.author)
            except Exception:
                _logger.exception("An observer of changes failed; the change has been made")
        return result
