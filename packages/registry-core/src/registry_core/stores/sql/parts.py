"""The statements that set and delete tags and aliases: the parts of a model or a version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Select,
    Table,
    Text,
    and_,
    cast,
    delete,
    func,
    literal_column,
    null,
    select,
    true,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.sql.selectable import CTE, FromClause

from registry_core.stores.sql.compiling import bytes_of, labeled, param, waits_for_locks_briefly
from registry_core.stores.sql.driver import Insert
from registry_core.stores.sql.events import next_event, noted
from registry_core.stores.sql.outbox import WRITE_FORMS, queued, without_webhooks
from registry_core.stores.sql.tables import (
    model_version_tags,
    model_versions,
    registered_model_aliases,
    registered_model_tags,
    registered_models,
)

TAG_VALUE = ("value", "value_head", "value_folded")
"""The columns that hold the value of a tag, in all its forms."""

_ZERO: ColumnElement[int] = literal_column("0")
_ONE: ColumnElement[int] = literal_column("1")


def is_version(version: FromClause) -> tuple[ColumnElement[bool], ...]:
    """Return a version is the one that the parameters `name` and `version` are about."""
    return version.c.name == param("name"), version.c.version == param("version")


def writing_parts(insert_into: Insert, dialect: Dialect) -> dict[str, ClauseElement]:
    """Return the statements on parts, and PostgreSQL's that note the event with them.

    Setting changes nothing where the part is as it should be, and where the owner has as many
    others as the values `most_...` allow, or is absent. PostgreSQL gives a row if it has changed
    something; what SQLite has changed, the connection knows for less than a row costs.
    """
    model, version = registered_models, model_versions
    alias = registered_model_aliases
    model_tag, version_tag = registered_model_tags, model_version_tags
    return {
        "lock_model": select(model.c.model_id)
        .where(model.c.name == param("name"), waits_for_locks_briefly())
        .with_for_update(key_share=True),
        "get_alias": select(alias.c.version).where(*_is(alias, "name", "alias")),
        "get_model_tag": select(model_tag.c.value).where(*_is(model_tag, "name", "key")),
        "get_version_tag": select(version_tag.c.value).where(
            *_is(version_tag, "name", "version", "key")
        ),
        "get_stage": select(version.c.current_stage).where(*is_version(version)),
        **_setting(insert_into, gives_rows=dialect.name == "postgresql"),
        **_deleting(),
        **_setting_in_one_statement(insert_into, queues=False),
        **_setting_in_one_statement(insert_into, queues=True),
        **_deleting_in_one_statement(queues=False),
        **_deleting_in_one_statement(queues=True),
    }


def _setting(insert_into: Insert, *, gives_rows: bool) -> dict[str, Any]:
    """Setting is one statement; a foreign key says whether there is something to set it on."""
    tag = [labeled(name) for name in ("key", *TAG_VALUE)]
    selected = {
        "set_model_tag": select(labeled("name"), *tag),
        "set_version_tag": _tag_of_version(tag),
        "set_alias": select(labeled("name"), labeled("alias"), labeled("version")),
    }
    setting = {}
    for name, part in selected.items():
        has_room = select(_ROOM[name]).where(*_of_owner(name)).correlate(None).scalar_subquery()
        ready = part.where(has_room, waits_for_locks_briefly())
        upsert = _upsert(insert_into, name, ready)
        setting[name] = _giving_rows(name, upsert) if gives_rows else upsert
    return setting


def _setting_in_one_statement(insert_into: Insert, *, queues: bool) -> dict[str, ClauseElement]:
    """Setting and noting it; see `events.noted` for what becomes of a lost race.

    With `queues` they queue the event; otherwise they do nothing where there is an active webhook.
    They give the number of the event; NULL where the part is as it should be.

    Strategy: one look at the parts of the owner says both whether it is so and whether there is
    room.
    """
    tag = [labeled(name) for name in ("key", *TAG_VALUE)]
    version = model_versions

    def noting(name: str, select_for: Callable[[CTE], Select[Any]], *exists: Any) -> ClauseElement:
        found = select(_is_same(name).label("is_same"), _ROOM[name].label("has_room"))
        state = found.where(*_of_owner(name)).cte("state")
        is_wanted = select(state.c.is_same.is_not(true()) & state.c.has_room).scalar_subquery()
        numbered = next_event(is_wanted, *exists, *without_webhooks(queues=queues))
        upsert = _upsert(insert_into, name, select_for(numbered))
        changed = _giving_rows(name, upsert).cte("changed")
        event = noted(numbered, changed).cte("event")
        nothing = select(null().label("sequence")).where(state.c.is_same)
        outcome = select(event.c.sequence).union_all(nothing)
        return queued(outcome, numbered, queues=queues)

    end = WRITE_FORMS[queues]
    return {
        f"set_model_tag_{end}": noting(
            "set_model_tag", lambda numbered: select(numbered.c.name, *tag)
        ),
        f"set_version_tag_{end}": noting(
            "set_version_tag",
            lambda numbered: _tag_of_version(tag).where(version.c.name == numbered.c.name),
            select(_ONE).select_from(version).where(*is_version(version)).exists(),
        ),
        f"set_alias_{end}": noting(
            "set_alias",
            lambda numbered: select(numbered.c.name, labeled("alias"), labeled("version")),
        ),
    }


def _tag_of_version(tag: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """The row of a tag of a version; none where there is no version.

    It repeats the version's time, so it is selected from the version, and the version is locked,
    lest its time change meanwhile.
    """
    version = model_versions
    columns = [version.c[each] for each in ("name", "version", "last_updated_time")]
    return (
        select(*columns, *tag)
        .where(*is_version(version))
        .with_for_update(read=True, key_share=True, of=version)
    )


def _deleting() -> dict[str, Any]:
    return {
        name: _delete(name).where(waits_for_locks_briefly())
        for name in ("delete_model_tag", "delete_version_tag", "delete_alias")
    }


def _deleting_in_one_statement(*, queues: bool) -> dict[str, ClauseElement]:
    noting: dict[str, ClauseElement] = {}
    for name, (parts, keys) in _PARTS.items():
        if not name.startswith("delete_"):
            continue
        is_there = select(_ONE).select_from(parts).where(*_is(parts, *keys)).exists()
        numbered = next_event(is_there, *without_webhooks(queues=queues))
        # As a subquery, which runs before any row is looked at.
        owner = select(numbered.c.name).scalar_subquery()
        changed = _delete(name).where(parts.c.name == owner).cte("changed")
        former = changed.c[_VALUES[name][0]]
        if name == "delete_alias":
            event = noted(numbered, changed, version=former, before=cast(former, Text))
        else:
            # A JSON text of what it was.
            event = noted(numbered, changed, before=cast(func.to_json(former), Text))
        noting[f"{name}_{WRITE_FORMS[queues]}"] = queued(event, numbered, queues=queues)
    return noting


def _is(table: Table, *keys: str) -> list[ColumnElement[bool]]:
    return [table.c[key] == param(key) for key in keys]


def _of_owner(name: str) -> list[ColumnElement[bool]]:
    """Whether a part is one of the owner of the one that is set."""
    parts, keys = _PARTS[name]
    return _is(parts, *keys[:-1])


def _is_same(name: str) -> ColumnElement[bool]:
    """Whether any part of the owner is the one that is set, as it should be."""
    (parts, keys), value = _PARTS[name], _VALUES[name][0]
    return func.bool_or(and_(*_is(parts, keys[-1], value)))


def _has_room_for_tag(tags: Table) -> ColumnElement[bool]:
    """Whether all tags of the owner, but for the one that is set, leave room for that one."""
    others = tags.c.key != param("key")
    size = func.sum(bytes_of(tags.c.key) + bytes_of(tags.c.value)).filter(others)
    has_bytes = func.coalesce(size, _ZERO) + param("bytes") <= param("most_bytes")
    return (func.count().filter(others) < param("most_tags")) & has_bytes


def _upsert(insert_into: Insert, name: str, selected: Select[Any]) -> Any:
    """Put what is selected in the place of what has the same keys and is not the same."""
    (parts, keys), values = _PARTS[name], _VALUES[name]
    columns = [column.name for column in selected.selected_columns]
    insertion = insert_into(parts).from_select(columns, selected, include_defaults=False)
    return insertion.on_conflict_do_update(
        index_elements=keys,
        set_={value: insertion.excluded[value] for value in values},
        where=parts.c[values[0]] != insertion.excluded[values[0]],
    )


def _giving_rows(name: str, upsert: Any) -> Any:
    return upsert.returning(_PARTS[name][0].c.name)


def _delete(name: str) -> Any:
    parts, keys = _PARTS[name]
    return (
        delete(parts).where(*_is(parts, *keys)).returning(parts.c.name, parts.c[_VALUES[name][0]])
    )


_PARTS: Mapping[str, tuple[Table, tuple[str, ...]]] = {
    "set_model_tag": (registered_model_tags, ("name", "key")),
    "set_version_tag": (model_version_tags, ("name", "version", "key")),
    "set_alias": (registered_model_aliases, ("name", "alias")),
    "delete_model_tag": (registered_model_tags, ("name", "key")),
    "delete_version_tag": (model_version_tags, ("name", "version", "key")),
    "delete_alias": (registered_model_aliases, ("name", "alias")),
}
"""The table and the keys of the part that each statement is about."""

_VALUES: Mapping[str, tuple[str, ...]] = {
    name: ("version",) if name.endswith("alias") else TAG_VALUE for name in _PARTS
}
"""The columns that hold the value of the part."""

_ROOM: Mapping[str, ColumnElement[bool]] = {
    "set_model_tag": _has_room_for_tag(registered_model_tags),
    "set_version_tag": _has_room_for_tag(model_version_tags),
    "set_alias": func.count().filter(registered_model_aliases.c.alias != param("alias"))
    < param("most_aliases"),
}
"""Whether the owner of all the parts that are selected has room for one more."""
