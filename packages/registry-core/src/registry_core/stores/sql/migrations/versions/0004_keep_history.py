"""Keep what was done to models, and give each an id that stays when it is renamed."""

from __future__ import annotations

import time

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

_GIVEN = {
    "sqlite": "json_patch('{{}}', json_object({}))",
    "postgresql": "json_strip_nulls(json_build_object({}))::text",
}
"""A JSON object of keys and values, without those that are null."""

_TAGS = {
    "sqlite": "json((SELECT json_group_object(t.key, t.value) FROM {} AS t WHERE {}))",
    "postgresql": "(SELECT json_object_agg(t.key, t.value) FROM {} AS t WHERE {})",
}

_NO_TAGS = {"sqlite": "nullif({}, '{{}}')", "postgresql": "{}"}

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

    The events of each model begin with what there is of it.

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
    for statement in _baseline(connection.dialect.name, now=int(time.time() * 1000)):
        op.execute(statement)
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


def _baseline(dialect: str, *, now: int) -> list[str]:
    """Statements that begin the history of each model with what there is.

    They write what `registry_core.history.baseline` says. Each can be repeated: a model has events
    to come until its last one is known. Indexes come later, which is faster.
    """
    versions = "(SELECT count(*) FROM model_versions AS c WHERE c.name = m.name)"
    aliases = "(SELECT count(*) FROM registered_model_aliases AS c WHERE c.name = m.name)"
    return [
        _began(
            now,
            "1, m.name, 'create_model', 'model', NULL, NULL, " + _model(dialect),
            "registered_models AS m",
        ),
        _began(
            now,
            "1 + row_number() OVER (PARTITION BY v.name ORDER BY v.version), m.name, "
            "'create_version', 'version:' || CAST(v.version AS text), v.version, NULL, "
            + _version(dialect),
            "registered_models AS m JOIN model_versions AS v ON v.name = m.name",
        ),
        _began(
            now,
            f"1 + {versions} + row_number() OVER (PARTITION BY a.name ORDER BY a.alias), m.name, "
            "'set_alias', 'alias:' || a.alias, a.version, a.alias, CAST(a.version AS text)",
            "registered_models AS m JOIN registered_model_aliases AS a ON a.name = m.name",
        ),
        (
            f"UPDATE registered_models AS m SET last_event = 1 + {versions} + {aliases} "  # noqa: S608 as above
            "WHERE last_event = 0"
        ),
    ]


def _began(now: int, values: str, source: str) -> str:
    return (
        "INSERT INTO model_events (model_id, sequence, name, action, subject, version, key, "  # noqa: S608 constants and a number
        '"after", time, actor, is_authenticated, origin) '
        f"SELECT m.model_id, {values}, {now}, 'unknown', 0, 'baseline' FROM {source} "
        "WHERE m.last_event = 0 ON CONFLICT DO NOTHING"
    )


def _model(dialect: str) -> str:
    texts = ("description", "deployment_job_id", "deployment_job_state")
    tags = _TAGS[dialect].format("registered_model_tags", "t.name = m.name")
    return _GIVEN[dialect].format(
        ", ".join(
            [
                "'name', m.name",
                *(f"'{text}', nullif(m.{text}, '')" for text in texts),
                f"'tags', {_NO_TAGS[dialect].format(tags)}",
                "'next_version', m.next_version",
                "'creation_timestamp', m.creation_time",
                "'last_updated_timestamp', m.last_updated_time",
            ]
        )
    )


def _version(dialect: str) -> str:
    texts = ("source", "storage_location", "run_id", "run_link")
    usual = {"current_stage": "None", "status": "READY"}
    others = ("status_message", "description", "user_id", "model_id")
    where = "t.name = v.name AND t.version = v.version"
    tags = _TAGS[dialect].format("model_version_tags", where)
    return _GIVEN[dialect].format(
        ", ".join(
            [
                *(f"'{text}', v.{text}" for text in texts),
                *(f"'{word}', nullif(v.{word}, '{value}')" for word, value in usual.items()),
                *(f"'{text}', v.{text}" for text in others),
                f"'tags', {_NO_TAGS[dialect].format(tags)}",
                "'creation_timestamp', v.creation_time",
                "'last_updated_timestamp', v.last_updated_time",
            ]
        )
    )
