"""Where the routes of a registry begin: of MLflow's, and of those that our own server adds."""

from __future__ import annotations

from typing import Final

API: Final = "/api/2.0/mlflow"
"""The prefix of MLflow's routes (contract 1.1)."""

OWN_API: Final = "/api/registry/v1"
"""The prefix of the routes that our own server has beside MLflow's."""

SERVER_INFO: Final = "/api/3.0/mlflow/server-info"
"""Where a server says what it can."""

IDEMPOTENCY_FEATURE: Final = "idempotency_keys"
"""What our server says there if it keeps idempotency keys; MLflow's says nothing of it."""
