"""The same registry for both servers: written straight into their tables, in a few statements.

Values are as unevenly spread as in registries that people have, for a database plans otherwise where
it knows that a value is on most rows. Of the versions, half are of one run, four in ten have none, and
one in ten, the first of each model among them, has a run of its own. A quarter is tagged `common`, one
in a hundred `rare`, the others have a thousand values. One model has as many versions as all others
together. One model in ten is of team `risk`.

Every model has two tags and an alias, every version two tags. Stages and times are spread evenly. Models
from number `UNSTAGED` on have no stages, as those of whoever uses aliases instead.
"""

import contextlib
import sqlite3

import psycopg

DIGITS = 6
"""Of the number in a model's name, so that names sort as numbers do."""

UNSTAGED = 990_000
"""The first of the models whose versions are all in the stage None."""

LARGE = 900_000
"""The number of the model with very many versions: on no page of models that is measured, since what
MLflow takes for it would then be all that the figures show."""

LARGE_VERSIONS = 100_000
"""The most that it has."""

SHARED_RUN = "run-shared"
"""The run of half of the versions."""


def name_of(number, digits=DIGITS):
    """The name of a model; `number` has so many digits already."""
    return f"model-{'0' * (DIGITS - digits)}{number}"


_SERIES = {
    "postgresql": "generate_series({low}::bigint, {high}::bigint) AS {name}(i)",
    "sqlite": (
        "(WITH RECURSIVE s(i) AS (SELECT {low} UNION ALL SELECT i + 1 FROM s WHERE i < {high}) "
        "SELECT i FROM s) AS {name}"
    ),
}
_NAME = {
    "postgresql": f"'model-' || lpad(m.i::text, {DIGITS}, '0')",
    "sqlite": f"printf('model-%0{DIGITS}d', m.i)",
}
_STAGE = (
    f"CASE WHEN m.i >= {UNSTAGED} THEN 'None' ELSE CASE v.i % 10 WHEN 1 THEN 'Production' "
    "WHEN 2 THEN 'Staging' WHEN 3 THEN 'Archived' ELSE 'None' END END"
)
_MODEL_TAG = (
    "CASE t.k WHEN 'team' THEN CASE WHEN m.i % 10 = 0 THEN 'risk' ELSE 'growth' END "
    "ELSE cast(m.i AS text) END"
)
_VERSION_TAG = (
    "CASE t.k WHEN 'kind' THEN CASE WHEN (m.i * 31 + v.i) % 100 = 0 THEN 'rare' "
    "WHEN (m.i * 31 + v.i) % 4 = 1 THEN 'common' "
    "ELSE 'kind-' || cast((m.i * 31 + v.i) % 1000 AS text) END "
    "ELSE cast(v.i AS text) END"
)
_RUN = (
    "CASE WHEN v.i % 10 = 1 THEN 'run-of-' || {name} || '-' || cast(v.i AS text) "
    f"WHEN v.i % 10 < 6 THEN '{SHARED_RUN}' ELSE '' END"
)
_SOURCE = "'s3://bucket/' || cast(m.i AS text) || '/' || cast(v.i AS text)"
_VERSION_TIME = "1700000000000 + (m.i * 1000 + v.i * 7919) % 1000003"
_MODELS = "FROM {m}"
_VERSIONS = "FROM {m} CROSS JOIN {v}"

_ROWS = {
    "registered_models": (
        {
            "name": "{name}",
            "creation_time": "1700000000000 + m.i",
            "last_updated_time": "1700000000000 + (m.i * 7919) % 1000003",
            "description": "'model of the benchmark'",
        },
        _MODELS,
    ),
    "model_versions": (
        {
            "name": "{name}",
            "version": "v.i",
            "creation_time": "1700000000000 + m.i * 1000 + v.i",
            "last_updated_time": _VERSION_TIME,
            "current_stage": _STAGE,
            "source": _SOURCE,
            "run_id": _RUN,
            "run_link": "''",
            "status": "'READY'",
            "description": "''",
        },
        _VERSIONS,
    ),
    "registered_model_tags": (
        {"name": "{name}", "key": "t.k", "value": _MODEL_TAG},
        f"{_MODELS} CROSS JOIN (SELECT 'team' AS k UNION ALL SELECT 'number') AS t",
    ),
    "model_version_tags": (
        {"name": "{name}", "version": "v.i", "key": "t.k", "value": _VERSION_TAG},
        f"{_VERSIONS} CROSS JOIN (SELECT 'kind' AS k UNION ALL SELECT 'step') AS t",
    ),
    "registered_model_aliases": (
        {"name": "{name}", "alias": "'champion'", "version": "1"},
        _MODELS,
    ),
}
"""What both have: the columns of each table, and what they are filled from."""

OURS = {
    "registered_models": {"next_version": "{versions} + 1", "model_id": "'id-of-' || {name}"},
    "registered_model_tags": {"value_head": _MODEL_TAG},
    "model_version_tags": {"value_head": _VERSION_TAG, "last_updated_time": _VERSION_TIME},
}
"""The columns that are ours alone."""

MLFLOW = {table: {"workspace": "'default'"} for table in _ROWS}
MLFLOW["model_versions"] |= {"storage_location": _SOURCE}
"""The columns that are MLflow's alone."""


def fill_registry(url, tables, *, models, versions):
    """So many models, a page of those without stages, and a large one."""
    fill(url, tables, models=models, versions=versions)
    fill(url, tables, models=100, versions=versions, first=UNSTAGED)
    fill(url, tables, models=1, versions=large_versions(models, versions), first=LARGE)


def large_versions(models, versions):
    """How many versions the large model has, beside so many models of so many versions."""
    return min(models * versions, LARGE_VERSIONS)


def fill(url, tables, *, models, versions, first=0):
    """Adds models numbered from `first`, and gathers statistics as an old registry has them."""
    dialect = "postgresql" if url.startswith("postgresql") else "sqlite"
    series = _SERIES[dialect]
    words = {
        "name": _NAME[dialect],
        "m": series.format(low=first, high=first + models - 1, name="m"),
        "v": series.format(low=1, high=versions, name="v"),
        "versions": versions,
    }
    with contextlib.closing(connect(url)) as connection:
        for table, (columns, source) in _ROWS.items():
            every = columns | tables.get(table, {})
            values = f"SELECT {', '.join(every.values())} {source}".format(**words)
            connection.execute(f"INSERT INTO {table} ({', '.join(every)}) {values}")
        connection.commit()
        if dialect == "postgresql":
            connection.autocommit = True
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
        else:
            # Nobody gathers statistics on SQLite.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def columns(url, table):
    """The names of the columns that a table has."""
    with contextlib.closing(connect(url)) as connection:
        found = connection.execute(f"SELECT * FROM {table} LIMIT 0")
        return [column[0] for column in found.description]


def connect(url):
    """A connection of the database's own driver."""
    if url.startswith("postgresql"):
        return psycopg.connect(url)
    return sqlite3.connect(url.removeprefix("sqlite:///"))
