"""Keep what was done to models, and give each an id that stays when it is renamed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_IDS = {
    "sqlite": "lower(hex(randomblob(8)))",
    "postgresql": "substr(md5(random()::text || clock_timestamp()::text || name), 1, 16)",
}
"""An id by chance, as `registry_core.history.new_model_id` gives them."""


_PRESENT = {
    "sqlite": "SELECT name FROM pragma_table_info('registered_models')",
    "postgresql": "SELECT attname FROM pg_attribute "
    "WHERE attrelid = 'registered_models'::regclass AND attnum > 0 AND NOT attisdropped",
}
"""The columns that the table of models has."""


def _text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Adds two columns to the models, gives each an id, and creates the table of events.

    Again, if it was cut short between any two of its statements.
    """
    connection = op.get_bind()
    present = set(connection.scalars(sa.text(_PRESENT[connection.dialect.name])))
    if "model_id" not in present:
        op.add_column("registered_models", sa.Column("model_id", _text(), nullable=True))
    if "last_event" not in present:
        op.add_column(
            "registered_models",
            sa.Column("last_event", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        )
    by_chance = _IDS[connection.dialect.name]
    op.execute(f"UPDATE registered_models SET model_id = {by_chance} WHERE model_id IS NULL")  # noqa: S608 a constant
    op.create_index(
        "ix_registered_models_model_id",
        "registered_models",
        ["model_id"],
        unique=True,
        if_not_exists=True,
    )
    op.create_table(
        "model_events",
        sa.Column("model_id", _text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("name", _text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("actor", _text(), nullable=False),
        sa.Column("is_authenticated", sa.BigInteger(), nullable=False),
        sa.Column("origin", _text(), nullable=False),
        sa.Column("reason", _text(), nullable=True),
        sa.Column("action", _text(), nullable=False),
        sa.Column("subject", _text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("key", _text(), nullable=True),
        sa.Column("before", _text(), nullable=True),
        sa.Column("after", _text(), nullable=True),
        sa.PrimaryKeyConstraint("model_id", "sequence", name="pk_model_events"),
        if_not_exists=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_model_events_subject",
        "model_events",
        ["model_id", "subject", "sequence"],
        if_not_exists=True,
    )
    op.create_index(
        "ix_model_events_time",
        "model_events",
        ["time", "model_id", "sequence"],
        if_not_exists=True,
    )
