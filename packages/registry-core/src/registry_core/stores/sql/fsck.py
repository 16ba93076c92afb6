"""A check of everything in a database, and the repair of what follows from the rest of it.

Strategy. A database that enforces its constraints cannot come to most of what is looked for here.
It does where they were off: while a dump was loaded, in a restored or converted database, under
somebody's own SQL; or where the file itself is damaged. A repair removes what nothing can reach,
raises counters, and computes again what is derived. What somebody may still need is left to a
backup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import attrs
from sqlalchemy import Column, Table, func, literal_column, select
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import Select

from registry_core import validation
from registry_core.errors import InvalidArgumentError, RegistryError, StoreCorruptedError
from registry_core.fsck import Finding, Report
from registry_core.stores.sql import rows
from registry_core.stores.sql.compiling import Statement, compiled, param
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.driver import Values
from registry_core.stores.sql.integrity import (
    COUNTED,
    FOLDINGS,
    WORDS,
    Check,
    Folding,
    checks,
    incomplete,
    key_of,
    required,
)
from registry_core.stores.sql.results import Row
from registry_core.stores.sql.statements import WEBHOOK_FIELDS
from registry_core.stores.sql.tables import metadata, webhooks

MOST_FINDINGS = 1_000
"""Rows that one kind of problem is reported of; there may be as many as there are rows."""

BATCH_ROWS = 1_000
"""Rows read at a time, of those that Python has to look at."""

_CONSTRAINT = re.compile(r"\bCONSTRAINT (\w+)")

_PRESENT = {
    "sqlite": (
        "SELECT CASE type WHEN 'index' THEN 'CONSTRAINT ' || name ELSE sql END "
        "FROM sqlite_master WHERE type IN ('index', 'table')"
    ),
    "postgresql": (
        "SELECT 'CONSTRAINT ' || c.conname FROM pg_catalog.pg_constraint c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace "
        "WHERE n.nspname = current_schema() AND c.convalidated "
        "UNION SELECT 'CONSTRAINT ' || i.relname FROM pg_catalog.pg_index x "
        "JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid "
        "JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace "
        "WHERE n.nspname = current_schema() AND x.indisvalid AND x.indisready"
    ),
}
"""The names of all constraints and indexes that count, after the word CONSTRAINT."""

Repair: TypeAlias = Callable[[], object]


class SqlFsck:
    """Checks, and repairs, the rows of one registry."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._notes: list[str] = []
        self._unread: set[str] = set()
        self.incomplete_models: set[object] = set()
        """The names of the models with a row that lacks something, after a run."""

    def run(self, *, repair: bool) -> Report:
        """See `registry_core.fsck.Fsck`. Nothing in a database is ever left unfinished."""
        findings = [*self._damage(), *self._missing_parts()]
        for table in metadata.sorted_tables:
            findings += self._guarded(table, self._incomplete(table))
        for check in checks():
            findings += self._guarded(check.table, self._rows(check, repair=repair))
        for folding in FOLDINGS:
            findings += self._guarded(folding.table, self._folded(folding, repair=repair))
        for table, column, rule in WORDS:
            findings += self._guarded(table, self._words(table, column, rule))
        findings += self._guarded(webhooks, self._webhooks())
        counted = {kind: self._count(tables) for kind, tables in COUNTED.items()}
        return Report(
            findings=tuple(findings),
            checked=counted,
            not_checked={"damaged_tables": len(self._unread)} if self._unread else {},
            notes=tuple(self._notes),
        )

    # What the database says of itself

    def _damage(self) -> Iterator[Finding]:
        if self._database.driver.dialect.name != "sqlite":
            return
        try:
            rows = self._read("PRAGMA integrity_check(100)")
        except StoreCorruptedError as error:
            rows = [(str(error),)]
        for (detail,) in rows:
            if detail != "ok":
                yield _finding("damaged-database", "the file", str(detail))

    def _missing_parts(self) -> Iterator[Finding]:
        rows = self._read(_PRESENT[self._database.driver.dialect.name])
        present = {name for (text,) in rows for name in _CONSTRAINT.findall(text or "")}
        for table in metadata.sorted_tables:
            for name in _parts(table):
                if name not in present:
                    detail = "the database neither keeps nor enforces it: restore it, or a backup"
                    yield _finding("missing-constraint", f"{table.name}.{name}", detail)

    # Rows

    def _incomplete(self, table: Table) -> Iterator[Finding]:
        keys, columns = key_of(table), required(table)
        rows = self._select(_at_most(MOST_FINDINGS + 1, incomplete(table)))
        self._note_more("missing-value", table, len(rows))
        for row in rows[:MOST_FINDINGS]:
            values = {column.name: value for column, value in zip(keys, row, strict=False)}
            present = zip(columns, row[len(keys) :], strict=True)
            names = ", ".join(column.name for column, is_there in present if not is_there)
            self.incomplete_models.add(values.get("name"))
            yield _finding("missing-value", _subject(table, values), f"it has no {names}")

    def _rows(self, check: Check, *, repair: bool) -> Iterator[Finding]:
        keys = key_of(check.table)
        rows = self._select(_at_most(MOST_FINDINGS + 1, check.query))
        self._note_more(check.problem, check.table, len(rows))
        for row in rows[:MOST_FINDINGS]:
            key, rest = row[: len(keys)], row[len(keys) :]
            values = {column.name: value for column, value in zip(keys, key, strict=True)}
            mend = None if check.repair is None else partial(self._write, check.repair, values)
            detail = check.detail.format(*rest)
            found_one = _finding(check.problem, _subject(check.table, values), detail)
            yield _mended(found_one, mend, repair=repair)

    def _folded(self, folding: Folding, *, repair: bool) -> Iterator[Finding]:
        count = 0
        for values, text, stored in self._odd_texts(folding):
            subject = _subject(folding.table, values)
            try:
                validation.text(text or "", parameter=folding.text.name, max_length=len(text or ""))
            except InvalidArgumentError as error:
                yield _finding("illegal-value", subject, str(error))
                continue
            right = None if text is None else rows.folded(text)
            if stored == right:
                continue
            count += 1
            if count > MOST_FINDINGS:
                self._note_more("stale-search-value", folding.table, count)
                return
            new_values = {**values, "text": text, "folded": right}
            detail = f"its {folding.folded.name} is not what its {folding.text.name} gives"
            mend = partial(self._write, folding.repair(), new_values)
            yield _mended(_finding("stale-search-value", subject, detail), mend, repair=repair)

    def _odd_texts(
        self, folding: Folding
    ) -> Iterator[tuple[dict[str, Any], str | None, str | None]]:
        keys = key_of(folding.table)
        query = _at_most(BATCH_ROWS, folding.query())
        after: dict[str, Any] = {
            f"after_{key.name}": 0 if key.type.python_type is int else "" for key in keys
        }
        while rows := self._select(query, after):
            values: dict[str, Any] = {}
            for *key, text, stored in rows:
                values = {column.name: value for column, value in zip(keys, key, strict=True)}
                yield values, text, stored
            after = {f"after_{name}": value for name, value in values.items()}

    def _words(
        self, table: Table, column: Column[Any], rule: Callable[[str], object]
    ) -> Iterator[Finding]:
        words = select(column).distinct().where(column.is_not(None)).order_by(column)
        query = _at_most(BATCH_ROWS, words)
        rows = self._select(query)
        while rows:
            for (word,) in rows:
                try:
                    rule(word)
                except InvalidArgumentError as error:
                    yield _finding("illegal-value", f"{table.name}.{column.name}", str(error))
            rows = self._select(query.where(column > param("after")), {"after": rows[-1][0]})

    def _webhooks(self) -> Iterator[Finding]:
        for row in self._select(select(*(webhooks.c[name] for name in WEBHOOK_FIELDS))):
            try:
                rows.webhook(row)
            except StoreCorruptedError as error:
                yield _finding("illegal-value", f"webhooks(webhook_id={row[0]!r})", str(error))

    # How it is asked

    def _guarded(self, table: Table, findings: Iterator[Finding]) -> list[Finding]:
        """The findings, up to where the table cannot be read."""
        collected: list[Finding] = []
        try:
            collected.extend(findings)
        except StoreCorruptedError as error:
            if table.name not in self._unread:
                collected.append(_finding("damaged-database", table.name, str(error)))
            self._unread.add(table.name)
        return collected

    def _count(self, tables: tuple[Table, ...]) -> int:
        try:
            counts = [self._select(select(func.count()).select_from(table)) for table in tables]
        except StoreCorruptedError:
            return 0
        return sum(int(count) for ((count,),) in counts)

    def _note_more(self, problem: str, table: Table, count: int) -> None:
        if count > MOST_FINDINGS:
            self._notes.append(
                f"More than {MOST_FINDINGS} rows of {table.name} have the problem {problem}: "
                "repair these, and check again"
            )

    def _read(self, text: str) -> list[Row]:
        return self._database.read(Statement(text, ()), {})

    def _select(self, query: Select[Any], values: Values | None = None) -> list[Row]:
        return self._database.read(self._compiled(query), values or {})

    def _write(self, expression: ClauseElement, values: Values) -> None:
        self._database.write(self._compiled(expression), values)

    def _compiled(self, expression: ClauseElement) -> Statement:
        return compiled(expression, self._database.driver.dialect)


def _at_most(count: int, query: Select[Any]) -> Select[Any]:
    return query.limit(literal_column(str(count))).offset(literal_column("0"))


def _parts(table: Table) -> Iterator[str]:
    names = [constraint.name for constraint in table.constraints]
    names += [index.name for index in table.indexes]
    yield from (str(name) for name in names if name is not None)


def _subject(table: Table, key: Mapping[str, object]) -> str:
    return f"{table.name}({', '.join(f'{name}={value!r}' for name, value in key.items())})"


def _finding(problem: str, subject: str, detail: str) -> Finding:
    return Finding(problem=problem, subject=subject, detail=detail, repairable=False)


def _mended(finding: Finding, mend: Repair | None, *, repair: bool) -> Finding:
    if mend is None:
        return finding
    finding = attrs.evolve(finding, repairable=True)
    if not repair:
        return finding
    try:
        mend()
    except RegistryError as error:
        return attrs.evolve(finding, detail=f"{finding.detail}; the repair failed: {error}")
    return attrs.evolve(finding, repaired=True)
