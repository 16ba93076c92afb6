"""An event loop as a store sees it, with nothing else to do."""

from __future__ import annotations

import select

import attrs

from registry_core.inloop import WouldBlockError, calling


@attrs.define
class Selecting:
    """Waits for sockets for so many seconds."""

    patience: float = 30.0
    pauses: int = 0

    def until_ready(self, descriptor: int, *, reading: bool, writing: bool) -> tuple[bool, bool]:
        """See `Waiter`."""
        self.pauses += 1
        calling(None)
        readable, writable, _ = select.select(
            [descriptor] if reading else [], [descriptor] if writing else [], [], self.patience
        )
        calling(self)
        if not readable and not writable:
            raise WouldBlockError
        return bool(readable), bool(writable)
