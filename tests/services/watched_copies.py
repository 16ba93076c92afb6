"""What a test of a copy that follows its source waits for."""

from __future__ import annotations

import time
from collections.abc import Callable

from registry_core import Registry


def names_of(registry: Registry) -> set[str]:
    """The models of a registry."""
    return {model.name for model in registry.iter_registered_models()}


def eventually(holds: Callable[[], bool]) -> None:
    """Return when something holds."""
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
