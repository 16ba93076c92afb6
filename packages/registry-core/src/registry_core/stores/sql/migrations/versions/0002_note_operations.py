"""Note the operations that were applied, so that none is applied twice when a reply is lost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "applied_operations",
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("operation_id", name="pk_applied_operations"),
        if_not_exists=True,
    )
