"""The artifact routes of MLflow's proxy (contract 2.23): files in and out, as streams."""

from registry_server.artifacts.description import SCHEMAS
from registry_server.artifacts.service import (
    ARTIFACTS,
    PREFIXES,
    ArtifactService,
    supports_multipart,
)

__all__ = ["ARTIFACTS", "PREFIXES", "SCHEMAS", "ArtifactService", "supports_multipart"]
