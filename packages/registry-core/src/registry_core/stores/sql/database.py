"""A database as the store sees it: statements run, transactions retried, connections kept.

Strategy: a connection is taken for one operation from a stack, most recently used first, so that
few stay in use and their plans stay warm. A connection that has failed is thrown away. What may be
repeated and what may not is decided here, once:

- A read runs by itself, without BEGIN, and is repeated once on a new connection. One for an event
  loop is not: it takes an idle connection or none, and leaves every difficulty to threads.
- A transaction that fails before its COMMIT was sent has not happened: it is repeated.
- A statement that writes by itself is sent once. When its connection dies, or that of a COMMIT,
  nobody knows whether it was applied, and the caller is told so with `InDoubtError`; see
  `operations` for those who can find out.
- A lost race (deadlock, serialization failure, busy file) is undone by the database and repeated,
  with jitter, until `RETRY_SECONDS` have passed.
- Changes that share a transaction (`writers`) are repeated together; if one ends it for all, each
  is done by itself.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from sqlalchemy.engine import Connection as SqlalchemyConnection
from sqlalchemy.engine import Dialect, Engine

from registry_core import at_once
from registry_core.at_once import WouldWaitError
from registry_core.errors import ContentionError, RegistryError, StoreBusyError
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.errors import ConnectionLostError, InDoubtError, LostRaceError
from registry_core.stores.sql.turns import Turns
from registry_core.stores.sql.writers import Change, Writers

RETRY_SECONDS = 10.0
"""How long lost races are repeated. A client that waits longer has usually given up."""

ACQUIRE_SECONDS = 5.0
"""How long to wait for a connection when all are in use."""

MAX_IDLE_SECONDS = 300.0
"""Firewalls forget silent connections; one idle for longer is replaced unasked."""

_PATIENT_SECONDS = 5.0
"""How long a statement that was too slow for an event loop is left to threads."""

_MOST_PATIENT = 512
"""How many such statements are remembered; each has few texts."""

_FIRST_DELAY = 0.002
"""Seconds, the mean delay before the first repetition being half of it; doubled each time."""

_LONGEST_DELAY = 0.1
"""Seconds."""

Row: TypeAlias = tuple[Any, ...]
Values: TypeAlias = Mapping[str, Any]
ResultT = TypeVar("ResultT")

_SAVEPOINT = Statement("SAVEPOINT before", (), prepare=False)
_ROLLBACK_TO_SAVEPOINT = Statement("ROLLBACK TO before", (), prepare=False)

Insert: TypeAlias = Callable[..., Any]
"""The dialect's own INSERT, which can deal with conflicts."""


class Connection(Protocol):
    """A connection of a driver. Failures are `errors` of this package, or `RegistryError`."""

    def run(self, statement: Statement, values: Values) -> list[Row]:
        """The rows of a statement; it commits by itself outside of a transaction.

        When an event loop calls (`at_once.waiter`) the statement changes nothing, and fails if it
        would hold the loop up.
        """
        ...

    def begin(self) -> None:
        """Starts a transaction that may write."""
        ...

    def commit(self) -> None:
        """Ends the transaction; it is durable."""
        ...

    def rollback(self) -> None:
        """Ends the transaction as if it had never been."""
        ...

    def in_transaction(self) -> bool:
        """Whether the transaction that was begun goes on: some failures end it."""
        ...

    def is_usable(self) -> bool:
        """Whether an idle connection still looks alive; asks nobody."""
        ...

    def close(self) -> None:
        """Frees it; never fails."""
        ...


_Change: TypeAlias = Change[Connection]


class Driver(Protocol):
    """How to reach one database."""

    dialect: Dialect
    insert: Insert
    max_connections: int
    has_one_writer: bool
    """Whether writers exclude each other anyway, so that they should queue in the process,
    and share transactions."""
    writes_at_once: bool
    """Whether one statement may write to several tables."""
    waits_for_sockets: bool
    """Whether the database is another process."""

    def exists(self) -> bool:
        """Whether connecting would not create the database."""
        ...

    def connect(self) -> Connection:
        """A new connection.

        Raises:
            StoreBusyError: the database cannot be reached.
        """
        ...

    def close(self) -> None:
        """Frees what the driver itself holds."""
        ...

    def migration_engine(self) -> Engine:
        """SQLAlchemy's way to the same database."""
        ...

    def begin_migration(self, connection: SqlalchemyConnection) -> None:
        """Starts the transaction of a migration."""
        ...

    def lock_schema(self, connection: SqlalchemyConnection) -> None:
        """Waits, in that transaction, until no other process is migrating the database."""
        ...

    def translated(self, error: BaseException | None) -> Exception:
        """The error for one of the driver's."""
        ...

    def pattern(self, like: str) -> str:
        """The pattern of LIKE for `compiling.is_like`."""
        ...

    def listed(self, texts: Sequence[str]) -> Any:
        """The list for `compiling.is_in` and `is_not_in`."""
        ...


_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_inherited: list[object] = []
"""Connections of a parent process, kept because even closing them would disturb the parent."""


def _after_fork_in_child() -> None:
    for database in tuple(_open_databases):
        database.forget_connections()


os.register_at_fork(after_in_child=_after_fork_in_child)


class Database:
    """The connections to one database. Thread-safe, and usable after a fork."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._start_empty()
        _open_databases.add(self)

    def read(self, statement: Statement, values: Values) -> list[Row]:
        """The rows of a statement that changes nothing."""
        if at_once.waiter() is not None:
            return self._read_at_once(statement, values)
        return self._repeated(lambda connection: connection.run(statement, values), harmless=True)

    def write(self, statement: Statement, values: Values) -> list[Row]:
        """The rows of a statement that is a transaction by itself."""
        change: _Change = Change(
            lambda connection: connection.run(statement, values), is_one_statement=True
        )
        return cast("list[Row]", self._changed(change))

    def transaction(self, work: Callable[[Connection], ResultT]) -> ResultT:
        """The result of `work`, committed. It may be called again, after an undone attempt."""
        return cast("ResultT", self._changed(Change(work, is_one_statement=False)))

    def close(self) -> None:
        """Closes what is idle, and what is in use once it is given back."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].close()
        self.driver.close()

    def forget_connections(self) -> None:
        """Starts anew, in a process that has inherited the connections of its parent."""
        _inherited.append(self._idle)
        self._start_empty(closed=self._closed)

    def _start_empty(self, *, closed: bool = False) -> None:
        self._idle: deque[tuple[float, Connection]] = deque()
        self._free = Turns(self.driver.max_connections)
        self._writers: Writers[Connection] | None = (
            Writers() if self.driver.has_one_writer else None
        )
        self._closed = closed
        self._patient: dict[str, float] = {}

    def _read_at_once(self, statement: Statement, values: Values) -> list[Row]:
        """The rows, if a connection is free and nothing unusual happens.

        A statement that took too long is left to threads for a while: trying it costs time, too.
        """
        if self._patient.get(statement.text, 0.0) > time.monotonic():
            raise WouldWaitError("It has taken too long a moment ago")
        connection = self._taken_at_once()
        try:
            rows = connection.run(statement, values)
        except Exception as error:
            self._put_back_or_discard(connection)
            # Whatever it was, a thread deals with it.
            raise self._too_slow(statement) from error
        except BaseException:
            self._discard(connection)
            raise
        self._put_back(connection)
        if len(rows) > at_once.MOST_ROWS:
            raise self._too_slow(statement)
        return rows

    def _too_slow(self, statement: Statement) -> WouldWaitError:
        if len(self._patient) > _MOST_PATIENT:
            self._patient.clear()
        self._patient[statement.text] = time.monotonic() + _PATIENT_SECONDS
        return WouldWaitError("It cannot be done at once")

    def _taken_at_once(self) -> Connection:
        if not self._free.acquire(timeout=0):
            raise WouldWaitError("All connections are in use")
        connection = None if self._closed else self._usable()
        if connection is None:
            self._free.release()
            raise WouldWaitError("There is no idle connection")
        return connection

    def _repeated(self, action: Callable[[Connection], ResultT], *, harmless: bool) -> ResultT:
        """The result of an action, repeated as the module says. `harmless`: it changes nothing."""
        delays = _delays()
        fresh = False
        while True:
            try:
                connection = self._take(fresh=fresh)
            except LostRaceError as error:
                _wait(delays, error)
                continue
            try:
                result = action(connection)
            except LostRaceError as error:
                self._put_back_or_discard(connection)
                _wait(delays, error)
            except ConnectionLostError as error:
                self._discard(connection)
                if error.in_doubt and not harmless:
                    raise _in_doubt(error) from error
                if fresh:
                    raise StoreBusyError(f"The database went away: {error}") from error
                fresh = True
            except Exception:
                self._put_back_or_discard(connection)
                raise
            except BaseException:
                self._discard(connection)
                raise
            else:
                self._put_back(connection)
                return result

    def _take(self, *, fresh: bool) -> Connection:
        if self._closed:
            raise RegistryError("The store has been closed")
        if not self._free.acquire(timeout=ACQUIRE_SECONDS):
            raise StoreBusyError(
                f"All {self.driver.max_connections} connections to the database are in use"
            )
        try:
            return (None if fresh else self._usable()) or self.driver.connect()
        except BaseException:
            self._free.release()
            raise

    def _usable(self) -> Connection | None:
        oldest = time.monotonic() - MAX_IDLE_SECONDS
        with contextlib.suppress(IndexError):
            while True:
                since, connection = self._idle.pop()
                if since > oldest and connection.is_usable():
                    return connection
                connection.close()
        return None

    def _put_back(self, connection: Connection) -> None:
        if self._closed:
            self._discard(connection)
            return
        self._idle.append((time.monotonic(), connection))
        self._free.release()

    def _put_back_or_discard(self, connection: Connection) -> None:
        # After an error, it may be in a state of which nobody knows how it got there.
        if connection.is_usable():
            self._put_back(connection)
        else:
            self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        connection.close()
        self._free.release()

    def _changed(self, change: _Change) -> Any:
        """The result of a change. Where there is one writer at a time, those who wait share."""
        if self._writers is None:
            return self._alone(change)
        # Waiting for the file's lock is polling; waiting in the process is not.
        with self._writers.turn(change, timeout=RETRY_SECONDS) as changes:
            if len(changes) == 1:
                return self._alone(change)
            if changes:
                self._together(changes)
        return change.result()

    def _alone(self, change: _Change) -> Any:
        if change.is_one_statement:
            return self._repeated(change.work, harmless=False)
        return self._repeated(lambda connection: _transact(connection, change.work), harmless=False)

    def _together(self, changes: list[_Change]) -> None:
        """Does the changes in one transaction, and says of each what became of it."""

        def work(connection: Connection) -> None:
            for change in changes:
                _share(connection, change)

        try:
            self._repeated(lambda connection: _transact(connection, work), harmless=False)
        except _TransactionEndedError:
            self._one_by_one(changes)
        except Exception as error:  # noqa: BLE001 it is each one's
            for change in changes:
                change.fail(error)
        for change in changes:
            change.is_over = True

    def _one_by_one(self, changes: list[_Change]) -> None:
        for change in changes:
            try:
                change.succeed(self._alone(change))
            except Exception as error:  # noqa: BLE001 it is this one's
                change.fail(error)


class _TransactionEndedError(Exception):
    """The database has undone a whole transaction because of one failure in it."""


def _share(connection: Connection, change: _Change) -> None:
    """Does a change in a transaction with others; if it fails, it is undone and they are not."""
    if not change.is_one_statement:
        connection.run(_SAVEPOINT, {})
    try:
        change.succeed(change.work(connection))
    except (LostRaceError, ConnectionLostError):
        raise
    except Exception as error:
        if not connection.in_transaction():
            raise _TransactionEndedError from error
        if not change.is_one_statement:
            connection.run(_ROLLBACK_TO_SAVEPOINT, {})
        change.fail(error)


def _transact(connection: Connection, work: Callable[[Connection], ResultT]) -> ResultT:
    try:
        connection.begin()
        result = work(connection)
    except ConnectionLostError as error:
        raise ConnectionLostError(str(error), in_doubt=False) from error
    except InDoubtError as error:
        raise StoreBusyError(str(error)) from error
    except BaseException:
        connection.rollback()
        raise
    try:
        connection.commit()
    except LostRaceError:
        connection.rollback()
        raise
    return result


def _delays() -> Iterator[float]:
    """Seconds to wait before each repetition, until the time is up."""
    deadline = time.monotonic() + RETRY_SECONDS
    longest = _FIRST_DELAY
    while time.monotonic() < deadline:
        yield random.uniform(0, longest)  # noqa: S311 jitter is no secret
        longest = min(2 * longest, _LONGEST_DELAY)


def _wait(delays: Iterator[float], error: LostRaceError) -> None:
    delay = next(delays, None)
    if delay is None:
        raise ContentionError(
            f"Lost against other writers for {RETRY_SECONDS:g} seconds; nothing was written"
        ) from error
    time.sleep(delay)


def _in_doubt(error: ConnectionLostError) -> InDoubtError:
    return InDoubtError(
        "The connection to the database was lost before it confirmed the change, which may or may "
        f"not have been made: {error}"
    )
