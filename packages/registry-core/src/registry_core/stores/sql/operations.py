"""What creates something is done once, also when the reply is lost.

Strategy: a statement that creates something notes the id of its operation in the table
`applied_operations`, and so in the same transaction. When the connection dies before the reply, the
id is looked up on a new connection. If it is not there, the very same statement is sent again:
whichever of the two copies comes second breaks the table's key and is undone as a whole. So it is
done once, whatever became of the first copy: never received, undone by a crash, applied, applied
late by a server that was frozen, or applied by a primary whose successor has not got it.

Sent again, it may find that there is nothing to do: the model is missing, or the name is taken. The
caller hears so, and the first copy may still be on its way, to find something else. So the id is
then noted as void, which undoes whatever copy arrives later.

It costs no round trip while replies arrive. SQLite needs none of this: it runs in this process.

An idempotency key is noted with the operation, and stays for a day: so it is the database that lets
one creation happen under it, whichever server or process was asked, and however often. A caller
that is refused for it, or finds nothing to do, looks up what was made under the key.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from typing import Any

from registry_core import idempotency
from registry_core.backoff import Backoff
from registry_core.errors import ContentionError, RegistryError, StoreUnavailableError
from registry_core.inloop import in_thread
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.creations import VOID
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.driver import Connection, Values
from registry_core.stores.sql.errors import DuplicateError, InDoubtError
from registry_core.stores.sql.results import Row
from registry_core.stores.sql.statements import Statements

OUTCOME_SECONDS = 30.0
"""How long a call whose reply was lost waits for the database to come back, to find out what became
of it. Restarts take seconds and failovers up to half a minute; MLflow's client waits 120 seconds
for an answer."""

KEEP_SECONDS = 3600.0
"""How long operations stay noted: longer than `OUTCOME_SECONDS`, than the quarter of an hour for
which TCP keeps sending, and than clocks of different machines are apart."""

PRUNE_SECONDS = 60.0
"""How often a process removes what has been noted for longer, on average."""

_LOOKS = Backoff(first_seconds=0.01, longest_seconds=0.5)
"""Between two looks for the operation: the return of the database is noticed soon."""

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The hexadecimal digit that says which kind of UUID it is, with two bits by chance."""


class Operations:
    """Runs statements that note their operation in `applied_operations`. Thread-safe."""

    def __init__(self, database: Database, sql: Statements) -> None:
        self._database = database
        self._sql = sql
        self._prune_at = _next_pruning()

    def run(self, statement: Statement, values: dict[str, Any]) -> list[Row]:
        """One row of the version that was created, or of None; no row if nothing was.

        After the version come the request and the time, if it was created under an idempotency key.
        That may have been somebody else's operation, under the same key.

        `values` are those of the statement; their `operation_id` is set here.

        Raises:
            DuplicateError: something was created under the idempotency key before.
            InDoubtError: the database was away for too long, and it may or may not have been done.
        """
        values["operation_id"] = operation_id(time.time())
        look = self._sql.get_operation
        if values["idempotency_key"] is not None:
            look = self._sql.get_kept_key
        rows = settled(
            lambda: self._database.write(statement, values),
            lambda: self._database.read(look, values),
            lambda: self._database.write(self._sql.void_operation, values),
        )
        if rows and rows[0][0] == VOID:
            rows = []
        self.prune()
        return rows

    def kept(self, values: Values) -> list[Row]:
        """Return the row, as of `run`, of what was created under an idempotency key.

        None if nothing.
        """
        return self._database.read(self._sql.get_kept_key, values)

    def keep(self, connection: Connection, version: int | None, values: Values) -> Row:
        """Note in a transaction what it has created under an idempotency key; the row of that.

        Raises:
            DuplicateError: something was created under the key before.
        """
        noted = {**values, "operation_id": operation_id(time.time()), "version": version}
        connection.run(self._sql.keep_key, noted)
        return (version, values["request"], values["kept_time"])

    def prune(self) -> None:
        """Remove what has been noted for long enough, once in a while."""
        if time.monotonic() <= self._prune_at:
            return
        self._prune_at = _next_pruning()
        now = time.time()
        oldest = {
            "operation_id": operation_id(now - KEEP_SECONDS),
            "kept_operation_id": operation_id(now - idempotency.KEEP_SECONDS),
        }
        # What is not removed now is removed the next time.
        with contextlib.suppress(RegistryError):
            self._database.write(self._sql.prune_operations, oldest)


def operation_id(seconds: float) -> str:
    """Return a unique id for an operation that begins then, in seconds since the epoch.

    A UUID of version 7 (RFC 9562): ids sort by time, so that new ones go to one end of the index.
    """
    chance = os.urandom(10).hex()
    return f"{int(seconds * 1000):012x}7{chance[:3]}{_VARIANT[chance[3]]}{chance[4:19]}"


def settled(
    attempt: Callable[[], list[Row]],
    look: Callable[[], list[Row]],
    void: Callable[[], object] | None = None,
) -> list[Row]:
    """Return the rows of an attempt that succeeds once, repeated until that is known.

    `look` gives the rows of an attempt that has succeeded, and none before. `void` has no attempt
    succeed any more, or raises `DuplicateError` if one has; it is needed where an attempt can find
    that there is nothing to do.

    Raises:
        InDoubtError: that took too long.
    """
    try:
        return attempt()
    except InDoubtError as error:
        doubt = error
    return in_thread(lambda: _settled_later(doubt, attempt, look, void))


def _settled_later(
    doubt: InDoubtError,
    attempt: Callable[[], list[Row]],
    look: Callable[[], list[Row]],
    void: Callable[[], object] | None,
) -> list[Row]:
    for pause in _LOOKS.pauses(until=time.monotonic() + OUTCOME_SECONDS):
        time.sleep(pause)
        try:
            rows = look() or attempt()
            if not rows and void is not None:
                void()
            return rows or look()
        except (StoreUnavailableError, ContentionError, DuplicateError):
            continue
        except RegistryError as error:
            raise doubt from error
    raise doubt


def _next_pruning() -> float:
    return time.monotonic() + PRUNE_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 spreads load
