"""Databases as MLflow makes them, of every revision that it ever had.

It imports MLflow, which takes seconds: tests import it where they need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from sqlalchemy import create_engine

from registry_core.validation import PROMPT_TAG

CONTENT = {
    "2b4d017a5e9b": (
        (
            "INSERT INTO registered_models (name, creation_time, last_updated_time, description) "
            "VALUES ('größe', 1, NULL, 'd'), ('empty', 2, 3, NULL)"
        ),
        (
            "INSERT INTO model_versions (name, version, creation_time, last_updated_time, "
            "current_stage, source, run_id, status) VALUES "
            "('größe', 1, 4, 5, 'Production', 's3://b/1', 'r', 'READY'), "
            "('größe', 3, 6, NULL, NULL, 's3://b/3', 'r', 'FAILED_REGISTRATION'), "
            "('größe', 4, 7, 8, 'Deleted_Internal', 'REDACTED-SOURCE-PATH', "
            "'REDACTED-RUN-ID', 'READY')"
        ),
    ),
    "728d730b5ebd": ("INSERT INTO registered_model_tags VALUES ('ü', 'v', 'größe')",),
    "27a6a02d2cf1": (
        "INSERT INTO model_version_tags VALUES ('k', 'w', 'größe', 3), ('k', 'gone', 'größe', 4)",
    ),
    "84291f40a231": ("UPDATE model_versions SET run_link = 'l' WHERE version = 1",),
    "3500859a5d39": (
        (
            "INSERT INTO registered_model_aliases (alias, version, name) "
            "VALUES ('champion', 3, 'größe'), ('dangling', 4, 'größe')"
        ),
    ),
    "acf3f17fdcc7": (
        "UPDATE model_versions SET storage_location = 's3://elsewhere' WHERE version = 3",
    ),
}
"""What is written once a revision has made the place for it."""


def upgraded(path: Path) -> Iterator[str]:
    """The revisions of MLflow's database, each when the file has it, with all that it can hold."""
    engine = create_engine(f"sqlite:///{path}")
    config: Config = _get_alembic_config(f"sqlite:///{path}")
    InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('none')")
    for script in reversed([*ScriptDirectory.from_config(config).walk_revisions()]):
        with engine.begin() as connection:
            context = MigrationContext.configure(connection)
            with Operations.context(context):
                script.module.upgrade()
            connection.exec_driver_sql(
                f"UPDATE alembic_version SET version_num = '{script.revision}'"
            )
            for statement in CONTENT.get(script.revision, ()):
                connection.exec_driver_sql(statement)
        yield script.revision
    engine.dispose()


def filled(url: str) -> None:
    """Makes MLflow's schema of the newest release, with two models and a prompt."""
    uri = url.replace("postgresql:", "postgresql+psycopg:", 1)
    store = SqlAlchemyStore(uri)
    try:
        fill(store)
    finally:
        store.engine.dispose()


def fill(store: SqlAlchemyStore) -> None:
    """Two models with all that a model can have, and a prompt."""
    for name in ("größe 'x'", "модель"):
        store.create_registered_model(name, [RegisteredModelTag("ключ", "v")], "")
        for number in range(1, 5):
            tags = [ModelVersionTag("n", str(number))]
            store.create_model_version(name, f"s3://b/{number}", tags=tags)
        store.transition_model_version_stage(name, "1", "Production", False)
        store.set_registered_model_alias(name, "champion", "3")
        store.delete_model_version(name, "4")
    store.create_registered_model("prompt", [RegisteredModelTag(PROMPT_TAG, "true")])
    text = [ModelVersionTag(PROMPT_TAG, "true"), ModelVersionTag("mlflow.prompt.text", "x" * 6_000)]
    store.create_model_version("prompt", "prompt-template", tags=text)
