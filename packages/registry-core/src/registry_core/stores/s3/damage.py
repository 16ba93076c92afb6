"""Telling an operator of what a search or list leaves out because it cannot be read."""

from __future__ import annotations

import logging

import attrs

_logger = logging.getLogger(__name__)


@attrs.define
class DamageLog:
    """Logs each damage once, as long as it is the same."""

    _logged: dict[str, str] = attrs.field(init=False, factory=dict)

    def note(self, key: str, state: str, why: str) -> None:
        """Log that the object is left out. `state` distinguishes one damage of it from another."""
        if self._logged.get(key) != state:
            self._logged[key] = state
            _logger.error("%s. Searches and lists leave it out until it is restored", why)
