"""Checked by the type checker, never run: each backend is what its protocol says."""

from __future__ import annotations

from registry_core.artifacts import ArtifactStore, PresigningArtifactStore
from registry_core.artifacts.backends.fsspec import FsspecArtifactStore
from registry_core.artifacts.backends.local import LocalArtifactStore
from registry_core.artifacts.backends.s3 import S3ArtifactStore
from registry_core.fsck import Fsck
from registry_core.store import Store
from registry_core.stores.memory import MemoryStore
from registry_core.stores.rest.store import RestStore
from registry_core.stores.s3.store import S3Store
from registry_core.stores.sql.store import SqlStore

memory: type[Store] = MemoryStore
sql: type[Store] = SqlStore
s3: type[Store] = S3Store
s3_checks_itself: type[Fsck] = S3Store
sql_checks_itself: type[Fsck] = SqlStore
rest: type[Store] = RestStore

local: type[ArtifactStore] = LocalArtifactStore
fsspec: type[ArtifactStore] = FsspecArtifactStore
bucket: type[PresigningArtifactStore] = S3ArtifactStore
