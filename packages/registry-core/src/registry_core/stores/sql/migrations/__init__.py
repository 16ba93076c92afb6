"""The line of migrations; see `registry_core.stores.sql.schema`."""
