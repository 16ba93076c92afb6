"""An event loop as a store sees it, with nothing else to do."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import attrs

from registry_core.inloop import WouldBlockError, calling

T = TypeVar("T")


@attrs.define
class Selecting:
    """Waits for sockets for so many seconds. With `makes_change` it has threads."""

    patience: float = 30.0
    makes_change: bool = False
    pauses: int = 0
    in_threads: int = 0
    """What threads were asked for."""

    def until_ready(self, descriptor: int, *, reading: bool, writing: bool) -> tuple[bool, bool]:
        """See `Waiter`."""
        self.pauses += 1
        if not self.patience:
            raise WouldBlockError
        calling(None)
        readable, writable, _ = select.select(
            [descriptor] if reading else [], [descriptor] if writing else [], [], self.patience
        )
        calling(self)
        if not readable and not writable:
            raise WouldBlockError
        return bool(readable), bool(writable)

    def in_thread(self, function: Callable[[], T]) -> T:
        """See `Waiter`."""
        if not self.makes_change:
            raise WouldBlockError
        self.in_threads += 1
        calling(None)
        try:
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(function).result()
        finally:
            calling(self)

    def until_called(self, begin: Callable[[Callable[[], bool]], object]) -> bool:
        """See `Waiter`."""
        self.pauses += 1
        called = threading.Event()

        def call() -> bool:
            called.set()
            return True

        begin(call)
        if not self.patience:
            return False
        calling(None)
        is_called = called.wait(self.patience)
        calling(self)
        return is_called

    def have_run(self, function: Callable[[], object]) -> None:
        """See `Waiter`."""
        threading.Thread(target=function).start()
