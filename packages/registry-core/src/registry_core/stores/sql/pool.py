"""The connections to a database that a process keeps: which operation gets which one.

Strategy: one operation takes a connection from a stack, most recently used first, so that few stay
in use and their plans stay warm. One that has failed is thrown away. When a connection
cannot be had from the server, which has only so many for everybody, the process goes on with those
that it has: an operation that needs one waits until another operation gives one back, first come,
first served.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque

from registry_core.errors import RegistryError, StoreBusyError, StoreUnavailableError
from registry_core.metering import PoolState
from registry_core.stores.sql.driver import Connection, Driver
from registry_core.stores.sql.fair_semaphore import FairSemaphore

ACQUIRE_SECONDS = 5.0
"""How long to wait for a connection when none can be had. Clients were promised an answer by then
when the database is away."""

RECONNECT_SECONDS = 1.0
"""How long a process that has lost all its connections tries to open one. A server that restarts,
or that has not noticed yet that one was closed, refuses for that long; it is lost time when the
server is down."""

RECONNECT_EVERY_SECONDS = 0.1
"""Pause between two attempts."""

REFUSED_SECONDS = 1.0
"""How long no thread tries to open a connection after the server has refused one, while there are
others to wait for. Each attempt costs the server a process."""

MAX_IDLE_SECONDS = 300.0
"""Firewalls forget silent connections, and other processes may need them; one that is idle for
longer is closed."""


TRIM_EVERY_SECONDS = 10.0
"""How often those are looked for. To look costs a fraction of a microsecond, but each time."""


class Pool:
    """The connections to one database, at most `driver.max_connections`. Thread-safe."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._idle: deque[tuple[float, Connection]] = deque()
        self._free = FairSemaphore(driver.max_connections)
        self._lock = threading.RLock()
        """Held to change what follows, and never while a thread waits for it."""
        self._waiting: deque[_Waiter] = deque()
        self._open = 0
        self._opening = 0
        self._generation = 0
        self._was_connected = False
        self._refused_until = 0.0
        self._refusal: Exception | None = None
        self._trim_at = time.monotonic() + TRIM_EVERY_SECONDS
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `close` has been called."""
        return self._is_closed

    @property
    def state(self) -> PoolState:
        """How many connections there are, and calls that wait for one."""
        return PoolState(
            limit=self._driver.max_connections,
            open=self._open,
            idle=len(self._idle),
            waiting=self._free.waiting + len(self._waiting),
        )

    def take(self, *, fresh: bool) -> Connection:
        """Return a connection, to be given back by `put_back` or `discard`; a `fresh` one is new.

        Raises:
            StoreBusyError: none can be had.
        """
        if self._is_closed:
            raise RegistryError("The store has been closed")
        deadline = time.monotonic() + ACQUIRE_SECONDS
        if not self._free.acquire(timeout=ACQUIRE_SECONDS):
            raise no_connection(
                f"All {self._driver.max_connections} connections to the database are in use"
            )
        try:
            # Threads that wait were here before.
            idle = None if fresh or self._waiting else self._usable()
            return idle or self._opened(deadline)
        except BaseException:
            self._free.release()
            raise

    def take_idle(self) -> Connection | None:
        """Return a connection that is idle and that no thread waits for, if there is one."""
        if self._waiting or not self._free.acquire(timeout=0):
            return None
        connection = None if self._is_closed else self._usable()
        if connection is None:
            self._free.release()
        return connection

    def put_back(self, connection: Connection) -> None:
        """Keep a connection for the next operation."""
        if self._is_closed or connection.generation != self._generation:
            self.discard(connection)
            return
        now = time.monotonic()
        self._idle.append((now, connection))
        self._free.release()
        if self._waiting:
            self._hand_over()
        if now > self._trim_at:
            self._trim(now)

    def put_back_or_discard(self, connection: Connection) -> None:
        """Keep a connection, if it is as good as before whatever has failed on it."""
        if connection.is_usable():
            self.put_back(connection)
        else:
            self.discard(connection)

    def discard(self, connection: Connection) -> None:
        """Close a connection that is of no more use."""
        self._forget(connection)
        self._free.release()

    def retire_before(self, connection: Connection) -> None:
        """Use none any more that was opened before this one, which has just been opened."""
        with self._lock:
            self._generation += 1
            connection.generation = self._generation
        self.close_idle()

    def retire_with(self, connection: Connection) -> None:
        """Use none any more that was opened when this one was, or before."""
        with self._lock:
            if connection.generation != self._generation:
                return  # another one of them was found out before
            self._generation += 1
        self.close_idle()

    def close(self) -> None:
        """Close what is idle, and what is in use once it is given back."""
        self._is_closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Close what is idle."""
        with contextlib.suppress(IndexError):
            while True:
                self._forget(self._idle.pop()[1])

    def _trim(self, now: float) -> None:
        """Close what has been idle for too long: those at the bottom are never popped."""
        self._trim_at = now + TRIM_EVERY_SECONDS
        with self._lock, contextlib.suppress(IndexError):
            while self._idle[0][0] < now - MAX_IDLE_SECONDS:
                self._forget(self._idle.popleft()[1])

    def _usable(self) -> Connection | None:
        oldest = time.monotonic() - MAX_IDLE_SECONDS
        while True:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                return None
            is_current = connection.generation == self._generation
            if since > oldest and is_current and connection.is_usable():
                return connection
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        connection.close()
        with self._lock:
            self._open -= 1
            # The server may have room for another one now; without any there is none to wait for.
            self._refused_until = 0.0
            for _ in range(1 if self._open else len(self._waiting)):
                self._wake_one(None)

    def _opened(self, deadline: float) -> Connection:
        """A new connection or, if there cannot be more, one that another operation gives back."""
        give_up = time.monotonic() + (RECONNECT_SECONDS if self._was_connected else 0.0)
        while True:
            began = time.monotonic()
            if not self._open or began > self._refused_until:
                try:
                    return self._connect()
                except StoreUnavailableError as error:
                    self._refusal = error
                    self._refused_until = time.monotonic() + REFUSED_SECONDS
            now = time.monotonic()
            # A server that hangs is not asked again.
            has_hung = now - began > RECONNECT_SECONDS
            pause = deadline - now if self._open else min(RECONNECT_EVERY_SECONDS, give_up - now)
            connection = self._given_back(pause)
            if connection is not None:
                return connection
            if has_hung or time.monotonic() >= (deadline if self._open else give_up):
                raise self._none_to_be_had()

    def _connect(self) -> Connection:
        with self._lock:
            self._opening += 1
            # Places bound those in use alone; a fresh one may find others idle.
            while self._open + self._opening > self._driver.max_connections and self._idle:
                self._forget(self._idle.popleft()[1])
            generation = self._generation
        try:
            connection = self._driver.connect()
        except BaseException:
            with self._lock:
                self._opening -= 1
            raise
        connection.generation = generation
        with self._lock:
            self._opening -= 1
            self._open += 1
            self._was_connected = True
        return connection

    def _given_back(self, seconds: float) -> Connection | None:
        """A connection that another operation gives back; None when there may be a new one."""
        if seconds <= 0:
            return None
        waiter = _Waiter()
        with self._lock:
            self._waiting.append(waiter)
        try:
            # What was given back before this thread was seen to wait.
            self._hand_over()
            waiter.is_woken.wait(seconds)
        finally:
            with self._lock, contextlib.suppress(ValueError):
                self._waiting.remove(waiter)
        return waiter.connection

    def _hand_over(self) -> None:
        with self._lock:
            while self._waiting:
                connection = self._usable()
                if connection is None:
                    return
                if not self._wake_one(connection):
                    self._idle.append((time.monotonic(), connection))

    def _wake_one(self, connection: Connection | None) -> bool:
        """Whether a thread waited, and so has the connection."""
        with self._lock:
            if not self._waiting:
                return False
            waiter = self._waiting.popleft()
        waiter.connection = connection
        waiter.is_woken.set()
        return True

    def _none_to_be_had(self) -> StoreBusyError:
        if not self._open:
            return no_connection(str(self._refusal))
        return no_connection(
            f"All {self._open} connections to the database are in use, and there cannot be more: "
            f"{self._refusal}"
        )


class _Waiter:
    """An operation that waits for a connection that another one gives back."""

    def __init__(self) -> None:
        self.is_woken = threading.Event()
        self.connection: Connection | None = None


def no_connection(reason: str) -> StoreBusyError:
    """Return the error of an operation that had no connection: it has done nothing."""
    return StoreBusyError(reason)
