"""The open connections of a worker: which of them end, for their own sake or in favour of others.

Strategy: one timer looks at all connections once a second (see `connection`). Nothing is kept in
order beside that. Which one has been idle for longest is found out when a worker has as many
connections as it takes, for some of them at a time: that costs nothing without an attack.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from registry_server.process.connection import Connection
from registry_server.process.limits import PRESSURE_BYTES_PER_SECOND, Limits, Phase
from registry_server.process.load_table import WorkerLoad

SWEEP_SECONDS = 1.0
"""Between two looks at all connections. All times of `Limits` are longer."""

_FOUND_PART = 8
"""One in so many connections is found to end next with one look at all."""

_PROMPT_SECONDS = 0.25
"""How long a client may need for the head of a request before it counts less than one that has been
answered."""

_LOG_SECONDS = 10.0
"""Between two reports of why connections were ended."""

_logger = logging.getLogger("registry_server")


class Connections(set[Any]):
    """The open connections of a worker, each a `Connection`.

    Other workers know how many they are.
    """

    def __init__(self, share: WorkerLoad, limits: Limits | None = None) -> None:
        super().__init__()
        self.limits = limits or Limits()
        self.beginning: set[object] = set()
        """Those that have been taken and are not added yet."""
        self.is_open = True
        self.waiting = 0
        """Bytes that wait for clients: of requests that have not come, and of answers that have not
        gone."""
        self.on_sweep: list[Callable[[], None]] = []
        """Called after each look at all connections."""
        self._share = share
        self._holders: set[Connection] = set()
        self._is_relieving = False
        self._ending: set[Connection] = set()
        """Those that are to end and are still there."""
        self._next: deque[tuple[Connection, Phase, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._ended: Counter[str] = Counter()
        self._logged_at = float("-inf")

    # Who is there

    def add(self, connection: Connection, /) -> None:
        """Called by a connection when it is there."""
        super().add(connection)
        self.beginning.discard(connection)
        self._tell()

    def discard(self, connection: Connection, /) -> None:  # type: ignore[override]
        """Called by a connection when it is gone."""
        super().discard(connection)
        self._holders.discard(connection)
        self._ending.discard(connection)
        self._tell()

    def begin(self, connection: object) -> None:
        """Count a connection that will be added."""
        self.beginning.add(connection)
        self._tell()

    def end(self, connection: object) -> None:
        """Count it only if it has been added."""
        self.beginning.discard(connection)
        self._tell()

    def may_grow(self) -> bool:
        """Return whether it is this worker's turn to take one more."""
        return self._share.is_fair(self.count)

    def open(self) -> None:
        """Others may leave connections to this worker."""
        self.is_open = True
        self._tell()

    def close(self) -> None:
        """Others do not leave connections to this worker."""
        self.is_open = False
        self._share.leave()

    @property
    def count(self) -> int:
        """How many there are, with those that begin."""
        return len(self) + len(self.beginning)

    def _tell(self) -> None:
        if self.is_open:
            self._share.publish(len(self) + len(self.beginning))

    # How many there may be

    def has_room(self) -> bool:
        """Return whether one more connection may be taken, possibly in place of another one."""
        if not self.is_full or self.make_room():
            return True
        self._ended["were refused, because none of those that were open could be ended"] += 1
        return False

    @property
    def is_full(self) -> bool:
        """Whether another connection has to end before one more may be taken."""
        return self.count - len(self._ending) >= self.limits.connections

    def make_room(self) -> bool:
        """Return whether a connection could be ended: the one that has been idle for longest."""
        connection = self._idle() or self._slow(self)
        if connection is None:
            return False
        self._ending.add(connection)
        self._end(connection, "made room for others: the worker had as many as it takes")
        return True

    def drop_slow(self, among: Iterable[Connection]) -> bool:
        """Return whether one of these could be ended, for others that wait for what it holds."""
        connection = self._slow(among)
        if connection is not None:
            self._end(connection, "were slow, and others waited for an upload or download")
        return connection is not None

    def _idle(self) -> Connection | None:
        if not self._next:
            self._next.extend(self._find_idle())
        while self._next:
            connection, phase, requests = self._next.popleft()
            if (
                connection in self
                and connection not in self._ending
                and connection.is_still(phase, requests)
            ):
                return connection
        return None

    def _find_idle(self) -> list[tuple[Connection, Phase, int]]:
        now = asyncio.get_running_loop().time()
        idle = []
        for connection in self - self._ending:
            connection.look(now)
            if connection.phase in (Phase.HEAD, Phase.IDLE, Phase.REST):
                seconds = now - connection.answered_at
                is_late = connection.phase is not Phase.IDLE and seconds > _PROMPT_SECONDS
                # The clock is read once for all that happens at a time; of such the busiest stays.
                order = (not is_late, -seconds, connection.requests, id(connection))
                idle.append((*order, connection))
        return [
            (connection, connection.phase, connection.requests)
            for *_, connection in heapq.nsmallest(1 + len(idle) // _FOUND_PART, idle)
        ]

    def _slow(self, among: Iterable[Connection]) -> Connection | None:
        now = asyncio.get_running_loop().time()
        slow = [
            (rate, id(connection), connection)
            for connection in among
            if connection not in self._ending
            and (rate := connection.rate_by(now, after=_PROMPT_SECONDS)) is not None
            and rate < PRESSURE_BYTES_PER_SECOND
            and connection.is_still(connection.phase, connection.requests)
        ]
        return min(slow)[-1] if slow else None

    # What they may hold

    def hold(self, connection: Connection, change: int) -> None:
        """Count bytes that a connection holds more than before."""
        self.waiting += change
        if connection.held or connection.unsent:
            self._holders.add(connection)
        else:
            self._holders.discard(connection)
        if change > 0 and self.waiting > self.limits.waiting_bytes and not self._is_relieving:
            self._is_relieving = True
            self._relieve()
            self._is_relieving = False

    def _relieve(self) -> None:
        """End the slowest connections that hold something, until that fits."""
        for holder in tuple(self._holders):
            holder.count()
        now = asyncio.get_running_loop().time()
        slowest = sorted((holder.slowness(now), id(holder), holder) for holder in self._holders)
        for (is_servers_turn, *_), _, holder in slowest:
            if is_servers_turn or self.waiting <= self.limits.waiting_bytes:
                return
            self._end(holder, "were the slowest when too many bytes waited for clients")
            self._holders.discard(holder)

    # How long they may take

    def start(self) -> None:
        """Look at all connections once a second from now on."""
        self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def stop(self) -> None:
        """Look at them no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        self.start()
        now = asyncio.get_running_loop().time()
        for connection in tuple(self):
            if connection.check(now, self.limits):
                if connection.phase is not Phase.IDLE:
                    self._ended[_TOO_LATE[connection.phase]] += 1
                connection.expire()
        for holder in tuple(self._holders):
            holder.count()
        for call in self.on_sweep:
            call()
        if self._ended and now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            reasons = "; ".join(f"{count} {reason}" for reason, count in self._ended.items())
            _logger.warning("connections were ended: %s", reasons)
            self._ended.clear()

    def _end(self, connection: Connection, reason: str) -> None:
        self._ended[reason] += 1
        connection.drop()


_TOO_LATE = {
    Phase.HEAD: "sent no request in time",
    Phase.REST: "went on sending a body that was not read",
    Phase.BODY: "sent a body too slowly",
    Phase.ANSWER: "took an answer too slowly",
    Phase.CLOSING: "took an answer too slowly",
}
