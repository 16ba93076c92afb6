"""The statements that set and delete tags and aliases: the parts of a model or a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, Table, Text, cast, delete, func, literal_column, select
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.sql.selectable import CTE, FromClause

from registry_core.stores.sql.compiling import bytes_of, given, param, waits_for_locks_briefly
from registry_core.stores.sql.database import Insert
from registry_core.stores.sql.events import locked_model, noted
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


def is_version(version: FromClause) -> tuple[ColumnElement[bool], ...]:
    """A version is the one that the parameters `name` and `version` are about."""
    return version.c.name == param("name"), version.c.version == param("version")


def writing_parts(insert_into: Insert) -> dict[str, ClauseElement]:
    """The statements on parts, and PostgreSQL's that note the event with them.

    Setting gives no row where the part is as it should be, and where the owner has as many others
    as the values `most_...` allow, or is absent.
    """
    model, version = registered_models, model_versions
    alias = registered_model_aliases
    model_tag, version_tag = registered_model_tags, model_version_tags
    locked = locked_model()
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
        **_setting(insert_into, None),
        **_deleting(None),
        **_at_once(_setting(insert_into, locked)),
        **_at_once(_deleting(locked), is_removal=True),
    }


def _at_once(changes: dict[str, Any], *, is_removal: bool = False) -> dict[str, ClauseElement]:
    noting: dict[str, ClauseElement] = {}
    for name, change in changes.items():
        changed = change.cte("changed")
        if not is_removal:
            noting[f"{name}_at_once"] = noted(changed)
        elif name == "delete_alias":
            number = changed.c.version
            noting[f"{name}_at_once"] = noted(changed, version=number, before=cast(number, Text))
        else:
            # A JSON text of what it was.
            value = func.to_json(changed.c.value)
            noting[f"{name}_at_once"] = noted(changed, before=cast(value, Text))
    return noting


def _setting(insert_into: Insert, locked: CTE | None) -> dict[str, Any]:
    """Setting is one statement; a foreign key says whether there is something to set it on.

    A tag of a version repeats the version's time, so it is selected from the version, and there is
    no row where there is no version. The version is locked, lest its time change meanwhile.
    """
    model_tag, version_tag = registered_model_tags, model_version_tags
    alias, version = registered_model_aliases, model_versions
    tag = [given(name) for name in ("key", *TAG_VALUE)]
    name = given("name") if locked is None else locked.c.name
    of_model = select(name, *tag).where(
        _has_room_for_tag(model_tag, "name"), waits_for_locks_briefly()
    )
    columns = [version.c[each] for each in ("name", "version", "last_updated_time")]
    of_version = (
        select(*columns, *tag)
        .where(
            *is_version(version),
            _has_room_for_tag(version_tag, "name", "version"),
            waits_for_locks_briefly(),
        )
        .with_for_update(read=True, key_share=True, of=version)
    )
    if locked is not None:
        of_version = of_version.where(version.c.name == locked.c.name)
    to_version = select(name, given("alias"), given("version")).where(
        _among_others(alias, "alias", "name", holds=func.count() < param("most_aliases")),
        waits_for_locks_briefly(),
    )
    into_tag, into_alias = insert_into(version_tag), insert_into(alias)
    return {
        "set_model_tag": _upsert(insert_into(model_tag), of_model, ("name", "key"), TAG_VALUE),
        "set_version_tag": _upsert(into_tag, of_version, ("name", "version", "key"), TAG_VALUE),
        "set_alias": _upsert(into_alias, to_version, ("name", "alias"), ("version",)),
    }


def _deleting(locked: CTE | None) -> dict[str, Any]:
    model_tag, version_tag = registered_model_tags, model_version_tags
    return {
        "delete_model_tag": _delete(model_tag, locked, "name", "key", former="value"),
        "delete_version_tag": _delete(
            version_tag, locked, "name", "version", "key", former="value"
        ),
        "delete_alias": _delete(
            registered_model_aliases, locked, "name", "alias", former="version"
        ),
    }


def _is(table: Table, *keys: str) -> list[ColumnElement[bool]]:
    return [table.c[key] == param(key) for key in keys]


def _has_room_for_tag(tags: Table, *owner: str) -> ColumnElement[bool]:
    """The other tags of the owner leave room for the one that is set."""
    size = func.coalesce(func.sum(bytes_of(tags.c.key) + bytes_of(tags.c.value)), _ZERO)
    holds = (func.count() < param("most_tags")) & (size + param("bytes") <= param("most_bytes"))
    return _among_others(tags, "key", *owner, holds=holds)


def _among_others(
    parts: Table, key: str, *owner: str, holds: ColumnElement[bool]
) -> ColumnElement[bool]:
    """What holds of all the parts of an owner together, but for the one that is set."""
    mine = [parts.c[name] == param(name) for name in owner]
    return select(holds).where(*mine, parts.c[key] != param(key)).correlate(None).scalar_subquery()


def _upsert(into: Any, selected: Select[Any], keys: Sequence[str], values: Sequence[str]) -> Any:
    """Put what is selected in the place of what has the same keys and is not the same."""
    columns = [column.name for column in selected.selected_columns]
    insertion = into.from_select(columns, selected, include_defaults=False)
    return insertion.on_conflict_do_update(
        index_elements=keys,
        set_={name: insertion.excluded[name] for name in values},
        where=into.table.c[values[0]] != insertion.excluded[values[0]],
    ).returning(into.table.c[keys[0]])


def _delete(table: Table, locked: CTE | None, *keys: str, former: str) -> Any:
    # As a subquery, which runs before any row is looked at.
    owner = [] if locked is None else [table.c.name == select(locked.c.name).scalar_subquery()]
    return (
        delete(table)
        .where(*_is(table, *keys), *owner, waits_for_locks_briefly())
        .returning(table.c[keys[0]], table.c[former])
    )
