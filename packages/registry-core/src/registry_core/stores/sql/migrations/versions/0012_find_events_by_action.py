"""Keep what is not done in masses by its action, in place of one order for all of it.

Moves of aliases are not done in masses, and still are most of what is left where models are seldom
renamed or deleted. Each action in an order of its own is found without the others.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_EVENTS_BY_ACTION = """
    CREATE INDEX IF NOT EXISTS ix_model_events_action
    ON model_events (action, time, model_id, sequence)
    WHERE action != 'create_version' AND action != 'finalize_version'
    AND action != 'set_model_tag' AND action != 'set_version_tag'
"""


def upgrade() -> None:
    """Adds an index, and drops the one that it replaces; again, if it was cut short."""
    op.execute(_EVENTS_BY_ACTION)
    op.execute("DROP INDEX IF EXISTS ix_model_events_uncommon")
