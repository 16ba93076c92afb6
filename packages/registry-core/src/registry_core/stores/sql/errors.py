"""What a database's error code means, in our words. Messages are never looked at.

The classes here stay inside of this package: `database` retries what they stand for, and `store`
knows what a violated constraint means. Everything else is one of `registry_core.errors`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from registry_core.errors import (
    NotPermittedError,
    RegistryError,
    SchemaOutOfDateError,
    StoreBusyError,
    StoreCorruptedError,
    StoreUnavailableError,
)


class LostRaceError(Exception):
    """The database gave another transaction precedence; this one is undone."""


class ConnectionLostError(Exception):
    """The connection is of no more use.

    `in_doubt` tells whether the database may have carried out what it was last asked.
    """

    def __init__(self, message: str, *, in_doubt: bool = True) -> None:
        self.in_doubt = in_doubt
        super().__init__(message)


class InDoubtError(StoreUnavailableError):
    """The connection was lost before the change was confirmed, which may or may not be made."""


class ReadOnlyServerError(ConnectionLostError):
    """The server does not accept writes: it has changed nothing.

    It is a standby, or a primary that was fenced. Another one may have taken over, and a new
    connection may reach that one.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, in_doubt=False)


class ServerLostError(ConnectionLostError):
    """The server itself is gone, and so are all connections to it that were opened before."""


class ServerSilentError(ServerLostError):
    """The server gives no sign of life. Waiting for it took as long as a caller should wait."""


class PreparedElsewhereError(LostRaceError):
    """The server does not have a prepared statement that it should have, or the other way round.

    A pooler has lent another connection. Nothing was executed, and nothing should be prepared any
    more; a transaction in which it happens is undone.
    """


class DuplicateError(Exception):
    """A row of that key exists."""


class ChangedMeanwhileError(Exception):
    """Another has done what the statement was about while it waited, and nothing was written."""


class MissingParentError(Exception):
    """The row that the new one belongs to does not exist."""


Translation = Callable[[str], Exception]


def _unavailable(reason: str) -> Translation:
    return lambda message: StoreUnavailableError(f"{reason}: {message}")


def _busy(reason: str) -> Translation:
    return lambda message: StoreBusyError(f"{reason}: {message}")


def _not_permitted(message: str) -> Exception:
    return NotPermittedError(f"The database refused access: {message}")


def _corrupted(message: str) -> Exception:
    return StoreCorruptedError(f"The database is damaged: {message}")


def _foreign_schema(message: str) -> Exception:
    return SchemaOutOfDateError(f"The database is not as this release needs it: {message}")


def _stale(message: str) -> Exception:
    return ConnectionLostError(message, in_doubt=False)


# A database that says so has undone what it was asked.
_NO_RESOURCES = _busy("The database has run out of a resource")
_CANCELLED = _busy("The database gave the statement up")

_ENDING = frozenset({"FATAL", "PANIC"})
"""The severities of an error after which the server hangs up."""

_ENDED_BEFORE = frozenset({"25P03", "57P05", "53300", "57P03"})
"""The codes with which a server ends a session that is idle, and a pooler one that it has no
connection for: neither has looked at what came last."""

_BY_SQLSTATE: Mapping[str, Translation] = {
    "40003": ConnectionLostError,  # statement_completion_unknown
    "55P03": LostRaceError,  # lock_not_available
    "23505": DuplicateError,
    "23503": MissingParentError,
    # The only column that a statement may leave empty: see `events.noted`.
    "23502": ChangedMeanwhileError,
    "0A000": _stale,  # a kept plan, and the schema has changed under it
    "26000": PreparedElsewhereError,  # invalid_sql_statement_name
    "42P05": PreparedElsewhereError,  # duplicate_prepared_statement
    "25006": ReadOnlyServerError,  # read_only_sql_transaction
    # Sessions that the server has ended. These two while they were idle, so that it has not looked
    # at what came after; the third at any time, even when the change was made.
    "25P03": _stale,  # idle_in_transaction_session_timeout
    "57P05": _stale,  # idle_session_timeout
    "25P04": ConnectionLostError,  # transaction_timeout
    # What a pooler says that has no connection to the server.
    "53300": _stale,  # too_many_connections
    "57P03": _stale,  # cannot_connect_now
    "42501": _not_permitted,
    "42P07": LostRaceError,  # duplicate_table: another process is creating the schema
    "42P01": _foreign_schema,  # undefined_table
    "42703": _foreign_schema,  # undefined_column
    "57014": _CANCELLED,
}

_BY_SQLSTATE_CLASS: Mapping[str, Translation] = {
    "08": ConnectionLostError,
    "28": _not_permitted,
    "40": LostRaceError,  # undone by the server: serialization failures, deadlocks
    "53": _NO_RESOURCES,
    "57": ConnectionLostError,  # shutdown, crash, start-up
    "58": _busy("The database server has trouble with its system"),
    "XX": _corrupted,
}

_BY_SQLITE_CODE: Mapping[int, Translation] = {
    sqlite3.SQLITE_BUSY: LostRaceError,
    sqlite3.SQLITE_LOCKED: LostRaceError,
    sqlite3.SQLITE_PROTOCOL: LostRaceError,
    sqlite3.SQLITE_FULL: _busy("The disk of the database is full"),
    sqlite3.SQLITE_NOMEM: _NO_RESOURCES,
    # A commit that could not be made durable may come back after a crash.
    sqlite3.SQLITE_IOERR: _unavailable("The database file cannot be read or written"),
    sqlite3.SQLITE_CANTOPEN: _busy("The database file cannot be opened"),
    sqlite3.SQLITE_INTERRUPT: _CANCELLED,
    sqlite3.SQLITE_READONLY: _not_permitted,
    sqlite3.SQLITE_PERM: _not_permitted,
    sqlite3.SQLITE_AUTH: _not_permitted,
    sqlite3.SQLITE_CORRUPT: _corrupted,
    sqlite3.SQLITE_NOTADB: _corrupted,
    # A missing table or column: every statement of ours is right on our own schema.
    sqlite3.SQLITE_ERROR: _foreign_schema,
}

_BY_SQLITE_EXTENDED_CODE: Mapping[int, Translation] = {
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: DuplicateError,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: DuplicateError,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: MissingParentError,
}

_PRIMARY_CODE = 0xFF
"""The bits of a SQLite code that are left when its extension is taken away."""


def from_sqlstate(sqlstate: str | None, message: str, severity: str = "ERROR") -> Exception:
    """Return the error for a code of PostgreSQL; without one it is the driver that has failed.

    FATAL and PANIC end the connection, and say what became of a commit only with few codes.
    """
    if sqlstate is None or (severity in _ENDING and sqlstate not in _ENDED_BEFORE):
        return ConnectionLostError(message)
    translation = _BY_SQLSTATE.get(sqlstate) or _BY_SQLSTATE_CLASS.get(sqlstate[:2])
    return translation(message) if translation else _unexpected(sqlstate, message)


def from_sqlite_code(code: int, message: str) -> Exception:
    """Return the error for an extended code of SQLite."""
    translation = _BY_SQLITE_EXTENDED_CODE.get(code) or _BY_SQLITE_CODE.get(code & _PRIMARY_CODE)
    return translation(message) if translation else _unexpected(str(code), message)


def _unexpected(code: str, message: str) -> Exception:
    return RegistryError(f"The database failed with code {code}: {message}")
