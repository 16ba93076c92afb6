"""Where the routes of a registry begin: of MLflow's, and of those that our own server adds."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

API: Final = "/api/2.0/mlflow"
"""The prefix of MLflow's routes (contract 1.1)."""

OWN_API: Final = "/api/registry/v1"
"""The prefix of the routes that our own server has beside MLflow's."""

SERVER_INFO: Final = "/api/3.0/mlflow/server-info"
"""Where a server says what it can."""

IDEMPOTENCY_FEATURE: Final = "idempotency_keys"
"""What our server says there if it keeps idempotency keys; MLflow's says nothing of it."""


def own_path(name: str, *rest: str) -> str:
    """Return the path of one of our own routes about a registered model, its parts quoted.

    Example:
        >>> own_path("my model", "aliases", "a/b")
        '/api/registry/v1/models/my%20model/aliases/a%2Fb'
    """
    return "/".join((OWN_API, "models", *(quote(part, safe="") for part in (name, *rest))))
