"""Give the events that an upgrade has written checksums, as all others have them."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_DIGITS = 16

_FIRST = ("time", "actor", "is_authenticated", "origin", "reason", "action")
_NOT_OF_VERSIONS = ("subject", "version")
"""What the checksum of a created version leaves out."""
_LAST = ("key", "before", "after")

_VALUE = {
    "sqlite": "coalesce('=' || \"{}\", '')",
    "postgresql": "coalesce(convert_to('=' || CAST(\"{}\" AS text), 'UTF8'), '')",
}
"""A value as a checksum is computed of it: an absent one is not an empty one."""

_SEPARATOR = {"sqlite": "char(0)", "postgresql": "decode('00', 'hex')"}

_DIGEST = {
    "sqlite": "event_digest(CAST({} AS blob))",
    "postgresql": f"substr(encode(sha256({{}}), 'hex'), 1, {_DIGITS})",
}


def upgrade() -> None:
    """Computes checksums in one statement, which does nothing where it has been done.

    They are those that `registry_core.stores.sql.event_checksums` computes of what is there. Events
    of others that have none keep none: they came damaged from elsewhere.
    """
    connection = op.get_bind()
    dialect = connection.dialect.name
    if dialect == "sqlite":
        raw = connection.connection.dbapi_connection
        assert raw is not None, "a connection that is open has one"
        raw.create_function("event_digest", 1, _digest, deterministic=True)
    op.execute(
        sa.text(
            f"UPDATE model_events SET checksum = {_checksum(dialect)} "  # noqa: S608 constants
            "WHERE checksum IS NULL AND origin = 'baseline' AND actor = 'unknown'"
        )
    )


def _digest(said: bytes) -> str:
    return hashlib.sha256(said).hexdigest()[:_DIGITS]


def _checksum(dialect: str) -> str:
    separator = _SEPARATOR[dialect]

    def joined(*names: str) -> str:
        return f" || {separator} || ".join(_VALUE[dialect].format(name) for name in names)

    of_others = (
        f"CASE action WHEN 'create_version' THEN {separator} "
        f"ELSE {separator} || {joined(*_NOT_OF_VERSIONS)} || {separator} END"
    )
    return _DIGEST[dialect].format(f"{joined(*_FIRST)} || {of_others} || {joined(*_LAST)}")
