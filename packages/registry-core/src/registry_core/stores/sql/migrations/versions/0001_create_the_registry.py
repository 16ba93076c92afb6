"""Create the registry: models, versions, their tags and aliases, and webhooks.

A released migration is never edited; `tables` may move on, this may not. Each can be gone through
again after it was cut short between any two of its statements: see `schema`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables and indexes."""
    _create_models()
    _create_versions()
    _create_tags_and_aliases()
    _create_webhooks()
    _create_indexes()


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=nullable)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False)


def _belongs_to(table: str, *columns: str, name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        columns,
        [f"{table}.{column}" for column in columns],
        name=name,
        onupdate="CASCADE",
        ondelete="CASCADE",
    )


def _create_models() -> None:
    op.create_table(
        "registered_models",
        _text("name"),
        _text("name_folded", nullable=True),
        _integer("creation_time"),
        _integer("last_updated_time"),
        _text("description", nullable=True),
        _text("deployment_job_id", nullable=True),
        _text("deployment_job_state", nullable=True),
        _integer("next_version"),
        sa.PrimaryKeyConstraint("name", name="pk_registered_models"),
        if_not_exists=True,
    )


def _create_versions() -> None:
    op.create_table(
        "model_versions",
        _text("name"),
        _integer("version"),
        _integer("creation_time"),
        _integer("last_updated_time"),
        _text("current_stage"),
        _text("source"),
        _text("source_folded", nullable=True),
        _text("storage_location", nullable=True),
        _text("run_id", nullable=True),
        _text("run_id_folded", nullable=True),
        _text("run_link", nullable=True),
        _text("status"),
        _text("status_message", nullable=True),
        _text("description", nullable=True),
        _text("user_id", nullable=True),
        _text("model_id", nullable=True),
        sa.PrimaryKeyConstraint("name", "version", name="pk_model_versions"),
        sa.UniqueConstraint(
            "name", "last_updated_time", "version", name="uq_model_versions_model_updated"
        ),
        _belongs_to("registered_models", "name", name="fk_model_versions_model"),
        if_not_exists=True,
    )


def _create_tags_and_aliases() -> None:
    op.create_table(
        "registered_model_tags",
        _text("name"),
        _text("key"),
        _text("value"),
        _text("value_head"),
        _text("value_folded", nullable=True),
        sa.PrimaryKeyConstraint("name", "key", name="pk_registered_model_tags"),
        _belongs_to("registered_models", "name", name="fk_registered_model_tags_model"),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "model_version_tags",
        _text("name"),
        _integer("version"),
        _text("key"),
        _text("value"),
        _text("value_head"),
        _text("value_folded", nullable=True),
        _integer("last_updated_time"),
        sa.PrimaryKeyConstraint("name", "version", "key", name="pk_model_version_tags"),
        _belongs_to(
            "model_versions",
            "name",
            "last_updated_time",
            "version",
            name="fk_model_version_tags_version",
        ),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "registered_model_aliases",
        _text("name"),
        _text("alias"),
        _integer("version"),
        sa.PrimaryKeyConstraint("name", "alias", name="pk_registered_model_aliases"),
        _belongs_to(
            "model_versions", "name", "version", name="fk_registered_model_aliases_version"
        ),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )


def _create_webhooks() -> None:
    op.create_table(
        "webhooks",
        _text("webhook_id"),
        _text("name"),
        _text("url"),
        _text("events"),
        _text("description", nullable=True),
        _text("status"),
        _text("secret", nullable=True),
        _integer("creation_time"),
        _integer("last_updated_time"),
        sa.PrimaryKeyConstraint("webhook_id", name="pk_webhooks"),
        if_not_exists=True,
    )


def _create_indexes() -> None:
    for name, table, *parts in (
        ("ix_registered_models_updated", "registered_models", "last_updated_time DESC", "name"),
        (
            "ix_model_versions_updated",
            "model_versions",
            "last_updated_time DESC",
            "name",
            "version DESC",
        ),
        (
            "ix_model_versions_created",
            "model_versions",
            "creation_time DESC",
            "name",
            "version DESC",
        ),
        ("ix_model_versions_stage", "model_versions", "name", "current_stage", "version"),
        ("ix_model_versions_run", "model_versions", "run_id"),
        ("ix_model_versions_source", "model_versions", "substr(source, 1, 512)"),
        (
            "ix_registered_model_tags_value",
            "registered_model_tags",
            "key",
            "value_head",
            "name",
        ),
        (
            "ix_model_version_tags_value",
            "model_version_tags",
            "key",
            "value_head",
            "last_updated_time DESC",
            "name",
            "version DESC",
        ),
        (
            "ix_registered_model_aliases_version",
            "registered_model_aliases",
            "name",
            "version",
        ),
    ):
        op.create_index(name, table, [sa.text(part) for part in parts], if_not_exists=True)
