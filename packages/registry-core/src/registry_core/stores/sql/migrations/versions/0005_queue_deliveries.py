"""Queue the events of webhooks, and keep dead letters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _common() -> list[sa.Column[object]]:
    return [
        sa.Column("webhook_id", _text(), nullable=False),
        sa.Column("model_id", _text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("is_prompt", sa.BigInteger(), nullable=False),
        sa.Column("details", _text(), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
    ]


def upgrade() -> None:
    """Creates two tables; again, if it was cut short between any two of its statements."""
    op.create_table(
        "webhook_outbox",
        *_common(),
        sa.Column("first_attempt", sa.BigInteger(), nullable=True),
        sa.Column("lease", _text(), nullable=True),
        sa.PrimaryKeyConstraint("webhook_id", "model_id", "sequence", name="pk_webhook_outbox"),
        if_not_exists=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_webhook_outbox_due", "webhook_outbox", ["webhook_id", "due"], if_not_exists=True
    )
    op.create_table(
        "webhook_dead_letters",
        *_common(),
        sa.Column("problem", _text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "webhook_id", "model_id", "sequence", name="pk_webhook_dead_letters"
        ),
        if_not_exists=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_webhook_dead_letters_due",
        "webhook_dead_letters",
        ["webhook_id", "due"],
        if_not_exists=True,
    )
