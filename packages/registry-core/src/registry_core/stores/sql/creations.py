"""The statements that create something, each in the steps of SQLite and in PostgreSQL's one.

Strategy: PostgreSQL takes all steps in one statement and one round trip. The later ones depend on
nothing but what the first returns, so its single snapshot does no harm. The last one notes the
operation: see `operations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, literal_column, or_, select, update
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.sql.selectable import FromClause

from registry_core.stores.sql.compiling import labeled, param, waits_for_locks_briefly
from registry_core.stores.sql.driver import Insert
from registry_core.stores.sql.events import noted_as
from registry_core.stores.sql.json_functions import element, elements
from registry_core.stores.sql.outbox import WRITE_FORMS, has_webhooks, queued, without_webhooks
from registry_core.stores.sql.parts import TAG_VALUE
from registry_core.stores.sql.tables import (
    applied_operations,
    model_version_tags,
    model_versions,
    registered_model_tags,
    registered_models,
)

_NEW_VERSION = tuple(
    column.name for column in model_versions.c if column.name not in ("name", "version")
)

_VERSION_TAGS = ["name", "version", "last_updated_time", "key", *TAG_VALUE]

_ONE: ColumnElement[int] = literal_column("1")

_NEW_MODEL: Mapping[str, ColumnElement[Any]] = {
    **{column.name: param(column.name) for column in registered_models.c},
    "last_updated_time": param("creation_time"),
    "next_version": _ONE,
    "last_event": _ONE,
}
"""The columns of a new model, and their values."""

VOID = 0
"""What is noted, in place of the number of a version, of an operation that must not be done."""


def creating_models(insert_into: Insert) -> dict[str, ClauseElement]:
    """Return the two steps of creating a model, and PostgreSQL's way to take them at once."""
    tags = ["name", "key", *TAG_VALUE]
    return {
        # Without a SELECT and a row to return, which cost SQLite as much as one of its indexes.
        "create_model": insert_into(registered_models)
        .values(_NEW_MODEL)
        .on_conflict_do_nothing(index_elements=["name"]),
        "create_model_tags": insert(registered_model_tags).from_select(
            tags, select(labeled("name"), *tags_from_parameters()), include_defaults=False
        ),
        **_model_in_one_statement(insert_into, tags, queues=False),
        **_model_in_one_statement(insert_into, tags, queues=True),
    }


def _create_model(insert_into: Insert, *conditions: ColumnElement[bool]) -> Any:
    """The first step. A name that is taken gives no row, and no failed transaction either."""
    model = registered_models
    return (
        insert_into(model)
        .from_select(
            list(_NEW_MODEL),
            select(*(value.label(name) for name, value in _NEW_MODEL.items())).where(
                *conditions, waits_for_locks_briefly()
            ),
            include_defaults=False,
        )
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(model.c.name, model.c.model_id, model.c.last_event)
    )


def _model_in_one_statement(
    insert_into: Insert, tags: list[str], *, queues: bool
) -> dict[str, ClauseElement]:
    created = _create_model(insert_into, *without_webhooks(queues=queues)).cte("created")
    tagged = insert(registered_model_tags).from_select(
        tags, select(created.c.name, *tags_from_parameters()), include_defaults=False
    )
    event = noted_as(select(created.c.model_id, created.c.last_event, created.c.name)).cte("event")
    end = WRITE_FORMS[queues]
    return {
        f"create_model_{end}": queued(_noted(created).add_cte(event), created, queues=queues),
        f"create_tagged_model_{end}": queued(
            _noted(created).add_cte(tagged.cte("tagged"), event), created, queues=queues
        ),
    }


def creating_versions() -> dict[str, ClauseElement]:
    """Return the three steps of creating a version, and PostgreSQL's way to take them at once.

    Strategy: the number comes from a counter on the model's row, taken under that row's lock, so
    that any number of writers get 1..N without a gap and without a retry.
    """
    names = ["name", "version", *_NEW_VERSION]
    time = labeled("last_updated_time")
    return {
        "take_version": _take_version().returning(has_webhooks()),
        "create_version": insert(model_versions).values({name: param(name) for name in names}),
        "create_version_tags": insert(model_version_tags).from_select(
            _VERSION_TAGS,
            select(labeled("name"), labeled("version"), time, *tags_from_parameters()),
            include_defaults=False,
        ),
        **_version_in_one_statement(names, queues=False),
        **_version_in_one_statement(names, queues=True),
    }


def _take_version(*conditions: ColumnElement[bool]) -> Any:
    model = registered_models
    return (
        update(model)
        .where(model.c.name == param("name"), *conditions, waits_for_locks_briefly())
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


def _version_in_one_statement(names: list[str], *, queues: bool) -> dict[str, ClauseElement]:
    values = [labeled(name) for name in _NEW_VERSION]
    taken = _take_version(*without_webhooks(queues=queues)).cte("taken")
    created = (
        insert(model_versions)
        .from_select(names, select(taken.c.name, taken.c.version, *values), include_defaults=False)
        .returning(model_versions.c.name, model_versions.c.version)
        .cte("created")
    )
    time = labeled("last_updated_time")
    tagged = insert(model_version_tags).from_select(
        _VERSION_TAGS,
        select(created.c.name, created.c.version, time, *tags_from_parameters()),
        include_defaults=False,
    )
    event = noted_as(
        select(taken.c.model_id, taken.c.last_event, taken.c.name), of_version=taken.c.version
    ).cte("event")
    noting, end = _noted(created, created.c.version), WRITE_FORMS[queues]
    return {
        f"create_version_{end}": queued(noting.add_cte(event), taken, queues=queues),
        f"create_tagged_version_{end}": queued(
            noting.add_cte(tagged.cte("tagged"), event), taken, queues=queues
        ),
    }


def operations() -> dict[str, ClauseElement]:
    """Return what is done with operations that have been noted."""
    operation = applied_operations
    kept = select(*_kept_columns())
    return {
        "get_operation": kept.where(operation.c.operation_id == param("operation_id")),
        "get_kept_key": kept.where(operation.c.idempotency_key == param("idempotency_key")),
        "keep_key": insert(operation).values(
            {name: param(name) for name in ("operation_id", "version")}
            | {column: param(name) for column, name in _KEPT.items()}
        ),
        # A second one breaks the key, as every copy of the operation does from now on.
        "void_operation": insert(operation).from_select(
            ["operation_id", "version"],
            select(labeled("operation_id"), literal_column(str(VOID)).label("version")).where(
                waits_for_locks_briefly()
            ),
            include_defaults=False,
        ),
        "prune_operations": delete(operation).where(
            operation.c.operation_id < param("operation_id"),
            or_(
                operation.c.idempotency_key.is_(None),
                operation.c.operation_id < param("kept_operation_id"),
            ),
            waits_for_locks_briefly(),
        ),
    }


_KEPT = {"idempotency_key": "idempotency_key", "request": "request", "time": "kept_time"}
"""The columns of an operation that has an idempotency key, and their parameters."""


def _kept_columns() -> list[ColumnElement[Any]]:
    operation = applied_operations
    return [operation.c.version, operation.c.request, operation.c.time]


def _noted(created: FromClause, version: ColumnElement[Any] | None = None) -> ReturningInsert[Any]:
    """Notes the operation of a statement that has created something; see `operations`."""
    names, values = ["operation_id"], [labeled("operation_id")]
    if version is not None:
        names.append("version")
        values.append(version)
    names += _KEPT
    values += [labeled(name) for name in _KEPT.values()]
    return (
        insert(applied_operations)
        .from_select(names, select(*values).select_from(created), include_defaults=False)
        .returning(*_kept_columns())
    )


def tags_from_parameters() -> list[ColumnElement[Any]]:
    """Key and value, in all its forms, of each tag in the parameter `tags`."""
    tag = elements(param("tags"))
    return [
        element(tag.c.value, literal_column(str(index))).label(name)
        for index, name in enumerate(("key", *TAG_VALUE))
    ]
