"""The S3-JSON store: a registry in a plain bucket."""

from registry_core.stores.s3.store import S3Store, open_store

__all__ = ["S3Store", "open_store"]
