"""Keep what was done to a thing beside what was done to others of its kind.

The tags of all versions of a model are then found together, without its other events: the index on
subjects had those of each version apart.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_POSITION = {"sqlite": "instr(subject, '/')", "postgresql": "strpos(subject, '/')"}


def upgrade() -> None:
    """Adds an index, and drops the one that it replaces; again, if it was cut short."""
    slash = _POSITION[op.get_bind().dialect.name]
    op.execute(
        "CREATE INDEX IF NOT EXISTS ix_model_events_kind ON model_events (model_id, "
        f"(CASE WHEN substr(subject, 1, 8) = 'version:' AND {slash} > 0 "
        f"THEN substr(subject, {slash}) || ' ' || substr(subject, 9, {slash} - 9) "
        "ELSE subject END), sequence)"
    )
    op.execute("DROP INDEX IF EXISTS ix_model_events_subject")
