"""A connection of psycopg that does not wait for a server that is gone.

Strategy for servers that do not answer: TCP does not tell a hung server from a slow statement. So
a client that has heard nothing for `SILENCE_SECONDS` asks the server by another connection, as
`liveness` says; if it is gone the statement is given up, else it may take `STATEMENT_SECONDS` in
all. This is the client's own clock, and rests on nothing that the session holds. Behind a pooler it
is the pooler that gives the sign of life, and a server that hangs is found out after
`STATEMENT_SECONDS`.
"""

from __future__ import annotations

import contextlib
import math
import select
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, NoReturn

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Ready, Wait

from registry_core import inloop
from registry_core.errors import SearchTooSlowError, StoreUnavailableError
from registry_core.inloop import Waiter, WouldBlockError
from registry_core.interest import is_wanted
from registry_core.stores.sql import liveness
from registry_core.stores.sql.errors import InDoubtError, ServerLostError, ServerSilentError
from registry_core.stores.sql.hosts import Hosts
from registry_core.stores.sql.results import SEARCH_SECONDS, Row

SILENCE_SECONDS = 0.7
"""After that long without a byte, the server is asked for a sign of life. With
`liveness.SIGN_OF_LIFE_SECONDS` it makes a hung server known to a worker within 2.1 seconds, and so
to two that are asked one after the other within the 5 that a failover may take, with a second to
spare."""

STATEMENT_SECONDS = 60.0
"""For a statement on a server that is alive. The longest of ours renames a model, whose versions
the foreign keys follow one by one: 10,000 took 7 seconds on a busy machine."""

CANCEL_SECONDS = 2.0
"""For a request to cancel a statement, which goes over a connection of its own."""

SOON_MILLISECONDS = 100
"""How long an answer is waited for before psycopg waits for it, and the server is looked after."""

_HAS_POLL = hasattr(select, "poll")  # not on Windows

_ACTIVE = TransactionStatus.ACTIVE

_READY = {(True, False): Ready.R, (False, True): Ready.W, (True, True): Ready.RW}
"""Psycopg's words for what a socket is ready for: to be read, and to be written."""


class BoundedConnection(psycopg.Connection[Row]):
    """A connection of psycopg that waits only as long as the server is alive."""

    statement_seconds = STATEMENT_SECONDS
    hosts: Hosts
    """Where it was looked for."""
    _search_until = math.inf
    _is_given_up = False
    _poll: select.poll | None = None

    @contextlib.contextmanager
    def searching(self) -> Iterator[None]:
        """Has what runs in the block cancelled when it takes longer than a search may.

        Raises:
            SearchTooSlowError: it was.
        """
        self._search_until, self._is_given_up = time.monotonic() + SEARCH_SECONDS, False
        try:
            yield
        except StoreUnavailableError as error:
            if self._is_given_up:
                raise SearchTooSlowError(SEARCH_SECONDS) from error
            raise
        finally:
            self._search_until = math.inf

    def give_up_rest(self) -> None:
        """Cancel the statement that runs, and take what the server has sent of it by then."""
        self._cancel()
        self.wait(_to_the_end(self.pgconn))

    def _cancel(self) -> None:
        # Where it fails, or comes too late, there is an end to the statement all the same.
        with contextlib.suppress(psycopg.Error):
            self.cancel_safe(timeout=CANCEL_SECONDS)

    def close(self) -> None:
        """See psycopg. A statement that still runs would go on, and is cancelled."""
        if self.pgconn.transaction_status == _ACTIVE:
            # In a daemon thread of its own: it takes a while, an event loop may be the caller, and
            # an exit need not wait for it.
            with contextlib.suppress(RuntimeError):  # no thread can be started
                threading.Thread(target=self._cancel_and_close, daemon=True).start()
                return
        super().close()

    def _cancel_and_close(self) -> None:
        self._cancel()
        super().close()

    def hears_within(self, milliseconds: int) -> bool:
        """Return whether the server says something, or hangs up, within that time."""
        if not _HAS_POLL:
            return bool(select.select([self.pgconn.socket], [], [], milliseconds / 1_000)[0])
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.pgconn.socket, select.POLLIN)
        return bool(self._poll.poll(milliseconds))

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """Return what psycopg's `wait` returns."""
        waiter = inloop.waiter()
        started = time.monotonic()
        if waiter is not None:
            return self._wait_by(waiter, gen, started)
        try:
            state = next(gen)
            # Most answers come soon, and psycopg takes longer to ask for them.
            while state == Wait.R and self.hears_within(SOON_MILLISECONDS):
                state = gen.send(Ready.R)
        except StopIteration as stop:
            return stop.value
        heard = time.monotonic()
        return super().wait(self._bounded(gen, state, started, heard), *args, **kwargs)

    def _wait_by(self, waiter: Waiter, gen: Generator[Any, Any, Any], started: float) -> Any:
        """The same exchange with the socket, while an event loop goes on."""
        descriptor = self.pgconn.socket
        heard = started
        try:
            state = next(gen)
            while True:
                try:
                    ready = waiter.until_ready(
                        descriptor, reading=bool(state & Wait.R), writing=bool(state & Wait.W)
                    )
                except WouldBlockError:
                    break
                heard = time.monotonic()
                state = gen.send(_READY[ready])
        except StopIteration as stop:
            return stop.value
        # A thread waits to the end for what a change has sent, and looks after the server.
        # A read has none: it is given up, and done again in one.
        rest = self._bounded(gen, state, started, heard)
        return waiter.in_thread(lambda: super(BoundedConnection, self).wait(rest))

    def _bounded(
        self, gen: Generator[Any, Any, Any], state: Any, started: float, heard: float
    ) -> Generator[Any, Any, Any]:
        """The same exchange with the socket, looked at whenever there is nothing to read."""
        try:
            while True:
                ready = yield state
                is_silent = ready == Ready.NONE
                heard = self._check(started, heard) if is_silent else time.monotonic()
                state = gen.send(ready)
        except StopIteration as stop:
            return stop.value

    def _check(self, started: float, heard: float) -> float:
        """The moment of the last sign of life."""
        now = time.monotonic()
        if self._search_until < math.inf and not self._is_given_up:
            self._is_given_up = now > self._search_until or not is_wanted()
            if self._is_given_up:
                self._cancel()
        if now - started > self.statement_seconds:
            reason = f"no result in {self.statement_seconds:g} seconds"
            self._give_up(InDoubtError(f"The database does not answer: {reason}"))
        if now - heard < SILENCE_SECONDS:
            return heard
        self._look_after_server(now - heard)
        return time.monotonic()

    def _look_after_server(self, silence: float) -> None:
        if not liveness.has_server(self.pgconn):
            self.hosts.avoid_hung(self.pgconn)
            self._give_up(ServerSilentError(f"no answer in {silence:.0f} seconds"))
        if not self._has_session():
            self._give_up(ServerLostError("another server answers in place of the one that did"))

    def _has_session(self) -> bool:
        """Whether the server that answers now may be the one that runs the statement."""
        with contextlib.suppress(psycopg.Error, StoreUnavailableError):
            parameters = liveness.parameters(self.pgconn)
            with _Observer.connect(**parameters, autocommit=True) as observer:
                return liveness.has_session(observer, self.pgconn.backend_pid)
        return True

    def _give_up(self, error: Exception) -> NoReturn:
        # Closing the socket is all that works on a hung server.
        self.pgconn.finish()
        raise error


class _Observer(BoundedConnection):
    """A connection that watches another one, and is not watched itself."""

    statement_seconds = liveness.SIGN_OF_LIFE_SECONDS

    def _look_after_server(self, silence: float) -> None:
        pass


def _to_the_end(pgconn: PGconn) -> Generator[Wait, Ready | int, None]:
    """Take all results and look at none; pause until the socket is ready for what it says."""
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        if pgconn.get_result() is None:
            return
