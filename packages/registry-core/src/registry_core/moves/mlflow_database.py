"""The registry in a database of MLflow's, read without MLflow and without its server.

Nothing is written. Only schemas that are known are read: every release of MLflow has its revision,
and the tables of one that this release does not know may mean something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Self

import attrs
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from registry_core import snapshots
from registry_core.errors import (
    InvalidArgumentError,
    InvalidUrlError,
    RegisteredModelNotFoundError,
    SchemaOutOfDateError,
    StoreCorruptedError,
    StoreUnavailableError,
)
from registry_core.models import (
    ModelFields,
    ModelVersion,
    Stage,
    Status,
    Webhook,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.moves.sources import Item
from registry_core.redaction import redacted
from registry_core.snapshots import ModelSnapshot
from registry_core.webhook_records import newest_first

DELETED_STAGE = "Deleted_Internal"
"""The stage of the row that MLflow leaves of a deleted version. Its number is not used again."""

REVISIONS = [
    "2b4d017a5e9b",
    "cfd24bdc0731",
    "0a8213491aaa",
    "728d730b5ebd",
    "27a6a02d2cf1",
    "84291f40a231",
    "a8c4a736bde6",
    "39d1c3be5f05",
    "c48cb773bb87",
    "bd07f7e963c5",
    "0c779009ac13",
    "cc1f77228345",
    "97727af70f4d",
    "3500859a5d39",
    "7f2a7d5fae7d",
    "2d6e25af4d3e",
    "acf3f17fdcc7",
    "867495a8f9d4",
    "5b0e9adcef9c",
    "4465047574b1",
    "f5a4f2784254",
    "0584bdc529eb",
    "400f98739977",
    "6953534de441",
    "bda7b8c39065",
    "cbc13b556ace",
    "770bee3ae1dd",
    "a1b2c3d4e5f6",
    "de4033877273",
    "1a0cddfcaa16",
    "534353b11cbc",
    "71994744cf8e",
    "3da73c924c2f",
    "bf29a5ff90ea",
    "1bd49d398cd23",
    "b7c8d9e0f1a2",
    "5d2d30f0abce",
    "c9d4e5f6a7b8",
    "2c33131f4dae",
    "d3e4f5a6b7c8",
    "d0e1f2a3b4c5",
    "c8d9e0f1a2b3",
    "1b5f0d9ad7c1",
    "e1f2a3b4c5d6",
    "76601a5f987d",
    "c3d6457b6d8a",
    "a5b4c3d2e1f0",
    "ae8bbe7743c9",
    "7d34483879f0",
    "da6fb0208061",
    "89d3d66ed43f",
    "b7e4c1a90f23",
    "a8b9c0d1e2f3",
    "c1d2e3f4a5b6",
    "c3d9e7f1a2b4",
    "6f8d9c3b2a1e",
    "1971f2d9a75b",
    "17e22815139b",
    "b7e2c1a4d9f3",
    "75868b020152",
    "dc11669786a5",
    "e7d1f4b2a9c6",
    "8b6ad64cb8f5",
    "f4a9b2c7d1e6",
]
"""All revisions of MLflow's database from the first one with registered models (1.4) to the last of
3.18, oldest first. Releases end at some of them; an upgrade that was cut off, at any."""


def _since(revision: str) -> int:
    return REVISIONS.index(revision)


_MODEL_TAGS = _since("728d730b5ebd")
_VERSION_TAGS = _since("27a6a02d2cf1")
_RUN_LINK = _since("84291f40a231")
_ALIASES = _since("3500859a5d39")
_STORAGE_LOCATION = _since("acf3f17fdcc7")
_WEBHOOKS = _since("1a0cddfcaa16")
_WORKSPACES = _since("1b5f0d9ad7c1")

_SCHEME = re.compile(r"(sqlite|postgresql|postgres)(\+\w+)?:", re.IGNORECASE)


@attrs.frozen
class MlflowDatabase:
    """See the module. A `SnapshotSource`; its models have no history, as MLflow keeps none."""

    _engine: Engine
    _revision: int

    @classmethod
    def open(cls, url: str) -> Self:
        """Return the registry in a database.

        Raises:
            InvalidUrlError: It is neither SQLite nor PostgreSQL.
            SchemaOutOfDateError: It is none of MLflow's, or of a release that is not known.
            StoreUnavailableError: It does not answer, or there is no such file.
        """
        engine = _engine(url)
        try:
            with engine.connect() as connection:
                rows = connection.execute(text("SELECT version_num FROM alembic_version")).all()
        except DBAPIError as error:
            engine.dispose()
            raise StoreUnavailableError(
                f"'{redacted(url)}' cannot be read as a database of MLflow's: {error.orig}"
            ) from error
        revisions = [str(row[0]) for row in rows]
        if len(revisions) != 1 or revisions[0] not in REVISIONS:
            engine.dispose()
            raise SchemaOutOfDateError(
                f"The database is at revision {', '.join(revisions) or 'none'} of MLflow's schema, "
                f"and this release reads {REVISIONS[0]} (MLflow 1.4) to {REVISIONS[-1]} (3.18)"
            )
        return cls(engine, REVISIONS.index(revisions[0]))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def items(self, filter_text: str | None = None) -> Iterator[Item]:
        """See `SnapshotSource`. Of workspaces only `default` is read.

        Raises:
            InvalidArgumentError: There is a filter, which only a server or a store understands.
        """
        if filter_text:
            raise InvalidArgumentError("A database of MLflow's takes no filter")
        names = sorted(row["name"] for row in self._rows("registered_models"))
        for name in names:
            yield name, partial(self.snapshot, name)

    def snapshot(self, name: str) -> ModelSnapshot:
        """Return a model, as of one moment.

        Raises:
            RegisteredModelNotFoundError: There is no such model.
            StoreCorruptedError: A row means nothing.
        """
        with self._engine.connect() as connection:
            rows = {table: self._of_model(connection, table, name) for table in _TABLES}
        if not rows["registered_models"]:
            raise RegisteredModelNotFoundError(name)
        try:
            return _snapshot(rows)
        except (ValueError, TypeError) as error:
            raise StoreCorruptedError(f"Model '{name}' cannot be read: {error}") from error

    def webhooks(self) -> list[Webhook]:
        """See `webhooks.WebhookSource`. Deleted ones, of which MLflow keeps the rows, are none.

        Raises:
            StoreCorruptedError: A row means nothing.
        """
        if self._revision < _WEBHOOKS:
            return []
        where = " WHERE workspace = 'default' AND " if self._revision >= _WORKSPACES else " WHERE "
        with self._engine.connect() as connection:
            hooks = connection.execute(
                text(f"SELECT * FROM webhooks{where}deleted_timestamp IS NULL")  # noqa: S608 as below
            )
            rows = [*hooks.mappings()]
            chosen = connection.execute(
                text("SELECT webhook_id, entity, action FROM webhook_events")
            )
            events: dict[str, list[tuple[str, str]]] = {}
            for webhook_id, entity, action in chosen:
                events.setdefault(webhook_id, []).append((entity, action))
        try:
            hooks_found = [_webhook(row, events.get(row["webhook_id"], [])) for row in rows]
        except (ValueError, TypeError) as error:
            raise StoreCorruptedError(f"A webhook cannot be read: {error}") from error
        return newest_first(hooks_found)

    def _rows(self, table: str) -> list[Any]:
        with self._engine.connect() as connection:
            return [*connection.execute(text(self._select(table, "name"))).mappings()]

    def _of_model(self, connection: Connection, table: str, name: str) -> list[Any]:
        columns = [column for column, since in _TABLES[table].items() if since <= self._revision]
        if not columns:
            return []
        condition = " AND " if self._revision >= _WORKSPACES else " WHERE "
        statement = text(f"{self._select(table, ', '.join(columns))}{condition}name = :name")
        return [*connection.execute(statement, {"name": name}).mappings()]

    def _select(self, table: str, columns: str) -> str:
        has_workspaces = self._revision >= _WORKSPACES
        condition = " WHERE workspace = 'default'" if has_workspaces else ""
        return f"SELECT {columns} FROM {table}{condition}"  # noqa: S608 names of ours


def _columns(names: str, since: int = 0) -> dict[str, int]:
    return dict.fromkeys(names.split(), since)


_TABLES: Mapping[str, Mapping[str, int]] = {
    "registered_models": _columns("name creation_time last_updated_time description"),
    "model_versions": {
        **_columns("version creation_time last_updated_time description user_id current_stage"),
        **_columns("source run_id status_message status"),
        **_columns("run_link", _RUN_LINK),
        **_columns("storage_location", _STORAGE_LOCATION),
    },
    "registered_model_tags": _columns("key value", _MODEL_TAGS),
    "model_version_tags": _columns("version key value", _VERSION_TAGS),
    "registered_model_aliases": _columns("alias version", _ALIASES),
}
"""What is read of each table, of one model, and the revision from which on it is there."""


def _engine(url: str) -> Engine:
    match = _SCHEME.match(url)
    if match is None:
        raise InvalidUrlError(
            f"A database of MLflow's is mlflow+sqlite:///PATH or mlflow+postgresql://..., and not "
            f"'mlflow+{redacted(url)}'"
        )
    if match[1].lower() == "sqlite":
        path = url.partition("///")[2]
        # A file that is not there would be created.
        read_only = f"sqlite:///file:{path}?mode=ro&uri=true"
        return create_engine(read_only, poolclass=QueuePool, connect_args={"timeout": 30})
    rest = url[match.end() :]
    return create_engine(
        f"postgresql+psycopg:{rest}",
        isolation_level="REPEATABLE READ",
        execution_options={"postgresql_readonly": True},
    )


def _snapshot(rows: dict[str, list[Any]]) -> ModelSnapshot:
    (model,) = rows["registered_models"]
    there = [row for row in rows["model_versions"] if row["current_stage"] != DELETED_STAGE]
    tags: dict[int, dict[str, str]] = {}
    for row in rows["model_version_tags"]:
        tags.setdefault(row["version"], {})[row["key"]] = row["value"] or ""
    numbers = {row["version"] for row in there}
    highest = max((row["version"] for row in rows["model_versions"]), default=0)
    # Very old data has aliases of deleted versions.
    aliases = {
        row["alias"]: int(row["version"])
        for row in rows["registered_model_aliases"]
        if int(row["version"]) in numbers
    }
    created, updated = _times(model)
    fields = ModelFields(
        name=model["name"],
        creation_timestamp=created,
        last_updated_timestamp=updated,
        description=model["description"],
        tags={row["key"]: row["value"] or "" for row in rows["registered_model_tags"]},
        aliases=aliases,
    )
    versions = (_version(model["name"], row, tags.get(row["version"], {})) for row in there)
    return snapshots.model_of(fields, versions, next_version=highest + 1)


def _version(name: str, row: Any, tags: dict[str, str]) -> ModelVersion:
    created, updated = _times(row)
    source, location = row["source"] or "", row.get("storage_location")
    return ModelVersion(
        name=name,
        version=row["version"],
        creation_timestamp=created,
        last_updated_timestamp=updated,
        current_stage=Stage(row["current_stage"] or Stage.NONE.value),
        source=source,
        storage_location=None if location in (None, "", source) else location,
        run_id=row["run_id"],
        run_link=row.get("run_link"),
        status=Status(row["status"] or Status.READY.value),
        status_message=row["status_message"],
        description=row["description"],
        user_id=row["user_id"],
        tags=tags,
    )


def _webhook(row: Any, events: Iterable[tuple[str, str]]) -> Webhook:
    created = row["creation_timestamp"] or 0
    return Webhook(
        webhook_id=row["webhook_id"],
        name=row["name"],
        url=row["url"],
        events=tuple(
            WebhookEvent(WebhookEntity(entity), WebhookAction(action))
            for entity, action in sorted(events)
        ),
        description=row["description"],
        status=WebhookStatus(row["status"]),
        secret=row["secret"],
        creation_timestamp=created,
        last_updated_timestamp=row["last_updated_timestamp"] or created,
    )


def _times(row: Any) -> tuple[int, int]:
    created = row["creation_time"] or 0
    return created, row["last_updated_time"] or created
