"""Keep a checksum with each event, find those of a version, and refuse models without an id."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_PRESENT = {
    "sqlite": "SELECT name FROM pragma_table_info('model_events')",
    "postgresql": "SELECT attname FROM pg_attribute "
    "WHERE attrelid = 'model_events'::regclass AND attnum > 0 AND NOT attisdropped",
}
"""The columns that the table of events has."""

_IDS_REQUIRED = {
    "sqlite": """
        CREATE TRIGGER IF NOT EXISTS tr_registered_models_model_id
        BEFORE INSERT ON registered_models WHEN new.model_id IS NULL
        BEGIN SELECT RAISE(ABORT, 'a model needs an id: is its writer an older release?'); END
    """,
    "postgresql": "ALTER TABLE registered_models ALTER COLUMN model_id SET NOT NULL",
}
"""What refuses a model of a server that has not been stopped for the upgrade: its history would
have no beginning."""

_EVENTS_OF_VERSIONS = """
    CREATE INDEX IF NOT EXISTS ix_model_events_version
    ON model_events (model_id, version, sequence) WHERE version IS NOT NULL
"""


def _text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Adds a column, and what refuses a model without an id; again, if it was cut short.

    The events that are there get no checksum: whether they are what was written is not known.
    """
    connection = op.get_bind()
    present = set(connection.scalars(sa.text(_PRESENT[connection.dialect.name])))
    if "checksum" not in present:
        op.add_column("model_events", sa.Column("checksum", _text(), nullable=True))
    op.execute(_IDS_REQUIRED[connection.dialect.name])
    op.execute(_EVENTS_OF_VERSIONS)
