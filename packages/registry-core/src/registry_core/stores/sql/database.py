"""A database as the store sees it: statements run, transactions retried.

What may be repeated and what may not is decided here, once:

- A read runs by itself, without BEGIN, and is repeated once on a new connection. One for an event
  loop is not: it takes an idle connection or none, and leaves every difficulty to threads.
- A change runs in an event loop as in a thread, but for what waits: see `inloop`.
- A transaction that fails before its COMMIT was sent has not happened: it is repeated.
- A statement that writes by itself is sent once. When its connection dies, or that of a COMMIT,
  it is unknown whether it was applied, and the caller gets an `InDoubtError`; see
  `operations` for those who can find out.
- A server that does not accept writes has changed nothing: a write is repeated once on a new
  connection, which may reach the server that has taken over.
- A lost race (deadlock, serialization failure, busy file) is undone by the database and repeated,
  with jitter, until `RETRY_SECONDS` have passed.
- Changes that share a transaction (`group_commit`) are repeated together. If one of them fails
  halfway, all are done anew, each after a savepoint; if one ends the transaction, each by itself.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar, cast

from registry_core import inloop
from registry_core.backoff import Backoff
from registry_core.errors import ContentionError, StoreBusyError
from registry_core.inloop import TooLargeError, WouldBlockError
from registry_core.metering import PoolState
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.driver import Connection, Driver, Values
from registry_core.stores.sql.errors import (
    ConnectionLostError,
    InDoubtError,
    LostRaceError,
    ReadOnlyServerError,
    ServerLostError,
    ServerSilentError,
)
from registry_core.stores.sql.group_commit import GroupCommit, Outcome
from registry_core.stores.sql.lanes import Lanes
from registry_core.stores.sql.pool import Pool
from registry_core.stores.sql.results import Row, characters
from registry_core.stores.sql.slow_statements import SlowStatements

RETRY_SECONDS = 10.0
"""How long lost races are repeated. A client that waits longer has usually given up."""

_LOST_RACE = Backoff(first_seconds=0.002, longest_seconds=0.1)
"""A transaction takes a few milliseconds, and a queue of them is over in some tens."""

ResultT = TypeVar("ResultT")

_SAVEPOINT = Statement("SAVEPOINT before", (), prepare=False)
_ROLLBACK_TO_SAVEPOINT = Statement("ROLLBACK TO before", (), prepare=False)
_RELEASE = Statement("RELEASE before", (), prepare=False)


class _Change(NamedTuple):
    """What one caller wants to have done. `is_one_statement`: it cannot fail halfway."""

    work: Callable[[Connection], Any]
    is_one_statement: bool


_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_inherited: list[object] = []
"""Connections of a parent process, kept because even closing them would disturb the parent."""


def _after_fork_in_child() -> None:
    for database in tuple(_open_databases):
        database.forget_connections()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Database:
    """The connections to one database. Thread-safe, and usable after a fork."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._start_empty()
        _open_databases.add(self)

    def read(self, statement: Statement, values: Values) -> list[Row]:
        """Return the rows of a statement that changes nothing."""
        caller = inloop.waiter()
        if caller is not None:
            try:
                return self._read_inloop(statement, values)
            except WouldBlockError:
                if not caller.makes_change:
                    raise
            return caller.in_thread(lambda: self.read(statement, values))
        with self._lanes.of(statement):
            return self._repeated(
                lambda connection: _read(connection, statement, values), harmless=True
            )

    def write(self, statement: Statement, values: Values) -> list[Row]:
        """Return the rows of a statement that is a transaction by itself.

        The value `name` is of the model that it changes: see `lanes`.
        """
        change = _Change(
            lambda connection: connection.run(statement, values), is_one_statement=True
        )
        return cast("list[Row]", self._changed(change, values.get("name")))

    def transaction(
        self, work: Callable[[Connection], ResultT], *, model: str | None = None
    ) -> ResultT:
        """Return the result of `work`, committed. It may be called again, after an undone attempt.

        `model` is the name of the one that it changes: see `lanes`.
        """
        return cast("ResultT", self._changed(_Change(work, is_one_statement=False), model))

    def close(self) -> None:
        """Close what is idle, and what is in use once it is given back."""
        self._pool.close()
        self.driver.close()

    def pool_state(self) -> PoolState:
        """Return the state of the connections; it waits for nothing."""
        return self._pool.state

    def close_idle(self) -> None:
        """Close what is idle, so that the next operation has a new one."""
        self._pool.close_idle()

    def forget_connections(self) -> None:
        """Start anew, in a process that has inherited the connections of its parent."""
        _inherited.append(self._pool)
        was_closed = self._pool.is_closed
        self._start_empty()
        if was_closed:
            self._pool.close()

    def _start_empty(self) -> None:
        self._pool = Pool(self.driver)
        self._writers: GroupCommit[_Change] | None = (
            GroupCommit(self._together) if self.driver.has_one_writer else None
        )
        self._lanes = Lanes(
            self.driver.max_connections, is_in_process=not self.driver.waits_for_sockets
        )
        self._slow_statements = SlowStatements()

    def _read_inloop(self, statement: Statement, values: Values) -> list[Row]:
        """The rows, if a connection is free and nothing unusual happens."""
        if self._slow_statements.is_tried:
            self._slow_statements.check(statement, values)
        if not statement.is_search:
            return self._tried_inloop(statement, values)
        began = time.monotonic()
        give_back = self._lanes.search_inloop()
        try:
            return self._tried_inloop(statement, values)
        except WouldBlockError:
            if not self.driver.waits_for_sockets:
                self._slow_statements.pause_searches(time.monotonic() - began)
            raise
        finally:
            give_back()

    def _tried_inloop(self, statement: Statement, values: Values) -> list[Row]:
        connection = self._pool.take_idle()
        if connection is None:
            raise WouldBlockError("There is no idle connection")
        try:
            rows = _read(connection, statement, values)
        except Exception as error:
            self._pool.put_back_or_discard(connection)
            if isinstance(error, TooLargeError):
                raise self._slow_statements.too_large(statement, values) from None
            # Whatever it was, a thread deals with it.
            raise self._slow_statements.too_slow(statement) from error
        except BaseException:
            self._pool.discard(connection)
            raise
        self._pool.put_back(connection)
        if len(rows) > inloop.MOST_ROWS:
            raise self._slow_statements.too_slow(statement)
        if characters(rows, statement.long_columns) > inloop.MOST_BYTES:
            raise self._slow_statements.too_large(statement, values)
        return rows

    def _repeated(self, action: Callable[[Connection], ResultT], *, harmless: bool) -> ResultT:
        """The result of an action, repeated as the module says. `harmless`: it changes nothing."""
        pool = self._pool
        pauses = _LOST_RACE.pauses(until=time.monotonic() + RETRY_SECONDS)
        lost: ConnectionLostError | None = None
        while True:
            try:
                connection = _taken(pool, fresh=lost is not None)
            except LostRaceError as error:
                _wait(pauses, error)
                continue
            try:
                result = action(connection)
            except LostRaceError as error:
                pool.put_back_or_discard(connection)
                _wait(pauses, error)
            except ConnectionLostError as error:
                pool.discard(connection)
                if isinstance(error, ServerLostError):
                    pool.retire_with(connection)
                _require_repeatable(error, harmless=harmless, is_second=lost is not None)
                lost = error
            except Exception:
                pool.put_back_or_discard(connection)
                raise
            except BaseException:
                pool.discard(connection)
                raise
            else:
                if isinstance(lost, ReadOnlyServerError):
                    # This one reaches the server that has taken over; older ones do not.
                    pool.retire_before(connection)
                pool.put_back(connection)
                return result

    def _changed(self, change: _Change, model: str | None) -> Any:
        """The result of a change. Where there is one writer at a time, those that wait share."""
        if self._writers is None:
            with self._lanes.change(model):
                return self._alone(change)
        # Waiting for the file's lock is polling; waiting in the process is not.
        return self._writers.run(change, timeout=RETRY_SECONDS)

    def _alone(self, change: _Change) -> Any:
        if change.is_one_statement:
            return self._repeated(change.work, harmless=False)
        return self._repeated(lambda connection: _transact(connection, change.work), harmless=False)

    def _together(self, changes: list[_Change]) -> list[Outcome]:
        """Do the changes in one transaction, and give what became of each."""
        if len(changes) == 1:
            return [self._settled(changes[0])]
        try:
            try:
                return self._all_of(changes, _share)
            except _FailedHalfwayError:
                return self._all_of(changes, _share_by_savepoint)
        except _TransactionEndedError:
            return [self._settled(change) for change in changes]
        except Exception as error:  # noqa: BLE001 it is each one's
            return [(None, error)] * len(changes)

    def _all_of(
        self, changes: list[_Change], share: Callable[[Connection, _Change], Outcome]
    ) -> list[Outcome]:
        def work(connection: Connection) -> list[Outcome]:
            outcomes = [share(connection, change) for change in changes]
            _catch_up(connection)
            return outcomes

        return self._repeated(lambda connection: _transact(connection, work), harmless=False)

    def _settled(self, change: _Change) -> Outcome:
        try:
            return self._alone(change), None
        except Exception as error:  # noqa: BLE001 it is this one's
            return None, error


class _TransactionEndedError(Exception):
    """The database has undone a whole transaction because of one failure in it."""


class _FailedHalfwayError(Exception):
    """A change had written something when it failed, so that the others cannot be kept."""


def _share(connection: Connection, change: _Change) -> Outcome:
    """Do a change in a transaction with others, which go on if it fails before it has written.

    Strategy: a savepoint for each change costs as much as all of its statements, and most of those
    that fail have written nothing.
    """
    written = connection.rows_written()
    try:
        return change.work(connection), None
    except (LostRaceError, ConnectionLostError):
        raise
    except Exception as error:
        _require_transaction(connection, error)
        if connection.rows_written() != written:
            raise _FailedHalfwayError from error
        return None, error


def _share_by_savepoint(connection: Connection, change: _Change) -> Outcome:
    """Do a change in a transaction with others; if it fails, it is undone and they are not."""
    connection.run(_SAVEPOINT, {})
    try:
        value = change.work(connection)
        connection.catch_up()
        outcome: Outcome = value, None
    except (LostRaceError, ConnectionLostError):
        raise
    except Exception as error:  # noqa: BLE001 it is this one's
        _require_transaction(connection, error)
        connection.forget_later()
        connection.run(_ROLLBACK_TO_SAVEPOINT, {})
        outcome = None, error
    connection.run(_RELEASE, {})
    return outcome


def _catch_up(connection: Connection) -> None:
    """Write what changes that share a transaction have left for its end."""
    try:
        connection.catch_up()
    except (LostRaceError, ConnectionLostError):
        raise
    except Exception as error:
        # Whose it was that cannot be written is found out by doing them one by one.
        _require_transaction(connection, error)
        raise _FailedHalfwayError from error


def _require_transaction(connection: Connection, error: Exception) -> None:
    if not connection.in_transaction():
        raise _TransactionEndedError from error


def _read(connection: Connection, statement: Statement, values: Values) -> list[Row]:
    rows = connection.run(statement, values)
    if connection.was_demoted():
        raise ConnectionLostError("The server accepts no writes any more", in_doubt=False)
    return rows


def _transact(connection: Connection, work: Callable[[Connection], ResultT]) -> ResultT:
    try:
        connection.begin()
        result = work(connection)
        connection.catch_up()
    except ConnectionLostError as error:
        error.in_doubt = False
        raise
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


def _taken(pool: Pool, *, fresh: bool) -> Connection:
    if inloop.waiter() is None:
        return pool.take(fresh=fresh)
    idle = None if fresh else pool.take_idle()
    return idle or inloop.in_thread(lambda: pool.take(fresh=fresh))


def _wait(pauses: Iterator[float], error: LostRaceError) -> None:
    pause = next(pauses, None)
    if pause is None:
        raise ContentionError(
            f"Lost against other writers for {RETRY_SECONDS:g} seconds; nothing was written"
        ) from error
    inloop.in_thread(lambda: time.sleep(pause))


def _require_repeatable(error: ConnectionLostError, *, harmless: bool, is_second: bool) -> None:
    if error.in_doubt and not harmless:
        raise _in_doubt(error) from error
    if is_second or isinstance(error, ServerSilentError):
        raise _given_up(error) from error


def _given_up(error: ConnectionLostError) -> StoreBusyError:
    if isinstance(error, ReadOnlyServerError):
        return StoreBusyError(f"The database does not accept writes at present: {error}")
    if isinstance(error, ServerSilentError):
        return StoreBusyError(f"The database does not answer: {error}")
    return StoreBusyError(f"The database went away: {error}")


def _in_doubt(error: ConnectionLostError) -> InDoubtError:
    return InDoubtError(
        "The connection to the database was lost before it confirmed the change, which may or may "
        f"not have been made: {error}"
    )
