"""SQLite, the default: a file, or memory that is gone with the process.

Strategy: WAL, so that readers and the one writer do not wait for each other; `synchronous=FULL`,
so that what was acknowledged survives a power cut; `BEGIN IMMEDIATE`, so that a transaction never
finds at its first write that what it has read is out of date.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.pool import NullPool, StaticPool

from registry_core import inloop
from registry_core.errors import InvalidUrlError, SearchTooSlowError, UnsupportedBackendError
from registry_core.inloop import LoopReads, TooLargeError
from registry_core.interest import is_wanted
from registry_core.redaction import redacted
from registry_core.search.like import Wildcard, parts
from registry_core.stores.sql import checks
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.driver import Values
from registry_core.stores.sql.errors import from_sqlite_code
from registry_core.stores.sql.results import ROWS_AT_A_TIME, SEARCH_SECONDS, PageOfRows, Row

MINIMUM_VERSION = (3, 35, 0)
"""The first with RETURNING."""

MAX_CONNECTIONS = 16
"""More readers than processors only wait for each other."""

BUSY_MILLISECONDS = 50
"""How long SQLite itself waits for a lock; longer waits are repeated with jitter by `database`."""

INLOOP_SECONDS = 0.005
"""Of the processor, that a read for an event loop may take. A page of 100 models with 5 versions of
each takes 2 milliseconds."""

INLOOP_STEPS = 2_000
"""Steps of SQLite's machine after which a read for an event loop looks at its clock. They take 100
microseconds, or some hundred times that where each step searches a long text."""

STEPS_OF_A_SEARCH = 10_000
"""Steps of a search in a thread after which it is looked at whether it has taken too long, or
nobody waits for it any more."""

CACHED_STATEMENTS = 512
"""Prepared statements that a connection keeps."""

ROWS_ADDED_AT_ONCE = 4
"""Rows that one statement adds to a table with several indexes. SQLite keeps each page that it
changes as it was before, and makes a file when these come to 64 KiB, which eight rows may reach."""

LOG_PAGES = 4_000
"""Pages of 4 KiB in the write-ahead log after which a commit moves them into the file: 16 MB. With
SQLite's own 1,000 a busy writer does so four times as often, waits twice more for the disk each
time, and writes most pages once more. One table of the log's index has 4,062 pages; with more, each
read of a page would look into several."""

_DIALECT: Dialect = SQLiteDialect(paramstyle="qmark")

_MEMORY = ":memory:"

_GLOB = {Wildcard.ANY_RUN: "*", Wildcard.ANY_ONE: "?"}
_GLOB_SPECIAL = re.compile(r"[*?\[]")

_SETTINGS = (
    f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -8192",
    f"PRAGMA wal_autocheckpoint = {LOG_PAGES}",
    # What does not fit into the cache: a search may sort more than memory should hold.
    "PRAGMA temp_store = FILE",
)


class SqliteDriver:
    """Reaches one file, or one database in memory."""

    dialect = _DIALECT
    insert = staticmethod(insert)
    has_one_writer = True
    writes_in_one_statement = False
    waits_for_sockets = False
    loop_reads = LoopReads(pauses=False, has_changes=True)

    def __init__(self, path: str) -> None:
        if sqlite3.sqlite_version_info < MINIMUM_VERSION:
            raise UnsupportedBackendError(
                f"SQLite {'.'.join(map(str, MINIMUM_VERSION))} or newer is needed, and Python has "
                f"{sqlite3.sqlite_version}"
            )
        self._path = path
        in_memory = path == _MEMORY
        # A database in memory belongs to its connection.
        self.max_connections = 1 if in_memory else MAX_CONNECTIONS
        self.is_lasting = not in_memory
        self._only = _OnlyConnection(self.raw_connection()) if in_memory else None

    @classmethod
    def from_url(cls, url: str) -> SqliteDriver:
        """Return the driver for `sqlite:///relative`, `sqlite:////absolute` or `sqlite://`.

        Raises:
            InvalidUrlError: the URL is none of these, or names no place where a file can be.
        """
        rest = url.partition(":")[2]
        if rest in ("", "//", "///", f"///{_MEMORY}"):
            return cls(_MEMORY)
        if not rest.startswith("///") or "?" in rest:
            raise InvalidUrlError(
                f"'{redacted(url)}' is not a SQLite URL: write sqlite:///relative.db, "
                "sqlite:////absolute.db or sqlite:// for memory, without options"
            )
        # Absolute from here on: the process may change its directory.
        path = Path(rest[3:]).absolute()
        _check_place(path, url)
        return cls(str(path))

    def exists(self) -> bool:
        """See `Driver`."""
        return self._only is not None or Path(self._path).exists()

    def connect(self) -> SqliteConnection:
        """See `Driver`."""
        return self._only or SqliteConnection(self.raw_connection())

    def raw_connection(self) -> sqlite3.Connection:
        """Return a connection of Python's own driver, set up."""
        try:
            raw = sqlite3.connect(
                self._path,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=CACHED_STATEMENTS,
            )
            try:
                for setting in _SETTINGS:
                    raw.execute(setting).close()
                _keep_a_log_ahead(raw)
            except BaseException:
                raw.close()
                raise
        except sqlite3.Error as error:
            raise _translated(error, f"{redacted(f'sqlite:///{self._path}')}: {error}") from error
        return raw

    def _migration_connection(self) -> sqlite3.Connection:
        raw = self.raw_connection()
        # SQLite alters a table by replacing it, which must not cascade.
        raw.execute("PRAGMA foreign_keys = OFF").close()
        return raw

    def close(self) -> None:
        """See `Driver`."""
        if self._only is not None:
            self._only.raw.close()

    def migration_engine(self) -> Engine:
        """See `Driver`."""
        if self._only is not None:
            only = self._only.raw
            return create_engine("sqlite://", creator=lambda: only, poolclass=StaticPool)
        return create_engine("sqlite://", creator=self._migration_connection, poolclass=NullPool)

    def begin_migration(self, connection: Connection) -> None:
        """See `Driver`."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def lock_schema(self, connection: Connection) -> None:
        """See `Driver`."""
        # The transaction that has begun has the lock.

    def translated(self, error: BaseException | None) -> Exception:
        """See `Driver`."""
        return _translated(error)

    def pattern(self, like: str) -> str:
        """Return a pattern for GLOB."""
        return "".join(
            _GLOB[part] if isinstance(part, Wildcard) else _GLOB_SPECIAL.sub(r"[\g<0>]", part)
            for part in parts(like)
        )

    def listed(self, texts: Sequence[str]) -> str:
        """Return a JSON array for `json_each`."""
        return json.dumps(texts, ensure_ascii=False)


def _check_place(path: Path, url: str) -> None:
    """Refuse what SQLite only says that it is unable to open."""
    if path.is_dir():
        raise InvalidUrlError(
            f"'{redacted(url)}' is a folder: name a file in it, such as "
            f"{redacted(url).rstrip('/')}/registry.db"
        )
    if not path.parent.is_dir():
        why = "is not a folder" if path.parent.exists() else "does not exist: make it first"
        folder = redacted(f"sqlite:///{path.parent}").removeprefix("sqlite:///")
        raise InvalidUrlError(f"The folder '{folder}' of '{redacted(url)}' {why}")


def _keep_a_log_ahead(raw: sqlite3.Connection) -> None:
    """Switch the file to WAL, which stays with it; never the file of somebody else."""

    def ask(text: str) -> list[Row]:
        return raw.execute(text).fetchall()

    ((mode,),) = ask("PRAGMA journal_mode")
    if mode not in ("wal", "memory"):
        checks.look(ask, _DIALECT.name)
        raw.execute("PRAGMA journal_mode = WAL").close()


class SqliteConnection:
    """See `Connection`."""

    generation = 0

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self._clock = _Clock()
        self._later: list[Any] = []
        """The arguments of what is to be run later, row after row."""
        self._adding: Statement | None = None
        """The statement that they are for."""
        self._answers: dict[str, list[Row]] = {}
        """What the transaction has asked once."""
        self._is_bounded = False
        """Whether statements are interrupted when they take too long for an event loop. It stays so
        until a thread has the connection: to change it costs as much as a hundredth of a read."""

    def run(self, statement: Statement, values: Values) -> list[Row]:
        """See `Connection`."""
        if inloop.waiter() is not None:
            return self._run_inloop(statement, values)
        if self._is_bounded:
            self._bound(is_bounded=False)
        if self._later and not statement.may_pass_events:
            self.catch_up()
        if statement.is_search:
            return self._run_search(statement, values)
        try:
            return self.raw.execute(statement.text, statement.arguments(values)).fetchall()
        except sqlite3.Error as error:
            raise _translated(error) from error

    def run_once(self, statement: Statement) -> list[Row]:
        """See `Connection`."""
        rows = self._answers.get(statement.text)
        if rows is None:
            rows = self._answers[statement.text] = self.run(statement, {})
        return rows

    def run_later(self, statement: Statement, values: Values) -> None:
        """See `Connection`."""
        if self._adding is not statement:
            self.catch_up()
            self._adding = statement
        self._later += statement.arguments(values)

    def catch_up(self) -> None:
        """See `Connection`."""
        if not self._later:
            return
        assert self._adding is not None, "something is to be run later"
        columns = len(self._adding.parameters)
        try:
            while self._later:
                values = self._later[: ROWS_ADDED_AT_ONCE * columns]
                self.raw.execute(_adding(self._adding.text, len(values) // columns), values)
                self._later = self._later[len(values) :]
        except sqlite3.Error as error:
            raise _translated(error) from error

    def forget_later(self) -> None:
        """See `Connection`."""
        self._later.clear()

    def _run_inloop(self, statement: Statement, values: Values) -> list[Row]:
        if not self._is_bounded:
            self._bound(is_bounded=True)
        self._clock.reset()
        try:
            cursor = self.raw.execute(statement.text, statement.arguments(values))
            return cursor.fetchmany(inloop.MOST_ROWS + 1) if statement.is_search else [*cursor]
        except sqlite3.DataError as error:
            raise TooLargeError("It is too large to be done at once") from error
        except sqlite3.Error as error:
            raise _translated(error) from error

    def _bound(self, *, is_bounded: bool) -> None:
        self._is_bounded = is_bounded
        if is_bounded:
            self.raw.set_progress_handler(self._clock.is_late, INLOOP_STEPS)
            # Of a text or a row; a search takes more steps for many of them.
            self._most_bytes = self.raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, inloop.MOST_BYTES)
        else:
            self.raw.set_progress_handler(None, 0)
            self.raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._most_bytes)

    def _run_search(self, statement: Statement, values: Values) -> list[Row]:
        deadline = time.monotonic() + SEARCH_SECONDS
        page = PageOfRows(statement)
        self.raw.set_progress_handler(
            lambda: time.monotonic() > deadline or not is_wanted(), STEPS_OF_A_SEARCH
        )
        try:
            with contextlib.closing(
                self.raw.execute(statement.text, statement.arguments(values))
            ) as cursor:
                while rows := cursor.fetchmany(ROWS_AT_A_TIME):
                    if page.is_full_with(rows):
                        break
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise SearchTooSlowError(SEARCH_SECONDS) from error
            raise _translated(error) from error
        finally:
            self.raw.set_progress_handler(None, 0)
        return page.rows

    def begin(self) -> None:
        """See `Connection`."""
        if self._is_bounded:
            self._bound(is_bounded=False)
        self._answers.clear()
        self._control("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """See `Connection`."""
        self._control("COMMIT")

    def rollback(self) -> None:
        """See `Connection`."""
        self.forget_later()
        # After some errors SQLite has rolled back already.
        if self.raw.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.raw.execute("ROLLBACK")

    def in_transaction(self) -> bool:
        """See `Connection`."""
        return self.raw.in_transaction

    def rows_written(self) -> int:
        """See `Connection`. Those of a statement that failed are not among them."""
        return self.raw.total_changes

    def is_usable(self) -> bool:
        """See `Connection`."""
        return not self.in_transaction()

    def was_demoted(self) -> bool:
        """See `Connection`."""
        return False

    def close(self) -> None:
        """See `Connection`."""
        self.raw.close()

    def _control(self, text: str) -> None:
        try:
            self.raw.execute(text)
        except sqlite3.Error as error:
            raise _translated(error) from error


@functools.cache
def _adding(text: str, rows: int) -> str:
    """A statement that adds so many rows, from the one that adds one."""
    head, values, row = text.rpartition(" VALUES ")
    return f"{head}{values}{', '.join([row] * rows)}"


class _Clock:
    """Tells a read for an event loop when it has taken too long.

    It counts the processor's time, because a busy machine is not the read's fault; and from when it
    is first asked, because most reads end before that, and should not pay for it.
    """

    __slots__ = ("_deadline",)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, with another read."""
        self._deadline: float | None = None

    def is_late(self) -> bool:
        """Return whether it is too late; SQLite then interrupts the statement."""
        now = time.thread_time()
        if self._deadline is None:
            self._deadline = now + INLOOP_SECONDS
        return now > self._deadline


class _OnlyConnection(SqliteConnection):
    """The connection that a database in memory lives in; only the driver closes it."""

    def close(self) -> None:
        """Keep it."""


def _translated(error: BaseException | None, message: str | None = None) -> Exception:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return from_sqlite_code(code, message or str(error))
