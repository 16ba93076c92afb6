"""The statements that create something, each in the steps of SQLite and in PostgreSQL's one.

Strategy: PostgreSQL takes all steps in one statement and one round trip. The later ones depend on
nothing but what the first returns, so its single snapshot does no harm. The last one notes the
operation: see `operations`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, literal_column, select, update
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.sql.selectable import FromClause

from registry_core.stores.sql.compiling import (
    element,
    elements,
    given,
    param,
    waits_for_locks_briefly,
)
from registry_core.stores.sql.driver import Insert
from registry_core.stores.sql.events import noted_as
from registry_core.stores.sql.outbox import queueing, somebody_listens
from registry_core.stores.sql.parts import TAG_VALUE
from registry_core.stores.sql.tables import (
    applied_operations,
    model_version_tags,
    model_versions,
    registered_model_tags,
    registered_models,
)

_TIMES = ("creation_time", "last_updated_time")
_NEW_MODEL = tuple(
    column.name
    for column in registered_models.c
    if column.name not in (*_TIMES, "next_version", "last_event")
)
_NEW_VERSION = tuple(
    column.name for column in model_versions.c if column.name not in ("name", "version")
)

_ONE: ColumnElement[int] = literal_column("1")


def creating_models(insert_into: Insert) -> dict[str, ClauseElement]:
    """The two steps of creating a model, and PostgreSQL's way to take them at once."""
    model = registered_models
    # A name that is taken gives no row, and no failed transaction either.
    create = (
        insert_into(model)
        .from_select(
            [*_NEW_MODEL, *_TIMES, "next_version", "last_event"],
            select(
                *(given(name) for name in _NEW_MODEL),
                *(param("now").label(name) for name in _TIMES),
                _ONE.label("next_version"),
                _ONE.label("last_event"),
            ).where(waits_for_locks_briefly()),
            include_defaults=False,
        )
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(model.c.name, model.c.model_id, model.c.last_event)
    )
    created = create.cte("created")
    tags = ["name", "key", *TAG_VALUE]
    tagged = insert(registered_model_tags).from_select(
        tags, select(created.c.name, *given_tags()), include_defaults=False
    )
    event = noted_as(select(created.c.model_id, created.c.last_event, created.c.name))
    return {
        "create_model": create.returning(somebody_listens()),
        "create_model_tags": insert(registered_model_tags).from_select(
            tags, select(given("name"), *given_tags()), include_defaults=False
        ),
        "create_model_at_once": _noted(created).add_cte(
            event.cte("event"), queueing(created).cte("queued")
        ),
        "create_tagged_model_at_once": _noted(created).add_cte(
            tagged.cte("tagged"), event.cte("event"), queueing(created).cte("queued")
        ),
    }


def creating_versions() -> dict[str, ClauseElement]:
    """The three steps of creating a version, and PostgreSQL's way to take them at once.

    Strategy: the number comes from a counter on the model's row, taken under that row's lock, so
    that any number of writers get 1..N without a gap and without a retry.
    """
    take = _taking_number()
    names = ["name", "version", *_NEW_VERSION]
    values = [given(name) for name in _NEW_VERSION]
    taken = take.cte("taken")
    created = (
        insert(model_versions)
        .from_select(names, select(taken.c.name, taken.c.version, *values), include_defaults=False)
        .returning(model_versions.c.name, model_versions.c.version)
        .cte("created")
    )
    tags = ["name", "version", "last_updated_time", "key", *TAG_VALUE]
    time = given("last_updated_time")
    tagged = insert(model_version_tags).from_select(
        tags,
        select(created.c.name, created.c.version, time, *given_tags()),
        include_defaults=False,
    )
    event = noted_as(
        select(taken.c.model_id, taken.c.last_event, taken.c.name), of_version=taken.c.version
    )
    return {
        "take_version": take.returning(somebody_listens()),
        "create_version": insert(model_versions).values({name: param(name) for name in names}),
        "create_version_tags": insert(model_version_tags).from_select(
            tags,
            select(given("name"), given("version"), time, *given_tags()),
            include_defaults=False,
        ),
        "create_version_at_once": _noted(created, created.c.version).add_cte(
            tagged.cte("tagged"), event.cte("event"), queueing(taken).cte("queued")
        ),
    }


def _taking_number() -> Any:
    """Take the number of a model's next version, and that of the event of its creation."""
    model = registered_models
    return (
        update(model)
        .where(model.c.name == param("name"), waits_for_locks_briefly())
        .values(
            next_version=model.c.next_version + _ONE,
            last_event=model.c.last_event + _ONE,
            last_updated_time=param("creation_time"),
        )
        .returning(
            model.c.name,
            (model.c.next_version - _ONE).label("version"),
            model.c.model_id,
            model.c.last_event,
        )
    )


def operations() -> dict[str, ClauseElement]:
    """What is done with operations that have been noted."""
    operation = applied_operations
    return {
        "get_operation": select(operation.c.version).where(
            operation.c.operation_id == param("operation_id")
        ),
        "prune_operations": delete(operation).where(
            operation.c.operation_id < param("operation_id"), waits_for_locks_briefly()
        ),
    }


def _noted(created: FromClause, version: ColumnElement[Any] | None = None) -> ReturningInsert[Any]:
    """Notes the operation of a statement that has created something; see `operations`."""
    operation = applied_operations
    names = ["operation_id"] if version is None else ["operation_id", "version"]
    values = [given("operation_id")] if version is None else [given("operation_id"), version]
    return (
        insert(operation)
        .from_select(names, select(*values).select_from(created), include_defaults=False)
        .returning(operation.c.version)
    )


def given_tags() -> list[ColumnElement[Any]]:
    """Key and value, in all its forms, of each tag in the parameter `tags`."""
    tag = elements(param("tags"))
    return [
        element(tag.c.value, literal_column(str(index))).label(name)
        for index, name in enumerate(("key", *TAG_VALUE))
    ]
