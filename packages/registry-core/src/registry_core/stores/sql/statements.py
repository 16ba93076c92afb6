"""Every statement of the store that does not depend on a search, compiled for one dialect."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs
from sqlalchemy import (
    Select,
    Text,
    case,
    cast,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.sql.selectable import FromClause, ScalarSelect

from registry_core import validation
from registry_core.fields import Field, scalars_of
from registry_core.models import ModelVersion, RegisteredModel, Stage
from registry_core.stores.sql import approvals, events, outbox
from registry_core.stores.sql.compiling import Statement, compiled, param, waits_for_locks_briefly
from registry_core.stores.sql.creations import (
    creating_models,
    creating_versions,
    operations,
)
from registry_core.stores.sql.driver import Insert
from registry_core.stores.sql.json_functions import array_of, object_of
from registry_core.stores.sql.parts import is_version, writing_parts
from registry_core.stores.sql.restoring import replacing_beginnings, restoring
from registry_core.stores.sql.tables import (
    model_versions,
    registered_model_aliases,
    registered_model_tags,
    registered_models,
    webhooks,
)
from registry_core.stores.sql.written_versions import (
    latest_versions,
    version_tags,
)

MODEL_FIELDS = tuple(field.column for field in scalars_of(RegisteredModel))
"""The columns of a registered model that are read, in the order `rows` reads them."""

VERSION_FIELDS = tuple(field.column for field in scalars_of(ModelVersion))
"""The columns of a model version that are read, in the order `rows` reads them."""

MODEL_TAGS, MODEL_ALIASES, LATEST_VERSIONS = range(len(MODEL_FIELDS), len(MODEL_FIELDS) + 3)
"""Where `model_columns` has tags, aliases and latest versions: after the fields."""

VERSION_TAGS, VERSION_ALIASES = range(len(VERSION_FIELDS), len(VERSION_FIELDS) + 2)
"""Where `version_columns` has tags and aliases: after the fields."""


def _places(entity: type[attrs.AttrsInstance], holds: Callable[[Field], bool]) -> tuple[int, ...]:
    """Where the fields of an entity are of which something holds."""
    return tuple(place for place, field in enumerate(scalars_of(entity)) if holds(field))


LONG_MODEL_COLUMNS = (
    *_places(RegisteredModel, lambda field: field.about.is_long),
    *(MODEL_TAGS, MODEL_ALIASES, LATEST_VERSIONS),
)
"""Where `model_columns` has texts of any length: descriptions, and what is JSON."""

LONG_VERSION_COLUMNS = (
    *_places(ModelVersion, lambda field: field.about.is_long),
    *(VERSION_TAGS, VERSION_ALIASES),
)
"""Where `version_columns` has texts of any length."""

URI_COLUMNS = _places(ModelVersion, lambda field: field.about.is_uri)
"""Where `version_columns` has URIs, and the message of its status."""

WEBHOOK_FIELDS = tuple(column.name for column in webhooks.c)

_ONE: ColumnElement[int] = literal_column("1")


# What is read


def version_columns(version: FromClause) -> list[ColumnElement[Any]]:
    """Return a model version, complete: its fields, its tags and its aliases."""
    aliases = registered_model_aliases.alias("va")
    return [
        *(version.c[field] for field in VERSION_FIELDS),
        version_tags(version),
        _one(
            select(array_of(aliases.c.alias)).where(
                aliases.c.name == version.c.name, aliases.c.version == version.c.version
            )
        ),
    ]


def model_columns(
    model: FromClause, dialect: Dialect, *, of_page: bool
) -> list[ColumnElement[Any]]:
    """Return a registered model, complete: its fields, tags, aliases and latest versions.

    `of_page`: many models are read, and not one.
    """
    tags, aliases = registered_model_tags.alias("mt"), registered_model_aliases.alias("ma")
    return [
        *(model.c[field] for field in MODEL_FIELDS),
        _one(select(object_of(tags.c.key, tags.c.value)).where(tags.c.name == model.c.name)),
        _one(
            select(object_of(aliases.c.alias, aliases.c.version)).where(
                aliases.c.name == model.c.name
            )
        ),
        latest_versions(model, dialect, of_page=of_page),
    ]


def _one(query: Select[Any]) -> ScalarSelect[Any]:
    return query.scalar_subquery()


# What is written


@attrs.frozen
class Statements:
    """The statements of one dialect."""

    ping: Statement
    get_model: Statement
    model_exists: Statement
    create_model: Statement
    has_webhooks: Statement
    create_model_tags: Statement
    create_model_direct: Statement
    create_model_queueing: Statement
    create_tagged_model_direct: Statement
    create_tagged_model_queueing: Statement
    update_model: Statement
    touch_model: Statement
    rename_model: Statement
    touch_versions: Statement
    delete_model: Statement
    prompt_tags: Statement
    get_version: Statement
    get_version_by_alias: Statement
    version_exists: Statement
    take_version: Statement
    create_version: Statement
    create_version_tags: Statement
    create_version_direct: Statement
    create_version_queueing: Statement
    create_tagged_version_direct: Statement
    create_tagged_version_queueing: Statement
    update_version: Statement
    finalize_version: Statement
    relocate_version: Statement
    transition: Statement
    transition_and_archive: Statement
    delete_version: Statement
    lock_model: Statement
    get_alias: Statement
    get_model_tag: Statement
    get_version_tag: Statement
    get_stage: Statement
    take_numbers: Statement
    note_event: Statement
    queue_event: Statement
    queue_events: Statement
    add_event: Statement
    add_events: Statement
    remove_history: Statement
    remove_beginning: Statement
    beginning: Statement
    awaited: Statement
    newest_event: Statement
    replace_model: Statement
    restore_model: Statement
    restore_versions: Statement
    restore_model_tags: Statement
    restore_version_tags: Statement
    restore_aliases: Statement
    restore_events: Statement
    restore_parts: Statement
    restore_new: Statement
    set_alias: Statement
    delete_alias: Statement
    set_model_tag: Statement
    delete_model_tag: Statement
    set_version_tag: Statement
    delete_version_tag: Statement
    set_alias_direct: Statement
    set_alias_queueing: Statement
    delete_alias_direct: Statement
    delete_alias_queueing: Statement
    set_model_tag_direct: Statement
    set_model_tag_queueing: Statement
    delete_model_tag_direct: Statement
    delete_model_tag_queueing: Statement
    set_version_tag_direct: Statement
    set_version_tag_queueing: Statement
    delete_version_tag_direct: Statement
    delete_version_tag_queueing: Statement
    delete_model_direct: Statement
    delete_model_queueing: Statement
    list_approvals: Statement
    get_approvals: Statement
    put_approval: Statement
    delete_approval: Statement
    staged_versions: Statement
    list_aliases: Statement
    restore_approvals: Statement
    create_webhook: Statement
    get_webhook: Statement
    list_webhooks: Statement
    touch_webhook: Statement
    update_webhook: Statement
    delete_webhook: Statement
    get_operation: Statement
    get_kept_key: Statement
    keep_key: Statement
    void_operation: Statement
    prune_operations: Statement


@functools.cache
def statements(dialect: Dialect, insert_into: Insert) -> Statements:
    """Return all statements, compiled."""
    expressions = {
        "ping": select(literal_column("1")),
        **_reading(dialect),
        **_writing_models(insert_into),
        **_writing_versions(),
        **writing_parts(insert_into, dialect),
        **_writing_webhooks(),
        **approvals.statements(),
        **operations(),
        **restoring(insert_into),
        **replacing_beginnings(),
        **events.statements(outbox.has_webhooks()),
        **outbox.statements(),
    }
    # Of one row, those that may have more than others are enough.
    long_columns = {
        "get_model": (MODEL_TAGS, LATEST_VERSIONS),
        "get_version": (VERSION_TAGS,),
        "get_version_by_alias": (VERSION_TAGS,),
    }
    made = {
        name: compiled(
            expression,
            dialect,
            long_columns=long_columns.get(name, ()),
            may_pass_events=name in _PASSING_EVENTS,
        )
        for name, expression in expressions.items()
    }
    return Statements(**made)


_PASSING_EVENTS = frozenset({
    "model_exists", "version_exists", "get_version", "get_stage", "get_kept_key", "keep_key",
    "create_model", "create_model_tags", "take_version", "create_version", "create_version_tags",
    "get_alias", "set_alias", "delete_alias", "get_model_tag", "set_model_tag", "delete_model_tag",
    "get_version_tag", "set_version_tag", "delete_version_tag", "lock_model", "take_numbers",
    "has_webhooks",
})  # fmt: skip
"""The statements of small changes that have nothing to do with events: see `Statement`."""


def _reading(dialect: Dialect) -> dict[str, ClauseElement]:
    model, version = registered_models.alias("m"), model_versions.alias("v")
    alias, tag = registered_model_aliases.alias("a"), registered_model_tags.alias("t")
    by_alias = model.outerjoin(
        alias, (alias.c.name == model.c.name) & (alias.c.alias == param("alias"))
    ).outerjoin(version, (version.c.name == alias.c.name) & (version.c.version == alias.c.version))
    return {
        "get_model": select(*model_columns(model, dialect, of_page=False)).where(
            model.c.name == param("name")
        ),
        "model_exists": select(model.c.name).where(model.c.name == param("name")),
        "get_version": select(*version_columns(version)).where(*is_version(version)),
        "version_exists": select(version.c.version).where(*is_version(version)),
        # A row without a version says that the model exists and the alias does not.
        "get_version_by_alias": select(*version_columns(version))
        .select_from(by_alias)
        .where(model.c.name == param("name")),
        "prompt_tags": select(tag.c.name).where(
            tag.c.name == param("name"),
            tag.c.key == literal_column(f"'{validation.PROMPT_TAG}'"),
        ),
    }


def _writing_models(insert_into: Insert) -> dict[str, ClauseElement]:
    model = registered_models
    named = model.c.name == param("name")
    return {
        **creating_models(insert_into),
        "update_model": update(model)
        .where(named)
        .values(description=param("description"), last_updated_time=param("now"))
        .returning(model.c.name),
        # Takes the model's row lock, which orders everything that has to be ordered.
        "touch_model": update(model)
        .where(named)
        .values(last_updated_time=param("now"))
        .returning(model.c.name),
        "rename_model": update(model)
        .where(named)
        .values(
            name=param("new_name"), name_folded=param("name_folded"), last_updated_time=param("now")
        )
        .returning(model.c.name),
        "delete_model": delete(model)
        .where(named, waits_for_locks_briefly())
        .returning(model.c.name),
        "delete_model_direct": _deleting_model(queues=False),
        "delete_model_queueing": _deleting_model(queues=True),
    }


def _deleting_model(*, queues: bool) -> ClauseElement:
    model = registered_models
    gone = (
        delete(model)
        .where(
            model.c.name == param("name"),
            *outbox.without_webhooks(queues=queues),
            waits_for_locks_briefly(),
        )
        .returning(model.c.model_id, (model.c.last_event + _ONE).label("last_event"), model.c.name)
        .cte("gone")
    )
    event = events.noted_as(select(gone.c.model_id, gone.c.last_event, gone.c.name))
    return outbox.queued(event, gone, queues=queues)


def _writing_versions() -> dict[str, ClauseElement]:
    version = model_versions
    this = is_version(version)
    moved = {"last_updated_time": param("now"), "current_stage": param("stage")}
    archived = case(
        (version.c.version == param("version"), param("stage")),
        else_=literal_column(f"'{Stage.ARCHIVED.value}'"),
    )
    return {
        **creating_versions(),
        "touch_versions": update(version)
        .where(version.c.name == param("name"))
        .values(last_updated_time=param("now")),
        "update_version": update(version)
        .where(*this)
        .values(description=param("description"), last_updated_time=param("now"))
        .returning(version.c.version),
        "finalize_version": update(version)
        .where(*this, version.c.status == param("pending"))
        .values(
            status=param("status"),
            status_message=param("status_message"),
            source=func.coalesce(param("source"), version.c.source),
            source_folded=case(
                (cast(param("source"), Text).is_(None), version.c.source_folded),
                else_=param("source_folded"),
            ),
            storage_location=func.coalesce(param("storage_location"), version.c.storage_location),
            last_updated_time=param("now"),
        )
        .returning(version.c.version),
        "relocate_version": update(version)
        .where(*this)
        .values(
            source=param("source"),
            source_folded=param("source_folded"),
            storage_location=param("storage_location"),
            last_updated_time=param("now"),
        )
        .returning(version.c.version),
        "transition": update(version).where(*this).values(moved).returning(version.c.version),
        "transition_and_archive": update(version)
        .where(
            version.c.name == param("name"),
            (version.c.version == param("version")) | (version.c.current_stage == param("stage")),
        )
        .values(moved | {"current_stage": archived})
        .returning(version.c.version),
        "delete_version": delete(version).where(*this).returning(version.c.version),
    }


def _writing_webhooks() -> dict[str, ClauseElement]:
    columns = [webhooks.c[field] for field in WEBHOOK_FIELDS]
    this = webhooks.c.webhook_id == param("webhook_id")
    values = {field: param(field) for field in WEBHOOK_FIELDS}
    return {
        "create_webhook": insert(webhooks).values(values),
        "get_webhook": select(*columns).where(this),
        "list_webhooks": select(*columns),
        # Takes the row's lock, so that two updates do not undo each other.
        "touch_webhook": update(webhooks)
        .where(this)
        .values(last_updated_time=param("now"))
        .returning(*columns),
        "update_webhook": update(webhooks).where(this).values(values),
        "delete_webhook": delete(webhooks)
        .where(this, waits_for_locks_briefly())
        .returning(webhooks.c.webhook_id),
    }
