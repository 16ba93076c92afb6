"""What MLflow's entry points name: the store for the URI of a registry.

`registry+` in front of a store URL means a store of ours, wherever MLflow takes a registry URI. A
plain `http(s):` URI is MLflow's own business in a client, which talks to a server as ever. Only as
the registry of MLflow's *server*, which stock MLflow refuses, it is a store of ours.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from mlflow.store.model_registry.rest_store import RestStore
from mlflow.utils.credentials import get_default_host_creds

from registry_mlflow.store import RegistryStore

SCHEME_PREFIX = "registry+"
"""What a registry URI has in front of the store URL."""

SERVER_VARIABLE = "_MLFLOW_SERVER_REGISTRY_STORE"
"""Set by `mlflow server` in the processes that serve, to the registry URI it was started with. The
name is MLflow's; under another one a server would deliver no webhooks, and upload local files."""


def open_store(store_uri: str, tracking_uri: str | None = None) -> RegistryStore:
    """Return the store at `registry+sqlite:///...`, `registry+s3://...` and the like.

    Raises:
        MlflowException: The URL means nothing, or what it names cannot hold a registry.
    """
    return RegistryStore(
        store_uri.removeprefix(SCHEME_PREFIX),
        tracking_uri=tracking_uri,
        serving=is_served(store_uri),
    )


def open_http_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """Return MLflow's own store for a server's URL; in MLflow's server, one of ours."""
    if is_served(store_uri):
        return open_store(store_uri, tracking_uri)
    return RestStore(partial(get_default_host_creds, store_uri))


def is_served(store_uri: str) -> bool:
    """Return whether this process is a worker of MLflow's server, and that its registry."""
    return os.environ.get(SERVER_VARIABLE) == store_uri
