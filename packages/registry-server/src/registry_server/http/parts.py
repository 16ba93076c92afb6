"""What an application is composed of: parts that each say what they add, and what they serve.

Strategy: the parent of several workers makes the application, so that most of it is in memory once.
A store cannot be shared so: connections and threads are not forked. So an application is made
without one, and the process that serves opens a registry and starts the parts with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.asgi_handlers import ASGIRouteHandler

from registry_core import Origin, Registry
from registry_core.access import Rights
from registry_core.access.policy import RIGHTS_KEPT
from registry_core.validation import ACTOR_MAX_LENGTH, GROUPS_MAX_COUNT
from registry_core.wire import Json
from registry_server.http.metrics import Gauge
from registry_server.http.operations import Operation
from registry_server.process.loop_runner import LoopRunner

ANONYMOUS = "anonymous"
"""The actor of changes over HTTP on a server without users."""


@attrs.frozen(kw_only=True)
class Part:
    """What one part adds to an application."""

    routes: tuple[ASGIRouteHandler | HTTPRouteHandler, ...] = ()
    operations: tuple[Operation[Any, Any], ...] = ()
    """Rows that are served and documented with those of the registry."""
    names: tuple[str, ...] = ()
    """What requests to its routes are counted as, beside the names of its operations."""
    group: str = "other"
    """What the requests of these names are counted as together."""
    gauges: tuple[Gauge, ...] = ()
    """Numbers of this process that `/metrics` shows; they are read once a second, in any thread."""
    schemas: Json = attrs.field(factory=dict)
    """Components of the OpenAPI document that its answers are made of."""
    described: Callable[[], Json] = dict
    """Further paths of the OpenAPI document, once the part has started."""
    start: Callable[[Registry], object] = lambda _: None
    """Called once, by the process that serves, with the registry that it has opened."""
    on_reload: tuple[Callable[[], object], ...] = ()
    """Called when the operator asks by SIGHUP to read files again: in each worker, and before it in
    the parent of several. It is called in the event loop, so it takes milliseconds or begins a
    thread. What it raises is logged, and the server goes on with what it had."""
    on_exit: tuple[Callable[[], object], ...] = ()
    """Called in this order when the server ends. The caller closes the registry afterwards."""


class SeenRegistry:
    """A registry, and how each caller sees it."""

    __slots__ = ("_views", "registry")

    registry: Registry

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._views: dict[Rights, Registry] = {}

    def seen_by(self, rights: Rights | None) -> Registry:
        """Return the registry as a caller may see and change it.

        All of it where nobody is asked.
        """
        if rights is None:
            return self.registry
        view = self._views.get(rights)
        if view is None:
            view = self._views[rights] = self.registry.as_caller(rights)
            while len(self._views) > RIGHTS_KEPT:
                # Another thread may have taken it away.
                self._views.pop(next(iter(self._views)), None)
        return view


def groups_of(rights: Rights | None) -> tuple[str, ...]:
    """Return the groups of a caller that are kept with an approval; gates go by them."""
    if rights is None or not rights.principal.groups:
        return ()
    kept = sorted(each for each in rights.principal.groups if len(each) <= ACTOR_MAX_LENGTH)
    return tuple(kept[:GROUPS_MAX_COUNT])


class Backend:
    """The registry of the process that serves, and what calls it in the event loop."""

    __slots__ = ("anonymous", "changing", "inloop", "registry", "seen_by")

    registry: Registry
    """Unset until the application serves one."""
    seen_by: Callable[[Rights | None], Registry]
    """See `SeenRegistry`."""
    anonymous: Registry
    """The registry in the name of a client that has none, and says no reason: of most changes."""
    inloop: LoopRunner | None
    """None where the store cannot read in an event loop."""
    changing: LoopRunner | None
    """What makes changes in the event loop; None where the store cannot."""

    def __init__(self) -> None:
        self.inloop = self.changing = None

    def start(self, registry: Registry, *, threads: int) -> None:
        """Take the registry of this process; as many of its reads may pause as it has threads."""
        self.registry = registry
        self.seen_by = SeenRegistry(registry).seen_by
        self.anonymous = registry.acting_as(ANONYMOUS, origin=Origin.HTTP)
        self.inloop = LoopRunner.of(registry.store, threads)
        self.changing = LoopRunner.of_changes(registry.store)

    def end_changes(self) -> None:
        """Have changes that the event loop waits for end in threads."""
        if self.changing is not None:
            self.changing.close()

    def close(self) -> None:
        """End the reads in the event loop."""
        if self.inloop is not None:
            self.inloop.close()
