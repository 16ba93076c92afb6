"""Which histories a database has, for the check of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from sqlalchemy import Select, literal_column, select
from sqlalchemy.engine import Dialect

from registry_core.errors import StoreCorruptedError
from registry_core.history import Event, EventQuery
from registry_core.history_fsck import DeletedHistory
from registry_core.stores.sql import event_rows, events
from registry_core.stores.sql.compiling import Statement, compiled, param
from registry_core.stores.sql.database import Database
from registry_core.stores.sql.tables import model_events, registered_models

BATCH_ROWS = 1_000
"""Names, or ids, that are read at a time."""


class Histories:
    """The histories of one registry."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.driver.dialect

    def names(self) -> Iterator[str]:
        """Yield the names of all models. A table that cannot be read has none."""
        return self._all(_names(self._dialect))

    def deleted(self) -> Iterator[DeletedHistory]:
        """Yield the histories of models that are there no more."""
        for model_id in self._all(_deleted_ids(self._dialect)):
            yield DeletedHistory(
                f"model_events(model_id={model_id!r})", partial(self._page, model_id)
            )

    def _all(self, statement: Statement) -> Iterator[str]:
        after = ""
        try:
            while records := self._database.read(statement, {"after": after, "most": BATCH_ROWS}):
                yield from (value for (value,) in records)
                (after,) = records[-1]
        except StoreCorruptedError:
            return  # Which the check of the rows reports.

    def _page(self, model_id: str, query: EventQuery) -> list[Event]:
        sequence = 0 if query.after is None else query.after[2]
        values: dict[str, Any] = {"model_id": model_id, "after_sequence": sequence}
        values["most"] = query.max_results
        rows = self._database.read(_page_of_id(self._dialect), values)
        return [event_rows.event_of(row) for row in rows]


def _names(dialect: Dialect) -> Statement:
    model = registered_models
    names = select(model.c.name).where(model.c.name > param("after")).order_by(model.c.name)
    return compiled(_at_most(names), dialect)


def _deleted_ids(dialect: Dialect) -> Statement:
    event, model = model_events.alias("e"), registered_models.alias("m")
    is_there = (
        select(literal_column("1"))
        .select_from(model)
        .where(model.c.model_id == event.c.model_id)
        .correlate(event)
        .exists()
    )
    ids = (
        select(event.c.model_id)
        .distinct()
        .where(event.c.model_id > param("after"), ~is_there)
        .order_by(event.c.model_id)
    )
    return compiled(_at_most(ids), dialect)


def _page_of_id(dialect: Dialect) -> Statement:
    event = model_events.alias("e")
    page = (
        select(*(event.c[name] for name in events.COLUMNS), *events.around(event))
        .where(event.c.model_id == param("model_id"), event.c.sequence > param("after_sequence"))
        .order_by(event.c.sequence)
    )
    return compiled(_at_most(page), dialect)


def _at_most(rows: Select[Any]) -> Select[Any]:
    return rows.limit(param("most")).offset(literal_column("0"))
