"""Artifacts: where the bytes of model versions are kept, and how they are checked."""

from registry_core.artifacts.manifest import (
    Manifest,
    ManifestFile,
    make_manifest,
    parse_manifest,
)
from registry_core.artifacts.paths import artifact_path, file_path
from registry_core.artifacts.store import (
    ArtifactStore,
    FileInfo,
    FileWriter,
    MultipartUpload,
    PresigningArtifactStore,
    Reading,
    write_all,
)

__all__ = [
    "ArtifactStore",
    "FileInfo",
    "FileWriter",
    "Manifest",
    "ManifestFile",
    "MultipartUpload",
    "PresigningArtifactStore",
    "Reading",
    "artifact_path",
    "file_path",
    "make_manifest",
    "parse_manifest",
    "write_all",
]
