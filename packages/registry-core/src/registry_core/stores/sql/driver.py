"""What the store needs to know of a database's driver, and of a connection that it has made.

`postgresql` and `sqlite` have one each; `database` and `pool` use them, and know neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from sqlalchemy.engine import Connection as SqlalchemyConnection
from sqlalchemy.engine import Dialect, Engine

from registry_core.inloop import LoopReads
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.results import Row

Values: TypeAlias = Mapping[str, Any]
"""The parameters of a statement, by name."""

Insert: TypeAlias = Callable[..., Any]
"""The dialect's own INSERT, which can deal with conflicts."""


class Connection(Protocol):
    """A connection of a driver. Failures are `errors` of this package, or `RegistryError`."""

    generation: int
    """Counts how often the pool had retired its connections when this one was opened."""

    def run(self, statement: Statement, values: Values) -> list[Row]:
        """Return the rows of a statement; it commits by itself outside of a transaction.

        When an event loop calls (`inloop.waiter`) the statement changes nothing, and fails if it
        would hold the loop up.
        """
        ...

    def run_once(self, statement: Statement) -> list[Row]:
        """Return the rows of a statement without values, as they were when it first ran.

        That is in this transaction, whose changes may share the answer.
        """
        ...

    def run_later(self, statement: Statement, values: Values) -> None:
        """Run a statement that adds one row, before the transaction ends at the latest.

        Where the database computes in this process, a few given in a row are one statement.
        """
        ...

    def catch_up(self) -> None:
        """Run now what was to be run later. Where that fails, the rest is still to be run."""
        ...

    def forget_later(self) -> None:
        """Run none of it: the transaction, or the part of it that gave it, is undone."""
        ...

    def begin(self) -> None:
        """Start a transaction that may write."""
        ...

    def commit(self) -> None:
        """End the transaction; it is durable."""
        ...

    def rollback(self) -> None:
        """End the transaction as if it had never been."""
        ...

    def in_transaction(self) -> bool:
        """Return whether the transaction that was begun goes on: some failures end it."""
        ...

    def rows_written(self) -> int:
        """Return how many rows the connection has written so far; asked where writers share."""
        ...

    def is_usable(self) -> bool:
        """Return whether an idle connection still looks alive; sends nothing."""
        ...

    def was_demoted(self) -> bool:
        """Return whether its server accepts no writes any more, so that reads may be out of date.

        Known from what the server said when it last answered; sends nothing.
        """
        ...

    def close(self) -> None:
        """Free it; never fails."""
        ...


class WritesAlone:
    """What a connection has whose transactions are of one writer each.

    Another process computes for it, and to leave a statement for later would gain nothing.
    """

    def run(self, statement: Statement, values: Values) -> list[Row]:
        """See `Connection`."""
        raise NotImplementedError

    def run_once(self, statement: Statement) -> list[Row]:
        """See `Connection`."""
        return self.run(statement, {})

    def run_later(self, statement: Statement, values: Values) -> None:
        """See `Connection`: it is run now."""
        self.run(statement, values)

    def catch_up(self) -> None:
        """See `Connection`."""

    def forget_later(self) -> None:
        """See `Connection`."""

    def rows_written(self) -> int:
        """See `Connection`."""
        raise NotImplementedError("its writers share no transaction")


class Driver(Protocol):
    """How to reach one database."""

    dialect: Dialect
    insert: Insert
    max_connections: int
    """How many connections a process may have."""
    has_one_writer: bool
    """Whether writers exclude each other anyway, so that they should queue in the process,
    and share transactions."""
    writes_in_one_statement: bool
    """Whether one statement may write to several tables."""
    waits_for_sockets: bool
    """Whether the database is another process."""
    is_lasting: bool
    """Whether there is something that outlives the process, and may be there before it."""

    @property
    def loop_reads(self) -> LoopReads | None:
        """How an event loop may have statements run; None: only threads may."""
        ...

    def exists(self) -> bool:
        """Return whether connecting would not create the database."""
        ...

    def connect(self) -> Connection:
        """Return a new connection.

        Raises:
            StoreBusyError: the database cannot be reached.
        """
        ...

    def close(self) -> None:
        """Free what the driver itself holds."""
        ...

    def migration_engine(self) -> Engine:
        """SQLAlchemy's way to the same database."""
        ...

    def begin_migration(self, connection: SqlalchemyConnection) -> None:
        """Start the transaction of a migration."""
        ...

    def lock_schema(self, connection: SqlalchemyConnection) -> None:
        """Wait, in that transaction, until no other process is migrating the database."""
        ...

    def translated(self, error: BaseException | None) -> Exception:
        """Return the error for one of the driver's."""
        ...

    def pattern(self, like: str) -> str:
        """Return the pattern of LIKE for `compiling.is_like`."""
        ...

    def listed(self, texts: Sequence[str]) -> Any:
        """Return the list for `compiling.is_in` and `is_not_in`."""
        ...
