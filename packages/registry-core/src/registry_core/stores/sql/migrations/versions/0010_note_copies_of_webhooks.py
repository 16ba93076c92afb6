"""Note what a copy of another registry has made of a webhook."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_PRESENT = {
    "sqlite": "SELECT name FROM pragma_table_info('webhooks')",
    "postgresql": "SELECT attname FROM pg_attribute "
    "WHERE attrelid = 'webhooks'::regclass AND attnum > 0 AND NOT attisdropped",
}
"""The columns that the table has."""


def upgrade() -> None:
    """Adds one column, unless it is there."""
    connection = op.get_bind()
    if "copied_as" not in set(connection.scalars(sa.text(_PRESENT[connection.dialect.name]))):
        text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
        op.add_column("webhooks", sa.Column("copied_as", text, nullable=True))
