"""Keep what was created under idempotency keys, with the operation that created it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLE = "applied_operations"


_PRESENT = {
    "sqlite": "SELECT name FROM pragma_table_info('applied_operations')",
    "postgresql": "SELECT attname FROM pg_attribute "
    "WHERE attrelid = 'applied_operations'::regclass AND attnum > 0 AND NOT attisdropped",
}
"""The columns that the table has."""


def _text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Adds three columns and an index; again, if it was cut short between any two statements."""
    connection = op.get_bind()
    there = set(connection.scalars(sa.text(_PRESENT[connection.dialect.name])))
    for column in (
        sa.Column("idempotency_key", _text(), nullable=True),
        sa.Column("request", _text(), nullable=True),
        sa.Column("time", sa.BigInteger(), nullable=True),
    ):
        if column.name not in there:
            op.add_column(_TABLE, column)
    op.create_index(
        "ix_applied_operations_idempotency_key",
        _TABLE,
        ["idempotency_key"],
        unique=True,
        if_not_exists=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
    )
