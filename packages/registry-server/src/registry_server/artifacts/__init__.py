"""The artifact routes of MLflow's proxy (contract 2.23): files in and out, as streams."""

from registry_server.artifacts.service import ARTIFACTS, PREFIXES
from registry_server.artifacts.serving import artifact_part

__all__ = ["ARTIFACTS", "PREFIXES", "artifact_part"]
