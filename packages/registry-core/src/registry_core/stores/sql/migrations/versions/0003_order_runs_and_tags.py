"""Keep the versions of each run in the default order of a search, and those of each tag backwards.

The index on runs alone has to be read to its end, and sorted, where many versions have one run. The
first columns of both indexes have one direction, so that a place among them is a range.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ORDER = ("last_updated_time", "name DESC", "version")


def upgrade() -> None:
    """Replace the indexes; again, if it was cut short between any two of its statements."""
    _replace("ix_model_versions_run", "model_versions", "run_id")
    _replace("ix_model_version_tags_value", "model_version_tags", "key", "value_head")


def _replace(index: str, table: str, *columns: str) -> None:
    parts = [sa.text(part) for part in (*columns, *_ORDER)]
    op.create_index(f"{index}_updated", table, parts, if_not_exists=True)
    op.drop_index(index, table, if_exists=True)
