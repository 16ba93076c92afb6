"""A registry behind MLflow's REST API: ours, or any MLflow-compatible server."""

from registry_core.stores.rest.store import RestStore, open_store

__all__ = ["RestStore", "open_store"]
