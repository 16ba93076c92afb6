"""Runs the migrations on the connection, and in the transaction, that `schema` has opened."""

from alembic import context

from registry_core.stores.sql.tables import ALEMBIC_VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=ALEMBIC_VERSION_TABLE,
)
context.run_migrations()
