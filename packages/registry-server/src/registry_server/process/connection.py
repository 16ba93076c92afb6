"""One connection, as its worker sees it: what it waits for, since when, and what it holds.

Strategy: watching a request costs a few additions and nothing else. The worker looks once a second
at the state that all of its connections have anyway; so times are kept to a second.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, cast

from litestar.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from registry_core.wire.snapshots import SNAPSHOTS_PATH
from registry_server.process.limits import FREE_BYTES, Limits, Phase
from registry_server.process.long_bodies import LongBody

if TYPE_CHECKING:
    import asyncio

    from uvicorn import Config
    from uvicorn.server import ServerState

CONNECTION = "connection"
"""Where the state of a request has a weak reference to its connection."""

_COUNTED_BYTES = 64 * 1024
"""Steps in which the bytes of a long request are counted."""


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete, or answered."""


def connection_of(scope: Scope) -> Connection | None:
    """Return the connection that a request came by; None where there is no socket, as in tests."""
    reference: weakref.ref[Connection] | None = scope["state"].get(CONNECTION)
    return None if reference is None else reference()


def _is_passing(method: str, path: str) -> bool:
    """Whether the body of a request is not kept as it comes: a file's, or a large model's."""
    return method == "PUT" or path.endswith(SNAPSHOTS_PATH)


_MEASURABLE_SECONDS = 0.02
"""In which a client that takes or sends anything has done so."""


class Tally:
    """What was written to a connection: how many bytes, and a head that waits for its body."""

    __slots__ = ("head", "written")

    def __init__(self) -> None:
        self.written = 0
        self.head = b""


class Others(Protocol):
    """All connections of a worker, as one of them knows them."""

    def hold(self, connection: Connection, change: int, /) -> None:
        """Count bytes that a connection holds more than before."""

    def drop_slow(self, among: Iterable[Connection], /) -> bool:
        """Return whether one of these could be ended, for others that wait for what it holds."""


class Connection(HttpToolsProtocol):
    """One connection."""

    connections: Others  # type: ignore[assignment] # of one kind, not of all that uvicorn has

    # Not in the dictionary: past thirty attributes each access to any of them would cost more.
    __slots__ = (
        "_counted_from",
        "_found_requests",
        "_free_until",
        "_is_in_head",
        "_measured",
        "_measured_at",
        "_received",
        "_window",
        "_window_at",
        "answered_at",
        "held",
        "phase",
        "rate",
        "requests",
        "since",
        "tally",
        "unsent",
        "weak",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.weak = weakref.ref(self)
        self.tally = Tally()
        self.phase = Phase.HEAD
        """What the connection was found to wait for."""
        self.since = self.loop.time()
        """When it was first found so, by the clock of the event loop."""
        self.rate: float | None = None
        """Bytes that its client moves in a second while it is the client's turn, if known."""
        self.answered_at = self.since
        """When it was last answered, or else made."""
        self.requests = 0
        """Requests whose head has come."""
        self.held = 0
        """Bytes of a request that is not answered, if they count."""
        self.unsent = 0
        """Bytes of an answer that its client does not take, if they count."""
        self._is_in_head = False
        """Whether the first byte of a request has come, and the end of its head has not."""
        self._found_requests = 0
        self._received = 0
        self._free_until = FREE_BYTES
        """What `_received` may reach before it counts."""
        self._counted_from = 0
        self._measured_at = self._window_at = self.since
        self._measured = self._window = 0
        """Bytes that had been moved when a measure, and the window of the minimum rate, began."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the transport when it is there."""
        transport.set_write_buffer_limits(high=FREE_BYTES)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport when it is gone."""
        super().connection_lost(exc)
        self._hold(0, 0)

    # What it waits for

    def look(self, now: float) -> None:
        """Find out what the connection waits for."""
        phase = self._phase()
        if phase is not self.phase or self.requests != self._found_requests:
            self.phase, self._found_requests, self.since = phase, self.requests, now
            self.rate = None
            self._measured_at = self._window_at = now
            self._measured = self._window = self._moved()

    def check(self, now: float, limits: Limits) -> bool:
        """Return whether its client has taken too long; to be asked about once a second."""
        self.look(now)
        if self.phase is Phase.WORKING or now <= self.since:
            return False
        if self.phase is Phase.IDLE:
            return now - self.since >= limits.keep_alive_seconds
        moved = self._moved()
        self.rate = (moved - self._measured) / (now - self._measured_at)
        self._measured, self._measured_at = moved, now
        if self.phase in (Phase.HEAD, Phase.REST):
            return now - self.since >= limits.head_seconds
        return self._is_too_slow(now, moved, limits)

    def slowness(self, now: float) -> tuple[bool, float, float]:
        """Return what orders connections that hold something, the slowest first.

        A client whose turn it has just become is not slow, and one that waits for the server last.
        """
        seconds = now - self._measured_at
        rate = float("inf") if self.rate is None else self.rate
        if seconds > _MEASURABLE_SECONDS:
            rate = (self._moved() - self._measured) / seconds
        return self._phase() is Phase.WORKING, rate, self._measured_at

    def rate_by(self, now: float, *, after: float) -> float | None:
        """Return the bytes that its client moves in a second, after `after` seconds of its turn.

        None while that is not known, and where it is not the client's turn.
        """
        if self.rate is not None:
            return self.rate
        self.look(now)
        seconds = now - self._measured_at
        if self.phase not in (Phase.BODY, Phase.ANSWER) or seconds < after:
            return None
        return (self._moved() - self._measured) / seconds

    def is_still(self, phase: Phase, requests: int) -> bool:
        """Return whether the connection waits for that now, after so many requests."""
        return self.requests == requests and self._phase() is phase

    def _is_too_slow(self, now: float, moved: int, limits: Limits) -> bool:
        seconds = now - self._window_at
        if seconds < limits.stall_seconds:
            return False
        is_too_slow = moved - self._window < seconds * limits.bytes_per_second
        self._window, self._window_at = moved, now
        return is_too_slow

    def _phase(self) -> Phase:
        request = self._last
        if self.transport.is_closing():
            return Phase.CLOSING
        if self.flow.write_paused:
            return Phase.ANSWER
        if request is None:
            return Phase.HEAD
        if request.response_complete:
            if request.more_body:
                return Phase.REST
            return Phase.HEAD if self._is_in_head else Phase.IDLE
        is_clients_turn = request.more_body and not request.waiting_for_100_continue
        return Phase.BODY if is_clients_turn and not self.flow.read_paused else Phase.WORKING

    def _moved(self) -> int:
        if self.phase in (Phase.HEAD, Phase.REST, Phase.BODY):
            return self._received
        return self.tally.written - self.transport.get_write_buffer_size()

    @property
    def _last(self) -> RequestResponseCycle | None:
        """The last request whose head has come; uvicorn hides that there may be none."""
        return cast("RequestResponseCycle | None", self.cycle)

    # What it holds

    def count(self) -> None:
        """Count what the connection holds now."""
        self._hold(self.held, self.transport.get_write_buffer_size() if self.unsent else 0)

    def pause_writing(self) -> None:
        """Called by the transport when the client does not take what is written."""
        super().pause_writing()
        self.look(self.loop.time())
        self._hold(self.held, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Called by the transport when the client has taken it."""
        super().resume_writing()
        self._hold(self.held, 0)

    def _count_received(self) -> None:
        """Count the bytes of a request that is not a short one."""
        is_in_body = self.requests and not self._is_in_head
        if is_in_body and _is_passing(self.scope["method"], self.scope["path"]):
            self._free_until = sys.maxsize
            return
        self.look(self.loop.time())
        self._free_until = self._received + _COUNTED_BYTES
        self._hold(self._free_until - self._counted_from, self.unsent)

    def _forget_received(self) -> None:
        """Begin to count anew, when all that was received has been answered."""
        self.answered_at = self.loop.time()
        self._counted_from = self._received
        self._free_until = self._received + FREE_BYTES
        if self.held:
            self._hold(0, self.unsent)

    def _hold(self, held: int, unsent: int) -> None:
        change = held + unsent - self.held - self.unsent
        self.held, self.unsent = held, unsent
        if change:
            self.connections.hold(self, change)

    # Past the parser

    def long_body(self, left: int) -> LongBody | None:
        """Return what reads the body that comes, `left` bytes of it, past the parser.

        None where that cannot be done or is not worth it, and the body comes as others do.
        """
        raise NotImplementedError

    # How it ends

    def expire(self) -> None:
        """End the connection of a client that has taken too long."""
        raise NotImplementedError

    def drop(self) -> None:
        """End the connection in favour of others."""
        raise NotImplementedError
