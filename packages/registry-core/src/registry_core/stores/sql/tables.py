"""The tables of a registry, the same on SQLite and PostgreSQL.

The columns of registered models and model versions are those of `registry_core.fields`; a new one
needs a migration for the databases that there are.

Every text column compares and sorts by code point: collation "C" on PostgreSQL (whose databases are
UTF-8), binary on SQLite. Lengths are not limited here but in `registry_core.validation`.

Strategy for ILIKE: a `*_folded` column holds `str.lower()` of its neighbour where that differs from
lowering ASCII letters, else NULL, so that `coalesce(x_folded, lower(x))` is exactly Python's
lower-casing on every database, whatever ICU or locale it was built with; see `folding`. `lower` of
SQLite and of the collation "C" lowers ASCII letters only.

Strategy for indexes on long texts: PostgreSQL refuses index rows over about 2,700 bytes, so only
the head of a text is indexed, and a search compares head and text. The head of a tag's value is a
column of its own, because only then the index alone tells which rows carry a value (and not a
generated column, for which SQLite would read the row). The limits of `registry_core.validation`
keep every index below the bound, at four bytes a character.

Strategy for the order of what a tag finds: a tag of a version repeats when that was last updated,
so that the index on tags has the versions of each value in the default order of a search, and a
page of them is a range of it, however many there are. The foreign key includes the time, so the
database itself carries every change of it to the tags.

Strategy for SQLite: tags and aliases are always reached by their key, so their rows are kept in it
and not in a tree of row numbers beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    and_,
    event,
    func,
    literal_column,
    text,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause
from sqlalchemy.types import TypeEngine

from registry_core.fields import scalars_of
from registry_core.history import Action
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.stores.sql.compiling import kind_first

VALUE_HEAD = 128
"""Characters of a tag's value in its index: with key and name at most 2,560 bytes."""

SOURCE_HEAD = 512
"""Characters of a source in its index: at most 2,048 bytes."""

ALEMBIC_VERSION_TABLE = "registry_alembic_version"
"""Alembic's table, under a name of our own: MLflow's databases have an `alembic_version` too."""

metadata = MetaData()
"""The tables of the registry."""

alembic_version = Table(
    ALEMBIC_VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{ALEMBIC_VERSION_TABLE}_pkc"),
)
"""Alembic's table, as it would make it."""


def _text() -> TypeEngine[str]:
    return Text().with_variant(Text(collation="C"), "postgresql")


def _required(name: str) -> Column[Any]:
    return Column(name, _text(), nullable=False)


def _optional(name: str) -> Column[Any]:
    return Column(name, _text(), nullable=True)


def _integer(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, autoincrement=False)


def source_head(source: ColumnElement[str]) -> ColumnElement[str]:
    """Return the start of a source, as its index has it."""
    # Literals, because bound parameters would not match the index's expression.
    return func.substr(source, literal_column("1"), literal_column(str(SOURCE_HEAD)))


def _columns(entity: type[attrs.AttrsInstance]) -> Iterator[Column[Any]]:
    for field in scalars_of(entity):
        if field.type is int:
            yield _integer(field.column)
        else:
            yield _optional(field.column) if field.is_optional else _required(field.column)
        if field.about.is_folded:
            yield _optional(field.folded_column)


registered_models = Table(
    "registered_models",
    metadata,
    *_columns(RegisteredModel),
    _integer("next_version"),
    _optional("model_id"),
    Column("last_event", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("name", name="pk_registered_models"),
)

model_versions = Table(
    "model_versions",
    metadata,
    *_columns(ModelVersion),
    PrimaryKeyConstraint("name", "version", name="pk_model_versions"),
    # For the foreign key of tags; read backwards, the versions of one model in the default order,
    # which is what clients ask for most.
    UniqueConstraint(
        "name", "last_updated_time", "version", name="uq_model_versions_model_updated"
    ),
    ForeignKeyConstraint(
        ["name"],
        ["registered_models.name"],
        name="fk_model_versions_model",
        onupdate="CASCADE",
        ondelete="CASCADE",
    ),
)

registered_model_tags = Table(
    "registered_model_tags",
    metadata,
    _required("name"),
    _required("key"),
    _required("value"),
    _required("value_head"),
    _optional("value_folded"),
    PrimaryKeyConstraint("name", "key", name="pk_registered_model_tags"),
    ForeignKeyConstraint(
        ["name"],
        ["registered_models.name"],
        name="fk_registered_model_tags_model",
        onupdate="CASCADE",
        ondelete="CASCADE",
    ),
    sqlite_with_rowid=False,
)

model_version_tags = Table(
    "model_version_tags",
    metadata,
    _required("name"),
    _integer("version"),
    _required("key"),
    _required("value"),
    _required("value_head"),
    _optional("value_folded"),
    _integer("last_updated_time"),
    PrimaryKeyConstraint("name", "version", "key", name="pk_model_version_tags"),
    ForeignKeyConstraint(
        ["name", "last_updated_time", "version"],
        ["model_versions.name", "model_versions.last_updated_time", "model_versions.version"],
        name="fk_model_version_tags_version",
        onupdate="CASCADE",
        ondelete="CASCADE",
    ),
    sqlite_with_rowid=False,
)

registered_model_aliases = Table(
    "registered_model_aliases",
    metadata,
    _required("name"),
    _required("alias"),
    _integer("version"),
    PrimaryKeyConstraint("name", "alias", name="pk_registered_model_aliases"),
    ForeignKeyConstraint(
        ["name", "version"],
        ["model_versions.name", "model_versions.version"],
        name="fk_registered_model_aliases_version",
        onupdate="CASCADE",
        ondelete="CASCADE",
    ),
    sqlite_with_rowid=False,
)

model_version_approvals = Table(
    "model_version_approvals",
    metadata,
    _required("name"),
    _integer("version"),
    _required("actor"),
    _integer("is_authenticated"),
    _optional("groups"),
    _required("digest"),
    _optional("reason"),
    _integer("time"),
    PrimaryKeyConstraint("name", "version", "actor", name="pk_model_version_approvals"),
    ForeignKeyConstraint(
        ["name", "version"],
        ["model_versions.name", "model_versions.version"],
        name="fk_model_version_approvals_version",
        onupdate="CASCADE",
        ondelete="CASCADE",
    ),
    sqlite_with_rowid=False,
)
"""Who has approved which version. The groups of the actor are a JSON array."""

model_events = Table(
    "model_events",
    metadata,
    _required("model_id"),
    _integer("sequence"),
    _required("name"),
    _integer("time"),
    _required("actor"),
    _integer("is_authenticated"),
    _required("origin"),
    _optional("reason"),
    _required("action"),
    _required("subject"),
    Column("version", BigInteger, nullable=True),
    _optional("key"),
    _optional("before"),
    _optional("after"),
    _optional("checksum"),
    PrimaryKeyConstraint("model_id", "sequence", name="pk_model_events"),
    sqlite_with_rowid=False,
)
"""What was done: see `registry_core.history`. Nothing refers to it, because it outlives the models.
Values are JSON; what a thing was before is left out where the event before says it. The checksum
is that of `event_checksums`; it is absent where a writer knew none."""

COMMON_ACTIONS = frozenset(
    {
        Action.CREATE_VERSION,
        Action.FINALIZE_VERSION,
        Action.SET_MODEL_TAG,
        Action.SET_VERSION_TAG,
    }
)
"""What is done in masses. Everything else is kept once more, each action by itself, so that it is
found among them: see `event_pages`. Another set is another index, and a migration."""


def is_uncommon(event: FromClause) -> ColumnElement[bool]:
    """Return whether an event is none of the common ones, in the words of the index on these.

    A database takes the index for a query that says so in the same words. Not by a list, of which
    SQLite makes a tree for every event that it adds.
    """
    words = [f"'{each.value}'" for each in sorted(COMMON_ACTIONS)]
    return and_(*(event.c.action != literal_column(word, Text) for word in words))


EVENTS_BY_KIND = "ix_model_events_kind"

# Every model has an id; it can be missing only while an upgrade is under way. SQLite cannot add a
# constraint to a table that is there, so what an upgrade does is done to a new one as well.
_REQUIRE_IDS = {
    "sqlite": """
        CREATE TRIGGER IF NOT EXISTS tr_registered_models_model_id
        BEFORE INSERT ON registered_models WHEN new.model_id IS NULL
        BEGIN SELECT RAISE(ABORT, 'a model needs an id: is its writer an older release?'); END
    """,
    "postgresql": "ALTER TABLE registered_models ALTER COLUMN model_id SET NOT NULL",
}
for _dialect, _statement in _REQUIRE_IDS.items():
    _ddl = DDL(_statement).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]
    event.listen(registered_models, "after_create", _ddl)
Index("ix_registered_models_model_id", registered_models.c.model_id, unique=True)
# What a thing was before an event, everything that happened to it, or to things of its kind.
Index(
    EVENTS_BY_KIND,
    model_events.c.model_id,
    kind_first(model_events.c.subject),
    model_events.c.sequence,
)
# What happened to one version, among the many events of a model.
Index(
    "ix_model_events_version",
    model_events.c.model_id,
    model_events.c.version,
    model_events.c.sequence,
    postgresql_where=model_events.c.version.is_not(None),
    sqlite_where=model_events.c.version.is_not(None),
)
Index("ix_model_events_time", model_events.c.time, model_events.c.model_id, model_events.c.sequence)
# What is not done in masses: each action in the same order.
Index(
    "ix_model_events_action",
    model_events.c.action,
    model_events.c.time,
    model_events.c.model_id,
    model_events.c.sequence,
    postgresql_where=is_uncommon(model_events),
    sqlite_where=is_uncommon(model_events),
)

webhooks = Table(
    "webhooks",
    metadata,
    _required("webhook_id"),
    _required("name"),
    _required("url"),
    _required("events"),
    _optional("description"),
    _required("status"),
    _optional("secret"),
    _integer("creation_time"),
    _integer("last_updated_time"),
    _optional("copied_as"),
    PrimaryKeyConstraint("webhook_id", name="pk_webhooks"),
)


def _delivery() -> list[Column[Any]]:
    return [
        _required("webhook_id"),
        _required("model_id"),
        _integer("sequence"),
        _integer("is_prompt"),
        _optional("details"),
        _integer("failures"),
        _integer("due"),
    ]


webhook_outbox = Table(
    "webhook_outbox",
    metadata,
    *_delivery(),
    Column("first_attempt", BigInteger, nullable=True),
    _optional("lease"),
    PrimaryKeyConstraint("webhook_id", "model_id", "sequence", name="pk_webhook_outbox"),
    sqlite_with_rowid=False,
)
"""The events that wait for delivery to webhooks: see `registry_core.outbox`. A key of a webhook
is none of another table, lest a change of a model wait for, or fail by, the end of a webhook."""

Index("ix_webhook_outbox_due", webhook_outbox.c.webhook_id, webhook_outbox.c.due)

webhook_dead_letters = Table(
    "webhook_dead_letters",
    metadata,
    *_delivery(),
    _required("problem"),
    PrimaryKeyConstraint("webhook_id", "model_id", "sequence", name="pk_webhook_dead_letters"),
    sqlite_with_rowid=False,
)
"""The deliveries that were given up; `due` is when."""

Index("ix_webhook_dead_letters_due", webhook_dead_letters.c.webhook_id, webhook_dead_letters.c.due)

applied_operations = Table(
    "applied_operations",
    metadata,
    Column("operation_id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=True),
    _optional("idempotency_key"),
    _optional("request"),
    Column("time", BigInteger, nullable=True),
    PrimaryKeyConstraint("operation_id", name="pk_applied_operations"),
)
"""What was done lately, by the id of the operation: see `operations`. Nothing refers to it, because
it outlives what the operation created. The last three are of what was created under an idempotency
key."""

Index(
    "ix_applied_operations_idempotency_key",
    applied_operations.c.idempotency_key,
    unique=True,
    postgresql_where=applied_operations.c.idempotency_key.is_not(None),
    sqlite_where=applied_operations.c.idempotency_key.is_not(None),
)

# Orders of a search, each with its tie-breakers; read backwards for the other direction.
Index(
    "ix_registered_models_updated",
    registered_models.c.last_updated_time.desc(),
    registered_models.c.name,
)
Index(
    "ix_model_versions_updated",
    model_versions.c.last_updated_time.desc(),
    model_versions.c.name,
    model_versions.c.version.desc(),
)
Index(
    "ix_model_versions_created",
    model_versions.c.creation_time.desc(),
    model_versions.c.name,
    model_versions.c.version.desc(),
)
# The newest version of each stage is the last entry of its range.
Index(
    "ix_model_versions_stage",
    model_versions.c.name,
    model_versions.c.current_stage,
    model_versions.c.version,
)
# The versions of each run in the default order, backwards, as that of the tags below: so the first
# columns have one direction, and a place among them is a range (see `searches`).
Index(
    "ix_model_versions_run_updated",
    model_versions.c.run_id,
    model_versions.c.last_updated_time,
    model_versions.c.name.desc(),
    model_versions.c.version,
)
Index("ix_model_versions_source", source_head(model_versions.c.source))
# Filters on tags start here, and find each value's rows in the default order of a search.
Index(
    "ix_registered_model_tags_value",
    registered_model_tags.c.key,
    registered_model_tags.c.value_head,
    registered_model_tags.c.name,
)
Index(
    "ix_model_version_tags_value_updated",
    model_version_tags.c.key,
    model_version_tags.c.value_head,
    model_version_tags.c.last_updated_time,
    model_version_tags.c.name.desc(),
    model_version_tags.c.version,
)
# The aliases of a version, also for the foreign key.
Index(
    "ix_registered_model_aliases_version",
    registered_model_aliases.c.name,
    registered_model_aliases.c.version,
)
