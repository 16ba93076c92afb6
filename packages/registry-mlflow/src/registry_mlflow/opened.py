"""A registry that each process opens for itself.

MLflow's server forks its workers, and programs fork that have used a client. What a store holds
open, such as a connection with TLS, must not be used by two processes, nor closed by the child,
which would end it for the parent.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from registry_core import Registry

_every: weakref.WeakSet[OpenedRegistry] = weakref.WeakSet()


class OpenedRegistry:
    """The registry of this process, opened when it is first asked for. Thread-safe."""

    def __init__(self, open_registry: Callable[[], Registry]) -> None:
        self._open = open_registry
        self._registry: Registry | None = None
        self._inherited: list[Registry] = []
        self._opening = threading.Lock()
        _every.add(self)

    def get(self) -> Registry:
        """Return the registry.

        Raises:
            RegistryError: It cannot be opened.
        """
        registry = self._registry
        if registry is not None:
            return registry
        with self._opening:
            if self._registry is None:
                self._registry = self._open()
            return self._registry

    def forget(self) -> None:
        """Keep the registry of the parent process, and open another one when it is needed."""
        if self._registry is not None:
            self._inherited.append(self._registry)
        self._registry = None
        # Another thread of the parent may have held it, and is not here to let go of it.
        self._opening = threading.Lock()


def _after_fork_in_child() -> None:
    for opened in tuple(_every):
        opened.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork_in_child)
