"""What must hold of a database before a registry changes anything in it.

Strategy: everything that can be known is asked first, by statements that any engine understands
before those that only PostgreSQL does. So another engine gets an error that names it, and no
complaint about syntax.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs

from registry_core.errors import BackendError, NotPermittedError, UnsupportedBackendError
from registry_core.stores.sql.tables import ALEMBIC_VERSION_TABLE, metadata

OLDEST_POSTGRESQL = 10
"""The oldest major version that the tests run on (`nox -s postgresql`); older ones are refused."""

NEWEST_POSTGRESQL = 18
"""The newest major version that the tests run on; newer ones are taken at their word."""

_OURS = frozenset({*metadata.tables, ALEMBIC_VERSION_TABLE})

_MOST_SHOWN = 80
"""Characters of what an engine says of itself that a message repeats."""

Ask: TypeAlias = Callable[[str], Sequence[Sequence[Any]]]
"""The rows of a query."""

_TABLES = (
    # What belongs to an extension is not data.
    "SELECT json_agg("
    "json_build_array(c.relname, pg_catalog.pg_has_role(c.relowner, 'USAGE')))::text "
    "FROM pg_catalog.pg_class c "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = pg_catalog.current_schema() AND c.relkind IN ('r', 'p', 'f', 'v', 'm') "
    "AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d "
    "WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid "
    "AND d.deptype = 'e')"
)

_POSTGRESQL = (
    "SELECT pg_catalog.current_setting('server_encoding'), current_user::text, "
    "pg_catalog.current_setting('search_path'), pg_catalog.current_schema()::text, "
    "pg_catalog.has_schema_privilege(pg_catalog.current_schema()::text, 'CREATE'), "
    f"({_TABLES})"
)

_SQLITE_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'"


_OF_MLFLOW = frozenset({"alembic_version", "experiments", "runs", "registered_models"})
"""Tables that tell a database of MLflow's."""


class MlflowDatabaseError(BackendError):
    """The database holds a registry of MLflow's."""


@attrs.frozen
class Contents:
    """What a database that could hold a registry holds: one, or nothing."""

    tables: frozenset[str]
    obstacle: str | None = None
    """Why the schema cannot be changed, if it cannot: a sentence that says what to do."""

    def require_changeable(self) -> None:
        """Return when the schema may be changed.

        Raises:
            NotPermittedError: the role lacks a privilege; the message says which.
        """
        if self.obstacle is not None:
            raise NotPermittedError(self.obstacle)


def look(ask: Ask, dialect: str) -> Contents:
    """Return what is in a database; nothing is changed.

    Raises:
        UnsupportedBackendError: it is kept by another engine or in another encoding than a registry
            needs.
        NotPermittedError: no schema of it can be used.
        MlflowDatabaseError: it holds those of MLflow.
        BackendError: it holds the tables of somebody else.
    """
    contents = _in_sqlite(ask) if dialect == "sqlite" else _in_postgresql(ask)
    if contents.tables and ALEMBIC_VERSION_TABLE not in contents.tables:
        if contents.tables >= _OF_MLFLOW:
            raise MlflowDatabaseError("The database is one of MLflow's")
        raise BackendError(
            "The database holds tables that are not a registry's "
            f"({', '.join(sorted(contents.tables)[:5])}): give the registry a database of its own"
        )
    return contents


def _in_sqlite(ask: Ask) -> Contents:
    ((encoding,),) = ask("PRAGMA encoding")
    _require_encoding(encoding, "UTF-8")
    return Contents(frozenset(name for (name,) in ask(_SQLITE_TABLES)))


def _in_postgresql(ask: Ask) -> Contents:
    ((version,),) = ask("SELECT version()")
    require_postgresql(version)
    ((encoding, role, search_path, schema, may_create, listed),) = ask(_POSTGRESQL)
    _require_encoding(encoding, "UTF8")
    if schema is None:
        raise NotPermittedError(
            f"The role '{role}' can use no schema of the database: its search_path is "
            f"'{search_path}', and of those schemas none exists on which it has the privilege "
            f"USAGE. GRANT USAGE, CREATE ON SCHEMA ... TO {role}, or set another search_path"
        )
    tables: dict[str, bool] = dict(json.loads(listed or "[]"))
    obstacle = None
    if not may_create:
        obstacle = (
            f"The role '{role}' may not create tables in the schema '{schema}': "
            f"GRANT CREATE ON SCHEMA {schema} TO {role}, or upgrade as another role"
        )
    elif not all(is_owner for name, is_owner in tables.items() if name in _OURS):
        obstacle = (
            f"The tables in the schema '{schema}' belong to another role than '{role}', and only "
            "their owner can change them: upgrade as that role"
        )
    return Contents(frozenset(tables), obstacle)


def require_postgresql(version_text: str) -> None:
    """Return when what a server says of itself, its `version()`, is that of a supported one.

    What calls itself PostgreSQL, and has a version of it that is supported, is taken at its word.

    Raises:
        UnsupportedBackendError: it is another engine, or too old.
    """
    version = re.match(r"PostgreSQL (\d+)", version_text)
    if version is not None and int(version[1]) >= OLDEST_POSTGRESQL:
        return
    shown = re.sub(r"[^ -~]", "?", version_text[:_MOST_SHOWN])
    raise UnsupportedBackendError(
        f"The database server is '{shown}'. A registry needs PostgreSQL {OLDEST_POSTGRESQL} or "
        f"newer, and has been run on {OLDEST_POSTGRESQL} to {NEWEST_POSTGRESQL}"
    )


def _require_encoding(encoding: str, needed: str) -> None:
    if encoding != needed:
        raise UnsupportedBackendError(
            f"The database is encoded in {encoding}; a registry needs {needed}"
        )
