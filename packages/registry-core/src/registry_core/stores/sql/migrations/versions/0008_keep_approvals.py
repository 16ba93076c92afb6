"""Keep approvals of model versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Creates one table, in one statement."""
    op.create_table(
        "model_version_approvals",
        sa.Column("name", _text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("actor", _text(), nullable=False),
        sa.Column("is_authenticated", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("groups", _text(), nullable=True),
        sa.Column("digest", _text(), nullable=False),
        sa.Column("reason", _text(), nullable=True),
        sa.Column("time", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("name", "version", "actor", name="pk_model_version_approvals"),
        sa.ForeignKeyConstraint(
            ["name", "version"],
            ["model_versions.name", "model_versions.version"],
            name="fk_model_version_approvals_version",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        if_not_exists=True,
        sqlite_with_rowid=False,
    )
