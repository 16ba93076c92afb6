"""What is true of every row, as queries for the rows of which it is not.

Each query is one statement, so that what it compares is of one moment, also beside writers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import attrs
from sqlalchemy import (
    Column,
    Select,
    Table,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.elements import ClauseElement, ColumnElement

from registry_core import validation
from registry_core.documents import FIRST_VERSION
from registry_core.fields import scalars_of
from registry_core.models import ModelVersion, RegisteredModel, Stage, Status, WebhookStatus
from registry_core.stores.sql.compiling import is_ascii, param
from registry_core.stores.sql.tables import (
    VALUE_HEAD,
    model_events,
    model_version_approvals,
    model_version_tags,
    model_versions,
    registered_model_aliases,
    registered_model_tags,
    registered_models,
    webhook_dead_letters,
    webhook_outbox,
    webhooks,
)

COUNTED: Mapping[str, tuple[Table, ...]] = {
    "registered_models": (registered_models,),
    "model_versions": (model_versions,),
    "tags": (registered_model_tags, model_version_tags),
    "aliases": (registered_model_aliases,),
    "approvals": (model_version_approvals,),
    "webhooks": (webhooks,),
}
"""The tables whose rows are looked at, by what they are."""

_MODEL, _VERSION = registered_models.c, model_versions.c


@attrs.frozen
class Check:
    """A query for wrong rows: their key, then what `detail` says of each."""

    problem: str
    table: Table
    query: Select[Any]
    detail: str
    """What is wrong, in which `{}` is each value after the key."""
    repair: ClauseElement | None = None
    """What puts the row of a key right, if it is still wrong."""


@attrs.frozen
class Folding:
    """A text, and the column that repeats it in lower case where the database cannot; `tables`."""

    table: Table
    text: Column[Any]
    folded: Column[Any]

    def query(self) -> Select[Any]:
        """Key, text and folded text of all rows of which either is out of the ordinary.

        After the key in the parameters `after_*`; ordered by it.
        """
        keys = key_of(self.table)
        after = tuple_(*(param(f"after_{key.name}") for key in keys))
        return (
            select(*keys, self.text, self.folded)
            .where(or_(self.folded.is_not(None), ~is_ascii(self.text)), tuple_(*keys) > after)
            .order_by(*keys)
        )

    def repair(self) -> ClauseElement:
        """Set the folded text to `folded`, where the text is still `text`."""
        return (
            update(self.table)
            .where(*_is_row(self.table), self.text.is_not_distinct_from(param("text")))
            .values({self.folded: param("folded")})
        )


FOLDINGS = (
    *(
        Folding(table, table.c[field.column], table.c[field.folded_column])
        for table, entity in ((registered_models, RegisteredModel), (model_versions, ModelVersion))
        for field in scalars_of(entity)
        if field.about.is_folded
    ),
    *(
        Folding(tags, tags.c.value, tags.c.value_folded)
        for tags in (registered_model_tags, model_version_tags)
    ),
)

WORDS = (
    (registered_models, _MODEL.name, validation.model_name),
    (registered_model_tags, registered_model_tags.c.key, validation.tag_key),
    (model_version_tags, model_version_tags.c.key, validation.tag_key),
    (registered_model_aliases, registered_model_aliases.c.alias, validation.alias),
)
"""Columns whose every value must pass a rule that only Python knows."""


def key_of(table: Table) -> list[Column[Any]]:
    """Return the columns of a table's primary key."""
    return list(table.primary_key.columns)


def incomplete(table: Table) -> Select[Any]:
    """Key of each row that lacks what no row may lack, then whether it has each of `required`."""
    absent = [column.is_(None) for column in required(table)]
    return select(*key_of(table), *(~each for each in absent)).where(or_(*absent))


def required(table: Table) -> list[Column[Any]]:
    """Return the columns of a table in which every row has a value."""
    return [column for column in table.columns if not column.nullable]


def checks() -> Iterator[Check]:
    """Yield all of them."""
    yield from _without_owner()
    yield _counters()
    yield from _event_counters()
    yield from _illegal()
    yield from _heads()


def _is_row(table: Table) -> list[ColumnElement[bool]]:
    return [key == param(key.name) for key in key_of(table)]


_OWNERS = (
    # What a repair removes cannot be reached; a version can, and may be all that is left.
    (model_versions, registered_models, ("name",), "version-without-model", False),
    (registered_model_tags, registered_models, ("name",), "tag-without-owner", True),
    (
        model_version_tags,
        model_versions,
        ("name", "last_updated_time", "version"),
        "tag-without-owner",
        True,
    ),
    (
        registered_model_aliases,
        model_versions,
        ("name", "version"),
        "alias-without-version",
        True,
    ),
    (
        model_version_approvals,
        model_versions,
        ("name", "version"),
        "approval-without-version",
        True,
    ),
    # A change that was under way while a webhook was deleted leaves one, which nobody misses.
    (webhook_outbox, webhooks, ("webhook_id",), "delivery-without-webhook", True),
    (webhook_dead_letters, webhooks, ("webhook_id",), "delivery-without-webhook", True),
    (webhook_outbox, model_events, ("model_id", "sequence"), "delivery-without-event", True),
    (
        webhook_dead_letters,
        model_events,
        ("model_id", "sequence"),
        "delivery-without-event",
        True,
    ),
)
"""Tables, what their rows belong to, by which columns, the problem of a row that belongs to
nothing, and whether a repair removes it."""


def _without_owner() -> Iterator[Check]:
    for table, owner, columns, problem, removable in _OWNERS:
        same = (owner.c[column] == table.c[column] for column in columns)
        alone = ~exists(select(literal_column("1")).select_from(owner).where(*same))
        yield Check(
            problem,
            table,
            select(*key_of(table)).where(alone),
            f"no row of {owner.name} is its owner",
            delete(table).where(*_is_row(table), alone) if removable else None,
        )


def _counters() -> Check:
    highest = (
        select(func.max(_VERSION.version)).where(_VERSION.name == _MODEL.name).scalar_subquery()
    )
    return Check(
        "inconsistent-counter",
        registered_models,
        select(_MODEL.name, _MODEL.next_version, highest).where(_MODEL.next_version <= highest),
        "the next version would be {}, and there is a version {}",
        update(registered_models)
        .where(*_is_row(registered_models), _MODEL.next_version <= highest)
        .values(next_version=highest + literal_column("1")),
    )


def _event_counters() -> Iterator[Check]:
    event = model_events
    newest = func.coalesce(
        select(func.max(event.c.sequence))
        .where(event.c.model_id == _MODEL.model_id)
        .scalar_subquery(),
        literal_column("0"),
    )
    columns = (_MODEL.name, newest, _MODEL.last_event)
    yield Check(
        "inconsistent-counter",
        registered_models,
        select(*columns).where(_MODEL.last_event < newest),
        "there is an event {}, and the next one would follow {}",
        update(registered_models)
        .where(*_is_row(registered_models), _MODEL.last_event < newest)
        .values(last_event=newest),
    )
    # What the newest events did may be said by the model alone, or, of a gate, by nothing.
    yield Check(
        "missing-events",
        registered_models,
        select(*columns).where(_MODEL.last_event > newest),
        "its newest event is {}, and there was an event {}",
    )


def _illegal() -> Iterator[Check]:
    for column, words in (
        (_VERSION.current_stage, Stage),
        (_VERSION.status, Status),
        (webhooks.c.status, WebhookStatus),
    ):
        yield _illegal_value(column, column.not_in(_literals(words)), "is '{}'")
    for column in (_VERSION.version, _MODEL.next_version):
        yield _illegal_value(column, column < literal_column(str(FIRST_VERSION)), "is {}")
    for column, limit in (
        *_limits(registered_models, RegisteredModel),
        *_limits(model_versions, ModelVersion),
        (registered_model_tags.c.value, validation.TAG_VALUE_MAX_LENGTH),
        (model_version_tags.c.value, validation.TAG_VALUE_MAX_LENGTH),
    ):
        length = func.length(column)
        yield _illegal_value(
            column,
            length > literal_column(str(limit)),
            f"has {{}} characters, and {limit} are allowed",
            length,
        )


def _limits(table: Table, entity: type[attrs.AttrsInstance]) -> Iterator[tuple[Column[Any], int]]:
    for field in scalars_of(entity):
        if field.about.max_length is not None:
            yield table.c[field.column], field.about.max_length


def _illegal_value(
    column: Column[Any],
    wrong: ColumnElement[bool],
    detail: str,
    shown: ColumnElement[Any] | None = None,
) -> Check:
    table = column.table
    assert isinstance(table, Table), "a column of ours"
    value = column if shown is None else shown
    query = select(*key_of(table), value).where(wrong)
    return Check("illegal-value", table, query, f"its {column.name} {detail}")


def _literals(words: Iterable[StrEnum]) -> list[ColumnElement[Any]]:
    return [literal_column(f"'{word.value}'") for word in words]


def _heads() -> Iterator[Check]:
    for tags in (registered_model_tags, model_version_tags):
        head = func.substr(tags.c.value, literal_column("1"), literal_column(str(VALUE_HEAD)))
        wrong = tags.c.value_head != head
        yield Check(
            "stale-search-value",
            tags,
            select(*key_of(tags)).where(wrong),
            "its value_head is not how its value begins: searches would miss it",
            update(tags).where(*_is_row(tags), wrong).values(value_head=head),
        )
