"""The statements that set and delete tags and aliases: the parts of a model or a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, Table, delete, func, literal_column, select
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.sql.selectable import FromClause

from registry_core.stores.sql.compiling import bytes_of, given, param, waits_for_locks_briefly
from registry_core.stores.sql.database import Insert
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
    """Setting is one statement: its foreign key says whether there is something to set it on.

    It gives no row where the owner has as many others as the values `most_...` allow. That counts
    what is committed when it starts; `lock_...` keeps others from adding any meanwhile.

    A tag of a version repeats the version's time, so it is selected from the version, and there is
    no row where there is no version. The version is locked, lest its time change meanwhile.
    """
    model, version = registered_models, model_versions
    model_tag, version_tag = registered_model_tags, model_version_tags
    alias = registered_model_aliases
    tag = [given(name) for name in ("key", *TAG_VALUE)]
    version_columns = [version.c[name] for name in ("name", "version", "last_updated_time")]
    of_version = (
        select(*version_columns, *tag)
        .where(
            *is_version(version),
            _has_room_for_tag(version_tag, "name", "version"),
            waits_for_locks_briefly(),
        )
        .with_for_update(read=True, key_share=True)
    )
    of_model = select(given("name"), *tag).where(
        _has_room_for_tag(model_tag, "name"), waits_for_locks_briefly()
    )
    to_version = select(*(given(name) for name in ("name", "alias", "version"))).where(
        _among_others(alias, "alias", "name", holds=func.count() < param("most_aliases")),
        waits_for_locks_briefly(),
    )
    into_tag, into_alias = insert_into(version_tag), insert_into(alias)
    return {
        "lock_model": select(model.c.name)
        .where(model.c.name == param("name"))
        .with_for_update(key_share=True),
        "lock_version": select(version.c.version)
        .where(*is_version(version))
        .with_for_update(key_share=True),
        "set_model_tag": _upsert(insert_into(model_tag), of_model, ("name", "key"), TAG_VALUE),
        "set_version_tag": _upsert(into_tag, of_version, ("name", "version", "key"), TAG_VALUE),
        "set_alias": _upsert(into_alias, to_version, ("name", "alias"), ("version",)),
        "delete_model_tag": _delete(model_tag, "name", "key"),
        "delete_version_tag": _delete(version_tag, "name", "version", "key"),
        "delete_alias": _delete(alias, "name", "alias"),
    }


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


def _upsert(
    into: Any, selected: Select[Any], keys: Sequence[str], values: Sequence[str]
) -> ClauseElement:
    """Puts what is selected, in the place of what has the same keys, if that exists."""
    columns = [column.name for column in selected.selected_columns]
    insertion = into.from_select(columns, selected, include_defaults=False)
    upsert: ClauseElement = insertion.on_conflict_do_update(
        index_elements=keys, set_={name: insertion.excluded[name] for name in values}
    ).returning(into.table.c[keys[0]])
    return upsert


def _delete(table: Table, *keys: str) -> ClauseElement:
    return (
        delete(table)
        .where(*(table.c[key] == param(key) for key in keys), waits_for_locks_briefly())
        .returning(table.c[keys[0]])
    )
