"""Artifacts: where the bytes of model versions are kept, and how they are checked.

Two rooms: `backends`, which keep files (a disk, S3, whatever fsspec knows), and `versions`, which
knows what a model version's files are. The life of these, from the writer over the seal to the
collector, and what each crash leaves, is drawn in `registry_core.artifacts.versions`.
"""

from registry_core.artifacts.manifest import (
    Manifest,
    ManifestFile,
    make_manifest,
    parse_manifest,
)
from registry_core.artifacts.paths import artifact_path, file_path
from registry_core.artifacts.store import (
    RESUMABLE_BYTES,
    ArtifactStore,
    FileInfo,
    FileWriter,
    KeptUpload,
    MultipartUpload,
    PresigningArtifactStore,
    Reading,
    ReceivingArtifactStore,
    ResumingArtifactStore,
    SuspendedError,
    is_resumable,
    write_all,
)

__all__ = [
    "RESUMABLE_BYTES",
    "ArtifactStore",
    "FileInfo",
    "FileWriter",
    "KeptUpload",
    "Manifest",
    "ManifestFile",
    "MultipartUpload",
    "PresigningArtifactStore",
    "Reading",
    "ReceivingArtifactStore",
    "ResumingArtifactStore",
    "SuspendedError",
    "artifact_path",
    "file_path",
    "is_resumable",
    "make_manifest",
    "parse_manifest",
    "write_all",
]
