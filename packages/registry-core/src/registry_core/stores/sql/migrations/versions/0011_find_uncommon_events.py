"""Keep what is not done in masses in the order of its time once more.

What is looked for among all events is a deletion, a rename, the move of an alias: few among the
versions and tags of a busy registry, and a page of few was a walk through all.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_UNCOMMON_EVENTS = """
    CREATE INDEX IF NOT EXISTS ix_model_events_uncommon
    ON model_events (time, model_id, sequence)
    WHERE action != 'create_version' AND action != 'finalize_version'
    AND action != 'set_model_tag' AND action != 'set_version_tag'
"""


def upgrade() -> None:
    """Adds an index; again, if it was cut short."""
    op.execute(_UNCOMMON_EVENTS)
