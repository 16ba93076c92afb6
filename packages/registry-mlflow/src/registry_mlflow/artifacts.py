"""The files that a registry keeps on this disk, as MLflow downloads them.

MLflow uses a directory of this disk where it is, and writes a file of its own into that of a
registered model. What a registry keeps is sealed, and versions with the same files share them: so a
copy is made, as of files that are elsewhere.
"""

from __future__ import annotations

from typing import Any

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

SCHEME_PREFIX = "registry+"
"""What a download URI has in front of `file:`, so that MLflow takes this class."""


class KeptFilesRepository(LocalArtifactRepository):
    """A directory that is copied, and never used in place nor changed."""

    def __init__(self, artifact_uri: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(artifact_uri.removeprefix(SCHEME_PREFIX), *args, **kwargs)

    def download_artifacts(self, artifact_path: str, dst_path: str | None = None) -> str:
        """Return the path of a copy, in a temporary directory unless `dst_path` is given."""
        copied: str = ArtifactRepository.download_artifacts(self, artifact_path, dst_path)
        return copied
