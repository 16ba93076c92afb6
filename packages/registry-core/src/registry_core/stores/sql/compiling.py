"""From SQLAlchemy expressions to finished statements, and the words that SQLite and PostgreSQL
spell differently.

Strategy: SQLAlchemy's own execution costs more than the rest of a read. So an expression is
compiled once, to a `Statement`: the text for the driver, and the names of its parameters in order.
"""  # noqa: D205 one sentence

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import attrs
from sqlalchemy import Alias, BigInteger, Boolean, Table, Text, bindparam, case, false, func, true
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter, ClauseElement, ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

LOCK_MILLISECONDS = 2_000
"""How long a statement waits for the row lock of a model before it is undone and tried again, as a
lost race. The holder of the lock needs it for milliseconds, or seconds to rename thousands of
versions. The connection of an operation that waits is not there for others."""


@attrs.frozen
class Statement:
    """A compiled statement: what a driver needs to run it."""

    text: str
    parameters: tuple[str, ...]
    """The names of the values to pass, in order."""
    prepare: bool = True
    """Whether the server may keep a plan that does not depend on the values."""
    is_search: bool = False
    """Whether it may take long and give much. Then it is given up after a while, and its rows end
    where they have as many bytes as a page may have."""
    is_lookup: bool = False
    """Whether it is a search by one value to which an index leads; see `lanes`."""
    long_columns: tuple[int, ...] = ()
    """Where rows may have texts of any length, which count when it is asked how much they are."""
    uri_columns: tuple[int, ...] = ()
    """Where they may have texts of some KiB, which count if there are many rows."""
    may_pass_events: bool = False
    """Whether it neither reads nor writes events, so that those of changes before it in the same
    transaction may be written after it."""

    arguments: Callable[[Mapping[str, Any]], tuple[Any, ...]] = attrs.field(init=False, eq=False)
    """Gives the values in the order of the placeholders."""

    @arguments.default
    def _arguments(self) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        names = self.parameters
        if len(names) > 1:
            return itemgetter(*names)
        # Of one name, `itemgetter` gives the value alone.
        return lambda values: tuple(values[each] for each in names)


def compiled(expression: ClauseElement, dialect: Dialect, **facts: Any) -> Statement:
    """Return the statement of an expression whose values are `param` parameters.

    `facts` are other fields of the statement.
    """
    compiler = expression.compile(dialect=dialect)
    assert isinstance(compiler, SQLCompiler)
    constants = {name for name in compiler.params if compiler.params[name] is not None}
    assert not constants, f"values inside of a statement: {constants}"
    return Statement(str(compiler), tuple(compiler.positiontup or ()), **facts)


def param(name: str) -> BindParameter[Any]:
    """Return a value given when the statement runs."""
    # Without a type, so that nothing is cast: columns decide what the value is.
    return bindparam(name, type_=NullType(), required=True)


def labeled(name: str) -> ColumnElement[Any]:
    """Return a parameter as a column of a SELECT."""
    return param(name).label(name)


def unseen(name: str) -> ColumnElement[Any]:
    """Return a value given when the statement runs, of which PostgreSQL's planner does not know.

    It plans a statement anew for every value as long as it believes that to be worth the while, by
    estimates that are far off where one value is on most of the rows; and planning costs more than
    the whole statement. A plan that cannot depend on the value is made once. So the statement has
    to leave only such ways as are good for every value.
    """
    return _unseen(param(name))


class _unseen(FunctionElement[Any]):  # noqa: N801 SQL functions are lower-case in SQLAlchemy
    name = "unseen"
    inherit_cache = True


class only(FunctionElement[bool]):  # noqa: N801 as above
    """Whether a column has one value: `only(column, value)`, for a query ordered by the column.

    The database then reads an index on the column and what the query is ordered by further. For an
    equality it would also consider indexes on the further columns alone, and if it takes most rows
    to have the value, it would read those to the end for a value that no row has.
    """

    name = "only"
    inherit_cache = True


class holds_for_few(FunctionElement[bool]):  # noqa: N801 as above
    """A condition that holds for few rows, as far as the planner knows.

    SQLite has no statistics. Of two indexes it takes that which has the order of the query, and
    reads past every row of which the condition does not hold, unless it knows that these are most.
    """

    name = "holds_for_few"
    inherit_cache = True


def aside(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return a condition that is looked at row by row, whatever indexes there are on its columns.

    PostgreSQL takes it to hold for half of the rows, where it would take a comparison with a value
    that it does not know to hold for few, and then prefer reading and sorting everything.
    """
    return case((condition, true()), else_=false())


class is_like(FunctionElement[bool]):  # noqa: N801 as above
    """Whether a column matches a pattern that `Driver.pattern` has translated."""

    name = "is_like"
    inherit_cache = True


class may_match_folded(FunctionElement[bool]):  # noqa: N801 as above
    """Whether the folded form of a name may match a pattern of SQL, as far as the name itself says.

    Indexes have the names, and only the rows have the folded ones. So a walk along an index reads
    the rows of names that may match, and not all rows.
    """

    name = "may_match_folded"
    inherit_cache = True


class name_may_match_folded(FunctionElement[bool]):  # noqa: N801 as above
    """The same, for a walk of PostgreSQL along an index alone; see `searches`.

    On a row, it would be asked there beside what answers the question.
    """

    name = "name_may_match_folded"
    inherit_cache = True


class is_in(FunctionElement[bool]):  # noqa: N801 as above
    """Whether a column is one of the texts that `Driver.listed` has translated."""

    name = "is_in"
    inherit_cache = True


class is_not_in(FunctionElement[bool]):  # noqa: N801 as above
    """Whether a column is none of the texts that `Driver.listed` has translated."""

    name = "is_not_in"
    inherit_cache = True


class bytes_of(FunctionElement[int]):  # noqa: N801 as above
    """The length of a text in UTF-8."""

    name = "bytes_of"
    inherit_cache = True
    type = BigInteger()


class waits_for_locks_briefly(FunctionElement[bool]):  # noqa: N801 as above
    """True. From then on the statement, if it is a transaction by itself, waits for locks briefly.

    PostgreSQL takes the setting back at the end of the transaction, so that it costs no round trip
    and is safe behind a pooler. SQLite has no row locks.
    """

    name = "waits_for_locks_briefly"
    inherit_cache = True


class position_of(FunctionElement[int]):  # noqa: N801 as above
    """Where a text first has another one in it, from 1; 0 where it has not."""

    name = "position_of"
    inherit_cache = True
    type = BigInteger()


class kind_first(FunctionElement[str]):  # noqa: N801 as above
    """The subject of an event with the kind of thing that it is about before the version.

    `version:7/tag:team` becomes `/tag:team 7`, so that in an index the tags of all versions of a
    model are one range, and so are their stages, or descriptions. What is not about a
    version stays as it is.
    """

    name = "kind_first"
    inherit_cache = True
    type = Text()


class _IndexedAlias(Alias):
    """An alias that says by which index SQLite has to read its table."""

    inherit_cache = False
    index: str


def by_index(table: Table, index: str, name: str) -> Alias:
    """Return an alias of a table that SQLite reads by an index, whatever it expects to cost less.

    It has no statistics of indexes on expressions, and would read all rows that have the first
    column of the primary key in common. PostgreSQL has a planner that needs no such word.
    """
    alias = _IndexedAlias._construct(table, name=name)  # noqa: SLF001 as a table makes its aliases
    alias.index = index
    return alias


class is_ascii(FunctionElement[bool]):  # noqa: N801 as above
    """Whether a text has as many bytes as characters; one with NUL in it does not on SQLite."""

    name = "is_ascii"
    inherit_cache = True
    type = Boolean()


class limit_if(FunctionElement[int]):  # noqa: N801 as above
    """The last argument, a number, for the LIMIT of a query that has the others as conditions.

    SQLite looks at a condition that depends on no row for every row. PostgreSQL looks once, but
    plans for a tenth of the table when LIMIT is not a number.
    """

    name = "limit_if"
    inherit_cache = True


def folded(folded_column: ColumnElement[Any], column: ColumnElement[Any]) -> ColumnElement[str]:
    """`str.lower()` of a column; see `tables`."""
    return func.coalesce(folded_column, func.lower(column))


def operands(node: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> list[str]:
    """Return the arguments of a function as SQL."""
    return [compiler.process(clause, **options) for clause in node.clauses]


@compiles(_unseen, "sqlite")
def _sqlite_unseen(node: _unseen, compiler: SQLCompiler, **options: Any) -> str:
    return operands(node, compiler, **options)[0]


@compiles(_unseen, "postgresql")
def _postgresql_unseen(node: _unseen, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT {operands(node, compiler, **options)[0]})"


@compiles(only, "sqlite")
def _sqlite_only(node: only, compiler: SQLCompiler, **options: Any) -> str:
    return "{} = {}".format(*operands(node, compiler, **options))


@compiles(only, "postgresql")
def _postgresql_only(node: only, compiler: SQLCompiler, **options: Any) -> str:
    return "{} = ANY (ARRAY[{}])".format(*operands(node, compiler, **options))


@compiles(holds_for_few, "sqlite")
def _sqlite_few(node: holds_for_few, compiler: SQLCompiler, **options: Any) -> str:
    return f"unlikely({compiler.process(node.clauses, **options)})"


@compiles(holds_for_few, "postgresql")
def _postgresql_few(node: holds_for_few, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(node.clauses, **options)


@compiles(is_like, "sqlite")
def _sqlite_like(node: is_like, compiler: SQLCompiler, **options: Any) -> str:
    # LIKE of SQLite ignores the case of ASCII letters; GLOB has the same power and does not.
    column, pattern = operands(node, compiler, **options)
    return f"({column} GLOB {_unplanned(pattern)})"


@compiles(is_like, "postgresql")
def _postgresql_like(node: is_like, compiler: SQLCompiler, **options: Any) -> str:
    return "({} LIKE {})".format(*operands(node, compiler, **options))


@compiles(may_match_folded, "sqlite")
def _sqlite_may(node: may_match_folded, compiler: SQLCompiler, **options: Any) -> str:
    # LIKE of SQLite ignores the case of ASCII letters alone; a name with others is looked at.
    name, pattern = operands(node, compiler, **options)
    is_ascii = f"length({name}) = length(CAST({name} AS BLOB))"
    return f"({name} LIKE {_unplanned(pattern)} ESCAPE '\\' OR NOT {is_ascii})"


def _unplanned(pattern: str) -> str:
    """A pattern by which SQLite does not plan.

    It looks for a range of an index in a pattern that is a parameter, and plans the statement anew
    for every value, which costs half as much as a page. The ranges there are, we say ourselves.
    """
    return f"({pattern} || '')"


@compiles(may_match_folded, "postgresql")
def _postgresql_may(node: may_match_folded, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001
    return "true"


@compiles(name_may_match_folded, "postgresql")
def _postgresql_name_may(node: name_may_match_folded, compiler: SQLCompiler, **options: Any) -> str:
    name, pattern = operands(node, compiler, **options)
    # The collation "C" lowers ASCII letters alone; a name with others is looked at.
    return f"(lower({name}) LIKE {pattern} OR octet_length({name}) <> length({name}))"


@compiles(is_in, "sqlite")
def _sqlite_in(node: is_in, compiler: SQLCompiler, **options: Any) -> str:
    return "({} IN (SELECT value FROM json_each({})))".format(  # noqa: S608 compiled operands
        *operands(node, compiler, **options)
    )


@compiles(is_in, "postgresql")
def _postgresql_in(node: is_in, compiler: SQLCompiler, **options: Any) -> str:
    return "({} = ANY ({}::text[]))".format(*operands(node, compiler, **options))


@compiles(is_not_in, "sqlite")
def _sqlite_not_in(node: is_not_in, compiler: SQLCompiler, **options: Any) -> str:
    return "({} NOT IN (SELECT value FROM json_each({})))".format(  # noqa: S608 as above
        *operands(node, compiler, **options)
    )


@compiles(is_not_in, "postgresql")
def _postgresql_not_in(node: is_not_in, compiler: SQLCompiler, **options: Any) -> str:
    return "({} <> ALL ({}::text[]))".format(*operands(node, compiler, **options))


@compiles(bytes_of, "sqlite")
def _sqlite_bytes(node: bytes_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"length(CAST({compiler.process(node.clauses, **options)} AS BLOB))"


@compiles(bytes_of, "postgresql")
def _postgresql_bytes(node: bytes_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"octet_length({compiler.process(node.clauses, **options)})"


@compiles(position_of, "sqlite")
def _sqlite_position(node: position_of, compiler: SQLCompiler, **options: Any) -> str:
    return "instr({}, {})".format(*operands(node, compiler, **options))


@compiles(position_of, "postgresql")
def _postgresql_position(node: position_of, compiler: SQLCompiler, **options: Any) -> str:
    return "strpos({}, {})".format(*operands(node, compiler, **options))


@compiles(_IndexedAlias, "sqlite")
def _sqlite_indexed(node: _IndexedAlias, compiler: SQLCompiler, **options: Any) -> str:
    text = _postgresql_indexed(node, compiler, **options)
    return f"{text} INDEXED BY {node.index}" if options.get("asfrom") else text


@compiles(_IndexedAlias, "postgresql")
def _postgresql_indexed(node: _IndexedAlias, compiler: SQLCompiler, **options: Any) -> str:
    return str(compiler.visit_alias(node, **options))  # type: ignore[no-untyped-call]


@compiles(kind_first, "sqlite")
def _sqlite_kind_first(node: kind_first, compiler: SQLCompiler, **options: Any) -> str:
    (subject,) = operands(node, compiler, **options)
    return _kind_first(subject, f"instr({subject}, '/')")


@compiles(kind_first, "postgresql")
def _postgresql_kind_first(node: kind_first, compiler: SQLCompiler, **options: Any) -> str:
    (subject,) = operands(node, compiler, **options)
    return _kind_first(subject, f"strpos({subject}, '/')")


def _kind_first(subject: str, slash: str) -> str:
    # Word for word what the index has: see the migration that makes it.
    kind = f"substr({subject}, {slash}) || ' ' || substr({subject}, 9, {slash} - 9)"
    is_of_version = f"substr({subject}, 1, 8) = 'version:' AND {slash} > 0"
    return f"(CASE WHEN {is_of_version} THEN {kind} ELSE {subject} END)"


@compiles(waits_for_locks_briefly, "sqlite")
def _sqlite_no_locks(_: waits_for_locks_briefly, __: SQLCompiler, **___: Any) -> str:
    return "true"


@compiles(waits_for_locks_briefly, "postgresql")
def _postgresql_lock_timeout(_: waits_for_locks_briefly, __: SQLCompiler, **___: Any) -> str:
    # As a subquery, which runs once, and before any row is looked at.
    return f"(SELECT set_config('lock_timeout', '{LOCK_MILLISECONDS}ms', true)) IS NOT NULL"


@compiles(is_ascii, "sqlite")
def _sqlite_ascii(node: is_ascii, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = operands(node, compiler, **options)
    return f"(length(CAST({text} AS BLOB)) = length({text}))"


@compiles(is_ascii, "postgresql")
def _postgresql_ascii(node: is_ascii, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = operands(node, compiler, **options)
    return f"(octet_length({text}) = length({text}))"


@compiles(limit_if, "sqlite")
def _sqlite_limit_if(node: limit_if, compiler: SQLCompiler, **options: Any) -> str:
    *conditions, limit = operands(node, compiler, **options)
    return f"CASE WHEN {' AND '.join(conditions)} THEN {limit} ELSE 0 END"


@compiles(limit_if, "postgresql")
def _postgresql_limit_if(node: limit_if, compiler: SQLCompiler, **options: Any) -> str:
    return operands(node, compiler, **options)[-1]
